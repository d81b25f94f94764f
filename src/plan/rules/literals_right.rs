//! `3 = x` is `x = 3`.
//!
//! DataFusion (55) turns comparisons so in filters but not in the conditions of joins, and where a filter
//! then meets the same condition the other way round it takes the two for a contradiction: `ON 3 = b.x WHERE
//! b.x = 3` gave no rows. Runs behind type coercion.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// The rule.
#[derive(Debug, Default)]
pub struct LiteralsRight;

impl AnalyzerRule for LiteralsRight {
    fn name(&self) -> &str {
        "literals_right"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            super::with_expressions(plan, |expr| Ok(turned(expr)))
        })
        .data()
    }
}

fn turned(expr: Expr) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
        return Transformed::no(expr);
    };
    let is_turned = !left.any_column_refs() && right.any_column_refs();
    match op.swap().filter(|_| is_turned) {
        Some(op) => {
            let turned = BinaryExpr::new(right.clone(), op, left.clone());
            Transformed::yes(Expr::BinaryExpr(turned))
        }
        None => Transformed::no(expr),
    }
}
