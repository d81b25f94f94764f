//! Operators and functions whose meaning depends on what they are given.
//!
//! ```text
//! decimal / decimal         a DOUBLE: a decimal with four digits more makes 1.0 / 3000000 nothing
//! interval * 2              months, days and hours, each multiplied
//! interval > interval       by their length
//! date + 1 hour             a timestamp
//! ceil(9.5), floor(9.5)     decimals of a digit more
//! len(x), length(x)         the characters of a text, the items of a list
//! epoch_ms(x)               the milliseconds of a timestamp, the timestamp of milliseconds
//! ```

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Decimal128Array, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, DurationNanosecondType, Float64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::functions::math::{ceil, floor};
use datafusion::functions::unicode::character_length;
use datafusion::functions_nested::length::array_length;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast, create_udf, lit,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::error::Error;

/// Plans operators that DataFusion has not, or has with another meaning.
#[derive(Debug)]
pub struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if compares(&expr.op) {
            return compared(expr, schema);
        }
        let is_divided = expr.op == BinaryOperator::Divide;
        let is_shifted = matches!(expr.op, BinaryOperator::Plus | BinaryOperator::Minus);
        if !is_divided && !is_shifted && expr.op != BinaryOperator::Multiply {
            return Ok(PlannerResult::Original(expr));
        }
        // The type of a long sum takes long to find, and is wanted for few: its end is short.
        let Ok(right) = expr.right.get_type(schema) else {
            return Ok(PlannerResult::Original(expr));
        };
        if is_shifted && right != DataType::Date32 && !is_interval(&right) {
            return Ok(PlannerResult::Original(expr));
        }
        let Ok(left) = expr.left.get_type(schema) else {
            return Ok(PlannerResult::Original(expr));
        };
        if is_shifted {
            // Of a DATE, DataFusion would drop the hours.
            let instant = |expr| cast(expr, DataType::Timestamp(TimeUnit::Nanosecond, None));
            let mut expr = expr;
            if left == DataType::Date32 && is_interval(&right) && has_hours(&expr.right) {
                expr.left = instant(expr.left);
            } else if is_interval(&left) && right == DataType::Date32 && has_hours(&expr.left) {
                expr.right = instant(expr.right);
            }
            return Ok(PlannerResult::Original(expr));
        }
        if is_interval(&left) && right.is_numeric() {
            let factor = cast(expr.right, DataType::Float64);
            let factor = if is_divided { lit(1_f64) / factor } else { factor };
            return Ok(PlannerResult::Planned(interval_times().call(vec![expr.left, factor])));
        }
        if !is_divided && left.is_numeric() && is_interval(&right) {
            let factor = cast(expr.left, DataType::Float64);
            return Ok(PlannerResult::Planned(interval_times().call(vec![expr.right, factor])));
        }
        if is_divided
            && left.is_numeric()
            && right.is_numeric()
            && (left.is_decimal() || right.is_decimal())
        {
            let double = |expr| cast(expr, DataType::Float64);
            let quotient = double(expr.left) / double(expr.right);
            return Ok(PlannerResult::Planned(quotient));
        }
        Ok(PlannerResult::Original(expr))
    }
}

fn compares(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// Compares intervals by their length.
fn compared(mut expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
    let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
        return Ok(PlannerResult::Original(expr));
    };
    let is_span = |given: &DataType| is_interval(given) || matches!(given, DataType::Duration(_));
    let may_be = |given: &DataType| is_span(given) || given.is_string() || given.is_null();
    if !(is_interval(&left) && may_be(&right) || may_be(&left) && is_interval(&right)) {
        return Ok(PlannerResult::Original(expr));
    }
    let long = |side: Expr, given: &DataType| {
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        let side = match given {
            DataType::Duration(_) => cast(side, DataType::Duration(TimeUnit::Nanosecond)),
            given if *given == interval => side,
            _ => cast(side, interval),
        };
        length_of_interval().call(vec![side])
    };
    (expr.left, expr.right) = (long(expr.left, &left), long(expr.right, &right));
    Ok(PlannerResult::Original(expr))
}

/// The length of an interval in nanoseconds: a day has 24 hours and a month 30 days, as where PostgreSQL and
/// DuckDB compare intervals.
fn length_of_interval() -> ScalarUDF {
    ScalarUDF::new_from_impl(Length { signature: Signature::any(1, Volatility::Immutable) })
}

/// The name of [`length_of_interval`]; no statement calls it.
const LENGTH: &str = "swath_length_of_interval";

/// The function of a name that this module puts into plans.
pub fn by_name(name: &str) -> Option<ScalarUDF> {
    match name {
        LENGTH => Some(length_of_interval()),
        "interval_times" => Some(interval_times()),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    signature: Signature,
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &str {
        LENGTH
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let lengths: Decimal128Array = match array.data_type() {
            DataType::Duration(_) => {
                array.as_primitive::<DurationNanosecondType>().unary(i128::from)
            }
            _ => array.as_primitive::<IntervalMonthDayNanoType>().unary(length),
        };
        let lengths = lengths.with_precision_and_scale(DECIMAL128_MAX_PRECISION, 0)?;
        Ok(ColumnarValue::Array(Arc::new(lengths)))
    }
}

fn length(interval: IntervalMonthDayNano) -> i128 {
    const NANOS_PER_DAY: i128 = 86_400_000_000_000;
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * NANOS_PER_DAY + i128::from(interval.nanoseconds)
}

/// Whether an interval may have parts that are less than days.
fn has_hours(interval: &Expr) -> bool {
    !matches!(interval, Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)
        if interval.nanoseconds == 0)
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

/// An interval, so many times. Parts of months become days of 30, parts of days become hours.
fn interval_times() -> ScalarUDF {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let times = |args: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(args)?;
        let intervals = arrays[0].as_primitive::<IntervalMonthDayNanoType>();
        let factors = arrays[1].as_primitive::<Float64Type>();
        let products: IntervalMonthDayNanoArray = intervals
            .iter()
            .zip(factors.iter())
            .map(|(interval, factor)| match (interval, factor) {
                (Some(interval), Some(factor)) => times(interval, factor).map(Some),
                _ => Ok(None),
            })
            .collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(products) as ArrayRef))
    };
    let arguments = vec![interval.clone(), DataType::Float64];
    create_udf("interval_times", arguments, interval, Volatility::Immutable, Arc::new(times))
}

fn times(interval: IntervalMonthDayNano, factor: f64) -> Result<IntervalMonthDayNano> {
    const DAYS_PER_MONTH: f64 = 30.0;
    const NANOS_PER_DAY: f64 = 86_400e9;
    let months = f64::from(interval.months) * factor;
    let days = f64::from(interval.days) * factor + months.fract() * DAYS_PER_MONTH;
    // What is less than a microsecond is of the arithmetic.
    let nanos = interval.nanoseconds as f64 * factor;
    let nanos = ((nanos + days.fract() * NANOS_PER_DAY) / 1e3).round() * 1e3;
    let is_in = |value: f64, max: f64| value.abs() <= max;
    let max = f64::from(i32::MAX);
    if !(is_in(months, max) && is_in(days, max) && is_in(nanos, i64::MAX as f64)) {
        return Err(Error::data(format!("an interval times {factor} is beyond all intervals"))
            .hint("an interval has up to 2147483647 months, and as many days")
            .into());
    }
    Ok(IntervalMonthDayNano::new(months as i32, days as i32, nanos as i64))
}

/// The functions of this module.
pub fn functions() -> impl Iterator<Item = ScalarUDF> {
    let all = [
        ("len", Meaning::Length),
        ("length", Meaning::Length),
        ("ceil", Meaning::Ceil),
        ("ceiling", Meaning::Ceil),
        ("floor", Meaning::Floor),
        ("epoch_ms", Meaning::SinceEpoch(TimeUnit::Millisecond)),
        ("epoch_us", Meaning::SinceEpoch(TimeUnit::Microsecond)),
        ("epoch_ns", Meaning::SinceEpoch(TimeUnit::Nanosecond)),
    ];
    all.into_iter().map(|(name, meaning)| {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::new_from_impl(ByType { name, meaning, signature })
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Meaning {
    Length,
    Ceil,
    Floor,
    SinceEpoch(TimeUnit),
}

/// A decimal with a digit more: the one above 9.5 is 10.
fn with_digit(given: &DataType) -> DataType {
    match given {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => {
            DataType::Decimal128((precision + 1).min(DECIMAL128_MAX_PRECISION), *scale)
        }
        DataType::Null => DataType::Float64,
        other => other.clone(),
    }
}

impl Meaning {
    fn returned(self, given: &DataType) -> DataType {
        match self {
            Meaning::Ceil => ceil().return_type(&[with_digit(given)]).unwrap_or(DataType::Float64),
            Meaning::Floor => {
                floor().return_type(&[with_digit(given)]).unwrap_or(DataType::Float64)
            }
            Meaning::SinceEpoch(_) if given.is_integer() => {
                DataType::Timestamp(TimeUnit::Nanosecond, None)
            }
            _ => DataType::Int64,
        }
    }

    fn written(self, arg: Expr, given: &DataType) -> Expr {
        let value = match self {
            Meaning::Length if given.is_list() => array_length(arg),
            Meaning::Length if given.is_null() => lit(ScalarValue::Int64(None)),
            Meaning::Length => character_length().call(vec![arg]),
            Meaning::Ceil => return ceil().call(vec![cast(arg, with_digit(given))]),
            Meaning::Floor => return floor().call(vec![cast(arg, with_digit(given))]),
            Meaning::SinceEpoch(unit) => {
                let arg = if given.is_integer() { cast(arg, DataType::Int64) } else { arg };
                cast(arg, DataType::Timestamp(unit, None))
            }
        };
        cast(value, self.returned(given))
    }
}

/// A function that is written in others when the type of its argument is known.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ByType {
    name: &'static str,
    meaning: Meaning,
    signature: Signature,
}

impl ScalarUDFImpl for ByType {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let given = &arguments[0];
        let is_known = match self.meaning {
            Meaning::Length => given.is_list() || given.is_null() || given.is_string(),
            Meaning::Ceil | Meaning::Floor => given.is_numeric() || given.is_null(),
            Meaning::SinceEpoch(_) => given.is_temporal() || given.is_integer() || given.is_null(),
        };
        if is_known {
            return Ok(self.meaning.returned(given));
        }
        let name = crate::sql_type::sql_type_name(given);
        let (takes, hint) = match self.meaning {
            Meaning::Length => ("a text or a list", "x::VARCHAR makes it a text"),
            Meaning::Ceil | Meaning::Floor => ("a number", "x::DOUBLE reads a text"),
            Meaning::SinceEpoch(_) => {
                ("a timestamp or a whole number", "x::TIMESTAMP reads a text")
            }
        };
        let error = Error::sql(format!("{} takes {takes}, not a {name}", self.name));
        Err(error.hint(hint).into())
    }

    fn simplify(&self, mut args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(arg) = args.pop() else { return Ok(ExprSimplifyResult::Original(args)) };
        let given = info.get_data_type(&arg)?;
        Ok(ExprSimplifyResult::Simplified(self.meaning.written(arg, &given)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} is written in other functions by the optimiser", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_keep_what_they_are_made_of() {
        let check = |(months, days, nanos), factor, expected: Option<(i32, i32, i64)>| {
            let found = times(IntervalMonthDayNano::new(months, days, nanos), factor).ok();
            let expected = expected
                .map(|(months, days, nanos)| IntervalMonthDayNano::new(months, days, nanos));
            assert_eq!(found, expected, "{months} {days} {nanos} * {factor}");
        };
        check((1, 2, 3_000), 2.0, Some((2, 4, 6_000)));
        check((1, 1, 0), 0.5, Some((0, 15, 43_200_000_000_000)));
        check((0, 1, 0), 1.0 / 3.0, Some((0, 0, 28_800_000_000_000)));
        check((0, 1, 0), -1.0, Some((0, -1, 0)));
        check((1, 0, 0), 3e9, None);
        check((0, 0, 1), f64::NAN, None);
    }
}
