//! Questions between the processes of a cluster that Ballista has no words for, as actions of Arrow
//! Flight beside its own.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo,
    SchemaResult, Ticket,
};
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use futures::Stream;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::MESSAGE_LEN_MAX;
use super::jobs::{JobRecord, Submission};
use super::scan::Seen;
use crate::notes::Record;

/// What may be asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// The executors: [`Answer::Members`].
    Members,
    /// How far a job has come: [`Answer::Progress`].
    Progress(String),
    /// What there is to be known of a job that has ended: [`Answer::Ended`].
    Ended(String),
    /// What an executor does for a job, or for all: [`Answer::Busy`].
    Busy(Option<String>),
    /// A job stands still: the scheduler is to count the cores of idle executors anew.
    Recount,
    /// Keeps a job: [`Answer::Submitted`].
    Submit(Submission),
    /// All jobs that are kept: [`Answer::Jobs`].
    Jobs,
    /// Stops a job: [`Answer::Done`].
    Cancel(u64),
    /// A piece of a job's result from an offset on: [`Answer::Piece`].
    Piece(u64, u64),
    /// Which of these files an executor does not see as the client does: [`Answer::Missing`].
    Look(Vec<Seen>),
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The executors that the scheduler knows.
    Members(Vec<Member>),
    /// The stages of a job; empty if it is not running.
    Progress(Vec<StageProgress>),
    /// What tasks noted and counted; and why the job's rows are not to be believed, if so.
    Ended(Vec<(Record, u64)>, Option<String>),
    /// What an executor does.
    Busy(Busy),
    /// The number of a job.
    Submitted(u64),
    /// The jobs, by number.
    Jobs(Vec<JobRecord>),
    /// Bytes.
    Piece(Vec<u8>),
    /// It was done.
    Done,
    /// The first file that is not the same, and how many there are.
    Missing(Option<(crate::Error, u64)>),
}

/// What an executor does for a job, or for all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Busy {
    /// Tasks that run now.
    pub(super) task_count: usize,
    /// Rows that have come out of files.
    pub(super) rows_read: u64,
    /// Bytes of files that tasks have come past.
    pub(super) bytes_read: u64,
}

/// An executor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub id: String,
    /// Where it is reached.
    pub host: String,
    /// Where it gives out data.
    pub port: u16,
    /// Tasks that it runs at once.
    pub cores: u32,
}

impl Member {
    /// Host and port.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// How far a stage has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StageProgress {
    /// Its number.
    pub id: usize,
    /// Its partitions.
    pub partition_count: usize,
    /// Those that are done.
    pub done_count: usize,
}

/// The type of the actions.
const ACTION: &str = "swath";
const CONNECT_WAIT: Duration = Duration::from_secs(5);

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;
type Answering = dyn Fn(Question) -> BoxFuture<'static, Result<Answer, Status>> + Send + Sync;

/// A Flight service that answers our questions and leaves all else to another one.
pub(super) struct Service<S> {
    inner: S,
    answering: Arc<Answering>,
}

impl<S> Service<S> {
    pub(super) fn new(
        inner: S,
        answering: impl Fn(Question) -> BoxFuture<'static, Result<Answer, Status>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Service { inner, answering: Arc::new(answering) }
    }
}

/// Questions and answers as bytes.
fn to_bytes(message: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(message).unwrap_or_default()
}

fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Status> {
    postcard::from_bytes(bytes)
        .map_err(|_| Status::invalid_argument("another version of swath speaks here"))
}

/// Connects to a process of the cluster.
///
/// # Errors
/// Why it cannot be reached, in words.
pub(super) async fn connect(address: &str) -> Result<Channel, String> {
    let config = GrpcClientConfig {
        connect_timeout_seconds: CONNECT_WAIT.as_secs(),
        max_message_size: MESSAGE_LEN_MAX,
        ..GrpcClientConfig::default()
    };
    let endpoint = create_grpc_client_endpoint(format!("http://{address}"), Some(&config))
        .map_err(|error| error.to_string())?;
    endpoint.connect().await.map_err(|error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        cause.to_string()
    })
}

/// Asks a process of the cluster something.
///
/// # Errors
/// What it says instead of an answer.
pub(super) async fn ask(channel: Channel, question: &Question) -> Result<Answer, Status> {
    let mut client = FlightServiceClient::new(channel)
        .max_encoding_message_size(MESSAGE_LEN_MAX)
        .max_decoding_message_size(MESSAGE_LEN_MAX);
    let action = Action { r#type: ACTION.to_string(), body: to_bytes(question).into() };
    let mut results = client.do_action(action).await?.into_inner();
    match results.message().await? {
        Some(result) => from_bytes(&result.body),
        None => Err(Status::internal("no answer")),
    }
}

#[tonic::async_trait]
impl<S> FlightService for Service<S>
where
    S: FlightService<DoActionStream = Boxed<arrow_flight::Result>>,
{
    type DoActionStream = S::DoActionStream;
    type DoExchangeStream = S::DoExchangeStream;
    type DoGetStream = S::DoGetStream;
    type DoPutStream = S::DoPutStream;
    type HandshakeStream = S::HandshakeStream;
    type ListActionsStream = S::ListActionsStream;
    type ListFlightsStream = S::ListFlightsStream;

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        if request.get_ref().r#type != ACTION {
            return self.inner.do_action(request).await;
        }
        let question = from_bytes(&request.get_ref().body)?;
        let answer = (self.answering)(question).await?;
        let result = arrow_flight::Result { body: to_bytes(&answer).into() };
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(result)]))))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        self.inner.do_get(request).await
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        self.inner.get_schema(request).await
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.inner.get_flight_info(request).await
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        self.inner.poll_flight_info(request).await
    }

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        self.inner.handshake(request).await
    }

    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.inner.list_flights(request).await
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        self.inner.do_put(request).await
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        self.inner.do_exchange(request).await
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        self.inner.list_actions(request).await
    }
}
