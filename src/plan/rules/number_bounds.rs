//! Numbers beyond their type are errors, and those between whole ones are rounded: DataFusion keeps decimals of
//! 39 digits, makes infinity of a DOUBLE that REAL does not reach, and casts 3.7 to 3.

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, cast};
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
        Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => {
            field.data_type().is_integer() || *field.data_type() == DataType::Float32
        }
        _ => false,
    }
}

fn bounded(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Expr::Cast(Cast { expr: inner, field }) | Expr::TryCast(TryCast { expr: inner, field }) =
        &mut expr
        && field.data_type().is_integer()
    {
        let rounded: fn(Expr) -> Expr = match inner.get_type(schema)? {
            DataType::Float32 | DataType::Float64 => {
                |inner| bounds::whole().call(vec![cast(inner, DataType::Float64)])
            }
            DataType::Decimal32(_, 1..)
            | DataType::Decimal64(_, 1..)
            | DataType::Decimal128(_, 1..) => {
                |inner| cast(inner, DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0))
            }
            _ => return Ok(Transformed::no(expr)),
        };
        **inner = rounded(std::mem::take(inner.as_mut()));
        return Ok(Transformed::yes(expr));
    }
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
