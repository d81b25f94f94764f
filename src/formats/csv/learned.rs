//! What a full pass over a file has shown: rows and bounds of each range of it.
//!
//! A range holds the records that begin in one stretch of [`RANGE_LEN_BYTES`]; its bounds depend on
//! the file alone, so that passes of any number of tasks tell of the same ranges.
//!
//! Invariant: only ranges that were read without a note are learned. Whoever counts or skips by what
//! was learned leaves out no note that reading would have given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, MAX_INLINE_VIEW_LEN, StringViewArray,
};
use datafusion::arrow::compute::{max, min};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use datafusion::scalar::ScalarValue;
use serde::{Deserialize, Serialize};

use super::decode::ColumnSpec;
use crate::formats::Wanted;

/// The length of a range.
pub const RANGE_LEN_BYTES: u64 = 4 * 1024 * 1024;
/// Longer texts are not kept as bounds.
const BOUND_LEN_MAX_BYTES: usize = 64;

/// What is known of a file that has been read to its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// One for each [`RANGE_LEN_BYTES`] of the file; just one where reading cannot start midway.
    pub ranges: Vec<LearnedRange>,
}

/// What is known of one range.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LearnedRange {
    /// Offset of its first record, or of the next one behind it.
    pub start: u64,
    /// How many rows begin in it.
    pub row_count: u64,
    /// Columns that have been decoded in all its rows, by lower-case name.
    pub columns: BTreeMap<String, ColumnBounds>,
}

/// The smallest and the largest value of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnBounds {
    /// The type as which it was read; of no use for another one.
    pub data_type: String,
    /// Rows without a value.
    pub null_count: u64,
    /// Between what its values lie.
    pub extent: Extent,
}

/// Between what the values of a column lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Extent {
    /// There is no value.
    Empty,
    /// The smallest and the largest value.
    Between(Bound, Bound),
    /// Bounds cannot be kept: long texts, NaN, types without an order of their own.
    Unknown,
}

/// A value that JSON keeps exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Bound {
    /// A whole number, a date or a timestamp in its unit.
    Integer(i64),
    /// The bits of a DOUBLE.
    Double(u64),
    /// The unscaled number of a DECIMAL.
    Decimal(String),
    /// A text.
    Text(String),
}

impl Learned {
    /// The rows of the whole file.
    pub fn row_count(&self) -> u64 {
        self.ranges.iter().map(|range| range.row_count).sum()
    }

    /// What is known of some of the ranges.
    #[must_use]
    pub fn only(&self, ranges: &[bool]) -> Self {
        let kept = self.ranges.iter().zip(ranges).filter(|(_, keep)| **keep);
        Learned { ranges: kept.map(|(range, _)| range.clone()).collect() }
    }
}

/// How many ranges a file has in which reading can start midway.
pub fn range_count(file_len_bytes: u64) -> usize {
    usize::try_from(file_len_bytes.div_ceil(RANGE_LEN_BYTES)).unwrap_or(usize::MAX)
}

impl ColumnBounds {
    fn of(array: &ArrayRef) -> Self {
        let extent = if array.null_count() == array.len() {
            Extent::Empty
        } else {
            bounds_of(array).map_or(Extent::Unknown, |(low, high)| Extent::Between(low, high))
        };
        let null_count = array.null_count() as u64;
        ColumnBounds { data_type: array.data_type().to_string(), null_count, extent }
    }

    /// Joins what is known of two stretches of one column.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let extent = match (self.extent, other.extent) {
            (Extent::Empty, extent) | (extent, Extent::Empty) => extent,
            (Extent::Between(low, high), Extent::Between(other_low, other_high)) => {
                joined((low, high), (other_low, other_high)).unwrap_or(Extent::Unknown)
            }
            _ => Extent::Unknown,
        };
        let null_count = self.null_count + other.null_count;
        ColumnBounds { data_type: self.data_type, null_count, extent }
    }

    /// The bounds as values of this type, if they are of it; NULLs where there is no value.
    pub fn scalars(&self, data_type: &DataType) -> Option<(ScalarValue, ScalarValue)> {
        if self.data_type != data_type.to_string() {
            return None;
        }
        match &self.extent {
            Extent::Between(low, high) => Some((low.scalar(data_type)?, high.scalar(data_type)?)),
            Extent::Empty => {
                let null = ScalarValue::try_from(data_type).ok()?;
                Some((null.clone(), null))
            }
            Extent::Unknown => None,
        }
    }
}

/// The smallest and the largest value of an array that has some; None where they cannot be kept.
fn bounds_of(array: &ArrayRef) -> Option<(Bound, Bound)> {
    match array.data_type() {
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::Date32 => integers::<Date32Type>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            integers::<TimestampMicrosecondType>(array)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => integers::<TimestampNanosecondType>(array),
        DataType::Float64 => {
            let doubles = array.as_primitive::<Float64Type>();
            let (low, high) = (min(doubles)?, max(doubles)?);
            // NaN has no place among bounds.
            (!low.is_nan() && !high.is_nan())
                .then(|| (Bound::Double(low.to_bits()), Bound::Double(high.to_bits())))
        }
        DataType::Decimal128(..) => {
            let decimals = array.as_primitive::<Decimal128Type>();
            let bound = |number: i128| Bound::Decimal(number.to_string());
            Some((bound(min(decimals)?), bound(max(decimals)?)))
        }
        DataType::Utf8View => {
            let (low, high) = text_bounds(array.as_string_view())?;
            (low.len().max(high.len()) <= BOUND_LEN_MAX_BYTES)
                .then(|| (Bound::Text(low.into()), Bound::Text(high.into())))
        }
        _ => None,
    }
}

/// The bounds of two pairs; None if they are of different kinds.
fn joined(one: (Bound, Bound), other: (Bound, Bound)) -> Option<Extent> {
    Some(Extent::Between(
        if other.0.is_below(&one.0)? { other.0 } else { one.0 },
        if one.1.is_below(&other.1)? { other.1 } else { one.1 },
    ))
}

fn integers<T>(array: &ArrayRef) -> Option<(Bound, Bound)>
where
    T: ArrowPrimitiveType<Native: Into<i64> + datafusion::arrow::array::ArrowNativeTypeOp>,
{
    let numbers = array.as_primitive::<T>();
    Some((Bound::Integer(min(numbers)?.into()), Bound::Integer(max(numbers)?.into())))
}

/// The smallest and the largest text, in one pass; as good as free where all are short.
fn text_bounds(texts: &StringViewArray) -> Option<(&str, &str)> {
    let views = texts.views();
    let is_short = |view: &u128| *view as u32 <= MAX_INLINE_VIEW_LEN;
    let mut rows = (0..texts.len()).filter(|row| texts.is_valid(*row));
    let first = rows.next()?;
    let (mut low, mut high) = (first, first);
    if views.iter().all(is_short) {
        // Texts of this length are whole in their views: as numbers they have the order of texts.
        let key = |row: usize| StringViewArray::inline_key_fast(views[row]);
        let (mut low_key, mut high_key) = (key(first), key(first));
        let mut take = |row: usize| {
            let key = key(row);
            if key < low_key {
                (low, low_key) = (row, key);
            } else if key > high_key {
                (high, high_key) = (row, key);
            }
        };
        if texts.null_count() == 0 {
            (0..texts.len()).for_each(&mut take);
        } else {
            rows.for_each(take);
        }
    } else {
        for row in rows {
            let text = texts.value(row);
            if text < texts.value(low) {
                low = row;
            } else if text > texts.value(high) {
                high = row;
            }
        }
    }
    Some((texts.value(low), texts.value(high)))
}

impl Bound {
    fn is_below(&self, other: &Self) -> Option<bool> {
        Some(match (self, other) {
            (Bound::Integer(a), Bound::Integer(b)) => a < b,
            (Bound::Double(a), Bound::Double(b)) => {
                f64::from_bits(*a).total_cmp(&f64::from_bits(*b)).is_lt()
            }
            (Bound::Decimal(a), Bound::Decimal(b)) => {
                a.parse::<i128>().ok()? < b.parse::<i128>().ok()?
            }
            (Bound::Text(a), Bound::Text(b)) => a < b,
            _ => return None,
        })
    }

    fn scalar(&self, data_type: &DataType) -> Option<ScalarValue> {
        Some(match (self, data_type) {
            (Bound::Integer(number), DataType::Int64) => ScalarValue::Int64(Some(*number)),
            (Bound::Integer(number), DataType::Date32) => {
                ScalarValue::Date32(Some(i32::try_from(*number).ok()?))
            }
            (Bound::Integer(number), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
                ScalarValue::TimestampMicrosecond(Some(*number), zone.clone())
            }
            (Bound::Integer(number), DataType::Timestamp(TimeUnit::Nanosecond, zone)) => {
                ScalarValue::TimestampNanosecond(Some(*number), zone.clone())
            }
            (Bound::Double(bits), DataType::Float64) => {
                ScalarValue::Float64(Some(f64::from_bits(*bits)))
            }
            (Bound::Decimal(text), DataType::Decimal128(precision, scale)) => {
                ScalarValue::Decimal128(Some(text.parse().ok()?), *precision, *scale)
            }
            (Bound::Text(text), DataType::Utf8View) => ScalarValue::Utf8View(Some(text.clone())),
            _ => return None,
        })
    }
}

/// Takes in what the tasks of one statement learn of one file.
pub struct Learner {
    /// What an earlier pass learned.
    known: Option<Arc<Learned>>,
    range_len_bytes: u64,
    file_len_bytes: u64,
    pass: Mutex<Pass>,
    /// Called once, when all ranges of the pass are done and something is new.
    keep: Box<dyn Fn(&Learned) + Send + Sync>,
}

struct Pass {
    ranges: BTreeMap<u64, LearnedRange>,
    /// Ranges that are still to be read; none will be learned if one was read with a note.
    missing_count: usize,
}

impl std::fmt::Debug for Learner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Learner")
    }
}

impl Learner {
    /// Waits for `range_count` ranges of a file whose length is given if reading can start midway.
    pub fn new(
        known: Option<Arc<Learned>>,
        file_len_bytes: Option<u64>,
        range_count: usize,
        keep: Box<dyn Fn(&Learned) + Send + Sync>,
    ) -> Self {
        let pass = Pass { ranges: BTreeMap::new(), missing_count: range_count };
        Learner {
            known,
            range_len_bytes: if file_len_bytes.is_some() { RANGE_LEN_BYTES } else { u64::MAX },
            file_len_bytes: file_len_bytes.unwrap_or(u64::MAX),
            pass: Mutex::new(pass),
            keep,
        }
    }

    /// Whether something is to be learned of a column.
    pub fn wants(&self, column: &ColumnSpec) -> bool {
        let (lower, data_type) = (column.name.to_lowercase(), column.data_type.to_string());
        self.known.as_ref().is_none_or(|known| {
            known.ranges.iter().filter(|range| range.row_count > 0).any(|range| {
                range.columns.get(&lower).is_none_or(|bounds| bounds.data_type != data_type)
            })
        })
    }

    /// Takes in a range that has been read; `None` if it gave a note.
    fn take(&self, range_idx: u64, range: Option<LearnedRange>) {
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(range) = range else { return };
        pass.ranges.insert(range_idx, range);
        pass.missing_count = pass.missing_count.saturating_sub(1);
        if pass.missing_count > 0 {
            return;
        }
        let ranges = std::mem::take(&mut pass.ranges);
        drop(pass);
        if let Some(learned) = self.merged(ranges) {
            (self.keep)(&learned);
        }
    }

    /// All that is known now; None if nothing is new or the file is not known as a whole.
    fn merged(&self, ranges: BTreeMap<u64, LearnedRange>) -> Option<Learned> {
        let Some(known) = &self.known else {
            let is_whole = ranges.keys().copied().eq(0..ranges.len() as u64);
            return is_whole.then(|| Learned { ranges: ranges.into_values().collect() });
        };
        let mut merged = known.as_ref().clone();
        for (idx, range) in ranges {
            let old = merged.ranges.get_mut(usize::try_from(idx).ok()?)?;
            old.columns.extend(range.columns);
        }
        (merged != **known).then_some(merged)
    }
}

/// One task's way through the ranges of its piece.
pub(crate) struct RangeWalk {
    learner: Arc<Learner>,
    range_idx: u64,
    start: u64,
    /// `row_number` of the reader when the range began.
    first_row: i64,
    /// For each column of the reader: its bounds so far, unless nothing is learned of it.
    columns: Vec<Option<Option<ColumnBounds>>>,
    names: Vec<Option<String>>,
    is_clean: bool,
}

impl RangeWalk {
    /// Begins at the record at `start`, which is the first one of its range.
    pub(crate) fn new(learner: Arc<Learner>, start: u64, columns: &[Wanted]) -> Self {
        let names: Vec<_> = columns
            .iter()
            .map(|wanted| match wanted {
                Wanted::Column(spec) if learner.wants(spec) => Some(spec.name.to_lowercase()),
                _ => None,
            })
            .collect();
        RangeWalk {
            range_idx: start / learner.range_len_bytes,
            learner,
            start,
            first_row: 0,
            columns: names.iter().map(|name| name.as_ref().map(|_| None)).collect(),
            names,
            is_clean: true,
        }
    }

    /// Records that begin at or behind this offset belong to a later range.
    pub(crate) fn end(&self) -> u64 {
        (self.range_idx + 1).saturating_mul(self.learner.range_len_bytes)
    }

    /// The range gave a note: nothing is learned of it.
    pub(crate) fn spoil(&mut self) {
        self.is_clean = false;
    }

    /// Nothing is learned of a column in this range: some of its values were not decoded as usual.
    pub(crate) fn forget(&mut self, column_idx: usize) {
        self.columns[column_idx] = None;
    }

    /// Takes in values of a column.
    pub(crate) fn observe(&mut self, column_idx: usize, array: &ArrayRef) {
        let Some(bounds) = &mut self.columns[column_idx] else { return };
        let found = ColumnBounds::of(array);
        *bounds = Some(match bounds.take() {
            None => found,
            Some(before) => before.merge(found),
        });
    }

    /// Ends the ranges before the one that holds `offset`, where the next record begins.
    pub(crate) fn advance(&mut self, offset: u64, row_number: i64) {
        while offset >= self.end() {
            self.end_range(row_number);
            self.range_idx += 1;
            self.start = offset;
            self.first_row = row_number;
            self.is_clean = true;
        }
    }

    /// Ends the last range of a piece that ends at `offset`: of the file, or where a range begins.
    pub(crate) fn finish(mut self, offset: u64, is_end_of_file: bool, row_number: i64) {
        self.advance(offset, row_number);
        let first_byte = self.range_idx.saturating_mul(self.learner.range_len_bytes);
        if is_end_of_file && (first_byte < self.learner.file_len_bytes || self.range_idx == 0) {
            self.end_range(row_number);
        }
    }

    /// Whether the offset is the end of the file.
    pub(crate) fn ends_at(&self, offset: u64) -> bool {
        offset >= self.learner.file_len_bytes
    }

    fn end_range(&mut self, row_number: i64) {
        let columns = self
            .names
            .iter()
            .zip(&mut self.columns)
            .filter_map(|(name, bounds)| Some((name.clone()?, bounds.take()??)))
            .collect();
        let row_count = (row_number - self.first_row) as u64;
        let range = LearnedRange { start: self.start, row_count, columns };
        self.learner.take(self.range_idx, self.is_clean.then_some(range));
        for (name, bounds) in self.names.iter().zip(&mut self.columns) {
            *bounds = name.as_ref().map(|_| None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_bounds_that_sorting_gives() {
        let sets: [&[Option<&str>]; 6] = [
            &[Some("b"), None, Some("a\0"), Some("a"), Some("ä"), Some("")],
            &[Some("shop10"), Some("shop9"), Some("shop"), Some("shop\u{ff}")],
            &[Some("a longer text than fits"), Some("a"), None, Some("a longer text that fits")],
            &[Some("zz"), Some("a longer text than fits"), Some("abcdefghijkl")],
            &[None, None, Some("only")],
            &[None],
        ];
        for set in sets {
            let mut sorted: Vec<&str> = set.iter().flatten().copied().collect();
            sorted.sort_unstable();
            let expected = sorted.first().copied().zip(sorted.last().copied());
            let array: StringViewArray = set.iter().copied().collect();
            assert_eq!(text_bounds(&array), expected, "{set:?}");
        }
    }
}
