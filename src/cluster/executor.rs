//! An executor: Ballista's, with our files, functions, errors and notes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::BallistaError;
use ballista_core::serde::protobuf::ShuffleWritePartition;
use ballista_executor::execution_engine::{
    DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::prelude::SessionConfig;

use super::scan::{self, Layouts};
use super::service::Busy;
use crate::dataset::location::Places;
use crate::error::{Error, ErrorKind};
use crate::formats::parquet::InFlight;
use crate::notes::{Notes, Record};
use crate::plan::rules;

/// What is known of more jobs than this is forgotten, as far as they have ended.
const JOBS_MAX: usize = 64;

/// The machine that tasks run on.
#[derive(Debug)]
pub(super) struct Host {
    /// What errors call it.
    pub(super) name: String,
    /// Where the files of tasks lie.
    pub(super) places: Places,
    pub(super) layouts: Layouts,
    /// What tasks do and have done, by job.
    work: Mutex<BTreeMap<String, Work>>,
}

impl Host {
    pub(super) fn new(name: String, places: Places) -> Self {
        Host { name, places, layouts: Layouts::default(), work: Mutex::default() }
    }

    /// What is done here for a job, or for all of them.
    pub(super) fn busy(&self, job: Option<&str>) -> Busy {
        let work = self.work();
        let wanted = work.iter().filter(|(of, _)| job.is_none_or(|job| job == of.as_str()));
        let mut busy = Busy::default();
        for (_, Work { running, rows_read, bytes_read }) in wanted {
            let counts = || running.iter().map(Notes::counts);
            busy.task_count += running.len();
            busy.rows_read += rows_read + counts().map(|of| read(&of.rows_read)).sum::<u64>();
            busy.bytes_read += bytes_read + counts().map(|of| read(&of.bytes_passed)).sum::<u64>();
        }
        busy
    }

    fn work(&self) -> MutexGuard<'_, BTreeMap<String, Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// What is done for a job.
#[derive(Debug, Default)]
struct Work {
    /// The notes of tasks that run.
    running: Vec<Notes>,
    /// What tasks read that have ended.
    rows_read: u64,
    bytes_read: u64,
}

/// A task that runs, counted as long as it does.
#[derive(Debug)]
struct Counted {
    job: String,
    host: Arc<Host>,
    notes: Notes,
}

impl Counted {
    fn new(job: String, host: Arc<Host>, notes: Notes) -> Self {
        let mut work = host.work();
        if work.len() >= JOBS_MAX {
            work.retain(|_, work| !work.running.is_empty());
        }
        work.entry(job.clone()).or_default().running.push(notes.clone());
        drop(work);
        Counted { job, host, notes }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(work) = self.host.work().get_mut(&self.job) {
            work.running.retain(|running| !running.is_same(&self.notes));
            work.rows_read += read(&self.notes.counts().rows_read);
            work.bytes_read += read(&self.notes.counts().bytes_passed);
        }
    }
}

/// Ballista's way of running a task, around scans that are opened here.
pub(super) struct TaskEngine {
    pub(super) host: Arc<Host>,
    pub(super) inner: DefaultExecutionEngine,
}

impl ExecutionEngine for TaskEngine {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let (notes, in_flight) = (Notes::default(), InFlight::default());
        let counted = Counted::new(job_id.to_string(), Arc::clone(&self.host), notes.clone());
        let plan = scan::opened(plan, &self.host, &notes, &in_flight).map_err(told)?;
        let plan = rules::where_it_runs(plan)?;
        let inner = self.inner.create_query_stage_exec(
            job_id, stage_id, task_id, partitions, plan, work_dir, config,
        )?;
        Ok(Arc::new(Task { inner, notes, in_flight, counted }))
    }
}

/// A task; what it has to say goes with its metrics.
#[derive(Debug)]
struct Task {
    inner: Arc<dyn QueryStageExecutor>,
    notes: Notes,
    in_flight: InFlight,
    counted: Counted,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for Task {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let done = self.inner.execute_query_stage(task_id, context).await;
        done.map_err(|error| match own(root(&error)) {
            Some(own) => self.located(own),
            None => error,
        })
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        let mut metrics = self.inner.collect_plan_metrics();
        let said = ExecutionPlanMetricsSet::new();
        for (record, count) in self.notes.records() {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            // The first partition of the task: what a task says that runs again replaces it.
            MetricBuilder::new(&said).counter(name_of(&record), 0).add(count);
        }
        if let Some(first) = metrics.first_mut() {
            for metric in said.clone_inner().iter() {
                first.push(Arc::clone(metric));
            }
        }
        metrics
    }
}

impl Task {
    /// An error as the client may read it; a decoder's error gets the file that it came from.
    fn located(&self, own: Error) -> DataFusionError {
        let found = own.is_nameless().then(|| self.in_flight.diagnose());
        let own = found.flatten().unwrap_or(own);
        let own = match own.kind() {
            // Which machine is short of memory is of use.
            ErrorKind::Limit => own.hint(format!("this was executor {}", self.counted.host.name)),
            _ => own,
        };
        DataFusionError::Execution(own.to_word())
    }
}

/// An error of ours as one that Ballista carries to the client.
fn told(error: DataFusionError) -> DataFusionError {
    DataFusionError::Execution(Error::from(error).to_word())
}

/// What an error is about, without what the crates on its way put around it.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::External(inner) => {
            if let Some(inner) = inner.downcast_ref::<DataFusionError>() {
                return root(inner);
            }
            match inner.downcast_ref::<BallistaError>() {
                Some(BallistaError::DataFusionError(inner)) => root(inner),
                _ => error,
            }
        }
        _ => error,
    }
}

/// A statement's error; None for those of the exchange, of disks and connections, which Ballista
/// answers by running tasks again.
fn own(error: &DataFusionError) -> Option<Error> {
    let is_of_exchange = match error {
        DataFusionError::External(inner) => inner.is::<BallistaError>(),
        DataFusionError::IoError(io) => io.get_ref().is_none_or(|inner| !inner.is::<Error>()),
        _ => false,
    };
    if is_of_exchange {
        return None;
    }
    Some(match error {
        DataFusionError::ResourcesExhausted(text) => {
            DataFusionError::ResourcesExhausted(text.clone()).into()
        }
        DataFusionError::Internal(text) => DataFusionError::Internal(text.clone()).into(),
        _ => Error::found_in(error)
            .unwrap_or_else(|| DataFusionError::Execution(error.strip_backtrace()).into()),
    })
}

/// Names of metrics that are records begin so.
const RECORD: &str = "swath-note ";

fn name_of(record: &Record) -> String {
    format!("{RECORD}{}", serde_json::to_string(record).unwrap_or_default())
}

/// The record that the name of a metric is.
pub(super) fn record_of(name: &str) -> Option<Record> {
    serde_json::from_str(name.strip_prefix(RECORD)?).ok()
}
