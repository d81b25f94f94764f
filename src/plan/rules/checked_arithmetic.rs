//! Puts checked functions in the place of operators on whole numbers.
//!
//! Runs after type coercion, so that both sides have their final type.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use crate::plan::functions::arithmetic;

/// The rule.
#[derive(Debug, Default)]
pub struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let schema = super::schema_within(&plan)?;
            plan.map_expressions(|expr| {
                expr.transform_up(|expr| {
                    Ok(match replace(&expr, &schema) {
                        Some(checked) => Transformed::yes(checked),
                        None => Transformed::no(expr),
                    })
                })
            })
        })
        .data()
    }
}

fn replace(expr: &Expr, schema: &datafusion::common::DFSchema) -> Option<Expr> {
    let is_integer =
        |expr: &Expr| expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer());
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_integer(left) && is_integer(right) =>
        {
            arithmetic::checked(left, *op, right)
        }
        Expr::Negative(inner) if is_integer(inner) => Some(arithmetic::checked_negative(inner)),
        _ => None,
    }
}
