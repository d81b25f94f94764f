//! A session: the path of a statement on one screen.
//!
//! ```text
//! parse -> refuse -> parameters -> bind -> open datasets -> spell -> plan -> optimise -> run
//!    ^                                                                                |
//!    +-------- a value did not fit the type guessed for its column: read it wider ----+
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::TableReference;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Documentation, ScalarUDF};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Query;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer::{Answer, AnswerStream, Handle, Message, Running};
use super::clock::{self, Clock};
use super::engine::Inner;
use super::params::Params;
use super::remote::Remote;
use super::running::{Run, bounded, guarded, pump, relabel};
use super::settings::Settings;
use super::watch::Watch;
use crate::dataset::LayoutCache;
use crate::dataset::location::Places;
use crate::dataset::schema::Misfits;
use crate::dataset::seen::Seen;
use crate::error::{Error, ErrorKind, Misfit, Place, Result, nearest};
use crate::exec::progress::Elsewhere;
use crate::formats::file::SourceFile;
use crate::notes::{NoteKind, Notes};
use crate::objects::Objects;
use crate::plan;
use crate::plan::bind::Source;
use crate::plan::macros::Macros;
use crate::plan::parse::{ExplainView, Parsed};
use crate::plan::rules::Purpose;
use crate::units::{show_bytes, show_counted};

/// Up to so many rows, shared among the tasks, one of them builds the table of a hash join for all.
const SHARED_BUILD_ROWS_MAX: usize = 4_000_000;
/// What such a row is taken to be long.
const SHARED_BUILD_ROW_BYTES: usize = 32;
/// Batches that may wait for a slow reader.
const BATCHES_WAITING_MAX: usize = 4;
/// How often a statement is run again because a guessed type was too narrow.
const WIDENINGS_MAX: usize = 200;
/// How often a statement is run again because files changed under it.
const CHANGES_MAX: usize = 5;

/// Tables, views and settings that last from statement to statement. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    /// Dropped before the engine, whose files it may still hold.
    pub(super) context: SessionContext,
    pub(super) engine: Arc<Inner>,
    /// Views by lower-case name: their locations are opened anew by each statement.
    pub(super) views: Mutex<BTreeMap<String, Query>>,
    pub(super) macros: Mutex<Macros>,
    pub(super) layouts: LayoutCache,
    /// What did not fit, by location: guessed types stay wide once they had to be.
    pub(super) misfits: Mutex<HashMap<String, Misfits>>,
    pub(super) next_id: AtomicU64,
    /// Where statements run.
    pub(super) remote: Mutex<Remote>,
    /// Whether functions were added, of which nothing is known.
    pub(super) has_own_functions: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

/// One parsed statement.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(super) parsed: DfStatement,
    pub(super) view: ExplainView,
    pub(super) summarize: bool,
    /// The text that it stands in, which places of errors refer to.
    pub(super) text: Arc<str>,
}

impl std::fmt::Display for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.parsed)
    }
}

/// What can be read only once cannot be read again.
pub(super) fn reads_stdin(sources: &[Source]) -> bool {
    sources.iter().flat_map(|source| &source.locations).any(|location| location == "stdin")
}

impl Session {
    pub(super) fn new(engine: Arc<Inner>) -> Self {
        let context = SessionContext::new_with_state(state(&engine));
        let remote = Mutex::new(engine.options.remote.clone());
        Session {
            shared: Arc::new(Shared {
                engine,
                remote,
                context,
                views: Mutex::default(),
                macros: Mutex::default(),
                layouts: LayoutCache::default(),
                misfits: Mutex::default(),
                next_id: AtomicU64::new(1),
                has_own_functions: AtomicBool::new(false),
            }),
        }
    }

    /// Reads all statements of a text.
    ///
    /// # Errors
    /// When the text is not SQL, or uses a clause that is not supported.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>> {
        plan::parse::with_stack(|| {
            let statements = plan::parse::parse(sql)?;
            for parsed in &statements {
                plan::refuse::check(&parsed.statement)
                    .map_err(|error| plan::place::placed(error, sql))?;
            }
            let text: Arc<str> = sql.into();
            let statements = statements.into_iter();
            Ok(statements
                .map(|Parsed { statement: parsed, view, summarize }| Statement {
                    parsed,
                    view,
                    summarize,
                    text: Arc::clone(&text),
                })
                .collect())
        })
    }

    /// Runs statements and returns the answer of the last one; see [`super::Engine::query`].
    ///
    /// # Errors
    /// When a statement fails; those before it have run.
    pub fn query(&self, sql: &str) -> Result<Answer> {
        self.query_with(sql, &Params::new())
    }

    /// [`Session::query`] with parameters.
    ///
    /// # Errors
    /// As [`Session::query`], and when a parameter has no value.
    pub fn query_with(&self, sql: &str, params: &Params) -> Result<Answer> {
        self.query_stream(sql, params, &Handle::default())?.collect_all()
    }

    /// Runs all statements but the last to their end and streams the last one's answer.
    ///
    /// # Errors
    /// When a statement fails before its first row; later errors come out of the stream.
    pub fn query_stream(
        &self,
        sql: &str,
        params: &Params,
        cancel: &Handle,
    ) -> Result<AnswerStream> {
        pollster::block_on(self.query_stream_async(sql, params, cancel))
    }

    /// [`Session::query_with`] for async code.
    ///
    /// # Errors
    /// As [`Session::query_with`].
    pub async fn query_async(&self, sql: &str, params: &Params) -> Result<Answer> {
        self.query_stream_async(sql, params, &Handle::default()).await?.collect_async().await
    }

    /// [`Session::query_stream`] for async code.
    ///
    /// # Errors
    /// As [`Session::query_stream`].
    pub async fn query_stream_async(
        &self,
        sql: &str,
        params: &Params,
        cancel: &Handle,
    ) -> Result<AnswerStream> {
        let mut statements = self.parse(sql)?;
        let Some(last) = statements.pop() else {
            return Err(Error::sql("no statement given").hint("try: SELECT 42"));
        };
        for statement in statements {
            self.start(statement, params.clone(), cancel.clone()).await?.collect_async().await?;
        }
        self.start(last, params.clone(), cancel.clone()).await
    }

    /// Runs one statement for a thread; see [`Session::start`].
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn run(
        &self,
        statement: &Statement,
        params: &Params,
        cancel: &Handle,
    ) -> Result<AnswerStream> {
        pollster::block_on(self.start(statement.clone(), params.clone(), cancel.clone()))
    }

    /// Answers a statement now, and again whenever files that it reads arrive, change or go; looks
    /// after them at this interval.
    ///
    /// # Errors
    /// When the text is not one statement.
    pub fn watch(
        &self,
        sql: &str,
        params: &Params,
        every: Duration,
        handle: &Handle,
    ) -> Result<Watch> {
        let mut statements = self.parse(sql)?;
        match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => {
                Ok(Watch::new(self.clone(), statement, params.clone(), every, handle.clone()))
            }
            _ => Err(Error::sql("only one statement can be watched")),
        }
    }

    /// What a statement reads.
    pub(super) fn sources(&self, statement: &Statement, params: &Params) -> Result<Vec<Source>> {
        let mut parsed = statement.parsed.clone();
        super::params::bind(&mut parsed, params)?;
        self.expand_macros(&mut parsed)?;
        self.bind(&mut parsed)
    }

    /// Where locations are looked up.
    /// The object stores that its locations and results may lie in.
    pub fn objects(&self) -> &Objects {
        &self.places().objects
    }

    pub(super) fn places(&self) -> &Places {
        &self.shared.engine.options.places
    }

    /// Starts one statement; returns once its first rows are there, or its error.
    ///
    /// # Errors
    /// When it cannot be planned, or fails before its first row.
    pub async fn start(
        &self,
        statement: Statement,
        params: Params,
        cancel: Handle,
    ) -> Result<AnswerStream> {
        let text = Arc::clone(&statement.text);
        let clock = Clock::new(self.planning_limit(), cancel.clone());
        let (session, known) = (self.clone(), clock.clone());
        let work =
            async move { session.until_first_rows(statement, &params, cancel, &known).await };
        let engine = Arc::clone(&self.shared.engine);
        // Planning may hear of nothing for a while; whoever waits for it need not wait along.
        let work = async move {
            tokio::select! {
                biased;
                done = engine.spawn(guarded(work)) => done?,
                error = clock.given_up() => {
                    engine.has_orphans.store(true, Ordering::Relaxed);
                    Err(error)
                }
            }
        };
        let started = self.shared.engine.spawn(work).await?;
        started
            .and_then(|started| started)
            .map_err(|error| plan::place::placed(self.with_nearest_table(error), &text))
    }

    /// A hint at the table or table function that may have been meant.
    fn with_nearest_table(&self, error: Error) -> Error {
        let message = error.message().to_string();
        if let Some(name) = message.strip_prefix("no table function named ") {
            let all = plan::bind::TABLE_FUNCTIONS;
            return match nearest(name, all) {
                Some(nearest) => error.hint(format!("did you mean {nearest}?")),
                None => error.hint(format!("there are {}", all.join(", "))),
            };
        }
        let names = self.table_names();
        let missing = message.strip_prefix("no table or view named ");
        match missing.and_then(|name| nearest(name, names.iter().map(String::as_str))) {
            Some(nearest) => error.hint(format!("did you mean {nearest}?")),
            None => error,
        }
    }

    fn planning_limit(&self) -> Duration {
        let state = self.shared.context.state();
        let settings = state.config().options().extensions.get::<Settings>();
        settings.map_or(clock::LIMIT_DEFAULT, |settings| settings.planning_limit)
    }

    async fn until_first_rows(
        self,
        statement: Statement,
        params: &Params,
        cancel: Handle,
        clock: &Clock,
    ) -> Result<AnswerStream> {
        let timeout = self.shared.engine.options.timeout;
        let started = std::time::Instant::now();
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut widened: Vec<String> = Vec::new();
        let (mut sorts_joins, mut change_count) = (false, 0);
        let seen = Seen::default();
        loop {
            let notes = Notes::default();
            for note in &widened {
                notes.add(NoteKind::Widened, note.clone());
            }
            let cancel = cancel.clone();
            let clock = clock.clone();
            let remote = self.shared.remote.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let mut run = Run {
                notes,
                cancel,
                deadline,
                seen: seen.clone(),
                started,
                sorts_joins,
                clock,
                remote,
                ..Run::default()
            };
            let bounds = (run.cancel.clone(), run.deadline);
            let attempt = guarded(self.attempt(&statement, params, &mut run));
            let error = match bounded(attempt, &bounds.0, bounds.1).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) | Err(error) => error,
            };
            if seen.sees_more_after(&error) {
                continue;
            }
            // A join that does not fit into memory is done by sorting, which spills.
            let is_join = error.kind() == ErrorKind::Limit && error.message().contains("HashJoin");
            if is_join && !sorts_joins {
                sorts_joins = true;
                continue;
            }
            if error.is_passing() && change_count < CHANGES_MAX && !reads_stdin(&run.sources) {
                change_count += 1;
                continue;
            }
            match self.learn(&error, &run.sources) {
                Some(note) if widened.len() < WIDENINGS_MAX => widened.push(note),
                _ => return Err(run.located(error).await),
            }
        }
    }

    /// Remembers the value that did not fit, so that the next attempt reads its column wider.
    fn learn(&self, error: &Error, sources: &[Source]) -> Option<String> {
        let misfit = error.as_misfit()?;
        let source = sources.iter().find(|source| source.id == misfit.dataset)?;
        if reads_stdin(std::slice::from_ref(source)) {
            return None;
        }
        self.keep_misfit(error, source, misfit);
        let mut known = self.shared.misfits.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .entry(source_key(source))
            .or_default()
            .entry(misfit.column.to_lowercase())
            .or_default()
            .push(misfit.text.clone());
        let place = error.place().map_or_else(String::new, |place| format!(" at {place}"));
        Some(format!("`{}` read wider: found {:?}{place}", misfit.column, misfit.text))
    }

    /// Tells the cache, so that later processes need not try in vain either.
    fn keep_misfit(&self, error: &Error, source: &Source, misfit: &Misfit) {
        let cache = self.shared.engine.options.cache.as_ref();
        let (Some(cache), Some(Place::File { path, .. })) = (cache, error.place()) else { return };
        let file = if crate::objects::shown(path) != *path {
            // A file whose address is not to be kept anywhere.
            None
        } else if crate::objects::is_url(path) {
            self.places().objects.find(path).ok().flatten().map(SourceFile::object)
        } else {
            let local = |metadata| SourceFile::local(String::new(), path.into(), &metadata);
            std::fs::metadata(path).map(local).ok()
        };
        if let Some(file) = file {
            let options = crate::dataset::options_key(&source.options);
            cache.keep_misfit(&file, &options, &misfit.column, &misfit.text);
        }
    }

    async fn attempt(
        &self,
        statement: &Statement,
        params: &Params,
        run: &mut Run,
    ) -> Result<AnswerStream> {
        // The thread's other tasks go on meanwhile.
        let planned = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(self.plan(statement, params, run))
        })?;
        run.clock.check()?;
        run.seen.settle();
        let (sender, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
        let answer = |schema, kind| AnswerStream {
            schema,
            kind,
            notes: run.notes.clone(),
            cancel: run.cancel.clone(),
            receiver,
            done: false,
        };
        let Some(physical) = planned.plan else {
            for batch in planned.ready {
                // Fits: plans and settings are one batch.
                let _ = sender.try_send(Message::Batch(batch));
            }
            let _ = sender.try_send(Message::End);
            return Ok(answer(planned.schema, planned.kind));
        };
        self.check_scan(&physical)?;
        let context = self.shared.context.task_ctx();
        let elsewhere = Elsewhere::default();
        run.cancel.watch(Some(Running {
            plan: Arc::clone(&physical),
            notes: run.notes.clone(),
            memory: Arc::clone(context.memory_pool()),
            started: run.started,
            elsewhere: elsewhere.clone(),
        }));
        let schema = Arc::clone(&planned.schema);
        let placed = run.remote.placed(physical, &run.notes, &elsewhere).await?;
        let mut batches = execute_stream(placed, context)?.map(move |batch| {
            let batch = batch.map_err(Error::from)?;
            relabel(&batch, &schema)
        });
        if let Some(target) = planned.target {
            // Nothing is out before the file is whole, so that any error can still be cured.
            let written = target.write(planned.schema, &run.notes, batches).await?;
            self.shared.engine.keep_what_was_learned();
            let schema = written.schema();
            let _ = sender.try_send(Message::Batch(written));
            let _ = sender.try_send(Message::End);
            return Ok(answer(schema, planned.kind));
        }
        // Errors that can still be cured come before the first row.
        let first = batches.next().await.transpose()?;
        let engine = Arc::clone(&self.shared.engine);
        let pump = pump(first, batches, sender, run.clone(), engine);
        drop(self.shared.engine.spawn(pump));
        Ok(answer(planned.schema, planned.kind))
    }

    /// Refuses a plan that would read more from files than is allowed.
    pub(super) fn check_scan(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        let state = self.shared.context.state();
        let settings = state.config().options().extensions.get::<Settings>();
        let Some(max) = settings.and_then(|settings| settings.max_scan_bytes) else {
            return Ok(());
        };
        let graph = plan::stage::split(plan, false);
        let scans = || graph.stages.iter().flat_map(|stage| &stage.scans);
        let len_bytes: u64 = scans().map(|scan| scan.len_bytes).sum();
        if len_bytes <= max {
            return Ok(());
        }
        let file_count: usize = scans().map(|scan| scan.file_count).sum();
        let (len, max) = (show_bytes(len_bytes), show_bytes(max));
        let files = show_counted(file_count as u64, "file");
        let message = format!("the statement would read {len} in {files}, and {max} is allowed");
        Err(Error::new(ErrorKind::Limit, message)
            .hint("filter on a partition key, or allow more: --max-scan-bytes 10GB"))
    }

    /// Names of tables and views, sorted.
    pub fn table_names(&self) -> Vec<String> {
        let views = self.shared.views.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<String> = views.keys().cloned().collect();
        let default = self.shared.context.catalog("datafusion");
        if let Some(schema) = default.and_then(|catalog| catalog.schema("public")) {
            names.extend(schema.table_names());
        }
        names.sort();
        names
    }

    /// Names of all functions with their calls, such as `round(numeric [, decimals])`, sorted.
    pub fn function_signatures(&self) -> Vec<(String, String)> {
        let state = self.shared.context.state();
        let documented = |name: &String, documentation: Option<&Documentation>| {
            let signature = documentation.map(|of| of.syntax_example.trim().to_string());
            let signature = signature.filter(|text| !text.is_empty() && !text.contains('\n'));
            (name.clone(), signature.unwrap_or_else(|| format!("{name}(...)")))
        };
        let scalars = state.scalar_functions().iter();
        let aggregates = state.aggregate_functions().iter();
        let windows = state.window_functions().iter();
        let mut signatures: BTreeMap<String, String> = scalars
            .map(|(name, function)| documented(name, function.documentation()))
            .chain(aggregates.map(|(name, function)| documented(name, function.documentation())))
            .chain(windows.map(|(name, function)| documented(name, function.documentation())))
            .collect();
        // What only rewritten statements call.
        signatures.retain(|name, _| !name.starts_with("swath_"));
        signatures.extend(plan::macros::built_in_signatures());
        signatures.into_iter().collect()
    }

    /// The columns of a query's result; none if it cannot be planned.
    ///
    /// Of locations of many files only a sample is looked at, so that the answer comes at once.
    pub fn column_names(&self, query: &str) -> Vec<String> {
        let parsed = self.parse(&format!("SELECT * FROM ({query}) LIMIT 0"));
        let Some(statement) = parsed.ok().and_then(|mut statements| statements.pop()) else {
            return Vec::new();
        };
        let session = self.clone();
        let work = async move {
            let mut run = Run { seen: Seen::of_samples(), ..Run::default() };
            let params = Params::new();
            tokio::task::block_in_place(|| {
                let planned = session.plan(&statement, &params, &mut run);
                tokio::runtime::Handle::current().block_on(planned).map(|planned| planned.schema)
            })
        };
        let schema = pollster::block_on(self.shared.engine.spawn(guarded(work)));
        schema.ok().and_then(Result::ok).and_then(Result::ok).map_or_else(Vec::new, |schema| {
            schema.fields().iter().map(|field| field.name().clone()).collect()
        })
    }

    /// The executors of the cluster that statements run on; None if they run here.
    ///
    /// # Errors
    /// When the scheduler cannot be reached.
    #[cfg(feature = "cluster")]
    pub fn members(&self) -> Result<Option<Vec<crate::cluster::Member>>> {
        let remote = self.shared.remote.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(cluster) = remote.cluster else { return Ok(None) };
        let members = async move { cluster.members().await };
        pollster::block_on(self.shared.engine.spawn(members))?.map(Some)
    }

    /// Runs statements on a cluster from now on, or here again; see [`super::EngineBuilder::cluster`].
    ///
    /// # Errors
    /// When the text is no address, or the scheduler cannot be reached.
    #[cfg(feature = "cluster")]
    pub fn connect(&self, address: Option<&str>) -> Result<Vec<crate::cluster::Member>> {
        let cluster = address.map(crate::cluster::Cluster::new).transpose()?;
        let remote = || self.shared.remote.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *remote(), Remote { cluster });
        match self.members() {
            Ok(members) => Ok(members.unwrap_or_default()),
            Err(error) => {
                *remote() = before;
                Err(error)
            }
        }
    }

    /// What `~` stands for in locations.
    pub fn home(&self) -> Option<PathBuf> {
        self.places().home.clone()
    }

    /// Makes a name for a location, as `CREATE VIEW name AS SELECT * FROM 'location'` does.
    ///
    /// # Errors
    /// When the location cannot be read.
    pub fn register(&self, name: &str, location: &str) -> Result<()> {
        let location = crate::units::show_literal(location);
        let sql = format!("CREATE OR REPLACE VIEW \"{name}\" AS SELECT * FROM {location}");
        self.query(&sql).map(drop)
    }

    /// Makes a table of batches that share a schema.
    ///
    /// # Errors
    /// When they do not.
    pub fn register_batches(&self, name: &str, batches: Vec<RecordBatch>) -> Result<()> {
        let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        let table = MemTable::try_new(schema, vec![batches])?;
        self.register_table(name, Arc::new(table))
    }

    /// Makes a table of anything that DataFusion can scan.
    ///
    /// # Errors
    /// When a table of that name exists.
    pub fn register_table(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
        self.shared.context.register_table(TableReference::bare(name), table)?;
        Ok(())
    }

    /// Forgets a table that was registered; nothing happens if there is none of that name.
    pub fn deregister(&self, name: &str) {
        let _ = self.shared.context.deregister_table(TableReference::bare(name));
    }

    /// Adds a scalar function.
    pub fn register_udf(&self, function: ScalarUDF) {
        self.shared.has_own_functions.store(true, Ordering::Relaxed);
        self.shared.context.register_udf(function);
    }
}

/// The state of a new session: our rules, our functions, our defaults.
fn state(engine: &Inner) -> SessionState {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_target_partitions(engine.options.thread_count());
    if let Some(rows) = engine.options.batch_rows {
        config = config.with_batch_size(rows);
    }
    config = config.with_option_extension(Settings {
        reuse: engine.options.reuse,
        max_scan_bytes: engine.options.max_scan_bytes,
        ..Settings::default()
    });
    let options = config.options_mut();
    // Decimal literals are exact.
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    // What has a zone is an instant, also where none is named.
    options.execution.time_zone = Some(plan::types::UTC.to_string());
    // Files dealt by a partition key spare the exchange at any number of tasks.
    options.optimizer.subset_repartition_threshold = 1;
    // What a sort keeps back for merging what it spilled must leave it room to sort.
    let share = engine.options.memory_bytes() / (16 * engine.options.thread_count());
    let reserved = &mut options.execution.sort_spill_reservation_bytes;
    *reserved = share.min(*reserved);
    // Building a hash table alone takes less than sending both sides to where it is built by all.
    let shared_build = SHARED_BUILD_ROWS_MAX / engine.options.thread_count();
    options.optimizer.hash_join_single_partition_threshold_rows = shared_build;
    options.optimizer.hash_join_single_partition_threshold = shared_build * SHARED_BUILD_ROW_BYTES;
    // Keys of a short range are looked up by position (measured in benches/README.md).
    // The planner takes some columns of outer joins for free of NULLs, and would refuse its own plan.
    options.execution.skip_physical_aggregate_schema_check = true;
    options.execution.perfect_hash_join_small_build_threshold = 4_000_000;
    options.execution.perfect_hash_join_min_key_density = 0.04;
    options.explain.show_statistics = false;
    let purpose = if engine.options.plain_plans { Purpose::Plain } else { Purpose::Here };
    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::clone(&engine.environment))
        .with_default_features()
        .with_type_planner(Arc::new(plan::types::TypeNames))
        .with_analyzer_rules(plan::rules::analyzers())
        .with_optimizer_rules(plan::rules::logical(purpose))
        .with_physical_optimizer_rules(plan::rules::physical(purpose));
    // Before those that take all slices for slices of lists.
    let planners = builder.expr_planners().get_or_insert_default();
    planners.insert(0, Arc::new(plan::functions::texts::TextSlices));
    planners.insert(0, Arc::new(plan::functions::by_type::Operators));
    let mut context = SessionContext::new_with_state(builder.build());
    plan::functions::register(&mut context);
    context.state()
}

/// What identifies a location with its options from statement to statement.
pub(super) fn source_key(source: &Source) -> String {
    format!("{:?} {:?}", source.locations, source.options.format)
}
