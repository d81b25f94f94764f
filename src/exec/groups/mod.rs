//! Grouping within one process: the partial aggregate, the exchange and the final one, hand in hand.
//!
//! ```text
//! Aggregate (final)   <- GroupsExec: the groups of the shared tables that fall to this task
//!   exchange          <- tables that all tasks share, each with the groups of some hashes
//! Aggregate (partial) <- PartialGroupsExec: a table for each task, emptied into those
//! ```
//!
//! Groups go from table to table without an exchange of batches. Where memory is short, they go to disk
//! in parts. Aggregates are added up by DataFusion's accumulators and ours, as in its own operators.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics,
};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputOrderMode, PlanProperties, SpillManager, Statistics, StatisticsArgs,
};
use futures::future::{BoxFuture, Shared};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};

mod direct;
mod disk;
mod keys;
mod parts;
mod run;
mod slots;
mod table;
mod texts;

use super::ORDERLESS;
use disk::{Disk, Way};
use keys::Keys;
use parts::Exchange;
use run::{Done, Pace, Run};
use table::{Ask, Table};

type Plan = Arc<dyn ExecutionPlan>;

/// An aggregation: the operators of DataFusion that ours stand for.
#[derive(Debug)]
struct Template {
    whole: Arc<AggregateExec>,
    partial: Arc<AggregateExec>,
    /// How groups come to the tasks of the reduce side; none if they are in one place anyway.
    exchange: Option<Partitioning>,
    ask: Arc<Ask>,
}

/// The map side: in each task, the groups of the rows that it reads.
#[derive(Debug)]
pub struct PartialGroupsExec {
    template: Arc<Template>,
    input: Plan,
    metrics: ExecutionPlanMetricsSet,
}

/// The reduce side: the groups of all rows that fall to each task. Without an exchange, all of it.
#[derive(Debug)]
pub struct GroupsExec {
    template: Arc<Template>,
    /// A [`PartialGroupsExec`] if there is an exchange.
    input: Plan,
    state: Arc<Mutex<State>>,
    metrics: ExecutionPlanMetricsSet,
}

/// What the tasks of the reduce side share.
#[derive(Default)]
struct State {
    started: Option<Started>,
    /// How many tasks have it: who has come last leaves nothing here that would go on without them.
    given: usize,
}

#[derive(Clone)]
struct Started {
    run: Arc<Run>,
    outcome: Shared<BoxFuture<'static, Outcome>>,
}

type Outcome = Result<Arc<Done>, Arc<DataFusionError>>;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

/// The operators for an aggregate, if they can stand for it.
///
/// # Errors
/// Those of making DataFusion's.
pub fn replacement(plan: &Plan) -> Result<Option<Plan>> {
    let Some(whole) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    match whole.mode() {
        AggregateMode::FinalPartitioned => {
            let Some(exchange) = whole.input().downcast_ref::<RepartitionExec>() else {
                return Ok(None);
            };
            let Some(partial) = exchange.input().downcast_ref::<AggregateExec>() else {
                return Ok(None);
            };
            let is_whole = *partial.mode() == AggregateMode::Partial && !exchange.preserve_order();
            if !is_whole || !can_group(partial) || !is_plain(whole) {
                return Ok(None);
            }
            let exchange = Some(exchange.partitioning().clone());
            let template = Template::new(whole.clone(), partial.clone(), exchange);
            Ok(template.map(GroupsExec::plan))
        }
        AggregateMode::Single | AggregateMode::SinglePartitioned if can_group(whole) => {
            let (partial, whole) = in_two_phases(whole)?;
            Ok(Template::new(whole, partial, None).map(GroupsExec::plan))
        }
        _ => Ok(None),
    }
}

/// The two phases of an aggregate that has one.
fn in_two_phases(single: &AggregateExec) -> Result<(AggregateExec, AggregateExec)> {
    let make = |mode, groups, input| {
        let (aggregates, filters) = (single.aggr_expr().to_vec(), single.filter_expr().to_vec());
        AggregateExec::try_new(mode, groups, aggregates, filters, input, single.input_schema())
    };
    let groups = single.group_expr();
    let partial = make(AggregateMode::Partial, groups.clone(), Arc::clone(single.input()))?;
    let below = Arc::new(partial.clone());
    Ok((partial, make(AggregateMode::FinalPartitioned, groups.as_final(), below)?))
}

/// No order that must be kept, no limit that ends it early.
fn is_plain(aggregate: &AggregateExec) -> bool {
    *aggregate.input_order_mode() == InputOrderMode::Linear
        && aggregate.limit_options().is_none()
        && aggregate.group_expr().is_single()
}

fn can_group(aggregate: &AggregateExec) -> bool {
    let schema = aggregate.schema();
    let keys = schema.fields()[..aggregate.group_expr().expr().len()].iter();
    let types: Vec<DataType> = keys.map(|field| field.data_type().clone()).collect();
    let mut aggregates = aggregate.aggr_expr().iter();
    is_plain(aggregate)
        && Keys::can_hold(&types)
        && aggregates.all(|one| {
            (ORDERLESS.contains(&one.fun().name()) || one.fun().name() == "median")
                && one.order_bys().is_empty()
                && one.groups_accumulator_supported()
        })
}

/// An operator of DataFusion over another input.
fn over(aggregate: &Arc<AggregateExec>, input: Plan) -> Result<AggregateExec> {
    let plan: Plan = Arc::<AggregateExec>::clone(aggregate);
    let plan = replace_children_if_necessary(plan, vec![input])?;
    match plan.downcast_ref::<AggregateExec>() {
        Some(aggregate) => Ok(aggregate.clone()),
        None => internal_err!("an aggregate over another input is none"),
    }
}

impl Template {
    /// None if the exchange is by something else than the keys.
    fn new(
        whole: AggregateExec,
        partial: AggregateExec,
        exchange: Option<Partitioning>,
    ) -> Option<Self> {
        let by = Exchange::new(exchange.as_ref(), partial.group_expr().expr().len())?;
        let ask = Arc::new(Ask::new(&partial, by));
        Some(Template { whole: Arc::new(whole), partial: Arc::new(partial), exchange, ask })
    }

    /// The same over another input.
    fn over(&self, input: Plan) -> Result<Template> {
        let partial = over(&self.partial, input)?;
        let below: Plan = Arc::new(partial.clone());
        let whole = over(&self.whole, self.exchanged(below)?)?;
        match Template::new(whole, partial, self.exchange.clone()) {
            Some(template) => Ok(template),
            None => internal_err!("groups over another input have other keys"),
        }
    }

    fn exchanged(&self, below: Plan) -> Result<Plan> {
        match &self.exchange {
            Some(exchange) => Ok(Arc::new(RepartitionExec::try_new(below, exchange.clone())?)),
            None => Ok(below),
        }
    }
}

impl PartialGroupsExec {
    /// The aggregate that it stands for.
    pub fn aggregate(&self) -> &AggregateExec {
        &self.template.partial
    }
}

impl GroupsExec {
    fn plan(template: Template) -> Plan {
        let template = Arc::new(template);
        let input = Arc::clone(template.partial.input());
        let input = match template.exchange {
            Some(_) => {
                let (template, metrics) = (Arc::clone(&template), ExecutionPlanMetricsSet::new());
                Arc::new(PartialGroupsExec { template, input, metrics })
            }
            None => input,
        };
        let metrics = ExecutionPlanMetricsSet::new();
        Arc::new(GroupsExec { template, input, state: Arc::default(), metrics })
    }

    /// The aggregate that it stands for.
    pub fn aggregate(&self) -> &AggregateExec {
        &self.template.whole
    }

    /// How groups come to its tasks; none if it does all by itself.
    pub fn exchange(&self) -> Option<&Partitioning> {
        self.template.exchange.as_ref()
    }

    fn way(&self, partition: usize, context: &TaskContext) -> Arc<Way> {
        let consumer = MemoryConsumer::new("groups").with_can_spill(true);
        let metrics = SpillMetrics::new(&self.metrics, partition);
        let schema = self.template.partial.schema();
        let files = SpillManager::new(context.runtime_env(), metrics, schema)
            .with_compression_type(context.session_config().spill_compression());
        Arc::new(Way {
            ask: Arc::clone(&self.template.ask),
            files,
            memory: Arc::new(consumer.register(context.memory_pool())),
            batch_size: context.session_config().batch_size(),
        })
    }

    /// The run that the tasks of the reduce side share; the first of them starts it.
    fn started(&self, below: &PartialGroupsExec, context: &Arc<TaskContext>) -> Result<Started> {
        let into = self.properties().output_partitioning().partition_count();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let started = match state.started.take() {
            Some(started) => started,
            None => self.start(below, into, context)?,
        };
        state.given = (state.given + 1) % into;
        state.started = (state.given > 0).then(|| started.clone());
        Ok(started)
    }

    fn start(
        &self,
        below: &PartialGroupsExec,
        into: usize,
        context: &Arc<TaskContext>,
    ) -> Result<Started> {
        let run = Arc::new(Run::new(self.way(0, context), into)?);
        let drive = |task: usize| {
            let input = below.input.execute(task, Arc::clone(context))?;
            let metrics = BaselineMetrics::new(&below.metrics, task);
            let run = Arc::clone(&run);
            Ok(SpawnedTask::spawn(async move { run.drive(task, input, metrics).await }))
        };
        let task_count = below.input.output_partitioning().partition_count();
        let tasks = (0..task_count).map(drive).collect::<Result<Vec<_>>>()?;
        let all = Arc::clone(&run);
        let outcome = async move {
            for task in tasks {
                super::shared::finished(task).await?;
            }
            all.done().map(Arc::new)
        };
        let outcome = outcome.map_err(Arc::new).boxed().shared();
        Ok(Started { run, outcome })
    }

    /// All rows of a task in one table.
    async fn in_one_phase(
        way: Arc<Way>,
        mut input: SendableRecordBatchStream,
        metrics: BaselineMetrics,
        schema: SchemaRef,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let mut table = Table::new(&way.ask, &way.memory)?;
        let mut disk: Option<Disk> = None;
        let mut pace = Pace::new();
        while let Some(batch) = input.try_next().await? {
            pace.rest().await;
            let _timer = metrics.elapsed_compute().timer();
            table.groups.update(&way.ask.look_at(&batch)?)?;
            if !table.book() {
                disk.get_or_insert_with(|| Disk::new(1)).put(&mut table, &way)?;
            }
        }
        let batches = match disk {
            None => table.values(&schema, way.batch_size)?,
            Some(mut disk) => {
                disk.put(&mut table, &way)?;
                disk::answers(disk.finish(), way, schema)
            }
        };
        let counted = batches.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(counted.boxed())
    }
}

impl DisplayAs for PartialGroupsExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartialGroups: ")?;
        self.template.partial.fmt_as(kind, f)
    }
}

impl DisplayAs for GroupsExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Groups: ")?;
        self.template.whole.fmt_as(kind, f)
    }
}

impl ExecutionPlan for PartialGroupsExec {
    fn name(&self) -> &'static str {
        "PartialGroupsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.template.partial.properties()
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.template.partial.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Plan>) -> Result<Plan> {
        let Some(input) = children.pop() else { return internal_err!("an operator without input") };
        let template = Arc::new(self.template.over(Arc::clone(&input))?);
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Arc::new(PartialGroupsExec { template, input, metrics }))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.template.partial.statistics_from_inputs(inputs, args)
    }

    /// By itself it is the aggregate that it stands for.
    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.template.partial.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

impl ExecutionPlan for GroupsExec {
    fn name(&self) -> &'static str {
        "GroupsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.template.whole.properties()
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.template.whole.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Plan>) -> Result<Plan> {
        let Some(input) = children.pop() else { return internal_err!("an operator without input") };
        let template = match input.downcast_ref::<PartialGroupsExec>() {
            Some(below) if self.template.exchange.is_some() => Arc::clone(&below.template),
            None if self.template.exchange.is_none() => {
                Arc::new(self.template.over(Arc::clone(&input))?)
            }
            _ => return internal_err!("half of a grouping"),
        };
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Arc::new(GroupsExec { template, input, state: Arc::default(), metrics }))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        // Behind the exchange no task has the rows of one below.
        let is_known = self.template.exchange.is_none() || partition.is_none();
        vec![if is_known { ChildStats::At(partition) } else { ChildStats::Skip }]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.template.whole.statistics_from_inputs(inputs, args)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let shared = Arc::clone(&schema);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let Some(below) = self.input.downcast_ref::<PartialGroupsExec>() else {
            let input = self.input.execute(partition, Arc::clone(&context))?;
            let way = self.way(partition, &context);
            let batches = GroupsExec::in_one_phase(way, input, metrics, shared);
            let batches = batches.try_flatten_stream().boxed();
            return Ok(Box::pin(cooperative(RecordBatchStreamAdapter::new(schema, batches))));
        };
        let Started { run, outcome } = self.started(below, &context)?;
        let batches = async move {
            let done = outcome.await.map_err(DataFusionError::Shared)?;
            let batches = run.answers(&done, partition, &shared)?;
            Ok(batches.inspect_ok(move |batch| metrics.record_output(batch.num_rows())))
        };
        let batches = RecordBatchStreamAdapter::new(schema, batches.try_flatten_stream().boxed());
        Ok(Box::pin(cooperative(batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
