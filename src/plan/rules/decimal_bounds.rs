//! Sums and differences of decimals of 38 digits overflow into an error: DataFusion keeps values of 39.

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use crate::plan::functions::decimals;

/// The rule.
#[derive(Debug, Default)]
pub struct DecimalBounds;

impl AnalyzerRule for DecimalBounds {
    fn name(&self) -> &str {
        "decimal_bounds"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        super::rewritten(plan, adds, bounded)
    }
}

fn adds(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryExpr(both) if matches!(both.op, Operator::Plus | Operator::Minus))
}

fn bounded(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_full = adds(&expr)
        && matches!(expr.get_type(schema), Ok(DataType::Decimal128(DECIMAL128_MAX_PRECISION, _)));
    Ok(match is_full {
        true => Transformed::yes(decimals::bounded().call(vec![expr])),
        false => Transformed::no(expr),
    })
}
