//! Which group a row belongs to.
//!
//! A key is packed into one to four words of 64 bits: numbers, dates and the like as they are, a text as
//! the number that a table of texts gave it.
//!
//! Equal is what is equal to GROUP BY elsewhere: NULL is one value, -0.0 is 0.0, each pattern of NaN is
//! itself.

use std::hint::black_box;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayData, ArrayRef, AsArray, UInt32Array, make_array};
use datafusion::arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Result, internal_err};

use super::direct::{Bits, Direct};
use super::parts::Exchange;
use super::slots::{STRIDE, Slots};
use super::texts::Texts;

const WORD_BITS: u32 = u64::BITS;
/// So many groups are made columns of at once to be hashed.
const HASHED_AT_ONCE: usize = 8192;
/// After so many rows it is seen whether groups have positions, and with so many times as many again.
const DIRECT_FIRST: usize = 1 << 15;
const DIRECT_FACTOR: usize = 4;
/// With fewer rows for a group most of them are new.
const DIRECT_ROWS_PER_GROUP_MIN: usize = 4;
/// More than this share of a batch outside, and positions are of no use.
const DIRECT_OUTSIDE_MAX: usize = 8;
/// The bits of NULLs of a key fit into a word.
const COLUMNS_MAX: usize = 64;
/// Odd numbers without a pattern: digits of pi, and of the golden ratio.
pub(super) const HASH_START: u64 = 0x243f_6a88_85a3_08d3;
pub(super) const HASH_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Numbers the groups of rows by their keys, from 0 and about in the order in which they come.
#[derive(Debug)]
pub(super) struct Keys {
    columns: Vec<Column>,
    table: Table,
    /// Of each row that is looked up, a bit for each column of its key that is NULL; empty if there is no
    /// NULL.
    row_nulls: Vec<u64>,
}

/// A column of a key.
#[derive(Debug)]
struct Column {
    data_type: DataType,
    place: Place,
}

/// Where the values of a column stand in the words of a key.
#[derive(Debug)]
enum Place {
    Bits {
        width: u32,
        word: usize,
        shift: u32,
    },
    /// The lower half in this word, the upper one in the next.
    TwoWords {
        word: usize,
    },
    Text {
        texts: Box<Texts>,
        word: usize,
        shift: u32,
    },
}

#[derive(Debug)]
enum Table {
    /// A single column of texts: its table says it all.
    Texts(Box<Texts>),
    One(Packed<1>),
    Two(Packed<2>),
    Three(Packed<3>),
    Four(Packed<4>),
}

/// Does the same with whichever table it is.
macro_rules! of_table {
    ($table:expr, $packed:ident => $then:expr, $texts:ident => $other:expr) => {
        match $table {
            Table::Texts($texts) => $other,
            Table::One($packed) => $then,
            Table::Two($packed) => $then,
            Table::Three($packed) => $then,
            Table::Four($packed) => $then,
        }
    };
}

/// How many bits a value takes, if its bits are all there is to it.
fn width_of(data_type: &DataType) -> Option<u32> {
    match data_type {
        DataType::Boolean => Some(1),
        DataType::Decimal128(..) => Some(2 * WORD_BITS),
        DataType::Float16 | DataType::Decimal32(..) | DataType::Decimal64(..) => None,
        DataType::Interval(unit) => (*unit == IntervalUnit::YearMonth).then_some(32),
        other => {
            let width = u32::try_from(other.primitive_width()?).ok()? * 8;
            (width <= WORD_BITS).then_some(width)
        }
    }
}

/// The places of columns, and how many words a key has; the widest first, so that none is split.
fn layout(types: &[DataType]) -> Option<(Vec<Column>, usize)> {
    if types.is_empty() || types.len() > COLUMNS_MAX {
        return None;
    }
    let is_text = |data_type: &DataType| {
        matches!(data_type, DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8)
    };
    let mut widths = Vec::with_capacity(types.len());
    for (idx, data_type) in types.iter().enumerate() {
        let width = if is_text(data_type) { u32::BITS } else { width_of(data_type)? };
        widths.push((width, idx));
    }
    widths.sort_by_key(|(width, idx)| (std::cmp::Reverse(*width), *idx));
    // How many bits of each word are taken.
    let mut taken: Vec<u32> = Vec::new();
    let mut places: Vec<Option<Place>> = types.iter().map(|_| None).collect();
    for (width, idx) in widths {
        let place = if width > WORD_BITS {
            taken.extend([WORD_BITS; 2]);
            Place::TwoWords { word: taken.len() - 2 }
        } else {
            let word = taken.iter().position(|bits| bits + width <= WORD_BITS);
            let word = word.unwrap_or(taken.len());
            if word == taken.len() {
                taken.push(0);
            }
            let shift = taken[word];
            taken[word] += width;
            match is_text(&types[idx]) {
                true => Place::Text { texts: Box::default(), word, shift },
                false => Place::Bits { width, word, shift },
            }
        };
        places[idx] = Some(place);
    }
    let columns = types.iter().cloned().zip(places);
    let columns: Option<Vec<Column>> =
        columns.map(|(data_type, place)| Some(Column { data_type, place: place? })).collect();
    (taken.len() <= 4).then_some((columns?, taken.len()))
}

/// Mixes a value into a hash by a multiplication of which both halves are kept, as wyhash does.
#[inline]
pub(super) fn mix(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash ^ value) * u128::from(HASH_FACTOR);
    (product as u64) ^ ((product >> WORD_BITS) as u64)
}

/// Texts as views, whatever they are kept as; other columns as they are.
fn as_views(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => cast(column, &DataType::Utf8View)?,
        _ => Arc::clone(column),
    })
}

impl Keys {
    /// Whether keys of these types can be packed.
    pub(super) fn can_hold(types: &[DataType]) -> bool {
        layout(types).is_some()
    }

    /// An empty table.
    ///
    /// # Errors
    /// If the types cannot be packed.
    pub(super) fn new(types: &[DataType]) -> Result<Self> {
        let Some((columns, word_count)) = layout(types) else {
            return internal_err!("keys of {types:?} cannot be packed");
        };
        let table = match (columns.as_slice(), word_count) {
            ([Column { place: Place::Text { .. }, .. }], _) => Table::Texts(Box::default()),
            (_, 1) => Table::One(Packed::default()),
            (_, 2) => Table::Two(Packed::default()),
            (_, 3) => Table::Three(Packed::default()),
            _ => Table::Four(Packed::default()),
        };
        Ok(Keys { columns, table, row_nulls: Vec::new() })
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        of_table!(&self.table, packed => packed.keys.len(), texts => texts.len())
    }

    /// Bytes that are held.
    pub(super) fn size(&self) -> usize {
        let texts = self.columns.iter().map(|column| match &column.place {
            Place::Text { texts, .. } => texts.size(),
            _ => 0,
        });
        texts.sum::<usize>()
            + of_table!(&self.table, packed => packed.size(), texts => texts.size())
    }

    /// The group of each row, by its number.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], groups: &mut Vec<usize>) -> Result<()> {
        groups.clear();
        let columns = columns.iter().map(as_views).collect::<Result<Vec<_>>>()?;
        let nulls = &mut self.row_nulls;
        of_table!(
            &mut self.table,
            packed => {
                packed.fill(&mut self.columns, &columns, nulls)?;
                packed.intern(&self.columns, nulls, groups)
            },
            texts => {
                let give = |text| groups.push(text as usize);
                texts.intern(columns[0].as_string_view(), give)
            }
        )
    }

    /// Ends the growth of the table: its groups can now be picked, and no other looked up.
    pub(super) fn finish(&mut self) {
        self.columns.iter_mut().for_each(|column| {
            if let Place::Text { texts, .. } = &mut column.place {
                texts.finish();
            }
        });
        if let Table::Texts(texts) = &mut self.table {
            texts.finish();
        }
    }

    /// The keys of some groups as columns, once the table has grown to its end.
    pub(super) fn pick(&self, groups: &UInt32Array) -> Result<Vec<ArrayRef>> {
        of_table!(
            &self.table,
            packed => packed.pick(&self.columns, groups),
            texts => Ok(vec![cast(&take(texts.finished(), groups, None)?, &self.columns[0].data_type)?])
        )
    }

    /// The hash of each group's key, once the table has grown to its end.
    pub(super) fn hashes(&self, exchange: &Exchange) -> Result<Vec<u64>> {
        let mut hashes = Vec::with_capacity(self.len());
        for start in (0..self.len()).step_by(HASHED_AT_ONCE) {
            let end = self.len().min(start + HASHED_AT_ONCE);
            let groups = UInt32Array::from_iter_values(start as u32..end as u32);
            hashes.extend(exchange.hash(&self.pick(&groups)?)?);
        }
        Ok(hashes)
    }

    /// Forgets all groups.
    pub(super) fn clear(&mut self) {
        self.columns.iter_mut().for_each(|column| {
            if let Place::Text { texts, .. } = &mut column.place {
                texts.clear();
            }
        });
        of_table!(&mut self.table, packed => packed.clear(), texts => texts.clear());
    }
}

/// Calls `take` with each row and the bits of its value, of long values a word of them; 0 for NULL.
#[inline]
fn each_value(column: &ArrayRef, word: usize, mut take: impl FnMut(usize, u64)) -> Result<()> {
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
    macro_rules! each {
        ($type:ty, $bits:expr) => {{
            let data = column.to_data();
            let values = &data.buffers()[0].typed_data::<$type>()[data.offset()..];
            let values = values[..column.len()].iter().map(|value| $bits(*value)).enumerate();
            match nulls {
                None => values.for_each(|(row, bits)| take(row, bits)),
                Some(nulls) => values.for_each(|(row, bits)| {
                    take(row, if nulls.is_valid(row) { bits } else { 0 });
                }),
            }
        }};
    }
    match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            for row in 0..values.len() {
                take(row, u64::from(values.is_valid(row) && values.value(row)));
            }
        }
        // Both zeros are one.
        DataType::Float32 => {
            each!(f32, |value: f32| if value == 0.0 { 0 } else { u64::from(value.to_bits()) });
        }
        DataType::Float64 => {
            each!(f64, |value: f64| if value == 0.0 { 0 } else { value.to_bits() });
        }
        DataType::Decimal128(..) => {
            let shift = word as u32 * WORD_BITS;
            each!(i128, |value: i128| (value >> shift) as u64);
        }
        other => match width_of(other) {
            Some(8) => each!(u8, u64::from),
            Some(16) => each!(u16, u64::from),
            Some(32) => each!(u32, u64::from),
            Some(64) => each!(u64, |value: u64| value),
            _ => return internal_err!("a key of {other} has no bits"),
        },
    }
    Ok(())
}

/// Keys, their NULLs if there are any, and places for their groups, [`STRIDE`] rows at a time.
fn strides<'a, const N: usize>(
    keys: &'a [[u64; N]],
    nulls: &'a [u64],
    groups: &'a mut [usize],
) -> impl Iterator<Item = (&'a [[u64; N]], &'a [u64], &'a mut [usize])> {
    let rows = keys.chunks(STRIDE).zip(groups.chunks_mut(STRIDE)).enumerate();
    rows.map(move |(stride, (keys, groups))| {
        (keys, nulls.get(stride * STRIDE..).unwrap_or(&[]), groups)
    })
}

/// A hash table of keys of N words.
#[derive(Debug, Default)]
struct Packed<const N: usize> {
    slots: Slots,
    /// Of each group.
    keys: Vec<[u64; N]>,
    /// Which columns of a group's key are NULL; empty until there is a NULL.
    nulls: Vec<u64>,
    row_keys: Vec<[u64; N]>,
    direct: Direct,
    /// Rows that were looked up, and with how many of them it is seen whether positions would do.
    row_count: usize,
    direct_due: usize,
}

impl<const N: usize> Packed<N> {
    fn size(&self) -> usize {
        self.slots.size()
            + (self.keys.capacity() + self.row_keys.capacity()) * size_of::<[u64; N]>()
            + self.nulls.capacity() * size_of::<u64>()
            + self.direct.size()
    }

    /// Packs the keys of rows, and marks which of them are NULL.
    fn fill(
        &mut self,
        places: &mut [Column],
        columns: &[ArrayRef],
        nulls: &mut Vec<u64>,
    ) -> Result<()> {
        let row_count = columns.first().map_or(0, |column| column.len());
        let keys = &mut self.row_keys;
        keys.clear();
        keys.resize(row_count, [0; N]);
        nulls.clear();
        for (idx, (column, array)) in places.iter_mut().zip(columns).enumerate() {
            match &mut column.place {
                Place::Bits { word, shift, .. } => {
                    let (word, shift) = (*word, *shift);
                    each_value(array, 0, |row, value| keys[row][word] |= value << shift)?;
                }
                Place::TwoWords { word } => {
                    let word = *word;
                    each_value(array, 0, |row, value| keys[row][word] = value)?;
                    each_value(array, 1, |row, value| keys[row][word + 1] = value)?;
                }
                Place::Text { texts, word, shift } => {
                    let (word, shift) = (*word, *shift);
                    let mut row = 0;
                    texts.intern(array.as_string_view(), |text| {
                        keys[row][word] |= u64::from(text) << shift;
                        row += 1;
                    })?;
                }
            }
            if let Some(valid) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
                nulls.resize(row_count, 0);
                for (marks, is_valid) in nulls.iter_mut().zip(valid) {
                    *marks |= u64::from(!is_valid) << idx;
                }
            }
        }
        Ok(())
    }

    /// Looks up the keys of rows and adds those that are new.
    fn intern(
        &mut self,
        columns: &[Column],
        row_nulls: &[u64],
        groups: &mut Vec<usize>,
    ) -> Result<()> {
        if !row_nulls.is_empty() {
            self.nulls.resize(self.keys.len(), 0);
        }
        self.slots.prepare();
        let row_keys = std::mem::take(&mut self.row_keys);
        groups.resize(row_keys.len(), 0);
        self.row_count += row_keys.len();
        if !self.direct.is_on() && self.row_count >= self.direct_due.max(DIRECT_FIRST) {
            self.direct_due = self.row_count * DIRECT_FACTOR;
            if self.keys.len() * DIRECT_ROWS_PER_GROUP_MIN <= self.row_count {
                let columns: Vec<Bits> = columns.iter().flat_map(Column::bits).collect();
                let is_plain = |group: usize| self.nulls.get(group).is_none_or(|nulls| *nulls == 0);
                self.direct = Direct::new(&columns, &self.keys, is_plain).unwrap_or_default();
            }
        }
        match self.direct.is_on() {
            true => self.by_position(&row_keys, row_nulls, groups)?,
            false => self.by_hash(&row_keys, row_nulls, groups)?,
        }
        self.row_keys = row_keys;
        Ok(())
    }

    fn by_position(
        &mut self,
        row_keys: &[[u64; N]],
        row_nulls: &[u64],
        groups: &mut [usize],
    ) -> Result<()> {
        let mut outside = 0;
        for (keys, nulls, groups) in strides(row_keys, row_nulls, groups) {
            let is_complete = self.direct.look_up(keys, groups);
            if is_complete && nulls.is_empty() {
                continue;
            }
            for (idx, (group, key)) in groups.iter_mut().zip(keys).enumerate() {
                let nulls = nulls.get(idx).copied().unwrap_or(0);
                if *group == usize::MAX || nulls != 0 {
                    outside += 1;
                    *group = self.find_or_add(key, nulls, hash_of(key, nulls))?;
                    if nulls == 0 {
                        self.direct.put(self.direct.position(key), *group);
                    }
                }
            }
        }
        if outside > row_keys.len() / DIRECT_OUTSIDE_MAX {
            self.direct = Direct::default();
        }
        Ok(())
    }

    fn by_hash(
        &mut self,
        row_keys: &[[u64; N]],
        row_nulls: &[u64],
        groups: &mut [usize],
    ) -> Result<()> {
        let mut candidates = [0; STRIDE];
        let mut hashes = [0; STRIDE];
        for (keys, nulls, groups) in strides(row_keys, row_nulls, groups) {
            for (hash, key) in hashes.iter_mut().zip(keys) {
                *hash = hash_of(key, 0);
            }
            for (hash, nulls) in hashes.iter_mut().zip(nulls) {
                *hash ^= hash_of_nulls(*nulls);
            }
            self.slots.candidates(&hashes[..keys.len()], &mut candidates);
            if self.slots.are_far() {
                self.touch(&candidates[..keys.len()]);
            }
            let candidates = &mut candidates[..keys.len()];
            if self.nulls.is_empty() && nulls.is_empty() {
                let known = self.keys.as_slice();
                for (candidate, key) in candidates.iter_mut().zip(keys) {
                    let found = *candidate as usize;
                    let is_it = found != 0 && known[found - 1] == *key;
                    *candidate = if is_it { *candidate } else { 0 };
                }
            } else {
                for (idx, candidate) in candidates.iter_mut().enumerate() {
                    let (found, nulls) = (*candidate as usize, nulls.get(idx).copied());
                    let is_it = found != 0 && self.is_it(found - 1, &keys[idx], nulls.unwrap_or(0));
                    *candidate = if is_it { *candidate } else { 0 };
                }
            }
            for (idx, (group, candidate)) in groups.iter_mut().zip(&*candidates).enumerate() {
                *group = match *candidate as usize {
                    0 => {
                        let nulls = nulls.get(idx).copied().unwrap_or(0);
                        self.find_or_add(&keys[idx], nulls, hashes[idx])?
                    }
                    found => found - 1,
                };
            }
        }
        Ok(())
    }

    /// Asks for the memory of keys.
    fn touch(&self, candidates: &[u32]) {
        let mut sum = 0;
        for candidate in candidates.iter().filter(|candidate| **candidate != 0) {
            sum ^= self.keys[*candidate as usize - 1][0];
        }
        black_box(sum);
    }

    #[inline]
    fn is_it(&self, group: usize, key: &[u64; N], nulls: u64) -> bool {
        self.keys[group] == *key
            && nulls == if self.nulls.is_empty() { 0 } else { self.nulls[group] }
    }

    #[inline(never)]
    fn find_or_add(&mut self, key: &[u64; N], nulls: u64, hash: u64) -> Result<usize> {
        if let Some(group) = self.slots.find(hash, |group| self.is_it(group, key, nulls)) {
            return Ok(group as usize);
        }
        let group = self.keys.len();
        self.slots.add(hash, group)?;
        self.keys.push(*key);
        if nulls != 0 || !self.nulls.is_empty() {
            self.nulls.resize(group, 0);
            self.nulls.push(nulls);
        }
        Ok(group)
    }

    /// The keys of some groups as columns.
    fn pick(&self, columns: &[Column], groups: &UInt32Array) -> Result<Vec<ArrayRef>> {
        let groups = groups.values();
        let keys: Vec<[u64; N]> = groups.iter().map(|group| self.keys[*group as usize]).collect();
        let is_null = |idx: usize, group: u32| (self.nulls[group as usize] >> idx) & 1 == 1;
        let each = |(idx, column): (usize, &Column)| {
            let has_nulls =
                !self.nulls.is_empty() && groups.iter().any(|group| is_null(idx, *group));
            let nulls = has_nulls.then(|| {
                let is_valid = |row: usize| !is_null(idx, groups[row]);
                NullBuffer::new(BooleanBuffer::collect_bool(groups.len(), is_valid))
            });
            column.unpacked(&keys, nulls)
        };
        columns.iter().enumerate().map(each).collect()
    }

    /// Forgets all groups; the slots stay.
    fn clear(&mut self) {
        self.slots.clear();
        self.keys.clear();
        self.nulls.clear();
        self.direct = Direct::default();
        (self.row_count, self.direct_due) = (0, 0);
    }
}

#[inline]
fn hash_of<const N: usize>(key: &[u64; N], nulls: u64) -> u64 {
    key.iter().fold(HASH_START, |hash, word| mix(hash, *word)) ^ hash_of_nulls(nulls)
}

#[inline]
fn hash_of_nulls(nulls: u64) -> u64 {
    nulls.wrapping_mul(HASH_FACTOR)
}

impl Column {
    /// Where its bits stand.
    fn bits(&self) -> Vec<Bits> {
        match self.place {
            Place::Bits { width, word, shift } => vec![Bits { word, shift, width }],
            Place::Text { word, shift, .. } => vec![Bits { word, shift, width: u32::BITS }],
            Place::TwoWords { word } => {
                [word, word + 1].map(|word| Bits { word, shift: 0, width: WORD_BITS }).to_vec()
            }
        }
    }

    /// The values of this column in packed keys.
    fn unpacked<const N: usize>(
        &self,
        keys: &[[u64; N]],
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let buffer = match &self.place {
            Place::Text { texts, word, shift } => {
                let numbers = keys.iter().map(|key| (key[*word] >> *shift) as u32);
                let numbers = UInt32Array::from_iter_values(numbers);
                return Ok(cast(&take(texts.finished(), &numbers, None)?, &self.data_type)?);
            }
            Place::TwoWords { word } => Buffer::from_iter(keys.iter().map(|key| {
                (i128::from(key[*word + 1] as i64) << WORD_BITS) | i128::from(key[*word])
            })),
            Place::Bits { width, word, shift } => {
                let values = keys.iter().map(|key| key[*word] >> *shift);
                match width {
                    1 => values.map(|value| value & 1 == 1).collect::<BooleanBuffer>().into_inner(),
                    8 => values.map(|value| value as u8).collect(),
                    16 => values.map(|value| value as u16).collect(),
                    32 => values.map(|value| value as u32).collect(),
                    _ => values.collect(),
                }
            }
        };
        let data = ArrayData::builder(self.data_type.clone()).len(keys.len()).add_buffer(buffer);
        Ok(make_array(data.nulls(nulls).build()?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use datafusion::arrow::array::{
        BooleanArray, Decimal128Array, Float64Array, Int64Array, StringViewArray,
    };
    use datafusion::arrow::util::display::array_value_to_string;

    use super::*;

    /// Columns of every kind of place, with NULL in most.
    fn columns(start: u64, count: u64) -> Vec<ArrayRef> {
        let rows = || start..start + count;
        let some = |row: u64, share: u64| !row.is_multiple_of(share);
        let text = |row: u64| match row % 4 {
            0 => "short".to_string(),
            1 => format!("text {}", row % 97),
            _ => format!("a text that is longer than a view, {} times", row % 1013),
        };
        let double = |row: u64| [0.0, -0.0, f64::NAN, 1.5][row as usize % 4];
        vec![
            Arc::new(
                rows().map(|row| some(row, 7).then_some(row as i64 % 503)).collect::<Int64Array>(),
            ),
            Arc::new(
                rows().map(|row| some(row, 5).then(|| text(row))).collect::<StringViewArray>(),
            ),
            Arc::new(
                rows().map(|row| some(row, 3).then_some(row % 2 == 0)).collect::<BooleanArray>(),
            ),
            Arc::new(rows().map(|row| Some(double(row))).collect::<Float64Array>()),
            Arc::new(
                rows()
                    .map(|row| some(row, 11).then_some((i128::from(row) % 13 - 6) << 70))
                    .collect::<Decimal128Array>(),
            ),
        ]
    }

    fn written(columns: &[ArrayRef], row: usize) -> String {
        let value = |column: &ArrayRef| array_value_to_string(column, row).expect("a value");
        let values = columns.iter().map(|column| match column.is_null(row) {
            true => "NULL".to_string(),
            false => value(column).replace("-0.0", "0.0"),
        });
        values.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn groups_are_those_of_a_map() {
        // Which columns make the key: from one text to four words of everything.
        for picked in
            [&[0][..], &[1], &[2], &[3], &[4], &[0, 1], &[1, 2, 3], &[0, 2, 3], &[1, 4], &[0, 3, 4]]
        {
            let pick = |start| {
                let all = columns(start, 9_000);
                picked.iter().map(|idx| Arc::clone(&all[*idx])).collect::<Vec<_>>()
            };
            let types: Vec<DataType> =
                pick(0).iter().map(|column| column.data_type().clone()).collect();
            let mut keys = Keys::new(&types).expect("these can be packed");
            let exchange = Exchange::new(None, types.len()).expect("by all of them");
            for round in 0..2 {
                let (mut known, mut groups) = (HashMap::new(), Vec::new());
                let mut hash_of = HashMap::new();
                for start in [0, 5_000, 100_000, 0, 0, 3_000, 200_000] {
                    let rows = pick(start);
                    keys.intern(&rows, &mut groups).expect("groups");
                    for (row, group) in groups.iter().enumerate() {
                        let expected = *known.entry(written(&rows, row)).or_insert(*group);
                        assert_eq!(*group, expected, "{picked:?}, row {row}, round {round}");
                    }
                    let hashes = exchange.hash(&rows).expect("hashes");
                    for (group, hash) in groups.iter().zip(hashes) {
                        assert_eq!(*hash_of.entry(*group).or_insert(hash), hash);
                    }
                }
                assert_eq!(keys.len(), known.len());
                let numbers: BTreeSet<usize> = known.values().copied().collect();
                assert!(numbers.into_iter().eq(0..keys.len()), "each group has its own number");
                keys.finish();
                let all = UInt32Array::from_iter_values(0..keys.len() as u32);
                let given = keys.pick(&all).expect("columns");
                for (group, hash) in keys.hashes(&exchange).expect("hashes").into_iter().enumerate()
                {
                    assert_eq!(hash_of[&group], hash);
                }
                assert_eq!(
                    given.iter().map(|column| column.data_type().clone()).collect::<Vec<_>>(),
                    types
                );
                for (key, group) in known {
                    assert_eq!(written(&given, group), key, "{picked:?}");
                }
                keys.clear();
                assert_eq!(keys.len(), 0);
            }
        }
    }

    #[test]
    fn what_cannot_be_packed_is_refused() {
        let wide = DataType::Decimal128(38, 0);
        assert!(!Keys::can_hold(&[]));
        assert!(!Keys::can_hold(&[wide.clone(), wide, DataType::Int8]));
        assert!(!Keys::can_hold(&[DataType::Binary]));
        assert!(Keys::can_hold(&vec![DataType::Boolean; 64]));
        assert!(!Keys::can_hold(&vec![DataType::Boolean; 65]));
    }
}
