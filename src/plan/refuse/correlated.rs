//! Subqueries with columns from outside that DataFusion (55) would answer as if they had none of what decides:
//! it pulls their conditions up through windows, limits and aggregates.

use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan, SkipType};

use crate::error::{Error, Result};

/// Checks an expression of a plan.
///
/// # Errors
/// When it is a subquery of that kind.
pub(super) fn check_expr(expr: &Expr) -> Result<()> {
    match expr {
        Expr::ScalarSubquery(scalar) => check_windows(&scalar.subquery),
        Expr::Exists(exists) => {
            let plan = exists.subquery.subquery.as_ref();
            check_windows(plan)?;
            refuse(plan, "OFFSET or LIMIT 0", |node| match node {
                LogicalPlan::Limit(limit) => {
                    !matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)))
                        || matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0))))
                }
                _ => false,
            })?;
            refuse(plan, "an aggregate without GROUP BY", is_of_all)
        }
        Expr::InSubquery(within) => {
            let plan = within.subquery.subquery.as_ref();
            check_windows(plan)?;
            refuse(plan, "LIMIT", |node| matches!(node, LogicalPlan::Limit(_)))?;
            refuse(plan, "an aggregate without GROUP BY", is_of_all)
        }
        _ => Ok(()),
    }
}

/// Checks a node of a plan: LATERAL is one.
///
/// # Errors
/// As [`check_expr`].
pub(super) fn check_node(node: &LogicalPlan) -> Result<()> {
    match node {
        LogicalPlan::Subquery(lateral) => check_windows(&lateral.subquery),
        _ => Ok(()),
    }
}

fn check_windows(plan: &LogicalPlan) -> Result<()> {
    refuse(plan, "a window function", |node| matches!(node, LogicalPlan::Window(_)))
}

fn is_of_all(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty())
}

/// Refuses a plan with a node of a kind above columns from outside.
fn refuse(plan: &LogicalPlan, what: &str, is_it: impl Fn(&LogicalPlan) -> bool) -> Result<()> {
    let mut is_found = false;
    plan.apply(|node| {
        is_found = is_it(node) && reaches_out(node)?;
        Ok(if is_found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(Error::from)?;
    if !is_found {
        return Ok(());
    }
    let error = format!("{what} in a subquery that uses columns from outside is not supported yet");
    Err(Error::sql(error).hint("compute it for all rows in a FROM, and join by these columns"))
}

/// Whether something in a plan is a column from outside.
fn reaches_out(plan: &LogicalPlan) -> DfResult<bool> {
    let mut is_found = false;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            is_found = is_found
                || expr.exists(|part| Ok(matches!(part, Expr::OuterReferenceColumn(..))))?;
            Ok(if is_found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(is_found)
}
