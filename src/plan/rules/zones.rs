//! Times with a zone other than UTC, from and to times without one.
//!
//! DataFusion compares `CAST(x AS TIMESTAMPTZ) = literal` as `x = literal`, which forgets the zone's offset,
//! and casts an instant to what clocks show in UTC, while its date and its hour are those of its zone. Here
//! such casts are calls of [`times::at_time_zone`]. Runs behind type coercion, which makes most of them.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::optimizer::AnalyzerRule;

use crate::plan::functions::times;

/// The rule.
#[derive(Debug, Default)]
pub struct Zones;

impl AnalyzerRule for Zones {
    fn name(&self) -> &str {
        "zones"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        super::rewritten(plan, super::is_cast, |expr, schema| Ok(called(expr, schema)))
    }
}

fn called(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let (Expr::Cast(Cast { expr: inner, field }) | Expr::TryCast(TryCast { expr: inner, field })) =
        &mut expr
    else {
        return Transformed::no(expr);
    };
    let DataType::Timestamp(_, wanted) = field.data_type() else { return Transformed::no(expr) };
    let zone = match (inner.get_type(schema), wanted) {
        (Ok(DataType::Timestamp(_, None)), Some(zone)) if !is_utc(zone) => zone.to_string(),
        (Ok(DataType::Timestamp(_, Some(zone))), None) if !is_utc(&zone) => zone.to_string(),
        _ => return Transformed::no(expr),
    };
    let time = std::mem::take(inner.as_mut());
    **inner = times::at_time_zone().call(vec![time, lit(zone)]);
    Transformed::yes(expr)
}

fn is_utc(zone: &str) -> bool {
    ["+00:00", "00:00", "utc", "etc/utc", "z", "gmt"].contains(&zone.to_lowercase().as_str())
}
