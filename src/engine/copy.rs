//! COPY ... TO: an answer into a file, which appears when it is whole or stays as it was.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::parser::{CopyToSource, CopyToStatement, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{Statement as SqlStatement, Value};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};
use crate::output::{Format, OutputFile, TableOptions};

/// Batches that may wait for the disk.
const BATCHES_WAITING_MAX: usize = 4;

/// Where the rows of a COPY go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    path: PathBuf,
    format: Format,
}

impl Target {
    /// Reads the target and the query of a COPY.
    ///
    /// # Errors
    /// When an option is not known, or the format cannot be told.
    pub(super) fn of(copy: &CopyToStatement, home: Option<&Path>) -> Result<(Self, DfStatement)> {
        if !copy.partitioned_by.is_empty() {
            return Err(Error::sql("COPY ... PARTITIONED BY is not supported yet")
                .hint("copy each partition with a WHERE of its own"));
        }
        let path = match (copy.target.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(&copy.target),
        };
        let mut format = copy.stored_as.clone();
        for (name, value) in &copy.options {
            let text = match value {
                Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
                other => other.to_string(),
            };
            match name.to_lowercase().as_str() {
                "format" => format = Some(text),
                // A header is always written.
                "header" | "format.has_header" if text.eq_ignore_ascii_case("true") => {}
                _ => {
                    return Err(Error::sql(format!("COPY has no option {name}"))
                        .hint("there is FORMAT: COPY (SELECT ...) TO 'file' (FORMAT parquet)"));
                }
            }
        }
        let format = match format {
            Some(name) if name.eq_ignore_ascii_case("ndjson") => Format::Jsonl,
            Some(name) => Format::parse(&name)?,
            None => Format::of_path(&path)?,
        };
        let query = match &copy.source {
            CopyToSource::Query(query) => {
                DfStatement::Statement(Box::new(SqlStatement::Query(query.clone())))
            }
            CopyToSource::Relation(name) => {
                crate::plan::parse::parse(&format!("SELECT * FROM {name}"))?.remove(0).statement
            }
        };
        Ok((Target { path, format }, query))
    }

    /// Writes all rows and returns their count, as a batch of one row.
    ///
    /// # Errors
    /// The first error of the rows or of the disk; the file is then as it was.
    pub(super) async fn write(
        self,
        schema: SchemaRef,
        mut batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
    ) -> Result<RecordBatch> {
        let (sender, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
        let writer = tokio::task::spawn_blocking(move || self.write_all(&schema, receiver));
        let mut failed = None;
        while let Some(batch) = batches.next().await {
            let part = match batch {
                Ok(batch) => Part::Rows(batch),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            if sender.send(part).await.is_err() {
                // The writer has stopped: it says why.
                break;
            }
        }
        if failed.is_none() {
            let _ = sender.send(Part::End).await;
        }
        drop(sender);
        let written = writer.await.map_err(|error| {
            Error::new(ErrorKind::Internal, format!("the writer died: {error}"))
        })?;
        match failed {
            Some(error) => Err(error),
            None => counted(written?),
        }
    }

    /// Writes what comes, and publishes the file if the rows came to their end.
    fn write_all(&self, schema: &SchemaRef, mut parts: mpsc::Receiver<Part>) -> Result<i64> {
        let fail = |error: io::Error| {
            Error::data(format!("cannot write {}: {error}", self.path.display()))
        };
        let file = OutputFile::create(&self.path)?;
        let table = TableOptions { rows_max: usize::MAX, ..TableOptions::default() };
        let mut writer =
            self.format.writer(Box::new(file.handle()), schema, &table, true).map_err(fail)?;
        let mut row_count = 0;
        loop {
            match parts.blocking_recv() {
                Some(Part::Rows(batch)) => {
                    row_count += batch.num_rows() as i64;
                    writer.write(&batch).map_err(fail)?;
                }
                Some(Part::End) => break,
                None => return Err(Error::new(ErrorKind::Interrupted, "interrupted")),
            }
        }
        writer.finish().map_err(fail)?;
        file.publish()?;
        Ok(row_count)
    }
}

/// What the writer gets; without an end nothing is published.
enum Part {
    Rows(RecordBatch),
    End,
}

/// The schema of what COPY answers.
pub(super) fn count_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("count", DataType::Int64, false)]))
}

fn counted(row_count: i64) -> Result<RecordBatch> {
    RecordBatch::try_new(count_schema(), vec![Arc::new(Int64Array::from(vec![row_count]))])
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}
