//! Planning: from a parsed statement to a physical plan, with its datasets open.
//!
//! ```text
//! parameters -> bind (locations, views) -> open datasets -> spell names -> DataFusion -> Planned
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::{ScalarValue, SchemaError, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, ObjectType, Query, Statement as SqlStatement,
};
use futures::StreamExt;

use super::answer::AnswerKind;
use super::copy::Target;
use super::params::{self, Params};
use super::running::{Run, bounded};
use super::session::{Session, Statement, reads_stdin, source_key};
use super::settings::Settings;
use crate::dataset::table::{DatasetTable, FILE_ROW_NUMBER, FILENAME};
use crate::dataset::{Dataset, OpenRequest, check, inventory, sniffed};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::fragment;
use crate::exec::progress::Elsewhere;
use crate::exec::shared::SharedTable;
use crate::formats::csv::reject::OnError;
use crate::notes::{NoteKind, Notes};
use crate::plan;
use crate::plan::bind::{Purpose, Source};
use crate::plan::parse::ExplainView;
use crate::plan::sugar::Lookups;

/// What a statement came to before any row is out.
pub(super) struct Planned {
    pub(super) kind: AnswerKind,
    pub(super) schema: SchemaRef,
    /// What makes the rows; its columns take their names from `schema`.
    pub(super) plan: Option<Arc<dyn ExecutionPlan>>,
    pub(super) ready: Vec<RecordBatch>,
    /// Where the rows go, if they are not the answer.
    pub(super) target: Option<Target>,
}

impl Session {
    /// From the parsed statement to a physical plan.
    pub(super) async fn plan(
        &self,
        statement: &Statement,
        params: &Params,
        run: &mut Run,
    ) -> Result<Planned> {
        let mut parsed = match &statement.parsed {
            DfStatement::CreateExternalTable(table) => plan::external::as_view(table)?,
            parsed => parsed.clone(),
        };
        let (mut target, mut into) = (None, Vec::new());
        if let DfStatement::CopyTo(copy) = &parsed {
            let (found, query) = Target::of(copy, self.places())?;
            (target, parsed) = (Some(found), query);
        } else if let Some(insertion) = self.insertion(&parsed, run).await? {
            (target, into, parsed) = (Some(insertion.target), insertion.into, insertion.query);
        }
        let clock = run.clock.clone();
        let running = clock.run();
        let headers = headers(&parsed);
        self.expand_macros(&mut parsed)?;
        if let Some(done) = self.view_statement(&parsed)? {
            self.check_view(&parsed, run).await?;
            clock.check()?;
            done();
            return Ok(nothing());
        }
        if is_show_tables(&parsed) {
            return named(&["name"], vec![self.table_names()]);
        }
        params::bind(&mut parsed, params)?;
        run.sources = self.bind(&mut parsed)?;
        let tables = self.open(&parsed, run).await?;
        let columns = self.columns(&parsed, &tables).await;
        let hidden =
            tables.iter().map(|table| (table.name.clone(), table.hidden.clone())).collect();
        plan::names::spell(&mut parsed, columns.iter().map(String::as_str), &hidden);
        let _registered = Registered::new(&self.shared.context, tables)?;
        let state = self.shared.context.state();
        let columns_of = |query: Query| {
            let query = DfStatement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
            // The tables are open: nothing is waited for.
            let plan = pollster::block_on(state.statement_to_plan(query))?;
            Ok(plan.schema().fields().iter().map(|field| field.name().clone()).collect())
        };
        // Within a task, what waits here would never get a new share of its time.
        let values_of = |query: Query| {
            pollster::block_on(tokio::task::unconstrained(self.literals(query, run)))
        };
        let mut counts_rows = false;
        if let Some(sql) = plan::names::sql_of_mut(&mut parsed) {
            let is_aggregate = |name: &str| state.aggregate_functions().contains_key(name);
            let lookups =
                Lookups { columns: &columns_of, is_aggregate: &is_aggregate, values: &values_of };
            counts_rows = plan::sugar::rewrite(sql, lookups)?;
        }
        if statement.summarize {
            let query = parsed.to_string();
            let plan = state.statement_to_plan(parsed).await?;
            let about = plan::summarize::query(&query, plan.schema().as_arrow());
            parsed = plan::parse::parse(&about)?.remove(0).statement;
        }
        let headers = headers.filter(|_| !statement.summarize);
        if let DfStatement::Explain(explain) = &parsed
            && !explain.options.verbose
            && explain.options.format.is_none()
        {
            let inner = *explain.statement.clone();
            drop(running);
            return self.explain(inner, explain.options.analyze, statement.view, run).await;
        }
        let state = self.shared.context.state();
        let logical = match state.statement_to_plan(parsed.clone()).await {
            Err(error) if error.to_string().contains("have the same name") => {
                if let Some(sql) = plan::names::sql_of_mut(&mut parsed) {
                    plan::sugar::name_items(sql);
                }
                state.statement_to_plan(parsed).await
            }
            planned => planned,
        }?;
        clock.check()?;
        plan::refuse::check_plan(&logical)?;
        check_sample(&logical, run)?;
        if let LogicalPlan::DescribeTable(describe) = &logical {
            return described(&describe.schema);
        }
        if !is_query(&logical) {
            drop(running);
            clock.check()?;
            let frame = self.shared.context.execute_logical_plan(logical).await?;
            let (state, logical) = frame.into_parts();
            let physical = state.create_physical_plan(&logical).await?;
            return Ok(rows_or_nothing(physical));
        }
        let logical = match &target {
            Some(target) => target.shaped(logical, &into, headers.as_deref())?,
            None => logical,
        };
        // One task reads files in their order.
        let in_order = counts_rows || reads_only_a_head(&logical);
        let state = if in_order { one_task(state) } else { state };
        let physical = self.physical(state, &logical, run).await?;
        // Columns that were made for a folder have its names.
        let headers = headers.filter(|_| !target.as_ref().is_some_and(Target::has_columns));
        let schema = with_headers(&physical.schema(), headers);
        let plan = Some(physical);
        Ok(Planned { kind: AnswerKind::Rows, schema, plan, ready: Vec::new(), target })
    }

    /// From a query to what runs; with kept partial aggregates if the session asks for it.
    async fn physical(
        &self,
        state: SessionState,
        logical: &LogicalPlan,
        run: &Run,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut config = state.config().clone();
        let options = config.options_mut();
        options.optimizer.prefer_hash_join &= !run.sorts_joins;
        let is_on = options.extensions.get::<Settings>().is_some_and(|settings| settings.reuse)
            && !self.shared.has_own_functions.load(Ordering::Relaxed);
        let is_on = is_on && !run.remote.is_set();
        let fragments = self.shared.engine.options.fragments.as_ref().filter(|_| is_on);
        if is_on && fragments.is_none() {
            return Err(Error::usage(
                "swath.reuse is on, but there is no folder to keep anything in",
            )
            .hint("start with --reuse, or set XDG_CACHE_HOME; in a program: builder.reuse(dir)"));
        }
        // A filter that one task sets for another would change what a file gives.
        options.optimizer.enable_aggregate_dynamic_filter_pushdown &= fragments.is_none();
        options.optimizer.enable_topk_dynamic_filter_pushdown &= fragments.is_none();
        let time_zone = format!("{:?}", options.execution.time_zone);
        let paused = run.clock.pause();
        let state = run.remote.planning(reconfigured(state, config)).await?;
        drop(paused);
        let mut state = run.clock.watch(state);
        let mut logical = state.optimize(logical).map_err(not_decorrelated)?;
        let are_bounds = plan::rules::min_max::are_bounds(&logical)?;
        let joins_doubles = plan::rules::one_zero::joins_doubles(&logical)?;
        if !are_bounds || joins_doubles {
            let mut config = state.config().clone();
            let optimizer = &mut config.options_mut().optimizer;
            optimizer.enable_aggregate_dynamic_filter_pushdown &= are_bounds;
            optimizer.enable_join_dynamic_filter_pushdown &= !joins_doubles;
            state = reconfigured(state, config);
        }
        let is_here = fragments.is_none() && !run.remote.is_set();
        let is_own = is_here && !self.shared.engine.options.plain_plans;
        if is_own {
            let shared = with_shared_aggregates(&state, logical).await;
            logical = shared.map_err(not_decorrelated)?;
        }
        let mut physical = state.query_planner().create_physical_plan(&logical, &state).await;
        if physical.as_ref().is_err_and(is_unmet) {
            // Where rows cannot be dealt as its operators ask, one task has all of them.
            let state = one_task(state);
            physical = state.query_planner().create_physical_plan(&logical, &state).await;
        }
        let physical = physical.map_err(not_decorrelated)?;
        match fragments {
            Some(fragments) => Ok(fragment::reuse(physical, fragments, &time_zone, &run.notes)?),
            None if is_own => Ok(plan::rules::grouped(physical)?),
            None => Ok(physical),
        }
    }

    /// Runs a query on the open tables of a statement; the first column of its result as literals.
    async fn literals(&self, query: Query, run: &Run) -> Result<Vec<Expr>> {
        let query = DfStatement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
        let state = self.shared.context.state();
        let logical = state.statement_to_plan(query).await?;
        let physical = self.physical(state, &logical, run).await?;
        self.check_scan(&physical)?;
        // It is no part of planning, and may take long.
        let _paused = run.clock.pause();
        let work = async {
            let physical = run.remote.placed(physical, &run.notes, &Elsewhere::default()).await?;
            let mut batches = execute_stream(physical, self.shared.context.task_ctx())?;
            let mut values = Vec::new();
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                for row in 0..batch.num_rows() {
                    values.push(ScalarValue::try_from_array(batch.column(0), row)?);
                }
            }
            values.iter().map(plan::sugar::literal).collect()
        };
        bounded(work, &run.cancel, run.deadline).await
    }

    /// Puts what macros stand for in their place.
    pub(super) fn expand_macros(&self, parsed: &mut DfStatement) -> Result<()> {
        let Some(sql) = plan::names::sql_of_mut(parsed) else { return Ok(()) };
        // What a macro names is looked up when it is called.
        if matches!(sql, SqlStatement::CreateMacro { .. } | SqlStatement::CreateFunction(_)) {
            return Ok(());
        }
        let macros = self.shared.macros.lock().unwrap_or_else(PoisonError::into_inner).clone();
        plan::macros::expand(sql, &macros)
    }

    /// The query of a view, by lower-case name.
    pub(super) fn view(&self, name: &str) -> Option<Query> {
        self.shared.views.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Replaces the locations in a statement by tables, and views by their queries.
    pub(super) fn bind(&self, parsed: &mut DfStatement) -> Result<Vec<Source>> {
        let shared = &self.shared;
        plan::bind::bind(
            parsed,
            plan::bind::Context {
                table_exists: &|name| {
                    shared.context.table_exist(TableReference::bare(name)).unwrap_or(false)
                },
                view: &|name| self.view(name),
                defaults: &shared.engine.options.csv_options,
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
        // What is kept for later statements, cannot be tried twice, or joins by all columns of a name.
        let is_kept = matches!(parsed, DfStatement::Statement(statement)
            if matches!(statement.as_ref(), SqlStatement::Prepare { .. }));
        if is_kept || reads_stdin(&run.sources) || parsed.to_string().contains(" NATURAL ") {
            run.seen.see_all();
        }
        let mentioned = plan::names::mentioned(parsed);
        let mut tables = Vec::with_capacity(run.sources.len());
        for source in &run.sources {
            let table = self.open_one(&mentioned, source, &spelling, run).await?;
            for field in table.provider.schema().fields() {
                spelling.entry(field.name().to_lowercase()).or_insert_with(|| field.name().clone());
            }
            tables.push(table);
        }
        Ok(tables)
    }

    pub(super) async fn open_one(
        &self,
        mentioned: &HashSet<String>,
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
            if !*wanted && mentioned.contains(name) {
                *wanted = true;
                hidden.push(name.to_string());
            }
        }
        let shared = Arc::clone(&self.shared);
        // What is found out about files is the answer, not something to note beside it.
        let notes = match source.purpose {
            Purpose::Read | Purpose::Rejects => run.notes.clone(),
            _ => Notes::default(),
        };
        if matches!(source.purpose, Purpose::Rejects | Purpose::Check) {
            source.options.format.csv.on_error = OnError::Reject;
        }
        // Who asks about files means all of them.
        let mentioned = match source.purpose {
            Purpose::Read => mentioned.clone(),
            _ => HashSet::new(),
        };
        let (spelling, in_flight, seen) =
            (spelling.clone(), run.in_flight.clone(), run.seen.clone());
        let paused = run.clock.pause();
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
                mentioned: &mentioned,
                seen: &seen,
                layouts: &shared.layouts,
                cache: shared.engine.options.cache.as_ref(),
                thread_count: shared.engine.options.thread_count(),
                notes: &notes,
                in_flight: &in_flight,
            })?;
            let thread_count = shared.engine.options.thread_count();
            let table = about_files(source.purpose, &dataset, thread_count)?;
            Ok::<_, Error>((source.table, dataset, table))
        });
        let (name, dataset, table) = opened.await.map_err(|error| {
            Error::new(ErrorKind::Internal, format!("a reader died: {error}"))
        })??;
        drop(paused);
        // A column of that name in the files is theirs.
        hidden.retain(|name| {
            !dataset.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name))
        });
        let provider: Arc<dyn TableProvider> = match table {
            None => Arc::new(DatasetTable::new(Arc::new(dataset))),
            Some(batch) => Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?),
        };
        Ok(OpenTable { name, provider, hidden })
    }

    /// The columns of all tables that a statement names.
    async fn columns(&self, parsed: &DfStatement, opened: &[OpenTable]) -> Vec<String> {
        let mut columns: Vec<String> = opened
            .iter()
            .flat_map(|table| {
                let schema = table.provider.schema();
                schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
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

    async fn explain(
        &self,
        statement: DfStatement,
        analyze: bool,
        view: ExplainView,
        run: &Run,
    ) -> Result<Planned> {
        let running = run.clock.run();
        let state = self.shared.context.state();
        let logical = state.statement_to_plan(statement).await?;
        plan::refuse::check_plan(&logical)?;
        check_sample(&logical, run)?;
        let physical = self.physical(state, &logical, run).await?;
        drop(running);
        if analyze {
            self.check_scan(&physical)?;
            let mut batches =
                execute_stream(Arc::clone(&physical), self.shared.context.task_ctx())?;
            while let Some(batch) = batches.next().await {
                batch?;
            }
        }
        if analyze && run.remote.is_set() {
            let message = "ran here, not on the cluster: what EXPLAIN ANALYZE measures";
            run.notes.add(NoteKind::RanHere, message);
        }
        let options = self.shared.context.copied_config();
        let there = match analyze {
            true => None,
            false => run.remote.stages(&physical, options.options())?,
        };
        let stages = || there.clone().unwrap_or_else(|| plan::stage::split(&physical, analyze));
        let text = match view {
            ExplainView::Tree if !analyze => plan::explain::draw(&physical),
            ExplainView::Tree | ExplainView::Stages => plan::stage::draw(&stages()),
            ExplainView::Json => serde_json::to_string_pretty(&stages())
                .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?,
        };
        let lines = text.lines().map(str::to_string).collect();
        Ok(Planned { kind: AnswerKind::Text, ..named(&["plan"], vec![lines])? })
    }

    /// CREATE VIEW and DROP VIEW are ours: a view opens its locations anew each time.
    fn view_statement(&self, parsed: &DfStatement) -> Result<Option<Box<dyn FnOnce() + Send>>> {
        let DfStatement::Statement(statement) = parsed else { return Ok(None) };
        let shared = Arc::clone(&self.shared);
        let views = move || shared.views.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let shared = Arc::clone(&self.shared);
        // An external table is one.
        let is_view = |name: &ObjectName| views().contains_key(&name.to_string().to_lowercase());
        if let Some((key, made)) = plan::macros::of_statement(statement) {
            let replaces = matches!(
                statement.as_ref(),
                SqlStatement::CreateMacro { or_replace: true, .. }
            ) || matches!(statement.as_ref(), SqlStatement::CreateFunction(made) if made.or_replace);
            let macros = shared.macros.lock().unwrap_or_else(PoisonError::into_inner);
            if macros.contains_key(&key) && !replaces {
                return Err(Error::sql(format!("a macro named {} exists", key.0))
                    .hint("CREATE OR REPLACE MACRO"));
            }
            drop(macros);
            return Ok(Some(Box::new(move || {
                shared.macros.lock().unwrap_or_else(PoisonError::into_inner).insert(key, made);
            })));
        }
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
                if view.materialized {
                    return Err(Error::sql("CREATE MATERIALIZED VIEW is not supported")
                        .hint(format!("CREATE TABLE {name} AS SELECT ...")));
                }
                let query = plan::sugar::view_query(view)?;
                Ok(Some(Box::new(move || {
                    shared.views.lock().unwrap_or_else(PoisonError::into_inner).insert(name, query);
                })))
            }
            SqlStatement::Drop { object_type, if_exists, names, .. }
                if *object_type == ObjectType::View
                    || *object_type == ObjectType::Table && names.iter().all(is_view) =>
            {
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
            SqlStatement::DropFunction(drop) => {
                let names: Vec<String> = drop
                    .func_desc
                    .iter()
                    .map(|made| made.name.to_string().to_lowercase())
                    .collect();
                let is_ours = {
                    let macros = shared.macros.lock().unwrap_or_else(PoisonError::into_inner);
                    names.iter().all(|name| macros.keys().any(|(known, _)| known == name))
                };
                Ok(is_ours.then(|| -> Box<dyn FnOnce() + Send> {
                    Box::new(move || {
                        let mut macros =
                            shared.macros.lock().unwrap_or_else(PoisonError::into_inner);
                        macros.retain(|(name, _), _| !names.contains(name));
                    })
                }))
            }
            _ => Ok(None),
        }
    }

    /// A view must be plannable when it is made.
    async fn check_view(&self, view: &DfStatement, run: &mut Run) -> Result<()> {
        let DfStatement::Statement(parsed) = view else { return Ok(()) };
        let SqlStatement::CreateView(view) = parsed.as_ref() else { return Ok(()) };
        let query = SqlStatement::Query(Box::new(plan::sugar::view_query(view)?));
        let parsed = DfStatement::Statement(Box::new(query));
        let text = Arc::from("");
        let inner = Statement { parsed, view: ExplainView::default(), summarize: false, text };
        Box::pin(self.plan(&inner, &Params::new(), run)).await.map(drop)
    }
}

/// The table of a function that is about files and not their rows.
fn about_files(
    purpose: Purpose,
    dataset: &Dataset,
    thread_count: usize,
) -> Result<Option<RecordBatch>, DataFusionError> {
    Ok(Some(match purpose {
        Purpose::Read => return Ok(None),
        Purpose::Sniff => sniffed::sniffed(dataset)?,
        Purpose::Rejects => check::rejects_table(&check::pass(dataset, thread_count))?,
        Purpose::Check => check::findings_table(dataset, &check::pass(dataset, thread_count))?,
        Purpose::Files => inventory::files_table(dataset)?,
        Purpose::Partitions => inventory::partitions_table(dataset)?,
        Purpose::Parquet => inventory::parquet_table(dataset)?,
    }))
}

/// A table that is open for one statement.
pub(super) struct OpenTable {
    name: String,
    pub(super) provider: Arc<dyn TableProvider>,
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
            context.register_table(TableReference::bare(table.name.clone()), table.provider)?;
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

/// Names are resolved when there is a plan: an error about one comes from a subquery that could not
/// be made a join.
fn not_decorrelated(error: DataFusionError) -> Error {
    let is_about_subquery = match error.find_root() {
        DataFusionError::SchemaError(schema, _) => {
            matches!(schema.as_ref(), SchemaError::FieldNotFound { .. })
        }
        root => root.to_string().contains("Physical plan does not support logical expression"),
    };
    if !is_about_subquery {
        return error.into();
    }
    Error::sql(
        "a subquery that uses columns of the query around it in this way is not supported yet",
    )
    .hint("join with it instead: SELECT t.id, count(u.id) FROM t LEFT JOIN u ON ... GROUP BY t.id")
}

/// Whether DataFusion made a plan in which an operator does not get its rows as it needs them: DataFusion 55
/// loses sight of how rows were dealt where a key turns out to be constant.
fn is_unmet(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::Plan(message)
        if message.contains("does not satisfy distribution requirements"))
}

/// Asks for all files where a name that a sample lacks may mean something else, and where nothing is read
/// that would ask.
fn check_sample(plan: &LogicalPlan, run: &Run) -> Result<()> {
    let needs_all = run.seen.is_partial()
        && (matches!(plan, LogicalPlan::DescribeTable(_)) || plan::names::looks_outside(plan)?);
    if needs_all { Err(run.seen.ask_for_all()) } else { Ok(()) }
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

fn one_task(state: SessionState) -> SessionState {
    let config = state.config().clone().with_target_partitions(1);
    reconfigured(state, config)
}

/// The same state for one statement under another configuration.
fn reconfigured(state: SessionState, config: SessionConfig) -> SessionState {
    // A new default catalog would take the place of the one that all states share.
    let config = config.with_create_default_catalog_and_schema(false);
    SessionStateBuilder::new_from_existing(state).with_config(config).build()
}

/// An optimised plan in which each aggregate that it uses more than once is computed once.
async fn with_shared_aggregates(
    state: &SessionState,
    mut logical: LogicalPlan,
) -> datafusion::error::Result<LogicalPlan> {
    let repeated = plan::shared::repeated(&logical)?;
    for (idx, aggregate) in repeated.iter().enumerate() {
        let inner = state.query_planner().create_physical_plan(aggregate, state).await?;
        let inner = plan::rules::grouped(inner)?;
        let table = Arc::new(SharedTable::new(idx + 1, inner));
        logical = plan::shared::replaced(logical, aggregate, table)?;
    }
    if repeated.is_empty() { Ok(logical) } else { state.optimize(&logical) }
}

/// DESCRIBE: names and types as SQL writes them.
fn described(schema: &Schema) -> Result<Planned> {
    let fields = schema.fields();
    let names = fields.iter().map(|field| field.name().clone()).collect();
    let types =
        fields.iter().map(|field| crate::sql_type::sql_type_name(field.data_type())).collect();
    named(&["column_name", "column_type"], vec![names, types])
}

/// SHOW TABLES lists what the user made, views included.
fn is_show_tables(parsed: &DfStatement) -> bool {
    matches!(parsed, DfStatement::Statement(statement)
        if matches!(statement.as_ref(), SqlStatement::ShowTables { .. }))
}

/// Columns of text under these names.
fn named(names: &[&str], columns: Vec<Vec<String>>) -> Result<Planned> {
    let fields: Vec<Field> =
        names.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays: Vec<ArrayRef> =
        columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    let ready = vec![batch];
    Ok(Planned { kind: AnswerKind::Rows, schema, plan: None, ready, target: None })
}

fn nothing() -> Planned {
    Planned {
        kind: AnswerKind::Done,
        schema: Arc::new(Schema::empty()),
        plan: None,
        ready: Vec::new(),
        target: None,
    }
}

fn rows_or_nothing(physical: Arc<dyn ExecutionPlan>) -> Planned {
    let schema = physical.schema();
    let kind = if schema.fields().is_empty() { AnswerKind::Done } else { AnswerKind::Rows };
    Planned { kind, schema, plan: Some(physical), ready: Vec::new(), target: None }
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
