//! `percentile_cont` of DOUBLE, interpolated as exactly as doubles are: DataFusion's cuts the weight of
//! the upper value to six digits, so that 0.3 of 10, 20, 30, 40 is 18.99999.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::percentile_cont::PercentileCont;
use datafusion::logical_expr::function::{
    AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs,
};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature,
};
use datafusion::physical_expr::expressions::Literal;

use super::double::for_each;

/// `percentile_cont`, under the name of the one it replaces.
pub fn percentile_cont() -> AggregateUDF {
    AggregateUDF::new_from_impl(Percentile { inner: PercentileCont::new() })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    inner: PercentileCont,
}

/// The part of the values that lies below, if it is for us to find.
fn part_of(args: &AccumulatorArgs) -> Option<f64> {
    let is_double = *args.expr_fields.first()?.data_type() == DataType::Float64;
    let literal = args.exprs.get(1)?.downcast_ref::<Literal>()?;
    let ScalarValue::Float64(Some(part)) = literal.value() else { return None };
    let is_ours = is_double && !args.is_distinct && (0.0..=1.0).contains(part);
    let descends = args.order_bys.first().is_some_and(|key| key.options.descending);
    is_ours.then_some(if descends { 1.0 - part } else { *part })
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match part_of(&args) {
            Some(part) => Ok(Box::new(One { part, values: VecDeque::new() })),
            None => self.inner.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match part_of(&args) {
            Some(part) => Ok(Box::new(Many { part, groups: Vec::new() })),
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.inner.simplify()
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

/// The value below which a part of the values lies, between two of them if need be.
fn percentile(values: &mut [f64], part: f64) -> Option<f64> {
    let place = part * values.len().checked_sub(1)? as f64;
    let below = place.floor() as usize;
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let (low, weight) = (*low, place - below as f64);
    if weight == 0.0 {
        return Some(low);
    }
    let high = above.iter().copied().min_by(f64::total_cmp)?;
    // Both equal or infinite: their difference says nothing.
    Some(if low == high { low } else { low + (high - low) * weight })
}

fn lists(groups: &[Vec<f64>]) -> ListArray {
    let offsets = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
    let field = Arc::new(Field::new_list_field(DataType::Float64, true));
    ListArray::new(field, offsets, Arc::new(Float64Array::from(groups.concat())), None)
}

/// The values of one group; those of a window that moves leave in the order in which they came.
#[derive(Debug)]
struct One {
    part: f64,
    values: VecDeque<f64>,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each(values[0].as_primitive(), None, |_, value| self.values.push_back(value));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut values: Vec<f64> = self.values.iter().copied().collect();
        Ok(ScalarValue::Float64(percentile(&mut values, self.part)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = lists(&[std::mem::take(&mut self.values).into()]);
        Ok(vec![ScalarValue::List(Arc::new(values))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        lists.iter().flatten().try_for_each(|values| self.update_batch(&[values]))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let count = values[0].len() - values[0].null_count();
        self.values.drain(..count.min(self.values.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

/// The values of many groups.
#[derive(Debug)]
struct Many {
    part: f64,
    groups: Vec<Vec<f64>>,
}

impl Many {
    fn taken(&mut self, emit_to: EmitTo) -> Vec<Vec<f64>> {
        emit_to.take_needed(&mut self.groups)
    }

    fn grow(&mut self, group_count: usize) {
        self.groups.resize_with(group_count, Vec::new);
    }
}

impl GroupsAccumulator for Many {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.grow(group_count);
        for_each(values[0].as_primitive(), filter, |row, value| {
            self.groups[group_indices[row]].push(value);
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let part = self.part;
        let found = self.taken(emit_to).into_iter();
        let found: Float64Array = found.map(|mut values| percentile(&mut values, part)).collect();
        Ok(Arc::new(found))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(lists(&self.taken(emit_to)))])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut rows = vec![Vec::new(); values[0].len()];
        for_each(values[0].as_primitive(), filter, |row, value| rows[row].push(value));
        Ok(vec![Arc::new(lists(&rows))])
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        group_indices: &[usize],
        group_count: usize,
    ) -> Result<()> {
        self.grow(group_count);
        for (values, group) in states[0].as_list::<i32>().iter().zip(group_indices) {
            let Some(values) = values else { continue };
            for_each(values.as_primitive(), None, |_, value| self.groups[*group].push(value));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let values = self.groups.iter().map(|values| values.capacity() * size_of::<f64>());
        values.sum::<usize>() + self.groups.capacity() * size_of::<Vec<f64>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_interpolated_as_doubles() {
        let check = |values: &[f64], part, expected| {
            assert_eq!(percentile(&mut values.to_vec(), part), expected, "{values:?} {part}");
        };
        check(&[40.0, 10.0, 30.0, 20.0], 0.3, Some(19.0));
        check(&[1e12, 0.0], 0.123456789, Some(123_456_789_000.0));
        check(&[f64::INFINITY, f64::INFINITY], 0.5, Some(f64::INFINITY));
        check(&[1.0, 2.0, 3.0], 1.0, Some(3.0));
        check(&[7.0], 0.9, Some(7.0));
        check(&[], 0.5, None);
    }
}
