//! What takes long of a text is computed once for texts that come again; see `exec::once`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use super::Replacing;
use crate::exec::once::long_parts_once;

/// The rule; it comes last, as others look into expressions. (Groups see to their own.)
pub const RULE: Replacing = Replacing { name: "texts_once", replacement };

fn replacement(
    plan: &Arc<dyn ExecutionPlan>,
    _: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let predicate = long_parts_once(filter.predicate(), &filter.input().schema())?;
        if Arc::ptr_eq(&predicate, filter.predicate()) {
            return Ok(None);
        }
        let filter = FilterExecBuilder::from(filter).with_predicate(predicate).build()?;
        return Ok(Some(Arc::new(filter)));
    }
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else { return Ok(None) };
    let schema = projection.input().schema();
    let mut is_changed = false;
    let columns = projection.expr().iter().map(|column| {
        let expr = long_parts_once(&column.expr, &schema)?;
        is_changed |= !Arc::ptr_eq(&expr, &column.expr);
        Ok(ProjectionExpr { expr, alias: column.alias.clone() })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    if !is_changed {
        return Ok(None);
    }
    let projection = ProjectionExec::try_new(columns, Arc::clone(projection.input()))?;
    Ok(Some(Arc::new(projection)))
}
