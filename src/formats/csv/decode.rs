//! Text columns into typed Arrow arrays, one value at a time, exactly or with an error.
//!
//! Shared by CSV and JSON: whatever writes a value as text is read by the same rules.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder,
    Int64Builder, StringArray, StringViewBuilder,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::arrow::error::ArrowError;

use super::types::NULL_WORDS;
use super::value::{self, DateOrder, Notation};

/// How one column of a dataset is read from text.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSpec {
    /// The column's name as the dataset spells it.
    pub name: String,
    /// The type to produce.
    pub data_type: DataType,
    /// The order of dates, for dates and timestamps.
    pub order: DateOrder,
    /// Whether the type was guessed: then `007` is no number.
    pub guessed: bool,
    /// Texts that are NULL in every column; by default [`NULL_WORDS`], not in text columns.
    pub null_words: Option<Arc<[String]>>,
    /// How numbers and dates are written; its formats come before `order`.
    pub notation: Notation,
}

impl ColumnSpec {
    /// A column of a type that the user or the file named, with all else at its default.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        ColumnSpec {
            name: name.into(),
            data_type,
            order: DateOrder::Iso,
            guessed: false,
            null_words: None,
            notation: Notation::default(),
        }
    }
}

/// Why a value was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misread {
    /// The text is no value of the column's type.
    NotOfType,
    /// The bytes are not UTF-8.
    NotUtf8,
}

/// Collects the values of one column.
pub(crate) struct ColumnBuilder {
    spec: ColumnSpec,
    values: Values,
    /// Words such as `NA` read as NULL since the last look: the count and the first word.
    pub(crate) null_words_seen: Option<(u64, String)>,
    /// DOUBLE values that lost digits since the last look.
    pub(crate) rounded_count: u64,
    /// Whether values need more than being read as their type.
    has_rules: bool,
}

enum Values {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Date(Date32Builder),
    Timestamp(Int64Builder, TimeUnit),
    Text(StringViewBuilder),
    /// Any other type: text that Arrow's own cast accepts.
    Cast(StringViewBuilder),
}

impl Values {
    fn are_numbers(&self) -> bool {
        matches!(self, Values::Integer(_) | Values::Double(_) | Values::Decimal(..))
    }
}

impl ColumnBuilder {
    pub(crate) fn new(spec: ColumnSpec) -> Self {
        let values = match &spec.data_type {
            DataType::Boolean => Values::Boolean(BooleanBuilder::new()),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Values::Integer(Int64Builder::new())
            }
            DataType::Float32 | DataType::Float64 => Values::Double(Float64Builder::new()),
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                Values::Decimal(Decimal128Builder::new(), *precision, *scale)
            }
            DataType::Date32 => Values::Date(Date32Builder::new()),
            DataType::Timestamp(unit, _) => Values::Timestamp(Int64Builder::new(), *unit),
            DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 => {
                Values::Text(StringViewBuilder::new())
            }
            _ => Values::Cast(StringViewBuilder::new()),
        };
        let is_narrow =
            matches!(spec.data_type, DataType::Int8 | DataType::Int16 | DataType::Int32);
        let has_rules = spec.null_words.is_some() || spec.notation.thousands.is_some() || is_narrow;
        ColumnBuilder { spec, values, null_words_seen: None, rounded_count: 0, has_rules }
    }

    pub(crate) fn spec(&self) -> &ColumnSpec {
        &self.spec
    }

    pub(crate) fn push_null(&mut self) {
        match &mut self.values {
            Values::Boolean(builder) => builder.append_null(),
            Values::Integer(builder) | Values::Timestamp(builder, _) => builder.append_null(),
            Values::Double(builder) => builder.append_null(),
            Values::Decimal(builder, ..) => builder.append_null(),
            Values::Date(builder) => builder.append_null(),
            Values::Text(builder) | Values::Cast(builder) => builder.append_null(),
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.values, Values::Text(_))
    }

    /// Takes in a value without quotes if it is of the most common kinds, else returns false and
    /// leaves the column as it was; `valid` is the same text, if it is known to be UTF-8.
    #[inline(always)]
    pub(crate) fn push_plain(&mut self, text: &[u8], valid: Option<&str>) -> bool {
        if self.has_rules {
            return false;
        }
        match &mut self.values {
            Values::Text(builder) => match valid {
                Some(text) if !text.is_empty() => builder.append_value(text),
                _ => return false,
            },
            Values::Integer(builder) => match value::parse_integer(text, self.spec.guessed) {
                Some(number) => builder.append_value(number),
                None => return false,
            },
            Values::Double(builder) => {
                match value::parse_short_double(text, self.spec.notation.decimal) {
                    Some(number) if !self.spec.guessed || !value::has_leading_zero(text) => {
                        builder.append_value(number);
                    }
                    _ => return false,
                }
            }
            _ => return false,
        }
        true
    }

    /// Takes in one value. Nothing between two delimiters is NULL; `""` is NULL except in text.
    #[inline]
    pub(crate) fn push(&mut self, text: &[u8], quoted: bool) -> Result<(), Misread> {
        let is_text = matches!(self.values, Values::Text(_));
        if text.is_empty() && !(quoted && is_text) {
            self.push_null();
            return Ok(());
        }
        if let Some(words) = &self.spec.null_words
            && words.iter().any(|word| word.as_bytes() == text)
        {
            self.push_null();
            return Ok(());
        }
        if self.push_value(text) {
            return Ok(());
        }
        if is_text || std::str::from_utf8(text).is_err() {
            return Err(Misread::NotUtf8);
        }
        if self.spec.null_words.is_none()
            && let Some(word) = NULL_WORDS.iter().find(|word| word.as_bytes() == text)
        {
            self.null_words_seen.get_or_insert_with(|| (0, (*word).to_string())).0 += 1;
            self.push_null();
            return Ok(());
        }
        Err(Misread::NotOfType)
    }

    /// Appends the value, or returns false and leaves the column as it was.
    fn push_value(&mut self, text: &[u8]) -> bool {
        let (notation, guessed) = (&self.spec.notation, self.spec.guessed);
        let decimal = notation.decimal;
        if notation.thousands.is_some() && self.values.are_numbers() {
            return self.push_grouped(text);
        }
        match &mut self.values {
            Values::Text(builder) => match std::str::from_utf8(text) {
                Ok(text) => builder.append_value(text),
                Err(_) => return false,
            },
            Values::Integer(builder) => match value::parse_integer(trim_blanks(text), guessed) {
                Some(number) if fits(number, &self.spec.data_type) => {
                    builder.append_value(number);
                }
                _ => return false,
            },
            Values::Double(builder) => {
                let Some((number, rounded)) =
                    value::parse_double(trim_blanks(text), decimal, guessed)
                else {
                    return false;
                };
                self.rounded_count += u64::from(rounded);
                builder.append_value(number);
            }
            Values::Decimal(builder, precision, scale) => {
                let text = trim_blanks(text);
                match value::parse_decimal(text, *precision, *scale, decimal, guessed) {
                    Some(number) => builder.append_value(number),
                    None => return false,
                }
            }
            Values::Boolean(builder) => match value::parse_boolean(trim_blanks(text)) {
                Some(flag) => builder.append_value(flag),
                None => return false,
            },
            Values::Date(builder) => {
                let text = trim_blanks(text);
                let days = notation.date(text, self.spec.order);
                match days {
                    Some(days) => builder.append_value(days),
                    None => return false,
                }
            }
            Values::Timestamp(builder, unit) => {
                let text = trim_blanks(text);
                let moment = notation.moment(text, self.spec.order);
                let moment = moment
                    .filter(|moment| match (moment.zoned, has_zone(&self.spec.data_type)) {
                        // A zone is never dropped, and only assumed where the user asked.
                        (true, false) => false,
                        (false, true) => !guessed,
                        _ => true,
                    })
                    .and_then(|moment| moment.in_unit(*unit));
                match moment {
                    Some(moment) => builder.append_value(moment),
                    None => return false,
                }
            }
            Values::Cast(builder) => {
                let Ok(text) = std::str::from_utf8(text) else { return false };
                if strict_cast(&StringArray::from(vec![text]), &self.spec.data_type).is_err() {
                    return false;
                }
                builder.append_value(text);
            }
        }
        true
    }

    /// [`Self::push_value`] for a number that may have its digits in groups.
    fn push_grouped(&mut self, text: &[u8]) -> bool {
        let Some(plain) = self.spec.notation.ungrouped(trim_blanks(text)) else { return false };
        let thousands = self.spec.notation.thousands.take();
        let is_taken = self.push_value(&plain);
        self.spec.notation.thousands = thousands;
        is_taken
    }

    /// Forgets all values since the last call of `finish`.
    pub(crate) fn clear(&mut self) {
        *self = ColumnBuilder::new(self.spec.clone());
    }

    /// The array of all values since the last call.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let wanted = &self.spec.data_type;
        let array: ArrayRef = match &mut self.values {
            Values::Boolean(builder) => Arc::new(builder.finish()),
            Values::Integer(builder) => Arc::new(builder.finish()),
            Values::Double(builder) => Arc::new(builder.finish()),
            Values::Decimal(builder, precision, scale) => {
                Arc::new(builder.finish().with_precision_and_scale(*precision, *scale)?)
            }
            Values::Date(builder) => Arc::new(builder.finish()),
            Values::Timestamp(builder, _) => {
                let ticks = builder.finish();
                return Ok(datafusion::arrow::array::make_array(
                    ticks.to_data().into_builder().data_type(wanted.clone()).build()?,
                ));
            }
            Values::Text(builder) | Values::Cast(builder) => Arc::new(builder.finish()),
        };
        if array.data_type() == wanted { Ok(array) } else { strict_cast(&array, wanted) }
    }
}

/// A cast that fails where a value does not fit.
pub(crate) fn strict_cast(array: &dyn Array, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, wanted, &CastOptions { safe: false, ..CastOptions::default() })
}

fn has_zone(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

fn fits(number: i64, data_type: &DataType) -> bool {
    match data_type {
        DataType::Int8 => i8::try_from(number).is_ok(),
        DataType::Int16 => i16::try_from(number).is_ok(),
        DataType::Int32 => i32::try_from(number).is_ok(),
        _ => true,
    }
}

#[inline]
fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = text {
        text = rest;
    }
    text
}
