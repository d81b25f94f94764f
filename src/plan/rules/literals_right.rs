//! `3 = x` is `x = 3`, and `3 BETWEEN x AND y` is `x <= 3 AND y >= 3`.
//!
//! DataFusion (55) turns comparisons so in filters but not in the conditions of joins, and where a filter
//! then meets the same condition the other way round it takes the two for a contradiction: `ON 3 = b.x WHERE
//! b.x = 3` gave no rows. Runs behind type coercion.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
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
    if let Expr::Between(between) = &expr
        && !between.expr.any_column_refs()
        && (between.low.any_column_refs() || between.high.any_column_refs())
    {
        let side = |side: &Expr, op| {
            let compared = BinaryExpr::new(Box::new(side.clone()), op, between.expr.clone());
            turned(Expr::BinaryExpr(compared)).data
        };
        let (low, high) = (between.low.as_ref(), between.high.as_ref());
        return Transformed::yes(match between.negated {
            false => side(low, Operator::LtEq).and(side(high, Operator::GtEq)),
            true => side(low, Operator::Gt).or(side(high, Operator::Lt)),
        });
    }
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
