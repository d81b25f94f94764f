//! `3 = x` is `x = 3`.
//!
//! DataFusion (55) turns comparisons so in filters but not in the conditions of joins, and where a filter
//! then meets the same condition the other way round it takes the two for a contradiction: `ON 3 = b.x WHERE
//! b.x = 3` gave no rows. Runs behind type coercion.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
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
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| Ok(turned(expr)))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }
}

fn turned(expr: Expr) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
        return Transformed::no(expr);
    };
    let is_comparison = matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
    );
    let is_turned = is_comparison && !left.any_column_refs() && right.any_column_refs();
    match op.swap().filter(|_| is_turned) {
        Some(op) => {
            let turned = BinaryExpr::new(right.clone(), op, left.clone());
            Transformed::yes(Expr::BinaryExpr(turned))
        }
        None => Transformed::no(expr),
    }
}
