//! The two roles of a cluster: scheduler and executor.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::error::BallistaError;
use ballista_core::extension::SessionConfigExt;
use ballista_core::flight_proxy_service::BallistaFlightProxyService;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_core::utils::create_grpc_server;
use ballista_executor::execution_engine::DefaultExecutionEngine;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_executor::flight_service::BallistaFlightService;
use ballista_scheduler::cluster::{BallistaCluster, JobState};
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SchedulerServer;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use ballista_scheduler::state::execution_stage::ExecutionStage;
use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use futures::FutureExt;
use tonic::Status;
use tonic::service::RoutesBuilder;

use super::codec::Codec;
use super::executor::{Host, TaskEngine, record_of};
use super::jobs::Jobs;
use super::scan::Seen;
use super::service::{Answer, Busy, Member, Question, Service, StageProgress, ask, connect};
use super::{MESSAGE_LEN_MAX, audit, functions};
use crate::dataset::location::Places;
use crate::dataset::{REQUESTS_MAX, in_parallel};
use crate::error::{Error, Result};
use crate::exec::limits::default_memory_bytes;
use crate::notes::Record;

/// How often executors say that they are there, and how long they may be silent.
const HEARTBEAT_SECONDS: u64 = 2;
const SILENCE_MAX_SECONDS: u64 = 12;
/// How long jobs wait for executors, if there are none.
const WITHOUT_EXECUTORS_MAX_SECONDS: u64 = 30;
/// What nobody fetched is deleted after this time.
const UNFETCHED_KEPT_SECONDS: u64 = 300;
/// What was left in a work directory is deleted after this time, looked for at this interval.
const WORK_KEPT_SECONDS: u64 = 24 * 3600;
const WORK_SWEEP_SECONDS: u64 = 600;
/// How long the records of a job that has ended may take to be written down.
const WRITING_MAX: Duration = Duration::from_secs(20);

/// A role that has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Where it is reached.
    pub address: SocketAddr,
}

/// How a scheduler runs.
#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The host that executors and clients reach it by, if it is not the one it listens on.
    pub advertise: Option<String>,
    /// Where jobs are kept; None takes none.
    pub jobs_dir: Option<PathBuf>,
    /// The folders that jobs may touch; all, if there are none.
    pub allowed_dirs: Vec<PathBuf>,
}

/// Runs a scheduler until `stop`; `started` hears where it listens.
///
/// # Errors
/// When it cannot listen.
pub async fn run_scheduler(
    options: SchedulerOptions,
    started: impl FnOnce(Running),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let cannot = |error: std::io::Error| {
        Error::usage(format!("cannot listen on {}: {error}", options.listen))
            .hint("another program has the port, or the address is not of this machine")
    };
    let listener = tokio::net::TcpListener::bind(options.listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let host = advertised(options.advertise.as_deref(), address.ip())?;
    let kept = options.jobs_dir.as_deref().map(Jobs::open).transpose()?.map(Arc::new);
    let own_address = format!("{host}:{}", address.port());
    let config = Arc::new(SchedulerConfig {
        external_host: host,
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        scheduling_policy: TaskSchedulingPolicy::PushStaged,
        task_distribution: TaskDistributionPolicy::RoundRobin,
        finished_job_data_clean_up_interval_seconds: UNFETCHED_KEPT_SECONDS,
        finished_job_state_clean_up_interval_seconds: UNFETCHED_KEPT_SECONDS,
        grpc_server_max_decoding_message_size: MESSAGE_LEN_MAX as u32,
        grpc_server_max_encoding_message_size: MESSAGE_LEN_MAX as u32,
        grpc_client_max_message_size: MESSAGE_LEN_MAX as u32,
        executor_timeout_seconds: SILENCE_MAX_SECONDS,
        expire_dead_executor_interval_seconds: HEARTBEAT_SECONDS,
        no_executors_grace_period_seconds: WITHOUT_EXECUTORS_MAX_SECONDS,
        override_physical_codec: Some(Arc::new(Codec::default())),
        override_session_builder: Some(Arc::new(|config| Ok(functions::state(config)))),
        ..SchedulerConfig::default()
    });
    let failed = |error: BallistaError| Error::data(format!("the scheduler failed: {error}"));
    let cluster = BallistaCluster::new_from_config(&config).await.map_err(failed)?;
    let jobs = cluster.job_state();
    let scheduler = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, config)
        .await
        .map_err(failed)?;
    let grpc = SchedulerGrpcServer::new(scheduler.clone())
        .max_encoding_message_size(MESSAGE_LEN_MAX)
        .max_decoding_message_size(MESSAGE_LEN_MAX);
    let keeps = kept.clone();
    let proxy = BallistaFlightProxyService::new(MESSAGE_LEN_MAX, MESSAGE_LEN_MAX, false, None);
    let service = Service::new(proxy, move |question| {
        let (scheduler, jobs, kept) = (scheduler.clone(), Arc::clone(&jobs), keeps.clone());
        async move {
            answer_of_scheduler(&scheduler, jobs.as_ref(), kept.as_deref(), question).await
        }
        .boxed()
    });
    let mut routes = RoutesBuilder::default();
    routes.add_service(grpc).add_service(
        FlightServiceServer::new(service)
            .max_encoding_message_size(MESSAGE_LEN_MAX)
            .max_decoding_message_size(MESSAGE_LEN_MAX),
    );
    started(Running { address });
    if let Some(jobs) = kept {
        drop(tokio::spawn(jobs.work(own_address, options.allowed_dirs)));
    }
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_routes(routes.routes());
    let served = server.serve_with_incoming_shutdown(incoming, stop).await;
    served.map_err(|error| Error::data(format!("the scheduler stopped: {error}")))
}

async fn answer_of_scheduler(
    scheduler: &SchedulerServer<LogicalPlanNode, PhysicalPlanNode>,
    jobs: &dyn JobState,
    kept: Option<&Jobs>,
    question: Question,
) -> Result<Answer, Status> {
    match question {
        Question::Members => {
            let executors = scheduler.state.executor_manager.get_executors_state().await;
            let executors = executors.map_err(|error| Status::internal(error.to_string()))?;
            let mut members: Vec<Member> = executors
                .into_iter()
                .map(|(executor, ..)| Member {
                    id: executor.id,
                    host: executor.host,
                    port: executor.port,
                    cores: executor.specification.vcores,
                })
                .collect();
            members.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
            Ok(Answer::Members(members))
        }
        Question::Progress(job) => {
            let jobs = scheduler.state.task_manager.get_running_job_cache();
            let Some(job) = jobs.get(job.as_str()) else { return Ok(Answer::Progress(Vec::new())) };
            let graph = job.execution_graph.read().await;
            let mut stages: Vec<StageProgress> =
                graph.stages().iter().map(|(id, stage)| progress_of(*id, stage)).collect();
            stages.sort_by_key(|stage| stage.id);
            Ok(Answer::Progress(stages))
        }
        Question::Ended(job) => {
            let graph = ended_graph(jobs, &job).await?;
            let notes = graph.stages().values().flat_map(notes_of).collect();
            Ok(Answer::Ended(notes, audit::fault(&graph)))
        }
        Question::Recount => {
            recount(scheduler).await;
            Ok(Answer::Done)
        }
        Question::Submit(_) | Question::Jobs | Question::Cancel(_) | Question::Piece(..) => {
            about_jobs(kept, question)
        }
        Question::Look(_) | Question::Busy(_) => Err(Status::unimplemented("ask an executor")),
    }
}

fn about_jobs(jobs: Option<&Jobs>, question: Question) -> Result<Answer, Status> {
    let Some(jobs) = jobs else {
        let error = Error::usage("this scheduler keeps no jobs")
            .hint("start it with --jobs DIR: whoever reaches it may then write files there");
        return Err(Status::failed_precondition(error.to_word()));
    };
    let answer = match question {
        Question::Submit(submission) => jobs.submit(submission).map(Answer::Submitted),
        Question::Cancel(id) => jobs.cancel(id).map(|()| Answer::Done),
        Question::Piece(id, offset) => jobs.piece(id, offset).map(Answer::Piece),
        _ => Ok(Answer::Jobs(jobs.list())),
    };
    answer.map_err(|error| Status::failed_precondition(error.to_word()))
}

/// Lets executors that run nothing register anew, with all their cores.
///
/// Where executors are lost, Ballista may forget to count cores as free that tasks have left.
async fn recount(scheduler: &SchedulerServer<LogicalPlanNode, PhysicalPlanNode>) {
    let manager = &scheduler.state.executor_manager;
    for (executor, ..) in manager.get_executors_state().await.unwrap_or_default() {
        let address = format!("{}:{}", executor.host, executor.port);
        let Ok(channel) = connect(&address).await else { continue };
        let busy = ask(channel, &Question::Busy(None)).await;
        if matches!(busy, Ok(Answer::Busy(Busy { task_count: 0, .. }))) {
            let reason = Some("its cores are counted anew".to_string());
            let _ = manager.remove_executor(&executor.id, reason).await;
        }
    }
}

fn progress_of(id: usize, stage: &ExecutionStage) -> StageProgress {
    let (partition_count, done_count) = match stage {
        ExecutionStage::Successful(stage) => (stage.partitions, stage.partitions),
        ExecutionStage::Running(stage) => {
            let open = stage.available_tasks() + stage.running_tasks().len();
            (stage.partitions, stage.partitions.saturating_sub(open))
        }
        ExecutionStage::Resolved(stage) => (stage.partitions, 0),
        ExecutionStage::UnResolved(_) | ExecutionStage::Failed(_) => (1, 0),
    };
    StageProgress { id, partition_count, done_count }
}

/// What is known of a job that has ended: its end is told before all of that is written down.
async fn ended_graph(jobs: &dyn JobState, job: &str) -> Result<ExecutionGraphBox, Status> {
    let asked = Instant::now();
    loop {
        let graph = jobs.get_execution_graph(&job.to_string().into()).await;
        match graph.map_err(|error| Status::internal(error.to_string()))? {
            Some(graph) => return Ok(graph),
            None if asked.elapsed() > WRITING_MAX => {
                return Err(Status::not_found("there is no such job"));
            }
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// What the tasks of a stage noted, which goes with their metrics.
fn notes_of(stage: &ExecutionStage) -> Vec<(Record, u64)> {
    let ExecutionStage::Successful(stage) = stage else { return Vec::new() };
    let metrics = stage.stage_metrics.iter().flat_map(MetricsSet::iter);
    metrics
        .filter_map(|metric| match metric.value() {
            MetricValue::Count { name, count } => Some((record_of(name)?, count.value() as u64)),
            _ => None,
        })
        .collect()
}

/// How an executor runs.
#[derive(Debug, Clone)]
pub struct ExecutorOptions {
    /// Host and port of the scheduler.
    pub scheduler: String,
    /// The address that it listens on.
    pub listen: IpAddr,
    /// The ports on which it gives out data and takes tasks; 0 takes free ones.
    pub ports: (u16, u16),
    /// The host that others reach it by, if it is not the one it listens on.
    pub advertise: Option<String>,
    /// What errors call it.
    pub name: Option<String>,
    /// Tasks that run at once.
    pub cores: usize,
    /// Memory of all tasks together, in bytes.
    pub memory_bytes: Option<u64>,
    /// Where rows lie between stages.
    pub work_dir: PathBuf,
    /// The folders that tasks may read, and the object stores.
    pub places: Places,
}

/// Runs an executor until the process is told to stop; `started` hears where it gives out data.
///
/// # Errors
/// When it cannot listen, cannot use its work directory, or loses the scheduler for good.
pub async fn run_executor(options: ExecutorOptions, started: impl FnOnce(Running)) -> Result<()> {
    std::fs::create_dir_all(&options.work_dir)
        .map_err(|error| Error::cannot_write(&options.work_dir, &error))?;
    let Some(work_dir) = options.work_dir.to_str().map(str::to_string) else {
        return Err(Error::usage("the work directory's name is not UTF-8"));
    };
    let Some((scheduler_host, port)) = options.scheduler.rsplit_once(':') else {
        return Err(Error::usage(format!("no address of a scheduler: {}", options.scheduler))
            .hint("its host and port, as in localhost:50050"));
    };
    let scheduler_port = port.parse().map_err(|_| Error::usage(format!("no port: {port}")))?;
    let data_port = free_port(options.listen, options.ports.0)?;
    let task_port = free_port(options.listen, options.ports.1)?;
    let external_host = advertised(options.advertise.as_deref(), options.listen)?;
    let default_name = || format!("{external_host}:{data_port}");
    let name = options.name.unwrap_or_else(default_name);
    let host = Arc::new(Host::new(name, options.places));
    let engine = TaskEngine { host: Arc::clone(&host), inner: DefaultExecutionEngine::new() };
    let flight = {
        let host = Arc::clone(&host);
        move |work_dir: String,
              address: SocketAddr,
              mut stop: ballista_executor::shutdown::Shutdown,
              config| {
            let host = Arc::clone(&host);
            let service = Service::new(BallistaFlightService::new(work_dir), move |question| {
                let host = Arc::clone(&host);
                async move { answer_of_executor(host, question).await }.boxed()
            });
            let service = FlightServiceServer::new(service)
                .max_encoding_message_size(MESSAGE_LEN_MAX)
                .max_decoding_message_size(MESSAGE_LEN_MAX);
            tokio::spawn(async move {
                let server = create_grpc_server(&config).add_service(service);
                let served = server.serve_with_shutdown(address, stop.recv()).await;
                served.map_err(BallistaError::TonicError)
            })
        }
    };
    let memory_bytes = options.memory_bytes.unwrap_or_else(|| default_memory_bytes() as u64);
    let config = ExecutorProcessConfig {
        bind_host: options.listen.to_string(),
        external_host: Some(external_host),
        port: data_port,
        grpc_port: task_port,
        scheduler_host: scheduler_host.to_string(),
        scheduler_port,
        scheduler_connect_timeout_seconds: 30,
        vcores: options.cores,
        task_scheduling_policy: TaskSchedulingPolicy::PushStaged,
        work_dir: Some(work_dir),
        job_data_ttl_seconds: WORK_KEPT_SECONDS,
        job_data_clean_up_interval_seconds: WORK_SWEEP_SECONDS,
        grpc_max_decoding_message_size: MESSAGE_LEN_MAX as u32,
        grpc_max_encoding_message_size: MESSAGE_LEN_MAX as u32,
        executor_heartbeat_interval_seconds: HEARTBEAT_SECONDS,
        memory_pool_size: Some(memory_bytes),
        override_execution_engine: Some(Arc::new(engine)),
        override_function_registry: Some(functions::registry()),
        override_config_producer: Some(Arc::new(SessionConfig::new_with_ballista)),
        override_physical_codec: Some(Arc::new(Codec::default())),
        override_arrow_flight_service: Some(Arc::new(flight)),
        ..ExecutorProcessConfig::default()
    };
    started(Running { address: SocketAddr::new(options.listen, data_port) });
    let scheduler = options.scheduler;
    start_executor_process(Arc::new(config)).await.map_err(|error| {
        Error::data(format!("the executor stopped: {error}"))
            .hint(format!("is there a scheduler at {scheduler}?"))
    })
}

async fn answer_of_executor(host: Arc<Host>, question: Question) -> Result<Answer, Status> {
    let files = match question {
        Question::Look(files) => files,
        Question::Busy(job) => return Ok(Answer::Busy(host.busy(job.as_deref()))),
        _ => return Err(Status::unimplemented("ask the scheduler")),
    };
    let looked = tokio::task::spawn_blocking(move || missing(&host, &files)).await;
    looked.map(Answer::Missing).map_err(|error| Status::internal(error.to_string()))
}

/// What is wrong with the first file that is not as the client saw it, and how many there are.
fn missing(host: &Host, files: &[Seen]) -> Option<(Error, u64)> {
    let are_far = files.first().is_some_and(|file| file.is_object);
    let thread_count = if are_far { REQUESTS_MAX } else { 1 };
    let looked = in_parallel(files.len(), thread_count, |idx| files[idx].found(host).err());
    let mut wrong = looked.into_iter().flatten().flatten();
    let first = wrong.next()?;
    Some((first, 1 + wrong.count() as u64))
}

/// The host that others reach a role by.
fn advertised(named: Option<&str>, listen: IpAddr) -> Result<String> {
    match named {
        Some(name) => Ok(name.to_string()),
        None if listen.is_unspecified() => {
            Err(Error::usage(format!("listening on {listen}: by which name do others reach this?"))
                .hint("say it with --advertise HOST"))
        }
        None => Ok(listen.to_string()),
    }
}

/// The port, or a free one for 0: Ballista tells others of it before it listens.
fn free_port(host: IpAddr, port: u16) -> Result<u16> {
    let cannot =
        |error: std::io::Error| Error::usage(format!("cannot listen on {host}:{port}: {error}"));
    let listener = TcpListener::bind((host, port)).map_err(cannot)?;
    Ok(listener.local_addr().map_err(cannot)?.port())
}
