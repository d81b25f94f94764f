//! A session: the path of a statement on one screen.
//!
//! ```text
//! parse -> refuse -> parameters -> bind -> open datasets -> spell -> plan -> optimise -> run
//!    ^                                                                                |
//!    +-------- a value did not fit the type guessed for its column: read it wider ----+
//! ```

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::TableReference;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{ObjectType, Query, Statement as SqlStatement};
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer::{Answer, AnswerKind, AnswerStream, CancelHandle, Message};
use super::engine::Inner;
use super::params::{self, Params};
use crate::dataset::schema::Misfits;
use crate::dataset::table::{DatasetTable, FILE_ROW_NUMBER, FILENAME};
use crate::dataset::{Dataset, LayoutCache, OpenRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::parquet::InFlight;
use crate::notes::{NoteKind, Notes};
use crate::plan;
use crate::plan::bind::Source;

/// Batches that may wait for a slow reader.
const BATCHES_WAITING_MAX: usize = 4;
/// How often a statement is run again because a guessed type was too narrow.
const WIDENINGS_MAX: usize = 200;

/// Tables, views and settings that last from statement to statement. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<Inner>,
    context: SessionContext,
    /// Views by lower-case name: their locations are opened anew by each statement.
    views: Mutex<BTreeMap<String, Query>>,
    layouts: LayoutCache,
    /// What did not fit, by location: guessed types stay wide once they had to be.
    misfits: Mutex<HashMap<String, Misfits>>,
    next_id: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

/// One parsed statement.
#[derive(Debug, Clone)]
pub struct Statement {
    parsed: DfStatement,
}

impl std::fmt::Display for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.parsed)
    }
}

/// What a statement came to before any row is out.
struct Planned {
    kind: AnswerKind,
    schema: SchemaRef,
    /// Renames the columns of the plan's batches.
    plan: Option<Arc<dyn ExecutionPlan>>,
    ready: Vec<RecordBatch>,
}

impl Session {
    pub(super) fn new(engine: Arc<Inner>) -> Self {
        let context = SessionContext::new_with_state(state(&engine));
        Session {
            shared: Arc::new(Shared {
                engine,
                context,
                views: Mutex::default(),
                layouts: LayoutCache::default(),
                misfits: Mutex::default(),
                next_id: AtomicU64::new(1),
            }),
        }
    }

    /// Reads all statements of a text.
    ///
    /// # Errors
    /// When the text is not SQL, or uses a clause that is not supported.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>> {
        let statements = plan::parse::parse(sql)?;
        for statement in &statements {
            plan::refuse::check(statement)?;
        }
        Ok(statements.into_iter().map(|parsed| Statement { parsed }).collect())
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
        self.query_stream(sql, params, &CancelHandle::default())?.collect_all()
    }

    /// Runs all statements but the last to their end and streams the last one's answer.
    ///
    /// # Errors
    /// When a statement fails before its first row; later errors come out of the stream.
    pub fn query_stream(
        &self,
        sql: &str,
        params: &Params,
        cancel: &CancelHandle,
    ) -> Result<AnswerStream> {
        pollster::block_on(self.query_stream_async(sql, params, cancel))
    }

    /// [`Session::query_with`] for async code.
    ///
    /// # Errors
    /// As [`Session::query_with`].
    pub async fn query_async(&self, sql: &str, params: &Params) -> Result<Answer> {
        self.query_stream_async(sql, params, &CancelHandle::default()).await?.collect_async().await
    }

    /// [`Session::query_stream`] for async code.
    ///
    /// # Errors
    /// As [`Session::query_stream`].
    pub async fn query_stream_async(
        &self,
        sql: &str,
        params: &Params,
        cancel: &CancelHandle,
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
        cancel: &CancelHandle,
    ) -> Result<AnswerStream> {
        pollster::block_on(self.start(statement.clone(), params.clone(), cancel.clone()))
    }

    /// Starts one statement; returns once its first rows are there, or its error.
    ///
    /// # Errors
    /// When it cannot be planned, or fails before its first row.
    pub async fn start(
        &self,
        statement: Statement,
        params: Params,
        cancel: CancelHandle,
    ) -> Result<AnswerStream> {
        let session = self.clone();
        let work = async move { session.until_first_rows(statement, &params, cancel).await };
        self.shared.engine.spawn(guarded(work)).await??
    }

    async fn until_first_rows(
        self,
        statement: Statement,
        params: &Params,
        cancel: CancelHandle,
    ) -> Result<AnswerStream> {
        let timeout = self.shared.engine.options.timeout;
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut widened: Vec<String> = Vec::new();
        loop {
            let notes = Notes::default();
            for note in &widened {
                notes.add(NoteKind::Widened, note.clone());
            }
            let mut run = Run { notes, cancel: cancel.clone(), deadline, ..Run::default() };
            let bounds = (run.cancel.clone(), run.deadline);
            let attempt = guarded(self.attempt(&statement, params, &mut run));
            let error = match bounded(attempt, &bounds.0, bounds.1).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) | Err(error) => error,
            };
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
        if source.locations.iter().any(|location| location == "stdin") {
            return None;
        }
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

    async fn attempt(
        &self,
        statement: &Statement,
        params: &Params,
        run: &mut Run,
    ) -> Result<AnswerStream> {
        let planned = self.plan(statement, params, run).await?;
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
        let context = self.shared.context.task_ctx();
        let schema = Arc::clone(&planned.schema);
        let mut batches = execute_stream(physical, context)?.map(move |batch| {
            let batch = batch.map_err(Error::from)?;
            relabel(&batch, &schema)
        });
        // Errors that can still be cured come before the first row.
        let first = batches.next().await.transpose()?;
        let pump = pump(first, batches, sender, run.clone());
        drop(self.shared.engine.spawn(pump));
        Ok(answer(planned.schema, planned.kind))
    }

    /// From the parsed statement to a physical plan.
    async fn plan(&self, statement: &Statement, params: &Params, run: &mut Run) -> Result<Planned> {
        let mut parsed = statement.parsed.clone();
        if let Some(done) = self.view_statement(&parsed)? {
            self.check_view(statement, run).await?;
            done();
            return Ok(nothing());
        }
        let headers = headers(&parsed);
        params::bind(&mut parsed, params)?;
        run.sources = self.bind(&mut parsed)?;
        let tables = self.open(&parsed, run).await?;
        let columns = self.columns(&parsed, &tables).await;
        let hidden =
            tables.iter().map(|table| (table.name.clone(), table.hidden.clone())).collect();
        plan::names::spell(&mut parsed, columns.iter().map(String::as_str), &hidden);
        let _registered = Registered::new(&self.shared.context, tables)?;
        if let DfStatement::Explain(explain) = &parsed
            && !explain.options.verbose
            && explain.options.format.is_none()
        {
            return self.explain(*explain.statement.clone(), explain.options.analyze).await;
        }
        let state = self.shared.context.state();
        let logical = state.statement_to_plan(parsed).await?;
        if let LogicalPlan::DescribeTable(describe) = &logical {
            return described(&describe.schema);
        }
        if !is_query(&logical) {
            let frame = self.shared.context.execute_logical_plan(logical).await?;
            let (state, logical) = frame.into_parts();
            let physical = state.create_physical_plan(&logical).await?;
            return Ok(rows_or_nothing(physical));
        }
        let state = if reads_only_a_head(&logical) { one_task(state) } else { state };
        let physical = state.create_physical_plan(&logical).await?;
        let schema = with_headers(&physical.schema(), headers);
        Ok(Planned { kind: AnswerKind::Rows, schema, plan: Some(physical), ready: Vec::new() })
    }

    /// Replaces the locations in a statement by tables, and views by their queries.
    fn bind(&self, parsed: &mut DfStatement) -> Result<Vec<Source>> {
        let shared = &self.shared;
        plan::bind::bind(
            parsed,
            plan::bind::Context {
                table_exists: &|name| {
                    shared.context.table_exist(TableReference::bare(name)).unwrap_or(false)
                },
                view: &|name| {
                    let views = shared.views.lock().unwrap_or_else(PoisonError::into_inner);
                    views.get(name).cloned()
                },
                parse_type: &|text| self.parse_type(text),
                next_id: &mut || shared.next_id.fetch_add(1, Ordering::Relaxed),
            },
        )
    }

    /// Reads a type's name as SQL does.
    fn parse_type(&self, text: &str) -> Result<DataType> {
        let unknown = || {
            Error::sql(format!("no type named {text}"))
                .hint("for example BIGINT, DOUBLE, DECIMAL(10,2), VARCHAR, DATE, TIMESTAMP")
        };
        let state = self.shared.context.state();
        let schema = datafusion::common::DFSchema::empty();
        let cast = state
            .create_logical_expr(&format!("CAST(NULL AS {text})"), &schema)
            .map_err(|_| unknown())?;
        use datafusion::logical_expr::ExprSchemable;
        cast.get_type(&schema)
            .map(|data_type| crate::formats::parquet::viewed(&data_type))
            .map_err(|_| unknown())
    }

    /// Opens the datasets of a statement.
    async fn open(&self, parsed: &DfStatement, run: &Run) -> Result<Vec<OpenTable>> {
        // Columns that other tables spell in their own way keep that spelling.
        let mut spelling: HashMap<String, String> = self
            .columns(parsed, &[])
            .await
            .into_iter()
            .map(|column| (column.to_lowercase(), column))
            .collect();
        let mut tables = Vec::with_capacity(run.sources.len());
        for source in &run.sources {
            let table = self.open_one(parsed, source, &spelling, run).await?;
            for field in table.dataset.schema.fields() {
                spelling.entry(field.name().to_lowercase()).or_insert_with(|| field.name().clone());
            }
            tables.push(table);
        }
        Ok(tables)
    }

    async fn open_one(
        &self,
        parsed: &DfStatement,
        source: &Source,
        spelling: &HashMap<String, String>,
        run: &Run,
    ) -> Result<OpenTable> {
        let mut source = source.clone();
        let mut hidden = Vec::new();
        let options = &mut source.options;
        for (name, wanted) in
            [(FILENAME, &mut options.filename), (FILE_ROW_NUMBER, &mut options.file_row_number)]
        {
            if !*wanted && plan::names::mentions(parsed, name) {
                *wanted = true;
                hidden.push(name.to_string());
            }
        }
        let (shared, notes) = (Arc::clone(&self.shared), run.notes.clone());
        let (spelling, in_flight) = (spelling.clone(), run.in_flight.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let misfits = {
                let known = shared.misfits.lock().unwrap_or_else(PoisonError::into_inner);
                known.get(&source_key(&source)).cloned().unwrap_or_default()
            };
            let dataset = Dataset::open(OpenRequest {
                id: source.id,
                locations: &source.locations,
                options: source.options.clone(),
                places: &shared.engine.options.places,
                misfits: &misfits,
                spelling: &spelling,
                cache: &shared.layouts,
                thread_count: shared.engine.options.thread_count(),
                notes: &notes,
                in_flight: &in_flight,
            })?;
            Ok::<_, Error>((source.table, dataset))
        });
        let (name, dataset) = opened.await.map_err(|error| {
            Error::new(ErrorKind::Internal, format!("a reader died: {error}"))
        })??;
        // A column of that name in the files is theirs.
        hidden.retain(|name| !dataset.columns.iter().any(|column| column.name == *name));
        Ok(OpenTable { name, dataset: Arc::new(dataset), hidden })
    }

    /// The columns of all tables that a statement names.
    async fn columns(&self, parsed: &DfStatement, opened: &[OpenTable]) -> Vec<String> {
        let mut columns: Vec<String> = opened
            .iter()
            .flat_map(|table| {
                table.dataset.schema.fields().iter().map(|field| field.name().clone())
            })
            .collect();
        let state = self.shared.context.state();
        for reference in state.resolve_table_references(parsed).unwrap_or_default() {
            if let Ok(table) = self.shared.context.table_provider(reference).await {
                columns.extend(table.schema().fields().iter().map(|field| field.name().clone()));
            }
        }
        columns
    }

    async fn explain(&self, statement: DfStatement, analyze: bool) -> Result<Planned> {
        let state = self.shared.context.state();
        let logical = state.statement_to_plan(statement).await?;
        let physical = state.create_physical_plan(&logical).await?;
        if analyze {
            let mut batches =
                execute_stream(Arc::clone(&physical), self.shared.context.task_ctx())?;
            while let Some(batch) = batches.next().await {
                batch?;
            }
        }
        let text = plan::explain::draw(&physical, analyze);
        let lines = StringArray::from(text.lines().collect::<Vec<_>>());
        let schema = Arc::new(Schema::new(vec![Field::new("plan", DataType::Utf8, false)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(lines)])
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        Ok(Planned { kind: AnswerKind::Text, schema, plan: None, ready: vec![batch] })
    }

    /// CREATE VIEW and DROP VIEW are ours: a view opens its locations anew each time.
    fn view_statement(&self, parsed: &DfStatement) -> Result<Option<Box<dyn FnOnce() + Send>>> {
        let DfStatement::Statement(statement) = parsed else { return Ok(None) };
        let shared = Arc::clone(&self.shared);
        let views = move || shared.views.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let shared = Arc::clone(&self.shared);
        match statement.as_ref() {
            SqlStatement::CreateView(view) => {
                let name = view.name.to_string().trim_matches('"').to_lowercase();
                if views().contains_key(&name) && !view.or_replace && !view.if_not_exists {
                    return Err(Error::sql(format!("a view named {name} exists"))
                        .hint(format!("CREATE OR REPLACE VIEW {name} AS ...")));
                }
                if view.if_not_exists && views().contains_key(&name) {
                    return Ok(Some(Box::new(|| {})));
                }
                if view.materialized || !view.columns.is_empty() {
                    return Err(Error::sql("only CREATE VIEW name AS SELECT ... is supported"));
                }
                let query = (*view.query).clone();
                Ok(Some(Box::new(move || {
                    shared.views.lock().unwrap_or_else(PoisonError::into_inner).insert(name, query);
                })))
            }
            SqlStatement::Drop { object_type: ObjectType::View, if_exists, names, .. } => {
                let names: Vec<String> =
                    names.iter().map(|name| name.to_string().to_lowercase()).collect();
                if let Some(missing) = names.iter().find(|name| !views().contains_key(*name))
                    && !if_exists
                {
                    return Err(Error::sql(format!("no view named {missing}")));
                }
                Ok(Some(Box::new(move || {
                    let mut views = shared.views.lock().unwrap_or_else(PoisonError::into_inner);
                    views.retain(|name, _| !names.contains(name));
                })))
            }
            _ => Ok(None),
        }
    }

    /// A view must be plannable when it is made.
    async fn check_view(&self, statement: &Statement, run: &mut Run) -> Result<()> {
        let DfStatement::Statement(parsed) = &statement.parsed else { return Ok(()) };
        let SqlStatement::CreateView(view) = parsed.as_ref() else { return Ok(()) };
        let query = SqlStatement::Query(view.query.clone());
        let inner = Statement { parsed: DfStatement::Statement(Box::new(query)) };
        Box::pin(self.plan(&inner, &Params::new(), run)).await.map(drop)
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

    /// Makes a name for a location, as `CREATE VIEW name AS SELECT * FROM 'location'` does.
    ///
    /// # Errors
    /// When the location cannot be read.
    pub fn register(&self, name: &str, location: &str) -> Result<()> {
        let location = location.replace('\'', "''");
        let sql = format!("CREATE OR REPLACE VIEW \"{name}\" AS SELECT * FROM '{location}'");
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

    /// Adds a scalar function.
    pub fn register_udf(&self, function: ScalarUDF) {
        self.shared.context.register_udf(function);
    }
}

/// What goes with one attempt to run a statement.
#[derive(Debug, Clone, Default)]
struct Run {
    notes: Notes,
    cancel: CancelHandle,
    deadline: Option<Instant>,
    sources: Vec<Source>,
    in_flight: InFlight,
}

impl Run {
    /// Gives an error of a decoder, which comes without a name, the file that it came from.
    async fn located(&self, error: Error) -> Error {
        let nameless = matches!(error.kind(), ErrorKind::Data | ErrorKind::Internal)
            && error.place().is_none();
        if !nameless {
            return error;
        }
        let in_flight = self.in_flight.clone();
        let diagnosis = tokio::task::spawn_blocking(move || in_flight.diagnose()).await;
        diagnosis.ok().flatten().unwrap_or(error)
    }
}

/// Hands batches on until the stream ends, its reader is gone, or it has to stop.
async fn pump(
    first: Option<RecordBatch>,
    mut batches: impl futures::Stream<Item = Result<RecordBatch>> + Unpin,
    sender: mpsc::Sender<Message>,
    run: Run,
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
    let _ = sender.send(message).await;
}

/// A dataset that is open for one statement.
struct OpenTable {
    name: String,
    dataset: Arc<Dataset>,
    /// Columns that exist only because the statement mentions them.
    hidden: Vec<String>,
}

/// Tables of one statement in the catalog; dropped with it.
struct Registered<'a> {
    context: &'a SessionContext,
    names: Vec<String>,
}

impl<'a> Registered<'a> {
    fn new(context: &'a SessionContext, tables: Vec<OpenTable>) -> Result<Self> {
        let mut registered = Registered { context, names: Vec::new() };
        for table in tables {
            let provider = Arc::new(DatasetTable::new(table.dataset));
            context.register_table(TableReference::bare(table.name.clone()), provider)?;
            registered.names.push(table.name);
        }
        Ok(registered)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = self.context.deregister_table(TableReference::bare(name.clone()));
        }
    }
}

fn source_key(source: &Source) -> String {
    format!("{:?} {:?}", source.locations, source.options.format)
}

/// The state of a new session: our rules, our functions, our defaults.
fn state(engine: &Inner) -> datafusion::execution::SessionState {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_target_partitions(engine.options.thread_count());
    if let Some(rows) = engine.options.batch_rows {
        config = config.with_batch_size(rows);
    }
    let options = config.options_mut();
    // Decimal literals are exact.
    options.sql_parser.parse_float_as_decimal = true;
    // Files dealt by a partition key spare the exchange at any number of tasks.
    options.optimizer.subset_repartition_threshold = 1;
    options.explain.show_statistics = false;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::clone(&engine.environment))
        .with_default_features()
        .with_analyzer_rule(Arc::new(plan::rules::checked_arithmetic::CheckedArithmetic))
        .with_physical_optimizer_rules(physical_rules())
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_udaf(plan::functions::sum::sum());
    context.state()
}

/// DataFusion's rules with ours before exchanges are put in.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let position = rules.iter().position(|rule| rule.name() == "EnforceDistribution").unwrap_or(0);
    rules.insert(position, Arc::new(plan::rules::partition_keys::PartitionKeys));
    rules
}

/// Turns a panic below into an error of the statement.
async fn guarded<T>(work: impl Future<Output = T>) -> Result<T> {
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

/// Runs work until it ends, the user stops it, or its time is up.
async fn bounded<T>(
    work: impl Future<Output = Result<T>>,
    cancel: &CancelHandle,
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
        () = cancel.cancelled() => Err(Error::new(ErrorKind::Interrupted, "interrupted")),
        () = time_is_up => Err(Error::new(ErrorKind::Limit, "the time limit is reached")
            .hint("give it more with --timeout 5m")),
        result = work => result,
    }
}

fn is_query(plan: &LogicalPlan) -> bool {
    !matches!(
        plan,
        LogicalPlan::Ddl(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Copy(_)
    )
}

/// `SELECT * FROM t LIMIT n`: rows in the order of the files, from as few files as it takes.
fn reads_only_a_head(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Limit(limit) = plan else { return false };
    let mut node = limit.input.as_ref();
    loop {
        node = match node {
            LogicalPlan::Projection(projection) => projection.input.as_ref(),
            LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
            LogicalPlan::TableScan(_) => return true,
            _ => return false,
        };
    }
}

fn one_task(state: datafusion::execution::SessionState) -> datafusion::execution::SessionState {
    let config = state.config().clone().with_target_partitions(1);
    SessionStateBuilder::new_from_existing(state).with_config(config).build()
}

/// DESCRIBE: names and types as SQL writes them.
fn described(schema: &Schema) -> Result<Planned> {
    let fields = schema.fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let types: Vec<String> =
        fields.iter().map(|field| crate::sql_type::sql_type_name(field.data_type())).collect();
    let columns = ["column_name", "column_type"];
    let schema =
        Arc::new(Schema::new(columns.map(|name| Field::new(name, DataType::Utf8, false)).to_vec()));
    let arrays: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(names)), Arc::new(StringArray::from(types))];
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    Ok(Planned { kind: AnswerKind::Rows, schema, plan: None, ready: vec![batch] })
}

fn nothing() -> Planned {
    Planned {
        kind: AnswerKind::Done,
        schema: Arc::new(Schema::empty()),
        plan: None,
        ready: Vec::new(),
    }
}

fn rows_or_nothing(physical: Arc<dyn ExecutionPlan>) -> Planned {
    let schema = physical.schema();
    let kind = if schema.fields().is_empty() { AnswerKind::Done } else { AnswerKind::Rows };
    Planned { kind, schema, plan: Some(physical), ready: Vec::new() }
}

/// The headers as the user wrote them, for a query at the top.
fn headers(parsed: &DfStatement) -> Option<Vec<Option<String>>> {
    let DfStatement::Statement(statement) = parsed else { return None };
    match statement.as_ref() {
        SqlStatement::Query(query) => plan::parse::written_headers(query),
        _ => None,
    }
}

fn with_headers(schema: &SchemaRef, headers: Option<Vec<Option<String>>>) -> SchemaRef {
    match headers {
        Some(headers) if headers.len() == schema.fields().len() => {
            let fields: Vec<Field> = schema
                .fields()
                .iter()
                .zip(headers)
                .map(|(field, header)| match header {
                    Some(header) => field.as_ref().clone().with_name(header),
                    None => field.as_ref().clone(),
                })
                .collect();
            Arc::new(Schema::new(fields))
        }
        _ => Arc::clone(schema),
    }
}

/// The same columns under the answer's schema.
fn relabel(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let options =
        datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}
