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
use datafusion::logical_expr::expr::{ScalarFunction, schema_name_from_exprs};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::physical_expr_common::datum::apply;

/// The checked form of an operator between two expressions, if it has one; on whole numbers.
///
/// `a + b - c` is one function of three arguments: a tree of functions would take planning a time that
/// grows with the cube of its depth.
pub fn checked(left: &Expr, operator: Operator, right: &Expr) -> Option<Expr> {
    let operation = match operator {
        Operator::Plus => Operation::Add,
        Operator::Minus => Operation::Subtract,
        Operator::Multiply => Operation::Multiply,
        _ => return None,
    };
    let (mut operations, mut args) = match chain_of(left) {
        // Products go before sums.
        Some((operations, args)) if binds(operations[0]) == binds(operation) => {
            (operations.to_vec(), args.to_vec())
        }
        _ => (Vec::new(), vec![left.clone()]),
    };
    operations.push(operation);
    args.push(right.clone());
    Some(call(Checked::new(operations), args))
}

/// The checked unary minus.
pub fn checked_negative(inner: &Expr) -> Expr {
    call(Checked::new(Vec::new()), vec![inner.clone()])
}

/// The function of a name that this module gives, such as `swath_+-`.
pub fn by_name(name: &str) -> Option<ScalarUDF> {
    let symbols = name.strip_prefix("swath_")?;
    let operations = match symbols {
        "negative" => Vec::new(),
        "" => return None,
        _ => symbols.chars().map(Operation::of).collect::<Option<_>>()?,
    };
    Some(ScalarUDF::new_from_impl(Checked::new(operations)))
}

fn call(function: Checked, args: Vec<Expr>) -> Expr {
    let function = Arc::new(ScalarUDF::new_from_impl(function));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}

/// The operations and arguments of a chain of ours.
fn chain_of(expr: &Expr) -> Option<(&[Operation], &[Expr])> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let checked = (func.inner().as_ref() as &dyn std::any::Any).downcast_ref::<Checked>()?;
    (!checked.operations.is_empty()).then_some((&checked.operations, args))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
}

/// Whether an operation goes before others.
fn binds(operation: Operation) -> bool {
    operation == Operation::Multiply
}

impl Operation {
    fn of(symbol: char) -> Option<Self> {
        [Operation::Add, Operation::Subtract, Operation::Multiply]
            .into_iter()
            .find(|operation| operation.symbol() == symbol)
    }

    fn symbol(self) -> char {
        match self {
            Operation::Add => '+',
            Operation::Subtract => '-',
            Operation::Multiply => '*',
        }
    }
}

/// Operations from left to right, one less than arguments; the unary minus if there are none.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    name: String,
    operations: Vec<Operation>,
    signature: Signature,
}

impl Checked {
    fn new(operations: Vec<Operation>) -> Self {
        let symbols: String = operations.iter().map(|operation| operation.symbol()).collect();
        Checked {
            // What is kept of partial aggregates is found by the names of functions.
            name: format!("swath_{}", if symbols.is_empty() { "negative" } else { &symbols }),
            signature: Signature::any(operations.len() + 1, Volatility::Immutable),
            operations,
        }
    }

    /// The operators between names of arguments, as DataFusion names them: without parentheses. The
    /// name of a column must not change when a rule puts these functions in.
    fn written(&self, args: &[Expr], name: impl Fn(&Expr) -> Result<String>) -> Result<String> {
        let Some((first, rest)) = args.split_first() else { return Ok(self.name.clone()) };
        if self.operations.is_empty() {
            return Ok(format!("(- {})", name(first)?));
        }
        let mut text = name(first)?;
        for (operation, arg) in self.operations.iter().zip(rest) {
            text.push_str(&format!(" {} {}", operation.symbol(), name(arg)?));
        }
        Ok(text)
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        self.written(args, |arg| Ok(arg.to_string()))
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.written(args, |arg| Ok(schema_name_from_exprs(std::slice::from_ref(arg))?))
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types.first() {
            Some(first) => Ok(first.clone()),
            None => internal_err!("{} without arguments", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.operations.is_empty() {
            return negate(&args.args);
        }
        let Some((first, rest)) = args.args.split_first() else {
            return internal_err!("{} without arguments", self.name());
        };
        let mut total = first.clone();
        for (operation, arg) in self.operations.iter().zip(rest) {
            let kernel = match operation {
                Operation::Add => numeric::add,
                Operation::Subtract => numeric::sub,
                Operation::Multiply => numeric::mul,
            };
            total = apply(&total, arg, |l: &dyn Datum, r: &dyn Datum| kernel(l, r))?;
        }
        Ok(total)
    }
}

fn negate(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    match args {
        [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(numeric::neg(array)?)),
        [ColumnarValue::Scalar(scalar)] => Ok(ColumnarValue::Scalar(scalar.arithmetic_negate()?)),
        _ => internal_err!("the unary minus takes one argument"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{ident, lit};

    #[test]
    fn chains_are_flat_and_have_the_names_of_operators() {
        let of =
            |left: &Expr, operator, right: &Expr| checked(left, operator, right).expect("ours");
        let (a, b, c) = (ident("a"), ident("b"), ident("c"));
        let (plus, times) = (Operator::Plus, Operator::Multiply);
        let sum = of(&of(&a, plus, &b), Operator::Minus, &c);
        assert_eq!(sum.schema_name().to_string(), "a + b - c");
        assert_eq!(chain_of(&sum).expect("a chain").1.len(), 3);
        assert_eq!(of(&of(&a, plus, &b), times, &c).schema_name().to_string(), "a + b * c");
        assert_eq!(of(&a, plus, &of(&b, times, &c)).schema_name().to_string(), "a + b * c");
        assert_eq!(
            of(&a, Operator::Minus, &of(&b, plus, &c)).schema_name().to_string(),
            "a - b + c"
        );
        assert_eq!(of(&of(&a, times, &b), times, &c).schema_name().to_string(), "a * b * c");
        assert_eq!(by_name("swath_*+").expect("ours").name(), "swath_*+");
        assert!(by_name("swath_").or(by_name("swath_x")).or(by_name("abs")).is_none());
        assert_eq!(checked_negative(&lit(1_i64)).schema_name().to_string(), "(- Int64(1))");
        assert!(checked(&a, Operator::Divide, &b).is_none());
    }
}
