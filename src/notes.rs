//! Reading notes: what was guessed, pruned, widened or rejected while answering.
//!
//! A note changes what an answer means, so it is always shown; the summary only says how the work
//! went. Plain data: every layer writes into one `Notes`, the engine hands it out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NoteKind {
    /// A column was read as a wider type than some file suggests.
    Widened,
    /// A column is missing in some files and NULL there.
    MissingColumn,
    /// Rows were filled up, or had empty fields cut off.
    Padded,
    /// Words such as `NA` were read as NULL in a typed column.
    NullWord,
    /// Rows were left out, or values read as NULL, because they could not be read.
    Rejected,
    /// Two files of one location have the same content.
    Duplicate,
    /// Files lie outside the partition layout.
    Layout,
    /// A dialect could be read in two ways.
    Dialect,
    /// An encoding was guessed.
    Encoding,
    /// A date could be read in two orders.
    DateOrder,
    /// Column names were made unique or invented.
    Renamed,
    /// Files or folders were skipped.
    Skipped,
    /// Digits beyond what DOUBLE holds were rounded.
    Rounded,
    /// A sample of a statement's files gave the same rows here and on the cluster.
    Verified,
    /// A statement ran in this process, though a cluster was asked to run it.
    RanHere,
}

impl NoteKind {
    /// The word that programs see in `--notes json`.
    pub fn name(self) -> &'static str {
        match self {
            NoteKind::Widened => "widened",
            NoteKind::MissingColumn => "missing_column",
            NoteKind::Padded => "padded",
            NoteKind::NullWord => "null_word",
            NoteKind::Rejected => "rejected",
            NoteKind::Duplicate => "duplicate",
            NoteKind::Layout => "layout",
            NoteKind::Dialect => "dialect",
            NoteKind::Encoding => "encoding",
            NoteKind::DateOrder => "date_order",
            NoteKind::Renamed => "renamed",
            NoteKind::Skipped => "skipped",
            NoteKind::Rounded => "rounded",
            NoteKind::Verified => "verified",
            NoteKind::RanHere => "ran_here",
        }
    }

    /// Whether the note changes what an answer means, and is shown even under `--quiet`.
    pub fn changes_the_answer(self) -> bool {
        !matches!(self, NoteKind::Skipped | NoteKind::Verified | NoteKind::RanHere)
    }
}

/// One thing that a reader of the answer should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// The sentence, lower case, without a full stop.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

/// How much was read: the numbers of the summary line.
#[derive(Debug, Default)]
pub struct Counts {
    /// Files that the locations hold.
    pub files_total: AtomicU64,
    /// Files that were read.
    pub files_read: AtomicU64,
    /// Partitions (distinct folders of `key=value`) that the locations hold.
    pub partitions_total: AtomicU64,
    /// Partitions that were left after pruning.
    pub partitions_read: AtomicU64,
    /// Rows that came out of the files.
    pub rows_read: AtomicU64,
    /// Bytes that were read, as they lie on disk.
    pub bytes_read: AtomicU64,
    /// Files that were not read because their partial aggregates were kept.
    pub files_reused: AtomicU64,
    /// Bytes of `bytes_read` that tasks have come past.
    pub bytes_passed: AtomicU64,
}

/// Collects the notes of one statement; cheap to clone, safe to share between tasks.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counts: Counts,
    notes: Mutex<Vec<Note>>,
    tallies: Mutex<BTreeMap<(NoteKind, String), Tally>>,
}

#[derive(Debug, Clone)]
struct Tally {
    count: u64,
    first: String,
}

/// What a part of a statement that ran elsewhere has to say; goes with a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Record {
    /// A note.
    Note(NoteKind, String),
    /// Something that was counted; what, and where it was first seen.
    Tally(NoteKind, String, String),
    /// So many files, rows, bytes were read, and bytes passed.
    Read(Quantity),
}

/// What is counted while files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Quantity {
    /// [`Counts::files_read`].
    Files,
    /// [`Counts::rows_read`].
    Rows,
    /// [`Counts::bytes_read`].
    Bytes,
    /// [`Counts::bytes_passed`].
    BytesPassed,
}

impl Quantity {
    const ALL: [Quantity; 4] =
        [Quantity::Files, Quantity::Rows, Quantity::Bytes, Quantity::BytesPassed];

    fn of(self, counts: &Counts) -> &AtomicU64 {
        match self {
            Quantity::Files => &counts.files_read,
            Quantity::Rows => &counts.rows_read,
            Quantity::Bytes => &counts.bytes_read,
            Quantity::BytesPassed => &counts.bytes_passed,
        }
    }
}

impl Notes {
    /// Adds a note once.
    pub fn add(&self, kind: NoteKind, message: impl Into<String>) {
        let note = Note { kind, message: message.into() };
        let mut notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Counts something that happens per row; `subject` says what, `first` where it was first seen.
    pub fn tally(&self, kind: NoteKind, subject: &str, count: u64, first: impl FnOnce() -> String) {
        let mut tallies = self.0.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies
            .entry((kind, subject.to_string()))
            .and_modify(|tally| tally.count += count)
            .or_insert_with(|| Tally { count, first: first() });
    }

    /// Takes over the notes and counts of a part of the statement.
    pub fn absorb(&self, part: &Notes) {
        for note in part.0.notes.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.add(note.kind, note.message);
        }
        let tallies =
            std::mem::take(&mut *part.0.tallies.lock().unwrap_or_else(PoisonError::into_inner));
        for ((kind, subject), Tally { count, first }) in tallies {
            self.tally(kind, &subject, count, || first);
        }
        for quantity in Quantity::ALL {
            let count = quantity.of(part.counts()).swap(0, Ordering::Relaxed);
            Counts::bump(quantity.of(self.counts()), count);
        }
    }

    /// All that these notes say, to be taken over elsewhere with [`Notes::take_over`].
    pub fn records(&self) -> Vec<(Record, u64)> {
        let notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tallies = self.0.tallies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let notes = notes.into_iter().map(|note| (Record::Note(note.kind, note.message), 1));
        let tallies = tallies.into_iter().map(|((kind, subject), tally)| {
            (Record::Tally(kind, subject, tally.first), tally.count)
        });
        let read = Quantity::ALL.into_iter().map(|quantity| {
            (Record::Read(quantity), quantity.of(self.counts()).load(Ordering::Relaxed))
        });
        notes.chain(tallies).chain(read).filter(|(_, count)| *count > 0).collect()
    }

    /// Takes over what a part of the statement that ran elsewhere said.
    pub fn take_over(&self, record: Record, count: u64) {
        match record {
            Record::Note(kind, message) => self.add(kind, message),
            Record::Tally(kind, subject, first) => self.tally(kind, &subject, count, || first),
            Record::Read(quantity) => Counts::bump(quantity.of(self.counts()), count),
        }
    }

    /// Whether two are clones of one.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_same(&self, other: &Notes) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The running counts.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// All notes so far, in the order in which they arose.
    pub fn list(&self) -> Vec<Note> {
        let mut list = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tallies = self.0.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        list.extend(tallies.iter().map(|((kind, subject), tally)| Note {
            kind: *kind,
            message: format!(
                "{subject}: {}, first at {}",
                crate::units::show_counted(tally.count, "time"),
                tally.first
            ),
        }));
        list
    }

    /// Everything as one JSON object: `{"notes": [{kind, message}], "files": ..., ...}`.
    pub fn to_json(&self) -> serde_json::Value {
        let counts = self.counts();
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let notes: Vec<_> = self
            .list()
            .into_iter()
            .map(|note| json!({"kind": note.kind.name(), "message": note.message}))
            .collect();
        json!({
            "notes": notes,
            "files_total": load(&counts.files_total),
            "files_read": load(&counts.files_read),
            "files_reused": load(&counts.files_reused),
            "partitions_total": load(&counts.partitions_total),
            "partitions_read": load(&counts.partitions_read),
            "rows_read": load(&counts.rows_read),
            "bytes_read": load(&counts.bytes_read),
        })
    }
}

impl Counts {
    /// Adds to one of the counts.
    pub fn bump(count: &AtomicU64, by: u64) {
        count.fetch_add(by, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_keep_the_first_place_and_the_count() {
        let notes = Notes::default();
        notes.tally(NoteKind::NullWord, "`NA` read as NULL in `x`", 2, || "a.csv:3".into());
        notes.tally(NoteKind::NullWord, "`NA` read as NULL in `x`", 1, || "b.csv:9".into());
        let list = notes.list();
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].message, "`NA` read as NULL in `x`: 3 times, first at a.csv:3");
    }
}
