//! What lies between two timestamps is days and a time of day: `extract(hour FROM a - b)` is less than 24.
//!
//! DataFusion gives all hours, minutes and seconds of it. `extract(day ...)` and `extract(epoch ...)` are
//! of the whole in SQL as well.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::optimizer::AnalyzerRule;

/// The rule.
#[derive(Debug, Default)]
pub struct ElapsedParts;

impl AnalyzerRule for ElapsedParts {
    fn name(&self) -> &str {
        "elapsed_parts"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        super::rewritten(plan, is_date_part, within_day)
    }
}

fn is_date_part(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == "date_part")
}

fn within_day(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
    let [Expr::Literal(part, _), elapsed] = &call.args[..] else {
        return Ok(Transformed::no(expr));
    };
    if call.name() != "date_part" || !matches!(elapsed.get_type(schema), Ok(DataType::Duration(_)))
    {
        return Ok(Transformed::no(expr));
    }
    let part = part.try_as_str().flatten().unwrap_or_default().to_lowercase();
    let count: i64 = match part.trim_end_matches('s') {
        "hour" => 24,
        "minute" => 60,
        "second" => 60,
        "millisecond" => 60_000,
        "microsecond" => 60_000_000,
        _ => return Ok(Transformed::no(expr)),
    };
    let count = ScalarValue::from(count).cast_to(&expr.get_type(schema)?)?;
    Ok(Transformed::yes(expr % lit(count)))
}
