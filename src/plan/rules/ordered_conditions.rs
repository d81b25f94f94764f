//! The conditions of a filter are decided in the order of what they cost; see `exec::all_of`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};

use super::Replacing;
use crate::exec::all_of::AllOf;

/// The rule; it comes last, as others look into conjunctions.
pub const RULE: Replacing = Replacing { name: "ordered_conditions", replacement };

fn replacement(
    plan: &Arc<dyn ExecutionPlan>,
    _: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(filter) = plan.downcast_ref::<FilterExec>() else { return Ok(None) };
    let all = AllOf::new(filter.predicate(), &filter.input().schema())?;
    let ordered =
        all.map(|all| FilterExecBuilder::from(filter).with_predicate(Arc::new(all)).build());
    Ok(ordered.transpose()?.map(|filter| Arc::new(filter) as _))
}
