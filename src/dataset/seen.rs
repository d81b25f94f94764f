//! Which files of a large location a statement needs to have looked at.
//!
//! ```text
//! a sample is looked at -> the statement is planned -> scans ask for the files that they would read
//!                       -> those are looked at too  -> it is planned again, and now runs
//! ```
//!
//! Invariant: a file that was not looked at is never read, and what is looked at depends on the
//! statement and the listing alone, not on what is remembered.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind};

/// Locations of so many files are looked at whole: it takes no time, and shows every column.
const FILES_MAX: usize = 256;

/// What the attempts at one statement have found that they must see; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Files that scans have asked for, by name.
    wanted: HashSet<String>,
    /// Whether a scan has asked since the last attempt.
    has_asked: bool,
    /// Whether some location of this attempt was only sampled.
    is_partial: bool,
    /// Whether a sample would not do.
    all: bool,
    /// Whether a sample will do: nothing is read.
    samples: bool,
}

impl Seen {
    /// For statements that are planned only for what can be said of their columns.
    pub fn of_samples() -> Self {
        Seen(Arc::new(Mutex::new(Inner { samples: true, ..Inner::default() })))
    }

    /// Whether to look at each file; the statement chooses among them by their paths.
    pub(super) fn choose(
        &self,
        names: &[&str],
        chooses_by_path: bool,
        is_sampled: impl Fn(usize) -> bool,
    ) -> Vec<bool> {
        let mut inner = self.inner();
        let chooses = inner.samples || chooses_by_path;
        if inner.all || !chooses || names.len() <= FILES_MAX {
            return vec![true; names.len()];
        }
        let is_wanted =
            |(idx, name): (usize, &&str)| is_sampled(idx) || inner.wanted.contains(*name);
        let chosen: Vec<bool> = names.iter().enumerate().map(is_wanted).collect();
        inner.is_partial |= chosen.contains(&false);
        chosen
    }

    /// Asks for files that a scan would read; the error says that it cannot do so yet.
    pub(super) fn ask(&self, names: impl Iterator<Item = String>) -> Error {
        let mut inner = self.inner();
        inner.wanted.extend(names);
        inner.has_asked = true;
        unseen()
    }

    /// From now on all files are looked at.
    pub fn see_all(&self) {
        self.inner().all = true;
    }

    /// Asks for all files; the error says that this attempt has not seen them.
    pub fn ask_for_all(&self) -> Error {
        self.see_all();
        self.ask(std::iter::empty())
    }

    /// Whether a sample stands for files of this attempt that a statement to be run may need.
    pub fn is_partial(&self) -> bool {
        let inner = self.inner();
        inner.is_partial && !inner.samples
    }

    /// The statement is planned: what fails from now on has other reasons.
    pub fn settle(&self) {
        self.inner().is_partial = false;
    }

    /// Whether another attempt would see files that this one, which failed, did not.
    pub fn sees_more_after(&self, error: &Error) -> bool {
        let mut inner = self.inner();
        let was_partial = std::mem::take(&mut inner.is_partial);
        if std::mem::take(&mut inner.has_asked) {
            return true;
        }
        // Perhaps a column is missing that another file has.
        let may_help = was_partial && matches!(error.kind(), ErrorKind::Sql | ErrorKind::Data);
        inner.all |= may_help;
        may_help
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands for the layout of a file that was not looked at.
pub(super) fn unseen() -> Error {
    Error::new(ErrorKind::Internal, "a file would be read that was not looked at")
}
