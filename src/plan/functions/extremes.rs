//! `min` and `max` of each group, of DOUBLE and REAL too.
//!
//! DataFusion's (55) begin with the largest finite number instead of infinity, and never take in a NaN: a
//! group of -inf alone had the maximum -1.8e308, one of 5 and NaN the maximum 5. Here NaN is the greatest
//! value, as it is without groups and in ORDER BY.

use datafusion::arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

/// `max`, under the name of the one it replaces.
pub fn max() -> AggregateUDF {
    AggregateUDF::new_from_impl(Extreme { inner: Max::new(), is_max: true })
}

/// `min`, under the name of the one it replaces.
pub fn min() -> AggregateUDF {
    AggregateUDF::new_from_impl(Extreme { inner: Min::new(), is_max: false })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme<F> {
    inner: F,
    is_max: bool,
}

/// The accumulator of a floating-point type: what begins, and what takes its place.
macro_rules! of_floats {
    ($type:ty, $native:ty, $data_type:expr, $is_max:expr) => {{
        if $is_max {
            let take = |greatest: &mut $native, value: $native| {
                if value > *greatest || value.is_nan() {
                    *greatest = value;
                }
            };
            let start = <$native>::NEG_INFINITY;
            let groups = PrimitiveGroupsAccumulator::<$type, _>::new($data_type, take);
            Ok(Box::new(groups.with_starting_value(start)))
        } else {
            let take = |least: &mut $native, value: $native| {
                if value < *least || least.is_nan() {
                    *least = value;
                }
            };
            let groups = PrimitiveGroupsAccumulator::<$type, _>::new($data_type, take);
            Ok(Box::new(groups.with_starting_value(<$native>::NAN)))
        }
    }};
}

impl<F: AggregateUDFImpl + PartialEq + Eq + std::hash::Hash + 'static> AggregateUDFImpl
    for Extreme<F>
{
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match args.return_field.data_type() {
            DataType::Float64 => of_floats!(Float64Type, f64, &DataType::Float64, self.is_max),
            DataType::Float32 => of_floats!(Float32Type, f32, &DataType::Float32, self.is_max),
            _ => self.inner.create_groups_accumulator(args),
        }
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.value_from_stats(args)
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.set_monotonicity(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
