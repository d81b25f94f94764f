//! Above an outer join nothing is constant that a filter held constant on the side filled up with NULLs.
//!
//! [`crate::exec::padded`] says what went wrong. Runs before all rules that look at orders.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::{JoinType, Result};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::Replacing;
use crate::exec::padded::PaddedExec;

/// The rule.
pub const RULE: Replacing = Replacing { name: "outer_joins", replacement };

fn replacement(
    plan: &Arc<dyn ExecutionPlan>,
    _: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let padded = padded_sides(plan);
    let has_constants =
        |side: &Arc<dyn ExecutionPlan>| !side.equivalence_properties().constants().is_empty();
    let sides = plan.children().into_iter().zip(padded);
    let mut changed = false;
    let sides: Vec<Arc<dyn ExecutionPlan>> = sides
        .map(|(side, is_padded)| match is_padded && has_constants(side) {
            true => {
                changed = true;
                Arc::new(PaddedExec::new(Arc::clone(side)))
            }
            false => Arc::clone(side),
        })
        .collect();
    match changed {
        true => replace_children_if_necessary(Arc::clone(plan), sides).map(Some),
        false => Ok(None),
    }
}

/// Which sides of a join are filled up; none of what is no join.
fn padded_sides(plan: &Arc<dyn ExecutionPlan>) -> [bool; 2] {
    let hash = plan.downcast_ref::<HashJoinExec>().map(|join| *join.join_type());
    let merge = || plan.downcast_ref::<SortMergeJoinExec>().map(|join| join.join_type());
    let loops = || plan.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type());
    match hash.or_else(merge).or_else(loops) {
        Some(JoinType::Left) => [false, true],
        Some(JoinType::Right) => [true, false],
        Some(JoinType::Full) => [true, true],
        _ => [false, false],
    }
}
