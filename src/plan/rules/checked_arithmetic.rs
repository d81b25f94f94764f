//! Puts checked functions in the place of operators on whole numbers.
//!
//! Runs after type coercion, so that both sides have their final type. Operators stay where no value
//! of the columns' types can overflow: the sum of an INTEGER, read as BIGINT, and a small literal.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
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
        super::rewritten(plan, may_overflow, |expr, schema| {
            Ok(match replace(&expr, schema) {
                Some(checked) => Transformed::yes(checked),
                None => Transformed::no(expr),
            })
        })
    }
}

fn may_overflow(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(both) => {
            matches!(both.op, Operator::Plus | Operator::Minus | Operator::Multiply)
        }
        Expr::Negative(_) => true,
        _ => false,
    }
}

fn replace(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let is_integer =
        |expr: &Expr| expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer());
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_integer(left) && is_integer(right) && magnitude(expr, schema).is_none() =>
        {
            arithmetic::checked(left, *op, right)
        }
        Expr::Negative(inner) if is_integer(inner) => Some(arithmetic::checked_negative(inner)),
        _ => None,
    }
}

/// How far from zero a BIGINT can be at most, if types and literals say so and no step on the way
/// leaves [`MAGNITUDE_MAX`].
fn magnitude(expr: &Expr, schema: &DFSchema) -> Option<u64> {
    let known = match expr {
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => value.unsigned_abs(),
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Int64 => {
            match cast.expr.get_type(schema).ok()? {
                DataType::Int8 | DataType::UInt8 => 1 << 8,
                DataType::Int16 | DataType::UInt16 => 1 << 16,
                DataType::Int32 | DataType::UInt32 => 1 << 32,
                _ => return None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left, right) = (magnitude(left, schema)?, magnitude(right, schema)?);
            match op {
                Operator::Plus | Operator::Minus => left.checked_add(right)?,
                Operator::Multiply => left.checked_mul(right)?,
                _ => return None,
            }
        }
        Expr::Alias(alias) => magnitude(&alias.expr, schema)?,
        _ => return None,
    };
    (known <= MAGNITUDE_MAX).then_some(known)
}

/// Sums of so large numbers stay exact over a thousand million rows.
const MAGNITUDE_MAX: u64 = 1 << 33;

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::common::ToDFSchema;
    use datafusion::logical_expr::{cast, col, lit};

    #[test]
    fn operators_stay_where_nothing_can_overflow() {
        let fields = vec![
            Field::new("small", DataType::Int16, true),
            Field::new("int", DataType::Int32, true),
            Field::new("big", DataType::Int64, true),
        ];
        let schema = Schema::new(fields).to_dfschema().expect("a schema");
        let wide = |name: &str| cast(col(name), DataType::Int64);
        let is_checked = |expr: Expr| replace(&expr, &schema).is_some();
        assert!(!is_checked(wide("int") + lit(89_i64)));
        assert!(!is_checked(lit(1_i64) - wide("small") * lit(1000_i64)));
        assert!(is_checked(wide("int") + lit(1_i64 << 40)));
        assert!(is_checked(wide("int") * wide("int")));
        assert!(is_checked(col("big") + lit(1_i64)));
        assert!(is_checked(col("int") + col("int")));
        assert!(is_checked(lit(i64::MIN) - wide("small")));
    }
}
