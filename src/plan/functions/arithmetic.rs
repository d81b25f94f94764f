//! `+`, `-`, `*` and unary minus on whole numbers, exact or an error.
//!
//! DataFusion evaluates these operators with kernels that wrap around. The rule
//! [`crate::plan::rules::checked_arithmetic`] puts these functions in their place; they print as the
//! operators that they replace, so that column names stay as they were.

use std::sync::Arc;

use datafusion::arrow::array::Datum;
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::schema_name_from_exprs;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::physical_expr_common::datum::apply;

/// The checked form of an operator, if it has one.
pub fn checked(operator: Operator) -> Option<Arc<ScalarUDF>> {
    let operation = match operator {
        Operator::Plus => Operation::Add,
        Operator::Minus => Operation::Subtract,
        Operator::Multiply => Operation::Multiply,
        _ => return None,
    };
    Some(Arc::new(ScalarUDF::new_from_impl(Checked::new(operation))))
}

/// The checked unary minus.
pub fn checked_negative() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Checked::new(Operation::Negate)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn new(operation: Operation) -> Self {
        let arity = if operation == Operation::Negate { 1 } else { 2 };
        Checked { operation, signature: Signature::any(arity, Volatility::Immutable) }
    }

    fn symbol(&self) -> &'static str {
        match self.operation {
            Operation::Add => "+",
            Operation::Subtract | Operation::Negate => "-",
            Operation::Multiply => "*",
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
            Operation::Negate => "checked_negate",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(match args {
            [left, right] => format!("{left} {} {right}", self.symbol()),
            [only] => format!("(- {only})"),
            _ => self.name().to_string(),
        })
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let name = |expr: &Expr| schema_name_from_exprs(std::slice::from_ref(expr));
        Ok(match args {
            [left, right] => format!("{} {} {}", name(left)?, self.symbol(), name(right)?),
            [only] => format!("(- {})", name(only)?),
            _ => self.name().to_string(),
        })
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types.first() {
            Some(first) => Ok(first.clone()),
            None => internal_err!("{} without arguments", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kernel = match self.operation {
            Operation::Add => numeric::add,
            Operation::Subtract => numeric::sub,
            Operation::Multiply => numeric::mul,
            Operation::Negate => return negate(&args.args),
        };
        match args.args.as_slice() {
            [left, right] => apply(left, right, |l: &dyn Datum, r: &dyn Datum| kernel(l, r)),
            _ => internal_err!("{} takes two arguments", self.name()),
        }
    }
}

fn negate(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    match args {
        [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(numeric::neg(array)?)),
        [ColumnarValue::Scalar(scalar)] => Ok(ColumnarValue::Scalar(scalar.arithmetic_negate()?)),
        _ => internal_err!("the unary minus takes one argument"),
    }
}
