//! The stages that a scheduler will make of a plan, found out with its own planner.

use std::sync::Arc;

use ballista_core::JobId;
use ballista_core::execution_plans::UnresolvedShuffleExec;
use ballista_scheduler::planner::{DefaultDistributedPlanner, DistributedPlanner};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};

use super::distribute::{self, Fit};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::stage::{Exchange, StageGraph};
use crate::plan::stage::{keys_of, order_of, stage_of};

type Plan = Arc<dyn ExecutionPlan>;

/// The stages of a plan on a cluster, those of scalar subqueries before the others; None if it would
/// run here.
///
/// # Errors
/// When Ballista cannot plan them.
pub fn stages(plan: &Plan, options: &ConfigOptions) -> Result<Option<StageGraph>> {
    if let Fit::Here(_) = distribute::distribute(plan)? {
        return Ok(None);
    }
    let plan = distribute::shaped(plan)?;
    let options = super::job_options(options, &plan);
    let mut graph = StageGraph::default();
    for link in distribute::subqueries(&plan).iter().flat_map(|of| &of.links) {
        add(&link.plan, &options, &mut graph)?;
    }
    add(&plan, &options, &mut graph)?;
    Ok(Some(graph))
}

/// Adds the stages of one job.
fn add(plan: &Plan, options: &ConfigOptions, graph: &mut StageGraph) -> Result<()> {
    let plan = Arc::clone(plan).transform_up(|node| {
        Ok(match node.downcast_ref::<ScalarSubqueryExec>() {
            Some(subqueries) => Transformed::yes(Arc::clone(subqueries.input())),
            None => Transformed::no(node),
        })
    });
    let job = JobId::new("explain".to_string());
    let mut planner = DefaultDistributedPlanner::new();
    let stages = planner.plan_query_stages(&job, plan.data()?, options).map_err(|error| {
        Error::new(ErrorKind::Internal, format!("the cluster cannot plan this: {error}"))
    })?;
    let before = graph.stages.len();
    let input = |node: &Plan| {
        node.downcast_ref::<UnresolvedShuffleExec>().map(|input| before + input.stage_id)
    };
    for writer in &stages {
        let Some(top) = writer.children().first().map(|top| Arc::clone(top)) else { continue };
        let exchange = match writer.shuffle_output_partitioning() {
            Some(Partitioning::Hash(keys, into)) => {
                Exchange::Hash { keys: keys_of(keys), into: *into }
            }
            Some(other) => Exchange::Deal { into: other.partition_count() },
            None => stages
                .iter()
                .flat_map(|reader| reader.children())
                .find_map(|reader| taken_in(reader, writer.stage_id()))
                .unwrap_or(Exchange::Answer),
        };
        graph.stages.push(stage_of(&top, before + writer.stage_id(), exchange, &input));
    }
    Ok(())
}

/// How a plan takes in the rows of a stage, if it does.
fn taken_in(plan: &Plan, stage_id: usize) -> Option<Exchange> {
    for child in plan.children() {
        let input = child.downcast_ref::<UnresolvedShuffleExec>();
        if let Some(input) = input.filter(|input| input.stage_id == stage_id) {
            return Some(match plan.downcast_ref::<SortPreservingMergeExec>() {
                _ if input.broadcast => Exchange::Broadcast,
                Some(merge) => Exchange::Merge { order: order_of(merge) },
                None if plan.is::<CoalescePartitionsExec>() => Exchange::Gather,
                None => Exchange::Deal { into: child.output_partitioning().partition_count() },
            });
        }
        if let Some(found) = taken_in(child, stage_id) {
            return Some(found);
        }
    }
    None
}
