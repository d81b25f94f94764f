//! Numbers beyond their type are errors: DataFusion keeps decimals of 39 digits, and makes infinity of a
//! DOUBLE that REAL does not reach.

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use crate::plan::functions::bounds;

/// The rule.
#[derive(Debug, Default)]
pub struct NumberBounds;

impl AnalyzerRule for NumberBounds {
    fn name(&self) -> &str {
        "number_bounds"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        super::rewritten(plan, may_leave, bounded)
    }
}

fn may_leave(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(both) => matches!(both.op, Operator::Plus | Operator::Minus),
        Expr::Cast(cast) => *cast.field.data_type() == DataType::Float32,
        _ => false,
    }
}

fn bounded(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(Cast { expr: inner, field })
            if *field.data_type() == DataType::Float32
                && matches!(inner.get_type(schema), Ok(DataType::Float64)) =>
        {
            Ok(Transformed::yes(bounds::real().call(vec![*inner])))
        }
        expr if matches!(expr, Expr::BinaryExpr(_))
            && may_leave(&expr)
            && matches!(
                expr.get_type(schema),
                Ok(DataType::Decimal128(DECIMAL128_MAX_PRECISION, _))
            ) =>
        {
            Ok(Transformed::yes(bounds::decimal().call(vec![expr])))
        }
        other => Ok(Transformed::no(other)),
    }
}
