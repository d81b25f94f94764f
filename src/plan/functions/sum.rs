//! `sum` that is exact or an error.
//!
//! DataFusion's own `sum` wraps around at 64 (or 128) bits without a word. Here whole numbers and
//! decimals are added up in 128 bits, so that the order in which tasks finish cannot matter, and a
//! total that does not fit the result's type is an error. DOUBLE goes to [`super::double`]; durations
//! and intervals go to DataFusion's.

use std::collections::HashSet;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, ListArray, UInt64Array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type,
};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::functions_aggregate::count::count;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Operator,
    ReversedUDAF, Signature,
};

use super::arithmetic::checked;
use super::double::{self, Ask};

/// The precision of states: any sum of 2^63 numbers of 64 bits fits.
const STATE_PRECISION: u8 = 38;

/// The exact `sum`, under the name of the one it replaces.
pub fn sum() -> AggregateUDF {
    AggregateUDF::new_from_impl(ExactSum { inner: Sum::new() })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactSum {
    inner: Sum,
}

/// Whether a result type is added up by us.
fn is_exact(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..))
}

pub(super) fn state_type(result: &DataType) -> DataType {
    let scale = match result {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    };
    DataType::Decimal128(STATE_PRECISION, scale)
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let result = args.return_field.data_type();
        if *result == DataType::Float64 && !args.is_distinct {
            return Ok(double::one(Ask::Sum));
        }
        if !is_exact(result) {
            return self.inner.accumulator(args);
        }
        let result = result.clone();
        if args.is_distinct {
            return Ok(Box::new(DistinctTotal::new(result)));
        }
        Ok(Box::new(Total::new(result)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if is_exact(args.return_field.data_type()) && !args.is_distinct {
            return self.accumulator(args);
        }
        if *args.return_field.data_type() == DataType::Float64 && !args.is_distinct {
            return Ok(double::sliding(Ask::Sum));
        }
        self.inner.create_sliding_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let result = args.return_type();
        if *result == DataType::Float64 && !args.is_distinct {
            return Ok(double::state_fields(args.name));
        }
        if !is_exact(result) {
            return self.inner.state_fields(args);
        }
        Ok(state_fields(args.name, result, args.is_distinct))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let result = args.return_field.data_type();
        if *result == DataType::Float64 {
            return Ok(double::many(Ask::Sum));
        }
        if !is_exact(result) {
            return self.inner.create_groups_accumulator(args);
        }
        Ok(Box::new(GroupTotals::new(result.clone())))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    /// Many sums of `x + literal` are one sum and one count. An operator on whole numbers has been
    /// left unchecked only where nothing can overflow, so these are the same.
    fn simplify_expr_op_literal(
        &self,
        agg_function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        lit: &Expr,
        arg_is_left: bool,
    ) -> Result<Option<Expr>> {
        let is_shift = op == Operator::Plus || (op == Operator::Minus && arg_is_left);
        if !is_shift || !matches!(lit, Expr::Literal(ScalarValue::Int64(Some(_)), _)) {
            return Ok(None);
        }
        let mut sum = agg_function.clone();
        sum.params.args = vec![arg.clone()];
        let shifts = checked(lit, Operator::Multiply, &count(arg.clone()));
        let sum = Expr::AggregateFunction(sum);
        Ok(shifts.and_then(|shifts| checked(&sum, op, &shifts)))
    }
}

/// The parts of a state: the distinct values, or the total and how many values there were.
pub(super) fn state_fields(name: &str, result: &DataType, is_distinct: bool) -> Vec<FieldRef> {
    let state = state_type(result);
    let part = |part| format_state_name(name, part);
    if is_distinct {
        let item = Field::new_list_field(state, true);
        return vec![Arc::new(Field::new_list(part("sum distinct"), item, false))];
    }
    vec![
        Arc::new(Field::new(part("sum"), state, true)),
        Arc::new(Field::new(part("count"), DataType::UInt64, false)),
    ]
}

fn overflow<T>(result: &DataType) -> Result<T> {
    let name = crate::sql_type::sql_type_name(result);
    Err(crate::error::Error::data(format!("sum is out of range for {name}"))
        .hint("cast to something wider: sum(x::DECIMAL(38,0)) or sum(x::DOUBLE)")
        .into())
}

/// Calls `take` with each valid value that the filter lets through and its row.
pub(super) fn for_each_value(
    values: &ArrayRef,
    filter: Option<&BooleanArray>,
    mut take: impl FnMut(usize, i128) -> Result<()>,
) -> Result<()> {
    let passes = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
    macro_rules! each {
        ($array:expr) => {{
            let array = $array;
            match (array.nulls(), filter) {
                (None, None) => {
                    for (row, value) in array.values().iter().enumerate() {
                        take(row, i128::from(*value))?;
                    }
                }
                _ => {
                    for row in 0..array.len() {
                        if array.is_valid(row) && passes(row) {
                            take(row, i128::from(array.value(row)))?;
                        }
                    }
                }
            }
        }};
    }
    match values.data_type() {
        DataType::Int64 => each!(values.as_primitive::<Int64Type>()),
        DataType::UInt64 => each!(values.as_primitive::<UInt64Type>()),
        DataType::Decimal128(..) => each!(values.as_primitive::<Decimal128Type>()),
        other => return internal_err!("sum over {other}"),
    }
    Ok(())
}

/// Totals as an array of the result's type.
fn to_result(
    result: &DataType,
    sums: impl ExactSizeIterator<Item = Option<i128>>,
) -> Result<ArrayRef> {
    match result {
        DataType::Int64 => {
            let values = sums.map(|sum| sum.map(i64::try_from).transpose());
            match values.collect::<Result<Int64Array, _>>() {
                Ok(array) => Ok(Arc::new(array)),
                Err(_) => overflow(result),
            }
        }
        DataType::UInt64 => {
            let values = sums.map(|sum| sum.map(u64::try_from).transpose());
            match values.collect::<Result<UInt64Array, _>>() {
                Ok(array) => Ok(Arc::new(array)),
                Err(_) => overflow(result),
            }
        }
        DataType::Decimal128(precision, scale) => {
            let array: Decimal128Array = sums.collect();
            if array.validate_decimal_precision(*precision).is_err() {
                return overflow(result);
            }
            Ok(Arc::new(array.with_precision_and_scale(*precision, *scale)?))
        }
        other => exec_err!("sum has no result type {other}"),
    }
}

/// One total.
#[derive(Debug)]
pub(super) struct Total {
    result: DataType,
    pub(super) sum: i128,
    pub(super) count: u64,
}

impl Total {
    pub(super) fn new(result: DataType) -> Self {
        Total { result, sum: 0, count: 0 }
    }

    fn add(&mut self, value: i128) -> Result<()> {
        match self.sum.checked_add(value) {
            Some(sum) => {
                self.sum = sum;
                self.count += 1;
                Ok(())
            }
            None => overflow(&self.result),
        }
    }
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each_value(&values[0], None, |_, value| self.add(value))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each_value(&values[0], None, |_, value| match self.sum.checked_sub(value) {
            Some(sum) => {
                self.sum = sum;
                self.count -= 1;
                Ok(())
            }
            None => overflow(&self.result),
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[1].as_primitive::<UInt64Type>();
        for_each_value(&states[0], None, |row, sum| {
            self.add(sum)?;
            self.count += counts.value(row);
            self.count -= 1;
            Ok(())
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let DataType::Decimal128(precision, scale) = state_type(&self.result) else {
            return internal_err!("the state of sum is a decimal");
        };
        let sum = (self.count > 0).then_some(self.sum);
        Ok(vec![ScalarValue::Decimal128(sum, precision, scale), ScalarValue::from(self.count)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (self.count > 0).then_some(self.sum);
        ScalarValue::try_from_array(&to_result(&self.result, std::iter::once(sum))?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

/// The total of distinct values.
#[derive(Debug)]
pub(super) struct DistinctTotal {
    result: DataType,
    values: HashSet<i128>,
}

impl DistinctTotal {
    pub(super) fn new(result: DataType) -> Self {
        DistinctTotal { result, values: HashSet::new() }
    }

    pub(super) fn total(&self) -> Result<Total> {
        let mut total = Total::new(self.result.clone());
        self.values.iter().try_for_each(|value| total.add(*value))?;
        Ok(total)
    }
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each_value(&values[0], None, |_, value| {
            self.values.insert(value);
            Ok(())
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for row in 0..lists.len() {
            self.update_batch(&[lists.value(row)])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let DataType::Decimal128(precision, scale) = state_type(&self.result) else {
            return internal_err!("the state of sum is a decimal");
        };
        let values = Decimal128Array::from_iter_values(self.values.iter().copied())
            .with_precision_and_scale(precision, scale)?;
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        let list = ListArray::try_new(item, offsets, Arc::new(values), None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.total()?.evaluate()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * size_of::<i128>() * 2
    }
}

/// One total for each group, of 128 bits in two halves: the upper ones are only there once a sum
/// has outgrown the lower one, so that most sums take eight bytes and one addition.
#[derive(Debug)]
pub(super) struct GroupTotals {
    result: DataType,
    lows: Vec<i64>,
    /// What to add to the lower halves, in 2^64; empty while all of it is zero.
    highs: Vec<i64>,
    /// Which groups have a value, as one without any is NULL; empty while all have one.
    has_value: Vec<bool>,
}

impl GroupTotals {
    pub(super) fn new(result: DataType) -> Self {
        GroupTotals { result, lows: Vec::new(), highs: Vec::new(), has_value: Vec::new() }
    }

    /// Makes room for groups; each new one has a value, unless some rows may bring none.
    pub(super) fn resize(&mut self, group_count: usize, all_have_values: bool) {
        if !all_have_values && self.has_value.is_empty() {
            self.has_value.resize(self.lows.len(), true);
        }
        if !all_have_values || !self.has_value.is_empty() {
            self.has_value.resize(group_count, false);
        }
        if !self.highs.is_empty() {
            self.highs.resize(group_count, 0);
        }
        self.lows.resize(group_count, 0);
    }

    #[inline]
    pub(super) fn add(&mut self, group: usize, value: i128) -> Result<()> {
        let low = value as i64;
        let (sum, carries) = self.lows[group].overflowing_add(low);
        self.lows[group] = sum;
        if carries || value != i128::from(low) {
            self.add_high(group, value, carries)?;
        }
        if !self.has_value.is_empty() {
            self.has_value[group] = true;
        }
        Ok(())
    }

    /// Adds what does not fit into the lower half.
    #[inline(never)]
    fn add_high(&mut self, group: usize, value: i128, carries: bool) -> Result<()> {
        if self.highs.is_empty() {
            self.highs.resize(self.lows.len(), 0);
        }
        let low = value as i64;
        // A lower half below zero has borrowed from the upper one.
        let high = ((value >> 64) as i64).checked_add(i64::from(low < 0));
        let carry = match (carries, low < 0) {
            (false, _) => 0,
            (true, true) => -1,
            (true, false) => 1,
        };
        let sum = high
            .and_then(|high| high.checked_add(carry))
            .and_then(|high| self.highs[group].checked_add(high));
        match sum {
            Some(sum) => {
                self.highs[group] = sum;
                Ok(())
            }
            None => overflow(&self.result),
        }
    }

    /// The totals and which of them are of any value; empty if all are.
    pub(super) fn take(&mut self, emit_to: EmitTo) -> Result<(Vec<i128>, Vec<bool>)> {
        let mut sums: Vec<i128> =
            emit_to.take_needed(&mut self.lows).into_iter().map(i128::from).collect();
        if !self.highs.is_empty() {
            for (sum, high) in sums.iter_mut().zip(emit_to.take_needed(&mut self.highs)) {
                match (i128::from(high) << 64).checked_add(*sum) {
                    Some(total) => *sum = total,
                    None => return overflow(&self.result),
                }
            }
        }
        let has_value = match self.has_value.is_empty() {
            true => Vec::new(),
            false => emit_to.take_needed(&mut self.has_value),
        };
        Ok((sums, has_value))
    }
}

fn validity(has_value: Vec<bool>) -> Option<NullBuffer> {
    (!has_value.is_empty()).then(|| NullBuffer::from(has_value))
}

impl GroupsAccumulator for GroupTotals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.resize(group_count, filter.is_none() && values[0].null_count() == 0);
        for_each_value(&values[0], filter, |row, value| self.add(group_indices[row], value))
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        group_indices: &[usize],
        group_count: usize,
    ) -> Result<()> {
        self.update_batch(&states[..1], group_indices, None, group_count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, has_value) = self.take(emit_to)?;
        let valid = validity(has_value);
        let is_valid = |group: usize| valid.as_ref().is_none_or(|valid| valid.is_valid(group));
        let sums = sums.into_iter().enumerate();
        to_result(&self.result, sums.map(|(group, sum)| is_valid(group).then_some(sum)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, has_value) = self.take(emit_to)?;
        // Whoever adds them up again only asks whether there was a value.
        let counts: UInt64Array = match has_value.is_empty() {
            true => vec![1; sums.len()].into(),
            false => has_value.iter().map(|has_value| u64::from(*has_value)).collect(),
        };
        let sums = Decimal128Array::new(sums.into(), validity(has_value))
            .with_data_type(state_type(&self.result));
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut totals = GroupTotals::new(self.result.clone());
        let groups: Vec<usize> = (0..values[0].len()).collect();
        totals.update_batch(values, &groups, filter, groups.len())?;
        totals.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        (self.lows.capacity() + self.highs.capacity()) * size_of::<i64>()
            + self.has_value.capacity()
    }
}
