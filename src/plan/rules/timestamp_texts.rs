//! Timestamps and lists as texts, and texts as dates and timestamps, as SQL writes them.
//!
//! Arrow writes `2024-01-01T10:00:00` and reads no `2024-01-01 10:00`. Runs behind type coercion, so that
//! comparisons and `||` have their casts.

use std::sync::LazyLock;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions::string::replace;
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast, lit};
use datafusion::optimizer::AnalyzerRule;
use regex::Regex;

use crate::plan::functions::{nested, times};

/// A timestamp to the minute, and a zone.
static TO_THE_MINUTE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^\s*(\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2})(\s*(?:Z|[+-]\d{2}(?::?\d{2})?)?)\s*$").ok()
});

/// The rule.
#[derive(Debug, Default)]
pub struct TimestampTexts;

impl AnalyzerRule for TimestampTexts {
    fn name(&self) -> &str {
        "timestamp_texts"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        super::rewritten(plan, super::is_cast, |expr, schema| Ok(spelled(expr, schema)))
    }
}

fn spelled(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let (Expr::Cast(Cast { expr: inner, field }) | Expr::TryCast(TryCast { expr: inner, field })) =
        &mut expr
    else {
        return Transformed::no(expr);
    };
    match field.data_type() {
        DataType::Timestamp(_, zone) => {
            let has_zone = zone.is_some();
            if let Some(text) = text_of(inner) {
                let spelled = with_seconds(text).unwrap_or_else(|| text.to_string());
                let text = if has_zone { &spelled } else { times::without_zone(&spelled) };
                **inner = lit(text);
            } else if !has_zone && inner.get_type(schema).is_ok_and(|given| given.is_string()) {
                let text = cast(std::mem::take(inner.as_mut()), DataType::Utf8View);
                **inner = times::clock_text().call(vec![text]);
            } else {
                return Transformed::no(expr);
            }
            Transformed::yes(expr)
        }
        DataType::Date32 => {
            if let Some(text) = text_of(inner) {
                let date = times::without_time(text).to_string();
                **inner = lit(date);
            } else if inner.get_type(schema).is_ok_and(|given| given.is_string()) {
                let text = cast(std::mem::take(inner.as_mut()), DataType::Utf8View);
                **inner = times::date_text().call(vec![text]);
            } else {
                return Transformed::no(expr);
            }
            Transformed::yes(expr)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
            if matches!(inner.get_type(schema), Ok(DataType::Timestamp(..))) =>
        {
            let data_type = field.data_type().clone();
            let text = |text: &str| ScalarValue::from(text).cast_to(&data_type).map(lit);
            match (text("T"), text(" ")) {
                (Ok(from), Ok(to)) => {
                    let spelled = replace().call(vec![expr, from, to]);
                    Transformed::yes(cast(spelled, data_type))
                }
                _ => Transformed::no(expr),
            }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
            if inner.get_type(schema).is_ok_and(|given| given.is_nested()) =>
        {
            let list = std::mem::take(inner.as_mut());
            **inner = nested::shown().call(vec![list]);
            Transformed::yes(expr)
        }
        _ => Transformed::no(expr),
    }
}

fn text_of(expr: &Expr) -> Option<&str> {
    let Expr::Literal(value, _) = expr else { return None };
    value.try_as_str().flatten()
}

/// A timestamp that ends with its minute, with the seconds that it does not have.
fn with_seconds(text: &str) -> Option<String> {
    let found = TO_THE_MINUTE.as_ref()?.captures(text)?;
    Some(format!("{}:00{}", &found[1], &found[2]))
}
