//! What of a plan may run on a cluster, and in which shape.
//!
//! Ballista cuts a plan at its exchanges and gives each task some partitions of a stage. That is right
//! only for operators that keep to their own partition, or ask for all rows of an input. Of others it
//! would run copies that know nothing of each other; they are given one task, or run here.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::JoinType;
use datafusion::logical_expr::physical_planning_context::ScalarSubqueryResults;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::{ScalarSubqueryExec, ScalarSubqueryLink};
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary,
};

use super::{functions, scan};

/// Operators that were looked at: what a task gives of its partitions does not depend on others.
const KNOWN: [&str; 28] = [
    "AggregateExec",
    "BoundedWindowAggExec",
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "CrossJoinExec",
    "DataSourceExec",
    "EmptyExec",
    "FilterExec",
    "GlobalLimitExec",
    "GroupTopExec",
    "HashJoinExec",
    "InterleaveExec",
    "LazyMemoryExec",
    "LocalLimitExec",
    "NestedLoopJoinExec",
    "PaddedExec",
    "PlaceholderRowExec",
    "ProjectionExec",
    "RepartitionExec",
    "ScalarSubqueryExec",
    "SortExec",
    "SortExec(TopK)",
    "SortMergeJoinExec",
    "SortPreservingMergeExec",
    "UnionExec",
    "UnnestExec",
    "WindowAggExec",
];

/// Rows in memory up to this length are sent with the plan.
const MEMORY_BYTES_MAX: usize = 4 << 20;

/// Where a plan runs.
pub(super) enum Fit {
    /// On the cluster, in this shape.
    There(Arc<dyn ExecutionPlan>),
    /// Here; with the reason, if it reads files and might have run there.
    Here(Option<String>),
}

/// Decides where a plan runs.
pub(super) fn distribute(plan: &Arc<dyn ExecutionPlan>) -> Result<Fit> {
    let mut reason = None;
    let mut reads_files = false;
    plan.apply(|node| {
        let name = node.name();
        let mut found = match name {
            _ if !KNOWN.contains(&name) => {
                Some(format!("{} has no form for a cluster", plain(name)))
            }
            "RepartitionExec" => node
                .downcast_ref::<RepartitionExec>()
                .filter(|exchange| exchange.preserve_order())
                .map(|_| "an exchange keeps the order of rows".to_string()),
            _ => None,
        };
        if let Some(scan) = node.downcast_ref::<DataSourceExec>() {
            match scan.data_source().downcast_ref::<MemorySourceConfig>() {
                Some(memory) => {
                    let batches = memory.partitions().iter().flatten();
                    let len: usize = batches.map(|batch| batch.get_array_memory_size()).sum();
                    if len > MEMORY_BYTES_MAX {
                        found = Some("a table in memory is too long to be sent".into());
                    }
                }
                None => reads_files = true,
            }
        }
        node.apply_expressions(&mut |expr| {
            if let Some(name) = unknown_function(expr)? {
                found = Some(format!("the function {name} exists only here"));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        reason = reason.take().or(found);
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !reads_files || reason.is_some() {
        return Ok(Fit::Here(reason.filter(|_| reads_files)));
    }
    let sent = shaped(plan)?.transform_up(|node| {
        let scan = node
            .downcast_ref::<DataSourceExec>()
            .filter(|scan| !scan.data_source().is::<MemorySourceConfig>());
        Ok(match scan.map(scan::sent) {
            Some(Ok(sent)) => Transformed::yes(sent),
            Some(Err(why)) => {
                reason = Some(why);
                Transformed::no(node)
            }
            None => Transformed::no(node),
        })
    });
    let sent = sent.data()?;
    Ok(match reason {
        Some(why) => Fit::Here(Some(why)),
        None => Fit::There(sent),
    })
}

/// The plan with joins that one task must do done by one.
pub(super) fn shaped(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let shaped = Arc::clone(plan).transform_up(|node| {
        let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() else {
            return Ok(Transformed::no(node));
        };
        if !gives_unmatched_left(*join.join_type())
            || join.right().output_partitioning().partition_count() == 1
        {
            return Ok(Transformed::no(node));
        }
        // Which rows of the left side found a match is known only to who has seen all of the right.
        let right = Arc::new(CoalescePartitionsExec::new(Arc::clone(join.right())));
        let children = vec![Arc::clone(join.left()), right as Arc<dyn ExecutionPlan>];
        Ok(Transformed::yes(replace_children_if_necessary(node, children)?))
    });
    shaped.data()
}

/// Whether a join says something about rows of the left side beyond those that it joins.
fn gives_unmatched_left(join_type: JoinType) -> bool {
    matches!(
        join_type,
        JoinType::Left
            | JoinType::Full
            | JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::LeftMark
    )
}

/// The name of an operator as one would say it.
fn plain(name: &str) -> &str {
    name.strip_suffix("Exec").unwrap_or(name)
}

/// A function of an expression that executors do not have.
fn unknown_function(expr: &Arc<dyn PhysicalExpr>) -> Result<Option<String>> {
    let mut unknown = None;
    expr.apply(|expr| {
        if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>()
            && !functions::has(call.fun())
        {
            unknown = Some(call.fun().name().to_string());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(unknown)
}

/// The scalar subqueries of one level of a plan, and where their values go.
pub(super) struct Subqueries {
    pub(super) links: Vec<ScalarSubqueryLink>,
    pub(super) results: ScalarSubqueryResults,
}

/// The scalar subqueries of a plan, those first that others need.
pub(super) fn subqueries(plan: &Arc<dyn ExecutionPlan>) -> Vec<Subqueries> {
    fn collect(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Subqueries>) {
        for child in plan.children() {
            collect(child, found);
        }
        if let Some(node) = plan.downcast_ref::<ScalarSubqueryExec>() {
            let (links, results) = (node.subqueries().to_vec(), node.results().clone());
            found.push(Subqueries { links, results });
        }
    }
    let mut found = Vec::new();
    collect(plan, &mut found);
    found
}
