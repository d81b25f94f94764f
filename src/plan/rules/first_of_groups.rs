//! `row_number() ... <= n` reads only the first rows of each group; see `exec::group_top`.
//!
//! DataFusion has a rule for this, which is off by default and stays so: it takes any column behind
//! those of the window's input for the row number (55.2: an index that is not mapped through the
//! projection), and drops rows that another function of the same window, such as `lead`, looks at.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::window::StandardWindowExpr;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};

use super::Replacing;
use crate::exec::group_top::{GroupTopExec, is_ordered_by_bits};

/// More rows than this of each group are better sorted.
const COUNT_MAX: usize = 64;

/// The rule; it comes before exchanges are put in.
pub const RULE: Replacing = Replacing { name: "first_of_groups", replacement };

fn replacement(
    plan: &Arc<dyn ExecutionPlan>,
    _: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(filter) = plan.downcast_ref::<FilterExec>() else { return Ok(None) };
    for (column, count) in split_conjunction(filter.predicate()).into_iter().filter_map(limit_of) {
        if let Some(input) = limited(filter.input(), column, count)? {
            return replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some);
        }
    }
    Ok(None)
}

/// A column and what it is at most.
fn limit_of(condition: &Arc<dyn PhysicalExpr>) -> Option<(usize, usize)> {
    let binary = condition.downcast_ref::<BinaryExpr>()?;
    let (column, value, op) = match (binary.left(), binary.right()) {
        (left, right) if left.is::<Column>() => (left, right, *binary.op()),
        (left, right) => (right, left, binary.op().swap()?),
    };
    let value = value.downcast_ref::<Literal>()?.value();
    let ScalarValue::UInt64(Some(value)) = value else { return None };
    let count = match op {
        Operator::LtEq | Operator::Eq => *value,
        Operator::Lt => value.checked_sub(1)?,
        _ => return None,
    };
    let count = usize::try_from(count).ok().filter(|count| (1..=COUNT_MAX).contains(count))?;
    Some((column.downcast_ref::<Column>()?.index(), count))
}

/// The plan with only the first rows of each group below the window that numbers them.
fn limited(
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
    count: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let Some(below) = projection.expr()[column].expr.downcast_ref::<Column>() else {
            return Ok(None);
        };
        let Some(input) = limited(projection.input(), below.index(), count)? else {
            return Ok(None);
        };
        return replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some);
    }
    let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() else { return Ok(None) };
    let input = window.input();
    // Another function of this window may look at any row.
    let [function] = window.window_expr() else { return Ok(None) };
    if column != input.schema().fields().len() || !is_row_number(function.as_any()) {
        return Ok(None);
    }
    let (keys, [order]) = (function.partition_by(), function.order_by()) else { return Ok(None) };
    if keys.is_empty() || !is_ordered_by_bits(&order.expr.data_type(&input.schema())?) {
        return Ok(None);
    }
    let top = |input, is_final| -> Arc<dyn ExecutionPlan> {
        Arc::new(GroupTopExec::new(input, keys.to_vec(), order.clone(), count, is_final))
    };
    let input = top(top(Arc::clone(input), false), true);
    replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some)
}

fn is_row_number(function: &dyn std::any::Any) -> bool {
    function
        .downcast_ref::<StandardWindowExpr>()
        .and_then(|function| {
            function.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>()
        })
        .is_some_and(|function| function.fun().name() == "row_number")
}
