//! `sum` and `avg` of DOUBLE with the rounding errors added up beside the total.
//!
//! A plain sum depends on the order of its rows, and so on the number of tasks. Here each addition
//! keeps what it rounded away (TwoSum: Knuth, The Art of Computer Programming 2, 4.2.2, theorem B), as
//! Neumaier's summation does, in partial totals too. The error left is about 2^-100 of the sum of all
//! magnitudes: whatever the order, the same DOUBLE comes out but for one case in many millions.

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions_aggregate::average::Avg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF,
    Signature, Volatility,
};

use super::{mean, sum};
use crate::error::Error;

/// `avg`, also called `mean`, under the name of the one it replaces.
pub fn avg() -> AggregateUDF {
    // `with_aliases` would hide what windows ask for.
    let signature = Signature::user_defined(Volatility::Immutable);
    let aliases = vec!["mean".to_string()];
    AggregateUDF::new_from_impl(Mean { inner: Avg::new(), aliases, signature })
}

/// What becomes of a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Sum,
    Mean,
}

/// The parts of a state: the total, what was rounded away, and how many values there were.
pub(super) fn state_fields(name: &str) -> Vec<FieldRef> {
    let name = |part| format_state_name(name, part);
    vec![
        Arc::new(Field::new(name("sum"), DataType::Float64, false)),
        Arc::new(Field::new(name("rest"), DataType::Float64, false)),
        Arc::new(Field::new(name("count"), DataType::UInt64, false)),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mean {
    inner: Avg,
    aliases: Vec<String>,
    signature: Signature,
}

/// Whether an aggregate is over DOUBLE, and each value counts.
fn is_ours(args: &AccumulatorArgs) -> bool {
    !args.is_distinct
        && *args.return_field.data_type() == DataType::Float64
        && args.expr_fields.first().is_some_and(|field| *field.data_type() == DataType::Float64)
}

impl AggregateUDFImpl for Mean {
    fn name(&self) -> &str {
        "avg"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [DataType::Duration(_) | DataType::Decimal128(..)] => Ok(arg_types.to_vec()),
            [data_type] if data_type.is_numeric() || data_type.is_null() => {
                Ok(vec![DataType::Float64])
            }
            [data_type] => {
                let name = crate::sql_type::sql_type_name(data_type);
                let error = Error::sql(format!("avg takes numbers, not {name}"));
                Err(error.hint("x::DOUBLE reads a text").into())
            }
            _ => {
                let error = Error::sql(format!("avg takes 1 argument, not {}", arg_types.len()));
                Err(error.hint("avg(a), avg(b) or avg((a + b) / 2)").into())
            }
        }
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            // A decimal would be cut four digits behind the last one of its values.
            [data_type] if mean::is_exact(data_type) => Ok(DataType::Float64),
            _ => self.inner.return_type(arg_types),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let given = args.expr_fields[0].data_type();
        match (mean::is_exact(given), args.is_distinct) {
            (true, true) => Ok(mean::distinct(given)),
            (true, false) => Ok(mean::one(given)),
            _ if is_ours(&args) => Ok(one(Ask::Mean)),
            _ => self.inner.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if is_ours(&args) { Ok(sliding(Ask::Mean)) } else { self.accumulator(args) }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let given = args.input_fields[0].data_type();
        if mean::is_exact(given) {
            return Ok(sum::state_fields(args.name, given, args.is_distinct));
        }
        let is_double = |field: &FieldRef| *field.data_type() == DataType::Float64;
        if !args.is_distinct && args.input_fields.first().is_some_and(is_double) {
            return Ok(state_fields(args.name));
        }
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let given = args.expr_fields[0].data_type();
        if mean::is_exact(given) {
            return Ok(mean::many(given));
        }
        if is_ours(&args) {
            Ok(many(Ask::Mean))
        } else {
            self.inner.create_groups_accumulator(args)
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// Adds up all rows.
pub(super) fn one(ask: Ask) -> Box<dyn Accumulator> {
    Box::new(One { ask, total: Total::default() })
}

/// Adds up the rows of a window that moves on.
pub(super) fn sliding(ask: Ask) -> Box<dyn Accumulator> {
    Box::new(Sliding { ask, old: Vec::new(), new: Vec::new(), total: Total::default() })
}

/// Adds up the rows of each group.
pub(super) fn many(ask: Ask) -> Box<dyn GroupsAccumulator> {
    Box::new(Many { ask, totals: Vec::new() })
}

#[derive(Debug, Clone, Copy, Default)]
struct Total {
    sum: f64,
    /// What the additions to `sum` have rounded away.
    rest: f64,
    count: u64,
}

impl Total {
    #[inline]
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let added = sum - self.sum;
        self.rest += (self.sum - (sum - added)) + (value - added);
        self.sum = sum;
        self.count += 1;
    }

    fn merge(&mut self, other: Total) {
        self.add(other.sum);
        self.rest += other.rest;
        self.count += other.count;
        self.count -= 1;
    }

    fn value(&self, ask: Ask) -> Option<f64> {
        // Past the largest DOUBLE, and with NaN, there is no rest.
        let sum = match self.sum {
            sum if sum.is_finite() => sum + self.rest,
            sum if sum.is_nan() => f64::NAN,
            sum => sum,
        };
        (self.count > 0).then_some(match ask {
            Ask::Sum => sum,
            Ask::Mean => sum / self.count as f64,
        })
    }
}

/// Calls `take` with each valid value that the filter lets through and its row.
#[inline]
pub(super) fn for_each(
    values: &Float64Array,
    filter: Option<&BooleanArray>,
    mut take: impl FnMut(usize, f64),
) {
    if values.null_count() == 0 && filter.is_none() {
        for (row, value) in values.values().iter().enumerate() {
            take(row, *value);
        }
        return;
    }
    let passes = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
    for row in (0..values.len()).filter(|row| values.is_valid(*row) && passes(*row)) {
        take(row, values.value(row));
    }
}

/// The totals in an array of states.
fn totals_in(states: &[ArrayRef]) -> impl Iterator<Item = Total> {
    let sums = states[0].as_primitive::<Float64Type>().values().iter();
    let rests = states[1].as_primitive::<Float64Type>().values().iter();
    let counts = states[2].as_primitive::<UInt64Type>().values().iter();
    sums.zip(rests).zip(counts).map(|((sum, rest), count)| Total {
        sum: *sum,
        rest: *rest,
        count: *count,
    })
}

#[derive(Debug)]
struct One {
    ask: Ask,
    total: Total,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut total = self.total;
        for_each(values[0].as_primitive(), None, |_, value| total.add(value));
        self.total = total;
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        totals_in(states).filter(|total| total.count > 0).for_each(|total| self.total.merge(total));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Total { sum, rest, count } = self.total;
        Ok(vec![sum.into(), rest.into(), count.into()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.total.value(self.ask)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

/// A window as two stacks: nothing is ever taken off a total, so that a value which has left it, be it
/// infinite, NaN or 1e300, has left no trace. Each value is added twice, however long the window is.
#[derive(Debug)]
struct Sliding {
    ask: Ask,
    /// The oldest value is on top: the total of each with those below it.
    old: Vec<Total>,
    /// What came since, and its total.
    new: Vec<Option<f64>>,
    total: Total,
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>() {
            self.new.push(value);
            value.into_iter().for_each(|value| self.total.add(value));
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for _ in 0..values[0].len() {
            if self.old.is_empty() {
                let mut total = Total::default();
                for value in self.new.drain(..).rev() {
                    value.into_iter().for_each(|value| total.add(value));
                    self.old.push(total);
                }
                self.total = Total::default();
            }
            self.old.pop();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut total = self.total;
        self.old.last().filter(|old| old.count > 0).into_iter().for_each(|old| total.merge(*old));
        Ok(ScalarValue::Float64(total.value(self.ask)))
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a window has no partial totals")
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a window has no partial totals")
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + self.old.capacity() * size_of::<Total>()
            + self.new.capacity() * size_of::<Option<f64>>()
    }
}

#[derive(Debug)]
struct Many {
    ask: Ask,
    totals: Vec<Total>,
}

impl GroupsAccumulator for Many {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.totals.resize(group_count, Total::default());
        for_each(values[0].as_primitive(), filter, |row, value| {
            self.totals[group_indices[row]].add(value);
        });
        Ok(())
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        group_indices: &[usize],
        group_count: usize,
    ) -> Result<()> {
        self.totals.resize(group_count, Total::default());
        for (total, group) in totals_in(states).zip(group_indices) {
            if total.count > 0 {
                self.totals[*group].merge(total);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let totals = emit_to.take_needed(&mut self.totals);
        Ok(Arc::new(totals.iter().map(|total| total.value(self.ask)).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let totals = emit_to.take_needed(&mut self.totals);
        let doubles = |part: fn(&Total) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(totals.iter().map(part)))
        };
        let counts = UInt64Array::from_iter_values(totals.iter().map(|total| total.count));
        Ok(vec![doubles(|total| total.sum), doubles(|total| total.rest), Arc::new(counts)])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut totals = vec![Total::default(); values[0].len()];
        for_each(values[0].as_primitive(), filter, |row, value| totals[row].add(value));
        Many { ask: self.ask, totals }.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<Total>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_the_parts_do_not_matter() {
        // Numbers of very different sizes, from a generator that everyone can repeat.
        let mut state = 1_u64;
        let mut values: Vec<f64> = (0..10_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let number = (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.3;
                number * f64::powi(10.0, (state % 12) as i32)
            })
            .collect();
        let total = |values: &[f64], part_len: usize| {
            let mut all = Total::default();
            for part in values.chunks(part_len) {
                let mut total = Total::default();
                part.iter().for_each(|value| total.add(*value));
                all.merge(total);
            }
            all.value(Ask::Sum)
        };
        let expected = total(&values, 10_000);
        for part_len in [1, 7, 333] {
            assert_eq!(total(&values, part_len), expected);
        }
        values.sort_by(f64::total_cmp);
        assert_eq!(total(&values, 100), expected);
        values.reverse();
        assert_eq!(total(&values, 10_000), expected);
    }

    #[test]
    fn infinities_and_nan_are_as_in_a_plain_sum() {
        let sum = |values: &[f64]| {
            let mut total = Total::default();
            values.iter().for_each(|value| total.add(*value));
            total.value(Ask::Sum).expect("values")
        };
        assert_eq!(sum(&[1.0, f64::INFINITY, 2.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum(&[1.0, f64::NAN]).is_nan());
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(Total::default().value(Ask::Sum), None);
    }
}
