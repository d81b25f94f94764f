//! Where least and greatest values may not tell scans what to leave out.
//!
//! DataFusion leaves out rows that cannot change `min(a)` or `max(b)` of columns a and b. It does so also
//! beside `max(abs(c))`, which needs them.

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Whether the least and greatest values in a plan are all of columns, and so bounds for scans.
///
/// # Errors
/// None of its own.
pub fn are_bounds(plan: &LogicalPlan) -> Result<bool> {
    let mut are_bounds = true;
    plan.apply_with_subqueries(|plan| {
        let LogicalPlan::Aggregate(aggregate) = plan else {
            return Ok(TreeNodeRecursion::Continue);
        };
        if aggregate.group_expr.is_empty() && !aggregate.aggr_expr.iter().all(is_of_column) {
            are_bounds = false;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(are_bounds)
}

fn is_of_column(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_of_column(&alias.expr),
        Expr::AggregateFunction(call) => {
            matches!(call.params.args.as_slice(), [Expr::Column(_)])
        }
        _ => false,
    }
}
