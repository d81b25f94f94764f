//! `range()` claims no order. DataFusion's operator for it tells some rules that it has one, which then spare
//! a sort, and not the join above it, which then does not keep it.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::Replacing;

/// The rule.
pub const RULE: Replacing = Replacing { name: "ranges_unordered", replacement };

fn replacement(
    plan: &Arc<dyn ExecutionPlan>,
    _: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(range) = plan.downcast_ref::<LazyMemoryExec>() else { return Ok(None) };
    if plan.equivalence_properties().oeq_class().is_empty() || range.schema().fields().len() != 1 {
        return Ok(None);
    }
    let unordered = LazyMemoryExec::try_new(range.schema(), range.generators().clone())?;
    Ok(Some(Arc::new(unordered)))
}
