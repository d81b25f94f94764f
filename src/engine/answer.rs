//! Answers: schema, batches as they come, notes, and a handle to stop.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::physical_plan::ExecutionPlan;
use futures::Stream;
use tokio::sync::{mpsc, watch};

use crate::error::Result;
use crate::exec::progress::{Elsewhere, Progress};
use crate::exec::stage::StageGraph;
use crate::notes::{Note, Notes};

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// Rows of a query.
    Rows,
    /// Lines of text, such as a plan: one VARCHAR column.
    Text,
    /// Nothing: the statement did something.
    Done,
}

/// Stops a statement from anywhere, and tells how far it has come; cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<HandleState>);

struct HandleState {
    stop: watch::Sender<bool>,
    running: Mutex<Option<Running>>,
}

/// What progress is read from.
pub(super) struct Running {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    pub(super) notes: Notes,
    pub(super) memory: Arc<dyn MemoryPool>,
    pub(super) started: Instant,
    /// How far it has come, if it runs elsewhere.
    pub(super) elsewhere: Elsewhere,
}

impl Default for Handle {
    fn default() -> Self {
        let (stop, running) = (watch::Sender::new(false), Mutex::default());
        Handle(Arc::new(HandleState { stop, running }))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    /// Asks the statement to stop; its stream then ends with an error.
    pub fn cancel(&self) {
        self.0.stop.send_replace(true);
    }

    /// Whether someone has asked for a stop.
    pub fn is_cancelled(&self) -> bool {
        *self.0.stop.borrow()
    }

    /// The stages of the statement's plan and what they have done so far; None before it is planned.
    pub fn stages(&self) -> Option<StageGraph> {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|running| crate::plan::stage::split(&running.plan, true))
    }

    /// How far the statement has come; None before it is planned, and if it has no plan.
    pub fn progress(&self) -> Option<Progress> {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.as_ref()?;
        let graph = crate::plan::stage::split(&running.plan, true);
        let measured = || graph.stages.iter().filter_map(|stage| stage.measured.as_ref());
        let scans = || graph.stages.iter().flat_map(|stage| &stage.scans);
        let counts = running.notes.counts();
        let mut progress = Progress {
            seconds: running.started.elapsed().as_secs_f64(),
            stages_done: graph
                .stages
                .iter()
                .zip(measured())
                .filter(|(stage, measured)| measured.task_done_count == stage.task_count)
                .count(),
            stage_count: graph.stages.len(),
            tasks_done: measured().map(|measured| measured.task_done_count).sum(),
            task_count: graph.task_count(),
            rows_read: counts.rows_read.load(Ordering::Relaxed),
            bytes_read: counts.bytes_passed.load(Ordering::Relaxed),
            bytes_total: scans().map(|scan| scan.len_bytes).sum(),
            file_count: scans().map(|scan| scan.file_count as u64).sum(),
            partition_count: counts.partitions_read.load(Ordering::Relaxed),
            partition_total: counts.partitions_total.load(Ordering::Relaxed),
            memory_bytes: running.memory.reserved() as u64,
            spilled_bytes: measured().map(|measured| measured.spilled_bytes).sum(),
        };
        running.elsewhere.put_into(&mut progress);
        Some(progress)
    }

    /// Says from what progress is to be read from now on.
    pub(super) fn watch(&self, running: Option<Running>) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
    }

    /// Waits until someone asks for a stop.
    pub(super) async fn cancelled(&self) {
        let mut receiver = self.0.stop.subscribe();
        if receiver.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Batches of an answer as they are made, in bounded memory.
///
/// It is an iterator for threads; async code awaits [`AnswerStream::next_batch`] or turns it into
/// a stream. It ends after the first error.
/// Dropping it stops the statement.
pub struct AnswerStream {
    pub(super) schema: SchemaRef,
    pub(super) kind: AnswerKind,
    pub(super) notes: Notes,
    pub(super) cancel: Handle,
    pub(super) receiver: mpsc::Receiver<Message>,
    pub(super) done: bool,
}

/// What the task that runs a statement sends; a stream without `End` was cut off.
pub(super) enum Message {
    Batch(RecordBatch),
    Failed(crate::error::Error),
    End,
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl AnswerStream {
    /// The schema of all batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the answer is made of.
    pub fn kind(&self) -> AnswerKind {
        self.kind
    }

    /// What was guessed, pruned, widened or rejected so far; complete once the stream has ended.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// A handle that stops the statement and tells how far it has come.
    pub fn handle(&self) -> Handle {
        self.cancel.clone()
    }

    fn take(&mut self, message: Option<Message>) -> Option<Result<RecordBatch>> {
        match message {
            Some(Message::Batch(batch)) => Some(Ok(batch)),
            Some(Message::Failed(error)) => {
                self.done = true;
                Some(Err(error))
            }
            Some(Message::End) => {
                self.done = true;
                None
            }
            None => {
                self.done = true;
                Some(Err(crate::error::Error::new(
                    crate::error::ErrorKind::Internal,
                    "the statement ended without saying so",
                )))
            }
        }
    }

    /// Reads the rest of the stream into memory.
    ///
    /// # Errors
    /// The first error of the stream.
    pub fn collect_all(mut self) -> Result<Answer> {
        let started = std::time::Instant::now();
        let batches = self.by_ref().collect::<Result<Vec<_>>>()?;
        Ok(self.into_answer(batches, started.elapsed()))
    }

    /// The next batch, for async code on any runtime; `None` after the last.
    ///
    /// # Errors
    /// What went wrong since the last batch; nothing comes after it.
    pub async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.done {
            return Ok(None);
        }
        let message = self.receiver.recv().await;
        self.take(message).transpose()
    }

    /// The batches as a `futures::Stream`.
    pub fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        futures::stream::unfold(self, |mut answer| async move {
            let batch = answer.next_batch().await.transpose()?;
            Some((batch, answer))
        })
    }

    pub(super) async fn collect_async(mut self) -> Result<Answer> {
        let started = std::time::Instant::now();
        let mut batches = Vec::new();
        while let Some(batch) = self.next_batch().await? {
            batches.push(batch);
        }
        Ok(self.into_answer(batches, started.elapsed()))
    }

    fn into_answer(self, batches: Vec<RecordBatch>, elapsed: Duration) -> Answer {
        Answer {
            schema: Arc::clone(&self.schema),
            kind: self.kind,
            batches,
            notes: self.notes.list(),
            elapsed,
        }
    }
}

impl Iterator for AnswerStream {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let message = pollster::block_on(self.receiver.recv());
        self.take(message)
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        if !self.done {
            self.cancel.cancel();
        }
    }
}

/// A whole answer in memory; prints as a table.
#[derive(Debug, Clone)]
pub struct Answer {
    schema: SchemaRef,
    kind: AnswerKind,
    batches: Vec<RecordBatch>,
    notes: Vec<Note>,
    elapsed: Duration,
}

impl Answer {
    /// The schema of all batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the answer is made of.
    pub fn kind(&self) -> AnswerKind {
        self.kind
    }

    /// The rows, in batches that share the schema.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// What was guessed, pruned, widened or rejected.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// How long it took to collect the rows.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == AnswerKind::Text {
            return f.write_str(&crate::output::text_lines(&self.batches));
        }
        let options = crate::output::TableOptions::default();
        let table = crate::output::Table::of(&self.schema, &self.batches, &options);
        f.write_str(&table.to_string())
    }
}
