//! The mean of decimals, a DOUBLE: their exact total, divided once.

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, UInt64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::sum::{DistinctTotal, GroupTotals, Total, for_each_value, state_type};

/// Whether means of a type are of this kind.
pub(super) fn is_exact(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..))
}

/// The mean of all rows, or of those of a window that moves on.
pub(super) fn one(decimal: &DataType) -> Box<dyn Accumulator> {
    Box::new(One { total: Total::new(decimal.clone()), decimal: decimal.clone() })
}

/// The mean of distinct values.
pub(super) fn distinct(decimal: &DataType) -> Box<dyn Accumulator> {
    Box::new(Distinct { values: DistinctTotal::new(decimal.clone()), decimal: decimal.clone() })
}

/// The mean of the rows of each group.
pub(super) fn many(decimal: &DataType) -> Box<dyn GroupsAccumulator> {
    let totals = GroupTotals::new(decimal.clone());
    Box::new(Many { totals, counts: Vec::new(), decimal: decimal.clone() })
}

fn mean(decimal: &DataType, sum: i128, count: u64) -> Option<f64> {
    let scale = match decimal {
        DataType::Decimal128(_, scale) => i32::from(*scale),
        _ => 0,
    };
    (count > 0).then(|| sum as f64 / 10_f64.powi(scale) / count as f64)
}

#[derive(Debug)]
struct One {
    total: Total,
    decimal: DataType,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.total.update_batch(values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.total.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.total.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.total.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.total.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(mean(&self.decimal, self.total.sum, self.total.count)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

#[derive(Debug)]
struct Distinct {
    values: DistinctTotal,
    decimal: DataType,
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.values.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.values.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let total = self.values.total()?;
        Ok(ScalarValue::Float64(mean(&self.decimal, total.sum, total.count)))
    }

    fn size(&self) -> usize {
        self.values.size()
    }
}

#[derive(Debug)]
struct Many {
    totals: GroupTotals,
    counts: Vec<u64>,
    decimal: DataType,
}

impl Many {
    fn resize(&mut self, group_count: usize) {
        // Which groups have a value is told by their counts.
        self.totals.resize(group_count, true);
        self.counts.resize(group_count, 0);
    }

    fn take(&mut self, emit_to: EmitTo) -> Result<(Vec<i128>, Vec<u64>)> {
        let (sums, _) = self.totals.take(emit_to)?;
        Ok((sums, emit_to.take_needed(&mut self.counts)))
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
        self.resize(group_count);
        for_each_value(&values[0], filter, |row, value| {
            self.counts[group_indices[row]] += 1;
            self.totals.add(group_indices[row], value)
        })
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        group_indices: &[usize],
        group_count: usize,
    ) -> Result<()> {
        self.resize(group_count);
        let counts = states[1].as_primitive::<UInt64Type>();
        for_each_value(&states[0], None, |row, sum| {
            self.counts[group_indices[row]] += counts.value(row);
            self.totals.add(group_indices[row], sum)
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = self.take(emit_to)?;
        let means = sums.into_iter().zip(counts);
        let means: Float64Array =
            means.map(|(sum, count)| mean(&self.decimal, sum, count)).collect();
        Ok(Arc::new(means))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = self.take(emit_to)?;
        let sums = Decimal128Array::from(sums).with_data_type(state_type(&self.decimal));
        Ok(vec![Arc::new(sums), Arc::new(UInt64Array::from(counts))])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let totals = GroupTotals::new(self.decimal.clone());
        let mut means = Many { totals, counts: Vec::new(), decimal: self.decimal.clone() };
        let groups: Vec<usize> = (0..values[0].len()).collect();
        means.update_batch(values, &groups, filter, groups.len())?;
        means.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.totals.size() + self.counts.capacity() * size_of::<u64>()
    }
}
