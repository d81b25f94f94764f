//! The engine: threads, limits and the default session.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datafusion::arrow::datatypes::DataType;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use tokio::runtime::Runtime;

use super::answer::{Answer, AnswerStream, Handle};
use super::params::Params;
use super::remote::Remote;
use super::session::Session;
use crate::dataset::cache::Cache;
use crate::dataset::location::Places;
use crate::dataset::options::{OptionDoc, OptionValue, ReadOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::fragment::Fragments;
use crate::exec::limits::SpillFolder;
use crate::formats::file::StreamSource;
use crate::roots::Roots;
use crate::store::Store;

/// Threads get this much stack: planning recurses.
const STACK_LEN_BYTES: usize = 64 << 20;
const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);

/// Answers SQL over files. `Clone + Send + Sync`; it hides its own runtime and works inside one.
///
/// ```
/// # fn main() -> swath::Result<()> {
/// let engine = swath::Engine::open()?;
/// let answer = engine.query("SELECT region, count(*) AS n FROM 'testdata/sales' GROUP BY ALL")?;
/// println!("{answer}");
/// for note in answer.notes() {
///     eprintln!("{note}");
/// }
/// # assert!(answer.row_count() > 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    session: Session,
}

#[derive(Debug)]
pub(super) struct Inner {
    runtime: Option<Runtime>,
    pub(super) environment: Arc<RuntimeEnv>,
    pub(super) options: EngineBuilder,
    /// Whether a statement was given up whose planning goes on: there is no waiting for it.
    pub(super) has_orphans: AtomicBool,
    /// Dropped behind the environment, whose files lie in it.
    _spill_folder: SpillFolder,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let is_within = tokio::runtime::Handle::try_current().is_ok();
        if is_within || self.has_orphans.load(Ordering::Relaxed) {
            // A runtime may not wait within another one: let it go in the background.
            runtime.shutdown_background();
        } else {
            // Time for stopped statements to delete what they spilled.
            runtime.shutdown_timeout(SHUTDOWN_WAIT);
        }
    }
}

impl Inner {
    /// Writes what a statement has shown of files to where the next process finds it.
    pub(super) fn keep_what_was_learned(&self) {
        let cache = self.options.cache.as_ref().map(Cache::store);
        let fragments = self.options.fragments.as_ref().map(Fragments::store);
        cache.into_iter().chain(fragments).for_each(Store::flush);
    }

    /// Runs a future on the engine's threads; await it from anywhere.
    pub(super) fn spawn<T, F>(&self, future: F) -> impl Future<Output = Result<T>> + use<T, F>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let handle = self.runtime.as_ref().map(|runtime| runtime.spawn(future));
        async move {
            match handle {
                Some(handle) => handle.await.map_err(|error| {
                    Error::new(ErrorKind::Internal, format!("a task died: {error}"))
                        .hint("this is a mistake in swath: please report it")
                }),
                None => Err(Error::new(ErrorKind::Internal, "the engine is shut down")),
            }
        }
    }
}

/// Sets up an [`Engine`].
#[derive(Debug, Clone, Default)]
pub struct EngineBuilder {
    memory_bytes: Option<usize>,
    threads: Option<usize>,
    spill_dir: Option<PathBuf>,
    pub(super) batch_rows: Option<usize>,
    pub(super) timeout: Option<Duration>,
    pub(super) places: Places,
    pub(super) csv_options: Vec<(String, OptionValue)>,
    pub(super) cache: Option<Cache>,
    pub(super) fragments: Option<Fragments>,
    pub(super) reuse: bool,
    pub(super) max_scan_bytes: Option<u64>,
    pub(super) plain_plans: bool,
    pub(super) remote: Remote,
}

impl EngineBuilder {
    /// Limits memory, as in `"4GB"`.
    ///
    /// # Errors
    /// When the text is no size.
    pub fn memory(mut self, size: &str) -> Result<Self> {
        self.memory_bytes = Some(crate::units::parse_bytes(size)?);
        Ok(self)
    }

    /// Sets the number of threads, and so of tasks that a stage runs at once.
    #[must_use]
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = Some(count.max(1));
        self
    }

    /// Names the folder for what does not fit into memory.
    #[must_use]
    pub fn spill_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.spill_dir = Some(dir.into());
        self
    }

    /// Sets the rows of a batch at most; answers do not depend on it.
    #[must_use]
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = Some(rows.max(1));
        self
    }

    /// Leaves out the rules that only make statements faster; answers do not depend on it.
    #[must_use]
    pub fn plain_plans(mut self, is_on: bool) -> Self {
        self.plain_plans = is_on;
        self
    }

    /// Runs statements on the cluster whose scheduler has this address, as in `df://host:50050`:
    /// planned here, from the same files, with the same answers. What has no form for a cluster runs
    /// here, and a note says so.
    ///
    /// # Errors
    /// When the text is no address.
    #[cfg(feature = "cluster")]
    pub fn cluster(mut self, address: &str) -> Result<Self> {
        self.remote.cluster = Some(crate::cluster::Cluster::new(address)?);
        Ok(self)
    }

    /// Runs this share of the files and pieces of each statement of a cluster here as well, from 0 to 1,
    /// and gives an error if the rows differ.
    ///
    /// # Errors
    /// When there is no cluster, or the number is no share.
    #[cfg(feature = "cluster")]
    pub fn verify_local(mut self, share: f64) -> Result<Self> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::usage(format!("no share of the files: {share}"))
                .hint("0.01 runs one in a hundred here as well"));
        }
        let Some(cluster) = self.remote.cluster.take() else {
            return Err(Error::usage("there is no cluster whose answers could be verified")
                .hint("name one: --cluster df://host:50050"));
        };
        self.remote.cluster = Some(cluster.verified(share));
        Ok(self)
    }

    /// Stops each statement after this time, with an error.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Refuses statements that would read more than this from files, as in `"10GB"`, before they run.
    ///
    /// # Errors
    /// When the text is no size.
    pub fn max_scan_bytes(mut self, size: &str) -> Result<Self> {
        self.max_scan_bytes = Some(crate::units::parse_bytes(size)? as u64);
        Ok(self)
    }

    /// Says what `~` stands for in locations; the library never reads HOME.
    #[must_use]
    pub fn home(mut self, home: impl Into<PathBuf>) -> Self {
        self.places.home = Some(home.into());
        self
    }

    /// Gives the bytes that `FROM stdin` reads; they can be read once.
    #[must_use]
    pub fn stdin(mut self, reader: impl std::io::Read + Send + 'static) -> Self {
        self.places.stdin = Some(Arc::new(StreamSource::new(Box::new(reader))));
        self
    }

    /// Sets what object stores need to know, by the names of the variables that their own tools read:
    /// `aws_region`, `aws_access_key_id`, `aws_endpoint_url`, `google_application_credentials`,
    /// `azure_storage_account_name` and so on. The library never reads the environment. Values are
    /// never shown, and never sent to a cluster: executors have their own.
    #[must_use]
    pub fn object_store_option(mut self, name: &str, value: &str) -> Self {
        self.places.objects = self.places.objects.with(name, value);
        self
    }

    /// All of the settings of object stores at once.
    #[cfg(feature = "shell")]
    #[must_use]
    pub(crate) fn objects(mut self, objects: crate::objects::Objects) -> Self {
        self.places.objects = objects;
        self
    }

    /// Gives the store of URLs that begin with `root`, as in `s3://bucket` or `memory://x`.
    #[must_use]
    pub fn object_store(self, root: &str, store: Arc<dyn ObjectStore>) -> Self {
        self.places.objects.register(root, store);
        self
    }

    /// Confines statements to folders and what lies in them: locations, COPY, INSERT and table
    /// functions that lead out of them are errors, also by links and `..`. What the program itself
    /// keeps (spilling, `cache_dir`) is not confined. A root may be a URL, `s3://bucket/folder`; of
    /// the web's servers, those are followed where they send to.
    ///
    /// # Errors
    /// When one is no folder, or the system cannot confine.
    pub fn roots(mut self, folders: &[PathBuf]) -> Result<Self> {
        self.places.roots = Roots::new(folders)?;
        Ok(self)
    }

    /// Sets an option of `read_csv` for all CSV files, as in `("delim", ";")`; a call of `read_csv`
    /// may still say otherwise. Lists are written `a,b`, types `id=BIGINT,day=DATE`.
    ///
    /// # Errors
    /// When there is no such option, or it wants another value.
    pub fn csv_option(mut self, name: &str, value: &str) -> Result<Self> {
        let doc = OptionDoc::find(name)?;
        let value = OptionValue::parse(doc, value)?;
        // Types are read when there is a session that knows them.
        ReadOptions::default().set(name, &value, &|_| Ok(DataType::Null))?;
        self.csv_options.push((name.to_string(), value));
        Ok(self)
    }

    /// Names the folder in which is kept what passes over files have shown: row counts and bounds
    /// of columns, so that later statements count and skip without reading. Without it nothing is
    /// kept. Several processes may share one.
    #[must_use]
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        self.fragments = Some(Fragments::new(&folder));
        self.cache = Some(Cache::new(folder));
        self
    }

    /// Keeps the partial aggregates of files in a folder and uses them again, so that a statement
    /// over files of which few are new reads only those. Sessions may change it with
    /// `SET swath.reuse = off`.
    #[must_use]
    pub fn reuse(mut self, folder: impl Into<PathBuf>) -> Self {
        self.fragments = Some(Fragments::new(folder));
        self.reuse = true;
        self
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// When threads cannot be started or the folder for spilling cannot be used.
    pub fn build(self) -> Result<Engine> {
        let (environment, spill_folder) =
            crate::exec::limits::runtime(self.memory_bytes(), self.spill_dir.as_deref())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.thread_count())
            .thread_stack_size(STACK_LEN_BYTES)
            .thread_name("swath")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Limit, format!("cannot start threads: {error}"))
            })?;
        let inner = Arc::new(Inner {
            runtime: Some(runtime),
            environment,
            options: self,
            has_orphans: AtomicBool::new(false),
            _spill_folder: spill_folder,
        });
        let session = Session::new(Arc::clone(&inner));
        Ok(Engine { inner, session })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes.unwrap_or_else(crate::exec::limits::default_memory_bytes)
    }

    pub(super) fn thread_count(&self) -> usize {
        self.threads.unwrap_or_else(crate::exec::limits::default_threads)
    }
}

impl Engine {
    /// Starts an engine with defaults: all cores, a share of the machine's memory.
    ///
    /// # Errors
    /// As [`EngineBuilder::build`].
    pub fn open() -> Result<Self> {
        EngineBuilder::default().build()
    }

    /// Sets up an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// A new session with tables and views of its own, on the same threads and limits.
    pub fn session(&self) -> Session {
        Session::new(Arc::clone(&self.inner))
    }

    /// The session that the engine's own methods use.
    pub fn default_session(&self) -> &Session {
        &self.session
    }

    /// Runs statements and returns the answer of the last one.
    ///
    /// # Errors
    /// When a statement fails; those before it have run.
    pub fn query(&self, sql: &str) -> Result<Answer> {
        self.query_with(sql, &Params::new())
    }

    /// Runs statements with parameters: `$day` is bound to `params["day"]`, never pasted.
    ///
    /// ```
    /// # fn main() -> swath::Result<()> {
    /// let engine = swath::Engine::open()?;
    /// let params = swath::params! { "least" => 2 };
    /// let answer = engine.query_with("SELECT 1 WHERE 3 > $least", &params)?;
    /// assert_eq!(answer.row_count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Engine::query`], and when a parameter has no value.
    pub fn query_with(&self, sql: &str, params: &Params) -> Result<Answer> {
        self.session.query_with(sql, params)
    }

    /// Runs statements and streams the answer of the last one.
    ///
    /// ```
    /// # fn main() -> swath::Result<()> {
    /// let engine = swath::Engine::open()?;
    /// let mut rows = 0;
    /// for batch in engine.query_stream("SELECT * FROM generate_series(1, 100000)")? {
    ///     rows += batch?.num_rows();
    /// }
    /// assert_eq!(rows, 100_000);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Engine::query`]; errors after the first batch come out of the stream.
    pub fn query_stream(&self, sql: &str) -> Result<AnswerStream> {
        self.session.query_stream(sql, &Params::new(), &Handle::default())
    }

    /// [`Engine::query`] for async code, on any runtime.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn query_async(&self, sql: &str) -> Result<Answer> {
        self.session.query_async(sql, &Params::new()).await
    }

    /// [`Engine::query_stream`] for async code; [`AnswerStream::into_stream`] makes it a `Stream`.
    ///
    /// # Errors
    /// As [`Engine::query_stream`].
    pub async fn query_stream_async(&self, sql: &str) -> Result<AnswerStream> {
        let cancel = Handle::default();
        self.session.query_stream_async(sql, &Params::new(), &cancel).await
    }
}
