//! Functions of our own: where DataFusion's would be silently wrong, and where it has none.

pub mod arithmetic;
pub mod bounds;
pub mod by_type;
pub mod counted;
pub mod distribution;
pub mod double;
pub mod extremes;
mod formats;
mod kinds;
mod mean;
pub mod nested;
pub mod only_value;
pub mod patterns;
pub mod percentile;
mod ranges;
mod sliding;
pub mod sum;
pub mod texts;
pub mod times;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

use crate::formats::one_nan;

/// Adds them all to a context.
pub fn register(context: &mut SessionContext) {
    // It only fails for a registry that takes no functions.
    let _ = datafusion_functions_json::register_all(context);
    context.register_udaf(sum::sum());
    context.register_udaf(double::avg());
    context.register_udaf(extremes::max());
    context.register_udaf(extremes::min());
    context.register_udaf(counted::mode());
    context.register_udaf(counted::histogram());
    context.register_udaf(distribution::distribution());
    context.register_udaf(percentile::percentile_cont());
    sliding::register(context);
    by_type::functions().for_each(|function| context.register_udf(function));
    formats::functions().for_each(|function| context.register_udf(function));
    kinds::functions().for_each(|function| context.register_udf(function));
    context.register_udf(texts::type_of());
    context.register_udf(texts::slice());
    context.register_udf(texts::sparkline());
    context.register_udf(nested::to_json());
    context.register_udf(only_value::function());
    context.register_udf(patterns::extract_all());
    context.register_udf(patterns::split());
    context.register_udf(ranges::range());
    context.register_udf(times::age());
    context.register_udf(times::at_time_zone());
    context.register_udf(times::make_timestamp());
    context.register_udf(times::try_strptime());
}

/// A function that rules put into plans, by its name; no statement calls it.
pub fn of_rules(name: &str) -> Option<ScalarUDF> {
    match name {
        nested::SHOWN => Some(nested::shown()),
        times::CLOCK_TEXT => Some(times::clock_text()),
        times::DATE_TEXT => Some(times::date_text()),
        times::WITHIN_REACH => Some(times::within_reach()),
        one_nan::NAME => Some(one_nan::function().as_ref().clone()),
        name => bounds::by_name(name)
            .or_else(|| by_type::by_name(name))
            .or_else(|| arithmetic::by_name(name)),
    }
}
