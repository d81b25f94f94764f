//! Running: one attempt at a statement, bounded in time, its errors given a place.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer::{Handle, Message};
use super::clock::{self, Clock};
use super::engine::Inner;
use super::remote::Remote;
use crate::dataset::seen::Seen;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::parquet::InFlight;
use crate::notes::Notes;
use crate::plan::bind::Source;

/// What goes with one attempt to run a statement.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) notes: Notes,
    pub(super) cancel: Handle,
    pub(super) deadline: Option<Instant>,
    pub(super) sources: Vec<Source>,
    pub(super) in_flight: InFlight,
    /// Which files of large locations are looked at.
    pub(super) seen: Seen,
    pub(super) started: std::time::Instant,
    /// Whether joins sort their inputs, which can spill, and do not hash one in memory.
    pub(super) sorts_joins: bool,
    /// Bounds the time of planning.
    pub(super) clock: Clock,
    /// Where it runs.
    pub(super) remote: Remote,
}

impl Default for Run {
    fn default() -> Self {
        Run {
            notes: Notes::default(),
            cancel: Handle::default(),
            deadline: None,
            sources: Vec::new(),
            in_flight: InFlight::default(),
            seen: Seen::default(),
            started: std::time::Instant::now(),
            sorts_joins: false,
            clock: Clock::new(clock::LIMIT_DEFAULT, Handle::default()),
            remote: Remote::default(),
        }
    }
}

impl Run {
    /// Gives an error of a decoder, which comes without a name, the file that it came from.
    pub(super) async fn located(&self, error: Error) -> Error {
        if !error.is_nameless() {
            return error;
        }
        let in_flight = self.in_flight.clone();
        let diagnosis = tokio::task::spawn_blocking(move || in_flight.diagnose()).await;
        diagnosis.ok().flatten().unwrap_or(error)
    }
}

/// Hands batches on until the stream ends, its reader is gone, or it has to stop.
pub(super) async fn pump(
    first: Option<RecordBatch>,
    mut batches: impl futures::Stream<Item = Result<RecordBatch>> + Unpin,
    sender: mpsc::Sender<Message>,
    run: Run,
    engine: Arc<Inner>,
) {
    if let Some(first) = first {
        let _ = sender.send(Message::Batch(first)).await;
    }
    let rest = async {
        while let Some(batch) = batches.next().await {
            if sender.send(Message::Batch(batch?)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    };
    let message = match guarded(bounded(rest, &run.cancel, run.deadline)).await {
        Ok(Ok(())) => Message::End,
        Ok(Err(error)) | Err(error) => Message::Failed(run.located(error).await),
    };
    engine.keep_what_was_learned();
    let _ = sender.send(message).await;
}

/// Turns a panic below into an error of the statement.
pub(super) async fn guarded<T>(work: impl Future<Output = T>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_default();
        Error::new(ErrorKind::Internal, format!("the statement could not be finished: {text}"))
            .hint("this is a mistake in swath or DataFusion: please report it")
    })
}

/// The error of a statement that the user has stopped.
pub(super) fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "interrupted")
}

/// Runs work until it ends, the user stops it, or its time is up.
pub(super) async fn bounded<T>(
    work: impl Future<Output = Result<T>>,
    cancel: &Handle,
    deadline: Option<Instant>,
) -> Result<T> {
    let time_is_up = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(interrupted()),
        () = time_is_up => Err(Error::new(ErrorKind::Limit, "the time limit is reached")
            .hint("give it more with --timeout 5m")),
        result = work => result,
    }
}

/// The same columns under the answer's schema.
pub(super) fn relabel(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}
