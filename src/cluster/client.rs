//! The client's side: a plan goes to the scheduler as a job, its rows come back from the executors.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ballista_core::client::BallistaClient;
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::execute_query_result::Result as Submitted;
use ballista_core::serde::protobuf::job_status::Status as JobStatus;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    CancelJobParams, CleanJobDataParams, ExecuteQueryParams, GetJobStatusParams, KeyValuePair,
    PartitionLocation, RemoveSessionParams,
};
use ballista_core::version::insert_version_header;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::codec::{self, Codec};
use super::distribute::{self, Subqueries};
use super::jobs::{JobRecord, Submission};
use super::service::{Answer, Busy, Member, Question, StageProgress, ask, connect};
use super::{MESSAGE_LEN_MAX, scan};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::progress::Elsewhere;
use crate::notes::{Notes, Record};

/// How often a job is asked after, at first and later.
const POLL_FIRST: Duration = Duration::from_millis(4);
const POLL_LAST: Duration = Duration::from_millis(100);
/// How long a scheduler may be away before the statement is given up.
const AWAY_MAX: Duration = Duration::from_secs(30);
/// Nothing happens to a job for this long: is it still worked at?
const STILL_MAX: Duration = Duration::from_secs(5);
/// How long executors may take to register anew.
const RECOUNT_WAIT: Duration = Duration::from_secs(3);
/// How long a stopped statement waits for the scheduler to hear of it.
const CANCEL_WAIT: Duration = Duration::from_secs(2);
/// So long executors may take to find a scheduler that was started anew.
const COMEBACK_WAIT: Duration = Duration::from_secs(20);
/// Of more objects, about so many are looked at by each executor before a statement runs.
const OBJECTS_LOOKED_AT: usize = 32;
/// How often executors are asked what they have read.
const READ_POLL: Duration = Duration::from_millis(500);
/// How often, and after what time, a fetch of rows is tried again.
const FETCH_RETRIES: u8 = 3;
const FETCH_RETRY_MS: u64 = 500;

/// A cluster as its clients know it: the address of its scheduler. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    /// The share of a statement's files that is run here as well, to compare.
    verified_share: Option<f64>,
}

struct Inner {
    address: String,
    codec: Codec,
    channel: Mutex<Option<Channel>>,
    /// Whether there were executors when it was asked last.
    had_members: AtomicBool,
    next_session: AtomicU64,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.inner.address)
    }
}

type Scheduler = SchedulerGrpcClient<Channel>;

impl Cluster {
    /// A cluster by the address of its scheduler, as in `df://host:50050`.
    ///
    /// # Errors
    /// When the text is no address.
    pub fn new(address: &str) -> Result<Self> {
        let bare = address.strip_prefix("df://").unwrap_or(address).trim_end_matches('/');
        let fail = || {
            Error::usage(format!("no address of a cluster: {address}"))
                .hint("the scheduler's host and port, as in df://localhost:50050")
        };
        let bare = match bare.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                bare.to_string()
            }
            None if !bare.is_empty() => format!("{bare}:{}", super::PORT_DEFAULT),
            _ => return Err(fail()),
        };
        if bare.contains(['/', ' ', '@']) {
            return Err(fail());
        }
        let inner = Arc::new(Inner {
            address: bare,
            codec: Codec::default(),
            channel: Mutex::default(),
            next_session: AtomicU64::new(0),
            had_members: AtomicBool::new(false),
        });
        Ok(Cluster { inner, verified_share: None })
    }

    /// The same cluster, with this share of each statement's files run here as well, to compare.
    #[must_use]
    pub fn verified(self, share: f64) -> Self {
        Cluster { verified_share: Some(share), ..self }
    }

    /// The share of a statement's files that is run here as well.
    pub(super) fn verified_share(&self) -> Option<f64> {
        self.verified_share
    }

    /// The scheduler's host and port.
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// The executors that the scheduler knows.
    ///
    /// # Errors
    /// When the scheduler cannot be reached, or is none of ours.
    pub async fn members(&self) -> Result<Vec<Member>> {
        let asked = Instant::now();
        loop {
            let found = self.members_now().await;
            let are_there = found.as_ref().is_ok_and(|members| !members.is_empty());
            let were_there = self.inner.had_members.swap(are_there, Ordering::Relaxed);
            // Executors come back to a scheduler that was started anew.
            if are_there || !were_there || asked.elapsed() > COMEBACK_WAIT {
                return found;
            }
            self.inner.had_members.store(true, Ordering::Relaxed);
            tokio::time::sleep(POLL_LAST).await;
        }
    }

    async fn members_now(&self) -> Result<Vec<Member>> {
        match self.ask_scheduler(Question::Members).await? {
            Answer::Members(members) => Ok(members),
            _ => Err(strange("its members")),
        }
    }

    /// Gives the scheduler a job to keep and to run; its number.
    ///
    /// # Errors
    /// When the scheduler cannot be reached, or keeps no jobs.
    pub async fn submit_job(&self, submission: Submission) -> Result<u64> {
        match self.ask_scheduler(Question::Submit(submission)).await? {
            Answer::Submitted(id) => Ok(id),
            _ => Err(strange("a number")),
        }
    }

    /// The jobs that the scheduler keeps, by number.
    ///
    /// # Errors
    /// As [`Cluster::submit_job`].
    pub async fn jobs(&self) -> Result<Vec<JobRecord>> {
        match self.ask_scheduler(Question::Jobs).await? {
            Answer::Jobs(jobs) => Ok(jobs),
            _ => Err(strange("its jobs")),
        }
    }

    /// Stops a job.
    ///
    /// # Errors
    /// As [`Cluster::submit_job`], and when there is no such job.
    pub async fn cancel_job(&self, id: u64) -> Result<()> {
        self.ask_scheduler(Question::Cancel(id)).await.map(drop)
    }

    /// Writes the rows that the scheduler keeps of a job, as an Arrow file.
    ///
    /// # Errors
    /// As [`Cluster::cancel_job`], and when the file cannot be written.
    pub async fn fetch_job(&self, id: u64, into: &mut impl Write) -> Result<()> {
        let mut offset = 0;
        loop {
            let Answer::Piece(piece) = self.ask_scheduler(Question::Piece(id, offset)).await?
            else {
                return Err(strange("a result"));
            };
            if piece.is_empty() {
                return Ok(());
            }
            into.write_all(&piece).map_err(|error| Error::io("write", "the result", &error))?;
            offset += piece.len() as u64;
        }
    }

    /// Finds out whether all executors see the files of a plan as they were seen here.
    pub(super) async fn check_files(
        &self,
        members: &[Member],
        plan: &Arc<dyn ExecutionPlan>,
    ) -> Result<()> {
        let mut files = scan::files_of(plan);
        if files.is_empty() {
            return Ok(());
        }
        // All see the same objects or none: whoever reads one looks at its state anyway.
        if files.iter().all(|file| file.is_object) && files.len() > OBJECTS_LOOKED_AT {
            let step = files.len() / OBJECTS_LOOKED_AT;
            files = files.into_iter().step_by(step).collect();
        }
        // Who is gone does not answer: the scheduler will notice, and gives it nothing to do.
        let answers = ask_members(members, &Question::Look(files)).await;
        let missing = answers.into_iter().find_map(|answer| match answer {
            Answer::Missing(missing) => missing,
            _ => None,
        });
        let Some((error, count)) = missing else { return Ok(()) };
        Err(match count {
            0 | 1 => error,
            _ => {
                let others = crate::units::show_counted(count - 1, "other file");
                error.hint(format!("and it is the same with {others}"))
            }
        })
    }

    async fn ask_scheduler(&self, question: Question) -> Result<Answer> {
        let channel = self.channel().await?;
        ask(channel, &question).await.map_err(|status| self.failed(&status))
    }

    async fn channel(&self) -> Result<Channel> {
        let known = self.inner.channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(channel) = known {
            return Ok(channel);
        }
        let channel = connect(&self.inner.address).await.map_err(|error| {
            let address = &self.inner.address;
            let error = Error::data(format!("cannot reach the scheduler at {address}: {error}"))
                .hint("start one: swath cluster up, or swath scheduler --listen HOST:PORT");
            // It was there: somebody may be starting it anew.
            match self.inner.had_members.load(Ordering::Relaxed) {
                true => error.passing(),
                false => error,
            }
        })?;
        *self.inner.channel.lock().unwrap_or_else(PoisonError::into_inner) = Some(channel.clone());
        Ok(channel)
    }

    async fn scheduler(&self) -> Result<Scheduler> {
        let channel = self.channel().await?;
        Ok(SchedulerGrpcClient::new(channel)
            .max_encoding_message_size(MESSAGE_LEN_MAX)
            .max_decoding_message_size(MESSAGE_LEN_MAX))
    }

    /// What a scheduler said no with.
    fn failed(&self, status: &tonic::Status) -> Error {
        let text = status.message();
        if let Some(own) = Error::from_word(text) {
            return own;
        }
        let address = &self.inner.address;
        match status.code() {
            Code::Unimplemented => {
                Error::data(format!("the scheduler at {address} is not one of swath"))
                    .hint("start it with swath scheduler: it must know our files and functions")
            }
            Code::Unavailable => {
                Error::data(format!("the scheduler at {address} is gone: {text}")).passing()
            }
            _ => Error::data(format!("the scheduler at {address} says: {text}")),
        }
    }

    /// Runs a plan and gives its rows; scalar subqueries run before.
    ///
    /// # Errors
    /// Those of the statement, and of the cluster.
    pub(super) async fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        options: &ConfigOptions,
        notes: &Notes,
        elsewhere: &Elsewhere,
    ) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + use<>> {
        for Subqueries { links, results } in distribute::subqueries(&plan) {
            results.clear();
            for link in links {
                let job = self.submit(&link.plan, options).await?;
                let rows = job.rows(notes, elsewhere).await?;
                results.set(link.index, only_value(rows, &link.plan).await?)?;
            }
        }
        let files = scan::files_of(&plan);
        elsewhere.set_total(files.len() as u64, files.iter().map(|file| file.len).sum());
        let job = self.submit(&plan, options).await?;
        job.rows(notes, elsewhere).await
    }

    async fn submit(&self, plan: &Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Job> {
        let bytes = codec::encoded(plan, &self.inner.codec)?;
        let settings = options
            .entries()
            .into_iter()
            .filter(|entry| is_sent(&entry.key))
            .map(|entry| KeyValuePair { key: entry.key, value: entry.value })
            .chain(super::settings())
            .collect();
        let session = self.new_session();
        let params = ExecuteQueryParams {
            session_id: session.clone(),
            settings,
            operation_id: session.clone(),
            query: Some(Query::PhysicalPlan(bytes)),
        };
        let mut request = Request::new(params);
        insert_version_header(request.metadata_mut());
        let answer = self.scheduler().await?.execute_query(request).await;
        let answer = answer.map_err(|status| self.lost(&status))?.into_inner();
        match answer.result {
            Some(Submitted::Success(success)) => {
                Ok(Job { cluster: self.clone(), id: success.job_id, session, is_open: true })
            }
            Some(Submitted::Failure(failure)) => {
                Err(Error::new(ErrorKind::Internal, format!("the scheduler refuses: {failure:?}")))
            }
            None => Err(strange("a job")),
        }
    }

    /// A call that failed; the next one connects anew if the connection broke.
    fn lost(&self, status: &tonic::Status) -> Error {
        if matches!(status.code(), Code::Unavailable | Code::Unknown) {
            *self.inner.channel.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.failed(status)
    }

    /// A name that no other client gives.
    fn new_session(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let nth = self.inner.next_session.fetch_add(1, Ordering::Relaxed);
        format!("swath-{}-{now:x}-{nth}", std::process::id())
    }
}

/// Settings that decide what tasks do.
fn is_sent(key: &str) -> bool {
    key.starts_with("datafusion.execution.") || key.starts_with("datafusion.optimizer.")
}

fn strange(what: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("asked for {what}, the cluster answered something else"),
    )
}

/// What executors answer to a question, those that answer at all.
async fn ask_members(members: &[Member], question: &Question) -> Vec<Answer> {
    let asked = members.iter().map(|member| async move {
        let channel = connect(&member.address()).await.ok()?;
        ask(channel, question).await.ok()
    });
    futures::future::join_all(asked).await.into_iter().flatten().collect()
}

/// The value of a scalar subquery: NULL without rows, and an error with several.
async fn only_value(
    rows: impl Stream<Item = Result<RecordBatch>>,
    plan: &Arc<dyn ExecutionPlan>,
) -> Result<ScalarValue> {
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    let mut filled = batches.iter().filter(|batch| batch.num_rows() > 0);
    match (filled.next(), filled.next()) {
        (None, _) => Ok(ScalarValue::try_from(plan.schema().field(0).data_type())?),
        (Some(one), None) if one.num_rows() == 1 => {
            Ok(ScalarValue::try_from_array(one.column(0), 0)?)
        }
        _ => Err(DataFusionError::Execution(
            "Scalar subquery returned more than one row".to_string(),
        )
        .into()),
    }
}

/// A job of the scheduler; cancelled when it is dropped before its end.
struct Job {
    cluster: Cluster,
    id: String,
    session: String,
    is_open: bool,
}

impl Job {
    /// Waits until the job has ended; its rows, in the order of its partitions.
    async fn rows(
        mut self,
        notes: &Notes,
        elsewhere: &Elsewhere,
    ) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + use<>> {
        let locations = self.ended(elsewhere).await?;
        self.take_notes(notes).await?;
        self.is_open = false;
        let parts = locations.into_iter().map(Ok::<_, Error>);
        let rows = futures::stream::iter(parts).map_ok(fetched).try_flatten();
        // The job's data is of no use behind the last row, or where nobody wants one any more.
        let data = JobData { cluster: self.cluster.clone(), id: self.id.clone() };
        let session = self.session.clone();
        drop(tokio::spawn(forget_session(self.cluster.clone(), session)));
        Ok(rows.inspect(move |_| {
            let _kept = &data;
        }))
    }

    async fn ended(&mut self, elsewhere: &Elsewhere) -> Result<Vec<PartitionLocation>> {
        let mut pause = POLL_FIRST;
        let mut away_since: Option<Instant> = None;
        let started = Instant::now();
        let mut asked = started;
        let mut still = Still::new();
        loop {
            let status = match self.cluster.scheduler().await {
                Ok(mut scheduler) => {
                    let params = GetJobStatusParams { job_id: self.id.clone() };
                    let status = scheduler.get_job_status(params).await;
                    status.map_err(|status| self.cluster.lost(&status))
                }
                Err(error) => Err(error),
            };
            match status {
                Err(error) => {
                    let since = *away_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > AWAY_MAX {
                        self.is_open = false;
                        return Err(error);
                    }
                }
                Ok(status) => {
                    let was_away = away_since.take().is_some();
                    match status.into_inner().status.and_then(|status| status.status) {
                        Some(JobStatus::Successful(job)) => return Ok(job.partition_location),
                        Some(JobStatus::Failed(job)) => {
                            self.is_open = false;
                            return Err(of_job(&job.error));
                        }
                        // A scheduler that was started anew knows nothing of the job.
                        None if was_away || pause == POLL_LAST => {
                            self.is_open = false;
                            return Err(
                                Error::data("the scheduler has lost the statement").passing()
                            );
                        }
                        Some(JobStatus::Running(_)) if asked.elapsed() > POLL_LAST => {
                            asked = Instant::now();
                            self.follow(&mut still, elsewhere).await?;
                        }
                        _ => {}
                    }
                }
            }
            tokio::time::sleep(pause).await;
            // Little of a statement's time is lost by looking too late.
            pause = (started.elapsed() / 16).clamp(POLL_FIRST, POLL_LAST);
        }
    }

    /// Learns how far the job has come, and gives it up where nobody works at it.
    async fn follow(&self, still: &mut Still, elsewhere: &Elsewhere) -> Result<()> {
        let question = Question::Progress(self.id.clone());
        let Ok(Answer::Progress(stages)) = self.cluster.ask_scheduler(question).await else {
            return Ok(());
        };
        if still.is_stuck(&self.cluster, &self.id, &stages).await? {
            self.cluster.ask_scheduler(Question::Recount).await?;
            tokio::time::sleep(RECOUNT_WAIT).await;
            return Err(Error::data("the cluster does not go on")
                .hint("executors were lost: run it again")
                .passing());
        }
        elsewhere.set(stages.iter().map(|stage| (stage.done_count, stage.partition_count)));
        if still.read_at.elapsed() > READ_POLL {
            still.read_at = Instant::now();
            let Ok(members) = self.cluster.members_now().await else { return Ok(()) };
            let answers = ask_members(&members, &Question::Busy(Some(self.id.clone()))).await;
            let busy = answers.iter().filter_map(|answer| match answer {
                Answer::Busy(busy) => Some(busy),
                _ => None,
            });
            let (rows, bytes) = busy.fold((0, 0), |(rows, bytes), busy| {
                (rows + busy.rows_read, bytes + busy.bytes_read)
            });
            elsewhere.set_read(rows, bytes);
        }
        Ok(())
    }

    /// Takes over what tasks noted, if the job's rows can be believed.
    async fn take_notes(&self, notes: &Notes) -> Result<()> {
        let answer = self.cluster.ask_scheduler(Question::Ended(self.id.clone())).await?;
        let Answer::Ended(said, fault) = answer else { return Err(strange("the end of a job")) };
        if let Some(fault) = fault {
            return Err(Error::data(format!("the cluster lost track of rows: {fault}"))
                .hint("executors were lost while the statement ran: run it again")
                .passing());
        }
        let mut records: BTreeMap<Record, u64> = BTreeMap::new();
        for (record, count) in said {
            *records.entry(record).or_default() += count;
        }
        for (record, count) in records {
            notes.take_over(record, count);
        }
        Ok(())
    }
}

/// Watches for a job that nobody works at: where executors are lost, Ballista may lose a task, too.
struct Still {
    stages: Vec<StageProgress>,
    since: Instant,
    /// Whether nobody worked at it when it was last looked at.
    was_idle: bool,
    /// When executors were asked what they have read.
    read_at: Instant,
}

impl Still {
    fn new() -> Self {
        let now = Instant::now();
        Still { stages: Vec::new(), since: now, was_idle: false, read_at: now }
    }

    /// Whether the job stands still, and no executor has a task of it, twice in a row.
    async fn is_stuck(
        &mut self,
        cluster: &Cluster,
        job: &str,
        stages: &[StageProgress],
    ) -> Result<bool> {
        if self.stages != stages {
            *self = Still { stages: stages.to_vec(), read_at: self.read_at, ..Still::new() };
        }
        if self.since.elapsed() < STILL_MAX {
            return Ok(false);
        }
        self.since = Instant::now();
        let members = cluster.members_now().await?;
        let answers = ask_members(&members, &Question::Busy(Some(job.to_string()))).await;
        let is_busy = answers
            .iter()
            .any(|answer| matches!(answer, Answer::Busy(Busy { task_count: 1.., .. })));
        let was_idle = std::mem::replace(&mut self.was_idle, !is_busy);
        // Without executors the scheduler waits for some, and then gives the job up.
        Ok(was_idle && !is_busy && !members.is_empty())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let (cluster, id) = (self.cluster.inner.address.clone(), self.id.clone());
        // The runtime may be on its way down: the scheduler is told from a thread of its own, and
        // whoever stopped the statement waits a moment for that.
        let (sender, receiver) = std::sync::mpsc::channel();
        let told = std::thread::Builder::new().name("swath-cancel".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                let cancel = async {
                    let channel = connect(&cluster).await.ok()?;
                    let params = CancelJobParams { job_id: id };
                    SchedulerGrpcClient::new(channel).cancel_job(params).await.ok()
                };
                let _ = runtime.block_on(async { tokio::time::timeout(CANCEL_WAIT, cancel).await });
            }
            let _ = sender.send(());
        });
        if told.is_ok() {
            let _ = receiver.recv_timeout(CANCEL_WAIT);
        }
    }
}

/// The rows of an ended job, on the executors; deleted when it is dropped.
struct JobData {
    cluster: Cluster,
    id: String,
}

impl Drop for JobData {
    fn drop(&mut self) {
        let (cluster, id) = (self.cluster.clone(), self.id.clone());
        let clean = async move {
            if let Ok(mut scheduler) = cluster.scheduler().await {
                let params = CleanJobDataParams { job_id: id, remove_stage_ids: Vec::new() };
                let _ = scheduler.clean_job_data(params).await;
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(clean));
        }
    }
}

async fn forget_session(cluster: Cluster, session_id: String) {
    if let Ok(mut scheduler) = cluster.scheduler().await {
        let _ = scheduler.remove_session(RemoveSessionParams { session_id }).await;
    }
}

/// The rows of one partition.
fn fetched(location: PartitionLocation) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let fetch = async move {
        let layout = location.layout();
        let (Some(executor), Some(partition)) = (location.executor_meta, location.partition_id)
        else {
            return Err(strange("rows"));
        };
        let lost = {
            let place = format!("{}:{}", executor.host, executor.port);
            move |error: &dyn fmt::Display| {
                Error::data(format!("executor {place} was lost with rows of the answer: {error}"))
                    .passing()
            }
        };
        let port = u16::try_from(executor.port).unwrap_or_default();
        let (host, retries) = (executor.host.as_str(), FETCH_RETRIES);
        let client = BallistaClient::try_new(
            host,
            port,
            MESSAGE_LEN_MAX,
            false,
            None,
            retries,
            FETCH_RETRY_MS,
            0,
            0,
        );
        let mut client = client.await.map_err(|error| lost(&error))?;
        let (id, file) = (executor.id.as_str(), location.file_id);
        let rows = client.fetch_partition(id, &partition.into(), file, layout, true).await;
        Ok(rows.map_err(|error| lost(&error))?.map_err(move |error| lost(&error)))
    };
    futures::stream::once(fetch).try_flatten()
}

/// The error that a job ended with.
fn of_job(text: &str) -> Error {
    if let Some(own) = Error::from_word(text) {
        return own;
    }
    if text.contains("Cancelled") || text.contains("cancelled") {
        return Error::new(ErrorKind::Interrupted, "the job was cancelled on the cluster");
    }
    if text.contains("No space left on device") {
        let message = "the disk of an executor is full: rows between stages have no room";
        return Error::new(ErrorKind::Limit, message)
            .hint("start executors with --work-dir on a larger disk");
    }
    let error = Error::data(format!("the cluster could not run the statement: {text}"));
    // A disk that fails stays so; of lost executors the next attempt knows.
    if text.contains("IO error") { error } else { error.passing() }
}
