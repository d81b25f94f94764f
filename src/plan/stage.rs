//! Cutting a plan into stages, and drawing them.
//!
//! ```text
//! Stage 1: 2 tasks
//!   Scan csv: 12 of 340 files, ... -> Aggregate (partial): sum(amount) by region
//!   exchange: hash(region) into 2 tasks
//! Stage 2: 2 tasks
//!   stage 1 -> Aggregate (final): sum(amount) by region
//!   the answer
//! ```

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};

use super::explain::{describe, scan_of, unindexed};
use crate::exec::fragment::ReuseExec;
use crate::exec::groups::GroupsExec;
use crate::exec::padded::PaddedExec;
use crate::exec::shared::SharedExec;
use crate::exec::stage::{Exchange, Measured, Scan, Stage, StageGraph};
use crate::formats::source::READ_BYTES;
use crate::units::{show_bytes, show_counted};

type Plan = Arc<dyn ExecutionPlan>;

/// Cuts a plan at its exchanges; with `measured`, what each stage has done so far.
pub fn split(plan: &Plan, measured: bool) -> StageGraph {
    let mut cutter = Cutter { graph: StageGraph::default(), measured, shared: HashMap::new() };
    cutter.stage(plan, Exchange::Answer);
    cutter.graph
}

struct Cutter {
    graph: StageGraph,
    measured: bool,
    /// The stages of plans that are used more than once.
    shared: HashMap<usize, usize>,
}

/// A stage while its operators are collected.
#[derive(Default)]
struct Draft {
    inputs: Vec<usize>,
    pipelines: Vec<Vec<String>>,
    nodes: Vec<Plan>,
}

impl Cutter {
    /// Adds the stage whose last operator is `top`, behind those that it reads; returns its number.
    fn stage(&mut self, top: &Plan, exchange: Exchange) -> usize {
        let top = side_of(top);
        let mut draft = Draft::default();
        self.walk(top, &mut draft, false);
        let scans = draft.nodes.iter().flat_map(scans_below).collect();
        let estimate = StatisticsContext::new().compute(top.as_ref(), &StatisticsArgs::new()).ok();
        let row_estimate = estimate.and_then(|known| known.num_rows.get_value().copied());
        let id = self.graph.stages.len() + 1;
        self.graph.stages.push(Stage {
            id,
            task_count: top.output_partitioning().partition_count(),
            inputs: draft.inputs,
            scans,
            pipelines: draft.pipelines,
            exchange,
            row_estimate: row_estimate.map(|rows| rows as u64),
            measured: self.measured.then(|| measure(top, &draft.nodes)),
        });
        id
    }

    /// An operator in a line, with the rows that left it if it has run.
    fn describe(&self, node: &Plan) -> String {
        let rows = node.metrics().filter(|_| self.measured).and_then(|m| m.output_rows());
        let rows = rows.map(|rows| format!(" [{}]", show_counted(rows as u64, "row")));
        describe(node) + &rows.unwrap_or_default()
    }

    fn walk(&mut self, node: &Plan, draft: &mut Draft, is_broadcast: bool) {
        let node = side_of(node);
        if let Some((input, exchange)) = exchange_of(node, is_broadcast) {
            let shared = node.downcast_ref::<SharedExec>().map(SharedExec::id);
            let known = shared.and_then(|shared| self.shared.get(&shared).copied());
            let id = known.unwrap_or_else(|| self.stage(&input, exchange));
            if let Some(shared) = shared {
                self.shared.insert(shared, id);
            }
            draft.inputs.push(id);
            draft.pipelines.push(vec![format!("stage {id}")]);
            return;
        }
        let children = node.children();
        let exchange = node.downcast_ref::<GroupsExec>().and_then(GroupsExec::exchange);
        if let Some(exchange) = exchange {
            let id = self.stage(children[0], exchange_by(exchange));
            draft.inputs.push(id);
            draft.pipelines.push(vec![format!("stage {id}"), self.describe(node)]);
            draft.nodes.push(Arc::clone(node));
            return;
        }
        let broadcasts = node
            .downcast_ref::<HashJoinExec>()
            .is_some_and(|join| *join.partition_mode() == PartitionMode::CollectLeft);
        for (idx, child) in children.iter().enumerate() {
            self.walk(child, draft, broadcasts && idx == 0);
        }
        if children.is_empty() {
            draft.pipelines.push(Vec::new());
        }
        if let Some(pipeline) = draft.pipelines.last_mut() {
            pipeline.push(self.describe(node));
        }
        draft.nodes.push(Arc::clone(node));
    }
}

/// A stage that someone else has cut: `input` tells the number of the stage that a node stands for.
pub fn stage_of(
    top: &Plan,
    id: usize,
    exchange: Exchange,
    input: &dyn Fn(&Plan) -> Option<usize>,
) -> Stage {
    let mut draft = Draft::default();
    walk_uncut(top, &mut draft, input);
    Stage {
        id,
        task_count: top.output_partitioning().partition_count(),
        inputs: draft.inputs,
        scans: draft.nodes.iter().flat_map(scans_below).collect(),
        pipelines: draft.pipelines,
        exchange,
        row_estimate: None,
        measured: None,
    }
}

/// The side of an outer join itself: what stands above it does nothing.
fn side_of(node: &Plan) -> &Plan {
    node.downcast_ref::<PaddedExec>().map_or(node, |side| side_of(side.input()))
}

fn walk_uncut(node: &Plan, draft: &mut Draft, input: &dyn Fn(&Plan) -> Option<usize>) {
    let node = side_of(node);
    if let Some(id) = input(node) {
        draft.inputs.push(id);
        draft.pipelines.push(vec![format!("stage {id}")]);
        return;
    }
    let children = node.children();
    for child in &children {
        walk_uncut(child, draft, input);
    }
    if children.is_empty() {
        draft.pipelines.push(Vec::new());
    }
    // Where it takes in a stage, the exchange of that stage says the same.
    let is_said = exchange_of(node, false).is_some_and(|(below, _)| input(&below).is_some());
    if let Some(pipeline) = draft.pipelines.last_mut().filter(|_| !is_said) {
        pipeline.push(describe(node));
    }
    draft.nodes.push(Arc::clone(node));
}

/// The keys of an exchange, by the names of columns.
pub fn keys_of(keys: &[Arc<dyn PhysicalExpr>]) -> Vec<String> {
    keys.iter().map(|key| unindexed(&key.to_string())).collect()
}

/// The order that a merge keeps.
pub fn order_of(merge: &SortPreservingMergeExec) -> String {
    unindexed(&merge.expr().to_string())
}

fn exchange_by(partitioning: &Partitioning) -> Exchange {
    match partitioning {
        Partitioning::Hash(keys, into) => Exchange::Hash { keys: keys_of(keys), into: *into },
        other => Exchange::Deal { into: other.partition_count() },
    }
}

/// What lies below an exchange, and which one it is.
fn exchange_of(node: &Plan, is_broadcast: bool) -> Option<(Plan, Exchange)> {
    if let Some(exchange) = node.downcast_ref::<RepartitionExec>() {
        let input = Arc::clone(exchange.input());
        return Some((input, exchange_by(exchange.partitioning())));
    }
    if let Some(shared) = node.downcast_ref::<SharedExec>() {
        return Some((Arc::clone(shared.inner()), Exchange::Gather));
    }
    if let Some(gather) = node.downcast_ref::<CoalescePartitionsExec>() {
        let exchange = if is_broadcast { Exchange::Broadcast } else { Exchange::Gather };
        return Some((Arc::clone(gather.input()), exchange));
    }
    let merge = node.downcast_ref::<SortPreservingMergeExec>()?;
    Some((Arc::clone(merge.input()), Exchange::Merge { order: order_of(merge) }))
}

/// What an operator reads from files, by itself or for the operator that it stands for.
fn scans_below(node: &Plan) -> Vec<Scan> {
    if let Some(reuse) = node.downcast_ref::<ReuseExec>() {
        let mut scans = Vec::new();
        let _ = reuse.template().apply(|node| {
            scans.extend(scans_below(node));
            Ok(TreeNodeRecursion::Continue)
        });
        return scans;
    }
    let scan = || node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref();
    scan().map(scan_of).into_iter().collect()
}

/// What the operators of a stage have done so far.
fn measure(top: &Plan, nodes: &[Plan]) -> Measured {
    let task_count = top.output_partitioning().partition_count();
    let mut seconds = vec![0.0; task_count];
    let (mut read_bytes, mut spilled_bytes) = (0, 0);
    for metrics in nodes.iter().filter_map(|node| node.metrics()) {
        spilled_bytes += metrics.spilled_bytes().unwrap_or(0) as u64;
        read_bytes += metrics.sum_by_name(READ_BYTES).map_or(0, |bytes| bytes.as_usize()) as u64;
        for metric in metrics.iter() {
            let nanos = match metric.value() {
                MetricValue::ElapsedCompute(time) => time.value(),
                // What a scan does between two batches.
                MetricValue::Time { name, time } if name == "time_elapsed_processing" => {
                    time.value()
                }
                _ => continue,
            };
            if let Some(task) = metric.partition().and_then(|task| seconds.get_mut(task)) {
                *task += nanos as f64 / 1e9;
            }
        }
    }
    let own = top.metrics();
    Measured {
        task_done_count: own.as_ref().map_or(0, |metrics| ended_count(metrics, task_count)),
        row_count: own.and_then(|metrics| metrics.output_rows()).unwrap_or(0) as u64,
        work_seconds: seconds.iter().sum(),
        skew: Measured::skew_of(seconds),
        read_bytes,
        spilled_bytes,
    }
}

/// Tasks of an operator that have come to their end.
fn ended_count(metrics: &MetricsSet, task_count: usize) -> usize {
    let mut has_ended = vec![false; task_count];
    for metric in metrics.iter() {
        if let (MetricValue::EndTimestamp(end), Some(task)) = (metric.value(), metric.partition())
            && end.value().is_some()
            && let Some(has_ended) = has_ended.get_mut(task)
        {
            *has_ended = true;
        }
    }
    has_ended.into_iter().filter(|has_ended| *has_ended).count()
}

/// Draws the stages as text, a few lines for each.
pub fn draw(graph: &StageGraph) -> String {
    let mut text = String::new();
    for stage in &graph.stages {
        let tasks = show_counted(stage.task_count as u64, "task");
        let _ = write!(text, "Stage {}: {tasks}", stage.id);
        if let (None, Some(rows)) = (&stage.measured, stage.row_estimate) {
            let _ = write!(text, ", about {}", show_counted(rows, "row"));
        }
        if let Some(measured) = &stage.measured {
            let _ = write!(text, "  [{}]", show_measured(measured));
        }
        text.push('\n');
        for pipeline in &stage.pipelines {
            let _ = writeln!(text, "  {}", pipeline.join(" -> "));
        }
        let _ = writeln!(text, "  {}", show_exchange(&stage.exchange));
    }
    text
}

/// What the tasks of a stage did, in words.
pub fn show_measured(measured: &Measured) -> String {
    let mut parts = vec![show_counted(measured.row_count, "row")];
    if measured.read_bytes > 0 {
        parts.push(format!("{} read", show_bytes(measured.read_bytes)));
    }
    parts.push(format!("{:.1} ms of work", measured.work_seconds * 1e3));
    if let Some(skew) = measured.skew {
        parts.push(format!("slowest task {skew:.1}x the median"));
    }
    if measured.spilled_bytes > 0 {
        parts.push(format!("{} spilled", show_bytes(measured.spilled_bytes)));
    }
    parts.join(", ")
}

/// How rows leave a stage, in words.
pub fn show_exchange(exchange: &Exchange) -> String {
    let tasks = |count: &usize| show_counted(*count as u64, "task");
    match exchange {
        Exchange::Answer => "the answer".into(),
        Exchange::Hash { keys, into } => {
            format!("exchange: hash({}) into {}", keys.join(", "), tasks(into))
        }
        Exchange::Deal { into } => format!("exchange: dealt into {}", tasks(into)),
        Exchange::Gather => "exchange: gathered into 1 task".into(),
        Exchange::Merge { order } => format!("exchange: merged into 1 task by {order}"),
        Exchange::Broadcast => "exchange: broadcast to every task".into(),
    }
}
