//! Fragments: the partial aggregate of one file depends on that file alone, so it is kept.
//!
//! ```text
//! Aggregate (final) <- exchange <- Aggregate (partial) <- filter, project <- scan of N files
//!   becomes
//! Aggregate (final) <- exchange <- Reuse: for each file, the states that were kept,
//!                                         or the partial aggregate of just that file
//! ```
//!
//! The key of a state names the file's state, how it is read, and each expression of the fragment;
//! conjuncts that hold for the whole file are left out of it, so that a window that moves still
//! finds the files inside it. (As in Presto's fragment result cache, presto#15155.)
//!
//! Invariant: an answer is the same with and without. Only functions are kept that are known to give
//! one state for one input; nothing is kept of a file that gave a note, changed too shortly before,
//! or whose states are too large to pay.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::source::ParquetSource;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionStateDefaults, TaskContext};
use datafusion::logical_expr::{Operator, Volatility};
use datafusion::physical_expr::expressions::{Column, not};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, split_conjunction};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};

use super::all_of::written;
use super::trial::untried;
use crate::formats::source::{FilePlan, RowSource, SkippedRanges};
use crate::notes::{Counts, Notes};
use crate::store::Store;

/// All states together are not longer than this.
const LEN_MAX_BYTES: u64 = 1 << 30;
/// States of one file are kept up to this length when packed, whatever the file's, ...
const STATE_LEN_SMALL_BYTES: usize = 64 * 1024;
/// ... up to this share of the file, and never beyond the last.
const STATE_SHARE_MAX: u64 = 20;
const STATE_LEN_MAX_BYTES: usize = 64 << 20;
/// Fast rather than small.
const PACKING_LEVEL: i32 = 1;

/// Scalar functions that come with the engine; of those that users add nothing is known.
static BUILT_IN: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let functions = SessionStateDefaults::default_scalar_functions();
    functions.iter().map(|function| function.name().to_string()).collect()
});

/// Where partial aggregates are kept.
#[derive(Debug, Clone)]
pub struct Fragments {
    store: Store,
}

impl Fragments {
    /// Partial aggregates in a folder, which is made when there is something to keep.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Fragments { store: Store::new(folder.into().join("fragments"), LEN_MAX_BYTES) }
    }

    /// The files of it.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// Rewrites a plan so that partial aggregates of single files are kept and used again, wherever that
/// is sure to give the same answer; `settings` names what else the answer depends on.
///
/// # Errors
/// When a plan cannot be put together again.
pub fn reuse(
    plan: Arc<dyn ExecutionPlan>,
    fragments: &Fragments,
    settings: &str,
    notes: &Notes,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(aggregate) = node.downcast_ref::<AggregateExec>() else {
            return Ok(Transformed::no(node));
        };
        let Some(reused) = rewrite(aggregate, fragments, settings, notes)? else {
            return Ok(Transformed::no(node));
        };
        Ok(Transformed::yes(reused))
    })
    .data()
}

fn rewrite(
    aggregate: &AggregateExec,
    fragments: &Fragments,
    settings: &str,
    notes: &Notes,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if aggregate.limit_options().is_some() || !aggregates_are_known(aggregate) {
        return Ok(None);
    }
    let partial = match aggregate.mode() {
        AggregateMode::Partial => Arc::new(aggregate.clone()),
        AggregateMode::Single | AggregateMode::SinglePartitioned => {
            Arc::new(AggregateExec::try_new(
                AggregateMode::Partial,
                aggregate.group_expr().clone(),
                aggregate.aggr_expr().to_vec(),
                aggregate.filter_expr().to_vec(),
                Arc::clone(aggregate.input()),
                aggregate.input_schema(),
            )?)
        }
        _ => return Ok(None),
    };
    let template: Arc<dyn ExecutionPlan> = partial;
    let Some((expressions, scan)) = fragment_of(&template) else { return Ok(None) };
    let tasks = units(scan);
    // Fewer files than tasks would leave tasks without work.
    let file_count: usize = tasks.iter().map(Vec::len).sum();
    if file_count < scan.file_groups.len() {
        return Ok(None);
    }
    let reused = ReuseExec {
        properties: Arc::clone(template.properties()),
        template: Arc::clone(&template),
        key: format!("{settings}\n{}\n{}", expressions.always, reading_key(scan)),
        conjuncts: expressions.conjuncts.into(),
        tasks: tasks.into(),
        fragments: fragments.clone(),
        notes: notes.clone(),
        metrics: ExecutionPlanMetricsSet::new(),
    };
    let reused: Arc<dyn ExecutionPlan> = Arc::new(reused);
    if *aggregate.mode() == AggregateMode::Partial {
        return Ok(Some(reused));
    }
    let final_mode = if *aggregate.mode() == AggregateMode::Single {
        AggregateMode::Final
    } else {
        AggregateMode::FinalPartitioned
    };
    let states = match aggregate.mode() {
        AggregateMode::Single if reused.output_partitioning().partition_count() > 1 => {
            Arc::new(CoalescePartitionsExec::new(reused)) as Arc<dyn ExecutionPlan>
        }
        _ => reused,
    };
    let whole = AggregateExec::try_new(
        final_mode,
        aggregate.group_expr().as_final(),
        aggregate.aggr_expr().to_vec(),
        vec![None; aggregate.aggr_expr().len()],
        states,
        aggregate.input_schema(),
    )?;
    // Names may depend on the mode: then the plan stays as it is.
    Ok((whole.schema() == aggregate.schema()).then(|| Arc::new(whole) as Arc<dyn ExecutionPlan>))
}

fn aggregates_are_known(aggregate: &AggregateExec) -> bool {
    !aggregate.group_expr().has_grouping_set()
        && aggregate.aggr_expr().iter().all(|function| {
            super::ORDERLESS.contains(&function.fun().name())
                && !function.is_distinct()
                && function.order_bys().is_empty()
                && function.expressions().iter().all(is_known)
        })
        && aggregate.filter_expr().iter().flatten().all(is_known)
        && aggregate.group_expr().expr().iter().all(|(expr, _)| is_known(expr))
}

/// Whether an expression gives the same for the same row, today and in another process.
fn is_known(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let is_unknown = expr.exists(|node| {
        let unknown_function = node.downcast_ref::<ScalarFunctionExpr>().is_some_and(|function| {
            let is_own = function.name().starts_with("swath_");
            function.fun().signature().volatility != Volatility::Immutable
                || !(is_own || BUILT_IN.contains(function.fun().name()))
        });
        Ok(unknown_function
            || node.is_volatile_node()
            || node.snapshot()?.is_some()
            || node.children().is_empty() && format!("{node:?}").contains("Subquery"))
    });
    !is_unknown.unwrap_or(true)
}

/// What a fragment computes, as text.
struct Expressions {
    always: String,
    /// The filter, as conjuncts over the columns below it.
    conjuncts: Vec<(Arc<dyn PhysicalExpr>, SchemaRef)>,
}

/// Follows a partial aggregate down to its scan; None if something on the way is not known.
fn fragment_of(partial: &Arc<dyn ExecutionPlan>) -> Option<(Expressions, &FileScanConfig)> {
    let aggregate = partial.downcast_ref::<AggregateExec>()?;
    let functions: Vec<String> = aggregate
        .aggr_expr()
        .iter()
        .zip(aggregate.filter_expr())
        .map(|(function, filter)| {
            format!(
                "{}({:?}) {} {} {:?}",
                function.fun().name(),
                function.expressions(),
                function.ignore_nulls(),
                function.is_reversed(),
                filter
            )
        })
        .collect();
    let mut expressions = Expressions {
        always: format!("{:?}\n{functions:?}", aggregate.group_expr().expr()),
        conjuncts: Vec::new(),
    };
    let mut node = aggregate.input();
    loop {
        if let Some(filter) = node.downcast_ref::<FilterExec>() {
            let predicate = written(filter.predicate());
            if filter.fetch().is_some() || !is_known(predicate) {
                return None;
            }
            let schema = filter.input().schema();
            let conjuncts = split_conjunction(predicate);
            expressions
                .conjuncts
                .extend(conjuncts.into_iter().map(|expr| (Arc::clone(expr), Arc::clone(&schema))));
            expressions.always += &format!("\n{:?}", filter.projection());
            node = filter.input();
        } else if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            if !projection.expr().iter().all(|column| is_known(&column.expr)) {
                return None;
            }
            // What files say bounds their own columns; conditions on others are part of the key.
            let (of_files, others) = std::mem::take(&mut expressions.conjuncts)
                .into_iter()
                .partition(|(conjunct, _)| passes_through(conjunct, projection));
            expressions.conjuncts = of_files;
            for (conjunct, _) in others {
                expressions.always += &format!("\n{conjunct:?}");
            }
            expressions.always += &format!("\n{:?}", projection.expr());
            node = projection.input();
        } else if let Some(exchange) = node.downcast_ref::<RepartitionExec>() {
            // Dealing rows to more tasks changes nothing of what the rows are.
            node = exchange.input();
        } else {
            let source = node.downcast_ref::<DataSourceExec>()?.data_source();
            let config = source.downcast_ref::<FileScanConfig>()?;
            return (config.limit.is_none() && is_plain(config)).then_some((expressions, config));
        }
    }
}

/// Whether a projection gives the columns of a condition as they are, each under its own name.
fn passes_through(conjunct: &Arc<dyn PhysicalExpr>, projection: &ProjectionExec) -> bool {
    collect_columns(conjunct).iter().all(|column| {
        let mut named = projection.expr().iter().filter(|given| given.alias == column.name());
        let given = named.next().and_then(|given| given.expr.downcast_ref::<Column>());
        named.next().is_none() && given.is_some_and(|given| given.name() == column.name())
    })
}

/// Whether a scan gives the same rows of a file whatever else its statement does.
fn is_plain(config: &FileScanConfig) -> bool {
    let source = config.file_source();
    // Filters of a scan that hold only in this statement, such as those of a join, change with it.
    let filter = source.filter().map(untried).transpose();
    let is_static = filter.is_ok_and(|filter| filter.is_none_or(|filter| is_known(&filter)));
    let projected = source
        .projection()
        .is_none_or(|projection| projection.iter().all(|column| is_known(&column.expr)));
    is_static && projected
}

/// How files are read: their columns and types, and what is made of them.
fn reading_key(config: &FileScanConfig) -> String {
    let source = config.file_source();
    let projection = source.projection().map(|projection| {
        projection.iter().map(|column| format!("{:?}", column.expr)).collect::<Vec<_>>()
    });
    let rows = source.downcast_ref::<RowSource>().map(RowSource::reading_key);
    let schema = source.table_schema().table_schema();
    format!("{} {projection:?} {rows:?} {schema:?}", source.file_type())
}

/// The files of each task, whole.
fn units(config: &FileScanConfig) -> Vec<Vec<PartitionedFile>> {
    let mut seen = HashSet::new();
    config
        .file_groups
        .iter()
        .map(|group| {
            group
                .files()
                .iter()
                .filter_map(|file| {
                    let plan = file.extension::<FilePlan>()?;
                    seen.insert(plan.file.name.clone()).then(|| whole(file, plan))
                })
                .collect()
        })
        .collect()
}

/// All of the file that a piece belongs to.
fn whole(file: &PartitionedFile, plan: &FilePlan) -> PartitionedFile {
    let plan = FilePlan {
        piece: None,
        learner: None,
        skipped_ranges: SkippedRanges::default(),
        ..plan.clone()
    };
    let mut whole = PartitionedFile::new(plan.file.name.clone(), plan.file.identity.len)
        .with_partition_values(file.partition_values.clone());
    whole.statistics.clone_from(&plan.statistics);
    whole.with_extension(plan)
}

/// Gives the partial states of each file, from the store or from the file.
pub struct ReuseExec {
    /// The partial aggregate over all files.
    template: Arc<dyn ExecutionPlan>,
    key: String,
    conjuncts: Arc<[(Arc<dyn PhysicalExpr>, SchemaRef)]>,
    tasks: Arc<[Vec<PartitionedFile>]>,
    fragments: Fragments,
    notes: Notes,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for ReuseExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReuseExec")
    }
}

impl ReuseExec {
    /// The partial aggregate that it stands for, over all files.
    pub fn template(&self) -> &Arc<dyn ExecutionPlan> {
        &self.template
    }

    /// How many files it answers for.
    pub fn file_count(&self) -> usize {
        self.tasks.iter().map(Vec::len).sum()
    }

    /// How many files were not read, so far.
    pub fn reused_count(&self) -> usize {
        let metrics = self.metrics.clone_inner();
        metrics.sum_by_name("files_reused").map_or(0, |count| count.as_usize())
    }

    /// The work on one task's files.
    fn task(&self, task: usize, context: Arc<TaskContext>) -> Task {
        Task {
            template: Arc::clone(&self.template),
            key: self.key.clone(),
            conjuncts: Arc::clone(&self.conjuncts),
            schema: self.template.schema(),
            fragments: self.fragments.clone(),
            notes: self.notes.clone(),
            context,
            reused: MetricBuilder::new(&self.metrics).counter("files_reused", task),
        }
    }
}

impl DisplayAs for ReuseExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReuseExec: {} files", self.file_count())
    }
}

impl ExecutionPlan for ReuseExec {
    fn name(&self) -> &'static str {
        "ReuseExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let task = Arc::new(self.task(partition, context));
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let files = self.tasks.get(partition).cloned().unwrap_or_default();
        let states = futures::stream::iter(files)
            .then(move |file| {
                let task = Arc::clone(&task);
                async move { task.states(&file).await }
            })
            .map_ok(|batches| futures::stream::iter(batches.into_iter().map(Ok)))
            .try_flatten()
            .inspect_ok(move |batch: &RecordBatch| {
                baseline.record_output(batch.num_rows());
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), states)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What one task needs to get the states of a file.
struct Task {
    template: Arc<dyn ExecutionPlan>,
    key: String,
    conjuncts: Arc<[(Arc<dyn PhysicalExpr>, SchemaRef)]>,
    schema: SchemaRef,
    fragments: Fragments,
    notes: Notes,
    context: Arc<TaskContext>,
    reused: Count,
}

impl Task {
    async fn states(&self, file: &PartitionedFile) -> Result<Vec<RecordBatch>> {
        let plan = file
            .extension::<FilePlan>()
            .ok_or_else(|| DataFusionError::Internal("a file without its plan".into()))?;
        let key = self.key_of(file, plan);
        if let Some(states) = key.as_ref().and_then(|key| self.load(key)) {
            self.reused.add(1);
            Counts::bump(&self.notes.counts().files_reused, 1);
            Counts::bump(&self.notes.counts().bytes_passed, plan.file.identity.len);
            return Ok(states);
        }
        let own_notes = Notes::default();
        let fragment = with_leaf(&self.template, file, &own_notes)?;
        let states: Vec<RecordBatch> =
            fragment.execute(0, Arc::clone(&self.context))?.try_collect().await?;
        let is_silent = own_notes.list().is_empty();
        self.notes.absorb(&own_notes);
        if let Some(key) = key.filter(|_| is_silent && plan.file.is_settled()) {
            self.keep(&key, &states, plan.file.identity.len);
        }
        Ok(states)
    }

    /// What the states of a file depend on; None if it cannot be told from other states.
    fn key_of(&self, file: &PartitionedFile, plan: &FilePlan) -> Option<String> {
        let state = plan.file.state_key()?;
        let open: BTreeSet<String> = self
            .conjuncts
            .iter()
            .filter(|(conjunct, schema)| !holds_throughout(conjunct, schema, file, &self.template))
            .map(|(conjunct, _)| format!("{conjunct:?}"))
            .collect();
        Some(format!(
            "{state}\n{:?}\n{:?}\n{open:?}\n{}",
            plan.layout.csv, file.partition_values, self.key
        ))
    }

    fn load(&self, key: &str) -> Option<Vec<RecordBatch>> {
        let bytes = zstd::decode_all(self.fragments.store.load(key)?.as_slice()).ok()?;
        let reader = StreamReader::try_new(bytes.as_slice(), None).ok()?;
        (reader.schema() == self.schema)
            .then(|| reader.collect::<Result<Vec<_>, _>>().ok())
            .flatten()
    }

    /// Keeps the states unless they are too large; failing to is no error.
    fn keep(&self, key: &str, states: &[RecordBatch], file_len: u64) {
        let share = usize::try_from(file_len / STATE_SHARE_MAX).unwrap_or(usize::MAX);
        let len_max = share.clamp(STATE_LEN_SMALL_BYTES, STATE_LEN_MAX_BYTES);
        let len: usize = states.iter().map(RecordBatch::get_array_memory_size).sum();
        if len > STATE_LEN_MAX_BYTES {
            return;
        }
        let mut bytes = Vec::new();
        let written = StreamWriter::try_new(&mut bytes, &self.schema).and_then(|mut writer| {
            states.iter().try_for_each(|batch| writer.write(batch))?;
            writer.finish()
        });
        // Sketches of few values are mostly zeros.
        let packed =
            zstd::encode_all(bytes.as_slice(), PACKING_LEVEL).ok().filter(|_| written.is_ok());
        if let Some(packed) = packed.filter(|packed| packed.len() <= len_max) {
            self.fragments.store.keep(key, packed);
        }
    }
}

/// Whether a conjunct is true of every row of a file, by the file's statistics.
fn holds_throughout(
    conjunct: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    file: &PartitionedFile,
    template: &Arc<dyn ExecutionPlan>,
) -> bool {
    let decide = || -> Option<bool> {
        let statistics = file.statistics.as_ref()?;
        let (_, scan) = fragment_of(template)?;
        let table = scan.file_source().table_schema().table_schema();
        let columns = collect_columns(conjunct);
        // Bounds are of the table's columns; a NULL is not true.
        let have_values = columns.iter().all(|column| {
            table.index_of(column.name()).is_ok_and(|idx| {
                table.field(idx) == schema.field(column.index())
                    && statistics.column_statistics.get(idx).is_some_and(|known| {
                        known.null_count.is_exact() == Some(true)
                            && known.null_count.get_value() == Some(&0)
                    })
            })
        });
        if !have_values || columns.is_empty() {
            return None;
        }
        let negated = reassign_expr_columns(negate(conjunct)?, table).ok()?;
        let predicate =
            PruningPredicateBuilder::new().with_file_schema(Arc::clone(table)).build(negated)?;
        let bounds = PrunableStatistics::new(vec![Arc::clone(statistics)], Arc::clone(table));
        Some(predicate.prune(&bounds).ok()? == [false])
    };
    decide().unwrap_or(false)
}

/// The opposite, as a comparison where it is one: pruning understands those.
fn negate(expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    use datafusion::physical_expr::expressions::BinaryExpr;
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let opposite = match binary.op() {
            Operator::Lt => Some(Operator::GtEq),
            Operator::LtEq => Some(Operator::Gt),
            Operator::Gt => Some(Operator::LtEq),
            Operator::GtEq => Some(Operator::Lt),
            Operator::Eq => Some(Operator::NotEq),
            Operator::NotEq => Some(Operator::Eq),
            _ => None,
        };
        if let Some(opposite) = opposite {
            let (left, right) = (Arc::clone(binary.left()), Arc::clone(binary.right()));
            return Some(Arc::new(BinaryExpr::new(left, opposite, right)));
        }
    }
    not(Arc::clone(expr)).ok()
}

/// The fragment over one file, its notes apart from those of the statement.
fn with_leaf(
    node: &Arc<dyn ExecutionPlan>,
    file: &PartitionedFile,
    notes: &Notes,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(exchange) = node.downcast_ref::<RepartitionExec>() {
        return with_leaf(exchange.input(), file, notes);
    }
    if let Some(scan) = node.downcast_ref::<DataSourceExec>() {
        let config = scan
            .data_source()
            .downcast_ref::<FileScanConfig>()
            .ok_or_else(|| DataFusionError::Internal("a scan of no files".into()))?;
        let mut builder = FileScanConfigBuilder::from(config.clone())
            .with_file_groups(vec![FileGroup::new(vec![file.clone()])]);
        if let Some(rows) = config.file_source().downcast_ref::<RowSource>() {
            builder = builder.with_source(Arc::new(rows.with_notes(notes.clone())));
        }
        debug_assert!(
            config.file_source().is::<RowSource>() || config.file_source().is::<ParquetSource>()
        );
        return Ok(DataSourceExec::from_data_source(builder.build()));
    }
    let children = node
        .children()
        .into_iter()
        .map(|child| with_leaf(child, file, notes))
        .collect::<Result<Vec<_>>>()?;
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(node).replace_children(children, options)
}
