//! One pass over every byte of a dataset: `FROM rejects('path')` and `FROM check('path')`.
//!
//! The pass reads all columns of all files, in parallel over the files, and collects what a
//! statement would have stopped at.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::error::ArrowError;

use super::inventory::{numbers, texts};
use super::{Dataset, DatasetFile, table};
use crate::error::Error;
use crate::formats::csv::reject::{Reject, Rejects};
use crate::formats::{Format, ReadRequest, Wanted};
use crate::notes::NoteKind;

const BATCH_ROWS: usize = 8192;

/// Reads all files and returns what could not be read, in the order of files and lines.
///
/// The dataset must have been opened with `on_error => 'reject'`.
pub fn pass(dataset: &Dataset, thread_count: usize) -> Vec<Reject> {
    let rejects = Arc::new(Rejects::listed());
    let request = Arc::new(ReadRequest {
        dataset: dataset.id,
        schema: Arc::new(Schema::new(table::file_fields(&dataset.columns))),
        columns: dataset.columns.iter().cloned().map(Wanted::Column).collect(),
        batch_rows: BATCH_ROWS,
        predicate: None,
        checked: Vec::new(),
        rejects: Arc::clone(&rejects),
        notes: dataset.notes.clone(),
    });
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..thread_count.clamp(1, dataset.files.len().max(1)) {
            scope.spawn(|| {
                while let Some(file) = dataset.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(error) = read_through(file, &request) {
                        rejects.push(Reject::of(&file.source.name, &error));
                    }
                }
            });
        }
    });
    rejects.sorted()
}

/// Reads one file to its end; returns what stopped it.
fn read_through(file: &DatasetFile, request: &Arc<ReadRequest>) -> Option<Error> {
    let layout = match &file.layout {
        Ok(layout) => layout,
        Err(error) => return Some(error.clone()),
    };
    if layout.format == Format::Parquet {
        return crate::formats::parquet::diagnose(&file.source);
    }
    let read = || {
        let rows = crate::formats::open(&file.source, layout, None, None, request);
        rows.and_then(|mut rows| rows.try_for_each(|batch| batch.map(drop))).err()
    };
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Some(Error::data("the file makes no sense to its reader")))
}

/// The rejects as a table.
///
/// # Errors
/// None that a user can cause.
pub fn rejects_table(rejects: &[Reject]) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_from_iter_with_nullable([
        ("file", texts(rejects, |reject| Some(reject.file.clone())), true),
        ("line", numbers(rejects, |reject| reject.line), true),
        ("position", numbers(rejects, |reject| reject.position), true),
        ("column", texts(rejects, |reject| reject.column.clone()), true),
        ("expected", texts(rejects, |reject| reject.expected.clone()), true),
        ("text", texts(rejects, |reject| reject.text.clone()), true),
        ("reason", texts(rejects, |reject| Some(reject.reason.clone())), true),
    ])
}

/// What is wrong with a dataset: first what is about files and columns, then each bad row.
///
/// # Errors
/// None that a user can cause.
pub fn findings_table(dataset: &Dataset, rejects: &[Reject]) -> Result<RecordBatch, ArrowError> {
    let mut findings: Vec<(&str, Reject)> = dataset
        .notes
        .list()
        .into_iter()
        // Rejects follow one by one; the others are as they should be.
        .filter(|note| {
            !matches!(note.kind, NoteKind::Rejected | NoteKind::Skipped | NoteKind::NullWord)
        })
        .map(|note| (note.kind.name(), Reject { reason: note.message, ..Reject::default() }))
        .collect();
    findings.extend(rejects.iter().map(|reject| {
        let kind = match (&reject.column, reject.line) {
            (Some(_), _) => "value",
            (None, Some(_)) => "row",
            (None, None) => "file",
        };
        (kind, reject.clone())
    }));
    RecordBatch::try_from_iter_with_nullable([
        ("kind", texts(&findings, |(kind, _)| Some((*kind).to_string())), true),
        // What is about all files names none.
        ("file", texts(&findings, |(_, at)| Some(at.file.clone()).filter(|f| !f.is_empty())), true),
        ("line", numbers(&findings, |(_, at)| at.line), true),
        ("position", numbers(&findings, |(_, at)| at.position), true),
        ("column", texts(&findings, |(_, at)| at.column.clone()), true),
        ("finding", texts(&findings, |(_, at)| Some(at.reason.clone())), true),
    ])
}
