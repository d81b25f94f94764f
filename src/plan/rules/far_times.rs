//! Comparisons with times that TIMESTAMP does not reach: `valid_to > now()` of a DATE that is 9999-12-31.
//!
//! DataFusion casts both sides to nanoseconds since 1970, which end in 2262, and fails. Beside a timestamp
//! all times beyond are as good as the last one. Runs behind type coercion, which makes the casts.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, cast, lit};
use datafusion::optimizer::AnalyzerRule;

use crate::plan::functions::times;

/// The rule.
#[derive(Debug, Default)]
pub struct FarTimes;

impl AnalyzerRule for FarTimes {
    fn name(&self) -> &str {
        "far_times"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        super::rewritten(plan, compares, within_reach)
    }
}

fn compares(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(both) => super::compares(both.op),
        Expr::Between(_) => true,
        _ => false,
    }
}

fn within_reach(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if !compares(&expr) {
        return Ok(Transformed::no(expr));
    }
    let sides = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => {
            // A DATE beside a literal is compared as it is where that can be.
            if to_the_microsecond(left, right, schema) || to_the_microsecond(right, left, schema) {
                return Ok(Transformed::yes(expr));
            }
            vec![left, right]
        }
        Expr::Between(between) => vec![&mut between.expr, &mut between.low, &mut between.high],
        _ => return Ok(Transformed::no(expr)),
    };
    let mut is_changed = false;
    for side in sides {
        let Some(bounded) = bounded(side, schema) else { continue };
        **side = bounded;
        is_changed = true;
    }
    Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

/// A cast to nanoseconds that stops at the last one.
fn bounded(side: &Expr, schema: &DFSchema) -> Option<Expr> {
    let (inner, wanted) = nanoseconds_of(side)?;
    let far = wanted_in(wanted, TimeUnit::Microsecond)?;
    if let Expr::Literal(value, _) = inner {
        if value.is_null() || value.cast_to(wanted).is_ok() {
            return None;
        }
        let far = value.cast_to(&far).ok()?;
        let is_late = far > ScalarValue::from(0_i64).cast_to(&far.data_type()).ok()?;
        let last = if is_late { i64::MAX } else { i64::MIN };
        return ScalarValue::from(last).cast_to(wanted).ok().map(lit);
    }
    let is_coarse = is_coarse(&inner.get_type(schema).ok()?);
    is_coarse.then(|| times::within_reach().call(vec![cast(inner.clone(), far)]))
}

/// Compares a DATE and a literal by microseconds, if the literal is so many; says whether it did.
fn to_the_microsecond(side: &mut Expr, other: &mut Expr, schema: &DFSchema) -> bool {
    let Some((inner, wanted)) = nanoseconds_of(side) else { return false };
    let Some(far) = wanted_in(wanted, TimeUnit::Microsecond) else { return false };
    let is_date = inner.get_type(schema).is_ok_and(|given| is_coarse(&given));
    let literal = match &*other {
        Expr::Literal(value, _) => value.cast_to(wanted).ok(),
        other => match nanoseconds_of(other) {
            Some((Expr::Literal(value, _), _)) => {
                value.cast_to(wanted).or_else(|_| value.cast_to(&far)).ok()
            }
            _ => None,
        },
    };
    let (true, false, Some(literal)) = (is_date, matches!(inner, Expr::Literal(..)), literal)
    else {
        return false;
    };
    let Ok(whole) = literal.cast_to(&far) else { return false };
    if literal.data_type() != far && whole.cast_to(wanted).ok().as_ref() != Some(&literal) {
        return false;
    }
    *side = cast(inner.clone(), far);
    *other = lit(whole);
    true
}

/// What is cast to a timestamp in nanoseconds, and its type then.
fn nanoseconds_of(expr: &Expr) -> Option<(&Expr, &DataType)> {
    let Expr::Cast(Cast { expr: inner, field }) = expr else { return None };
    matches!(field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _))
        .then(|| (inner.as_ref(), field.data_type()))
}

fn wanted_in(wanted: &DataType, unit: TimeUnit) -> Option<DataType> {
    let DataType::Timestamp(_, zone) = wanted else { return None };
    Some(DataType::Timestamp(unit, zone.clone()))
}

/// Whether a type reaches further than nanoseconds do.
fn is_coarse(data_type: &DataType) -> bool {
    match data_type {
        DataType::Date32 | DataType::Date64 => true,
        DataType::Timestamp(unit, _) => *unit != TimeUnit::Nanosecond,
        _ => false,
    }
}
