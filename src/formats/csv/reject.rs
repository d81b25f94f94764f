//! Rejects: what could not be read, where the user asked to go on all the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Place, Result};

/// What to do with a value that does not fit its type, and with a row of the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnError {
    /// Stop with an error that names the place.
    #[default]
    Error,
    /// Read the value as NULL and count it; rows of the wrong length stay errors.
    Null,
    /// Leave the whole row out and count it.
    Reject,
}

/// One thing that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reject {
    /// The file as the user knows it.
    pub file: String,
    /// Line in the file, from 1.
    pub line: Option<u64>,
    /// Byte in that line, from 1.
    pub position: Option<u64>,
    /// Name of the column, where one value is to blame.
    pub column: Option<String>,
    /// The type that was expected.
    pub expected: Option<String>,
    /// The text that was found.
    pub text: Option<String>,
    /// What is wrong, as the error would have said.
    pub reason: String,
}

impl Reject {
    /// What an error says about a file.
    pub fn of(file: &str, error: &Error) -> Self {
        let (line, position) = match error.place() {
            Some(Place::File { line, column, .. }) => (*line, *column),
            _ => (None, None),
        };
        let (file, reason) = (file.to_string(), error.message().to_string());
        Reject { file, line, position, reason, ..Reject::default() }
    }
}

/// Collects the rejects of one scan; shared between its tasks.
#[derive(Debug, Default)]
pub struct Rejects {
    /// The list, where somebody wants to see it.
    list: Option<Mutex<Vec<Reject>>>,
    row_count: AtomicU64,
    row_count_max: Option<u64>,
}

impl Rejects {
    /// Counts rows only, and stops behind `row_count_max` of them.
    pub fn counted(row_count_max: Option<u64>) -> Self {
        Rejects { row_count_max, ..Rejects::default() }
    }

    /// Keeps every reject.
    pub fn listed() -> Self {
        Rejects { list: Some(Mutex::default()), ..Rejects::default() }
    }

    /// How many rows may be left out.
    pub fn row_count_max(&self) -> Option<u64> {
        self.row_count_max
    }

    /// Takes in one reject.
    pub fn push(&self, reject: Reject) {
        if let Some(list) = &self.list {
            list.lock().unwrap_or_else(PoisonError::into_inner).push(reject);
        }
    }

    /// Counts rows that were left out.
    ///
    /// # Errors
    /// When there are more than the user allows.
    pub fn count_rows(&self, count: u64) -> Result<()> {
        let before = self.row_count.fetch_add(count, Ordering::Relaxed);
        match self.row_count_max {
            Some(max) if before + count > max => Err(Error::new(
                ErrorKind::Data,
                format!("more than {} rejected", crate::units::show_counted(max, "row")),
            )
            .hint("raise max_rejects, or see them all: FROM rejects('path')")),
            _ => Ok(()),
        }
    }

    /// All rejects so far, in the order of files and lines.
    pub fn sorted(&self) -> Vec<Reject> {
        let mut list = self.list.as_ref().map_or_else(Vec::new, |list| {
            list.lock().unwrap_or_else(PoisonError::into_inner).clone()
        });
        list.sort();
        list
    }
}
