//! What the values of a column can be read as, and the decision for the narrowest type.
//!
//! An [`Evidence`] starts by allowing every type and loses those that a value does not fit. Two
//! pieces of evidence (two samples, two files) merge by keeping what both allow, so that the
//! decision does not depend on the order in which files are looked at.

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use serde::{Deserialize, Serialize};

use super::value::{self, DateOrder, Notation};

/// Words that stand for NULL in a column of numbers, dates or booleans; in text they stay words.
pub const NULL_WORDS: [&str; 9] = ["NA", "N/A", "n/a", "NULL", "null", "Null", "-", "\\N", "#N/A"];

/// More digits than this do not survive in a DOUBLE.
pub const DOUBLE_DIGITS_MAX: u32 = 17;
const DECIMAL_DIGITS_MAX: u32 = 38;
const EXACT_IN_DOUBLE: u64 = 1 << 53;

/// What the values seen so far allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Values that are neither empty nor a NULL word.
    value_count: u64,
    /// Values that are a NULL word.
    null_word_count: u64,
    boolean: bool,
    integer: bool,
    number: bool,
    /// A number without exponent.
    plain: bool,
    date: bool,
    timestamp: bool,
    /// Date orders that all values allow, as a set of `1 << order`.
    orders: u8,
    /// Whether timestamps carry a zone: seen with, seen without.
    zoned: (bool, bool),
    significant_max: u32,
    integer_digits_max: u32,
    scale_max: u32,
    fraction_max: u32,
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence {
            value_count: 0,
            null_word_count: 0,
            boolean: true,
            integer: true,
            number: true,
            plain: true,
            date: true,
            timestamp: true,
            orders: DateOrder::ALL_MASK,
            zoned: (false, false),
            significant_max: 0,
            integer_digits_max: 0,
            scale_max: 0,
            fraction_max: 0,
        }
    }
}

/// The decision: how a column is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The Arrow type.
    pub data_type: DataType,
    /// The order of day, month and year, for dates and timestamps.
    pub order: DateOrder,
    /// The column holds dates, but two orders fit all of them: it stays text.
    pub ambiguous_order: bool,
}

impl Evidence {
    /// Takes in one value.
    pub fn observe(&mut self, text: &str, notation: &Notation) {
        if text.is_empty() {
            return;
        }
        if NULL_WORDS.contains(&text) {
            self.null_word_count += 1;
            return;
        }
        self.value_count += 1;
        if self.is_text() {
            return;
        }
        let trimmed = text.trim_matches(' ');
        self.boolean &= value::parse_boolean(trimmed.as_bytes()).is_some();
        self.observe_number(trimmed, notation);
        self.observe_date(trimmed.as_bytes(), notation);
    }

    fn observe_number(&mut self, text: &str, notation: &Notation) {
        if !self.number {
            return;
        }
        let ungrouped = notation.ungrouped(text.as_bytes());
        let shape = ungrouped.as_ref().and_then(|text| value::number_shape(text, notation.decimal));
        let (Some(text), Some(shape)) = (&ungrouped, shape) else {
            self.integer = false;
            self.number = false;
            return;
        };
        self.plain &= !shape.exponent && !shape.special;
        self.significant_max = self.significant_max.max(shape.significant);
        self.integer_digits_max = self.integer_digits_max.max(shape.integer_digits);
        self.scale_max = self.scale_max.max(shape.scale);
        match value::parse_integer(text, true) {
            Some(number) if number.unsigned_abs() > EXACT_IN_DOUBLE => {
                self.significant_max = self.significant_max.max(DOUBLE_DIGITS_MAX + 1);
            }
            Some(_) => {}
            None => self.integer = false,
        }
    }

    fn observe_date(&mut self, text: &[u8], notation: &Notation) {
        if !(self.date || self.timestamp) {
            return;
        }
        let mut orders = 0;
        let mut is_date = false;
        for order in DateOrder::ALL {
            if notation.date(text, order).is_some() {
                orders |= order.mask();
                is_date = true;
            } else if let Some(found) = notation.moment(text, order) {
                orders |= order.mask();
                self.fraction_max = self.fraction_max.max(found.fraction_digits);
                if found.zoned { self.zoned.0 = true } else { self.zoned.1 = true }
            }
        }
        self.orders &= orders;
        self.date &= is_date && self.orders != 0;
        self.timestamp &= self.orders != 0 && self.zoned != (true, true);
    }

    /// Whether nothing but text is left.
    fn is_text(&self) -> bool {
        !(self.boolean || self.number || self.date || self.timestamp)
    }

    /// Whether a value has been seen.
    pub fn is_empty(&self) -> bool {
        self.value_count == 0
    }

    /// Only text fits from now on.
    pub fn force_text(&mut self) {
        self.boolean = false;
        self.integer = false;
        self.number = false;
        self.date = false;
        self.timestamp = false;
        self.value_count += 1;
    }

    /// Keeps what both allow.
    pub fn merge(&mut self, other: &Evidence) {
        self.value_count += other.value_count;
        self.null_word_count += other.null_word_count;
        self.boolean &= other.boolean;
        self.integer &= other.integer;
        self.number &= other.number;
        self.plain &= other.plain;
        self.orders &= other.orders;
        self.zoned = (self.zoned.0 || other.zoned.0, self.zoned.1 || other.zoned.1);
        self.date &= other.date && self.orders != 0;
        self.timestamp &= other.timestamp && self.orders != 0 && self.zoned != (true, true);
        self.significant_max = self.significant_max.max(other.significant_max);
        self.integer_digits_max = self.integer_digits_max.max(other.integer_digits_max);
        self.scale_max = self.scale_max.max(other.scale_max);
        self.fraction_max = self.fraction_max.max(other.fraction_max);
    }

    /// The narrowest type that holds all values without changing one.
    pub fn decide(&self) -> Decision {
        let decision = |data_type| Decision {
            data_type,
            order: self.order().unwrap_or(DateOrder::Iso),
            ambiguous_order: false,
        };
        if self.value_count == 0 {
            return decision(DataType::Utf8View);
        }
        if self.boolean {
            return decision(DataType::Boolean);
        }
        if self.integer {
            return decision(DataType::Int64);
        }
        if self.number {
            return decision(self.fractional_type());
        }
        if !(self.date || self.timestamp) {
            return decision(DataType::Utf8View);
        }
        if self.order().is_none() {
            return Decision { ambiguous_order: true, ..decision(DataType::Utf8View) };
        }
        if self.date {
            return decision(DataType::Date32);
        }
        let unit = if self.fraction_max > 6 { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
        let zone = self.zoned.0.then(|| "UTC".into());
        decision(DataType::Timestamp(unit, zone))
    }

    /// DOUBLE where it is exact enough, DECIMAL where only that is, else text.
    fn fractional_type(&self) -> DataType {
        if self.significant_max <= DOUBLE_DIGITS_MAX {
            DataType::Float64
        } else if self.plain && self.integer_digits_max + self.scale_max <= DECIMAL_DIGITS_MAX {
            DataType::Decimal128(DECIMAL_DIGITS_MAX as u8, self.scale_max as i8)
        } else {
            DataType::Utf8View
        }
    }

    /// A DECIMAL of at least this precision and scale that holds all values seen, if there is one.
    pub fn decimal_with(&self, precision: u8, scale: i8) -> Option<DataType> {
        if !(self.number && self.plain) {
            return None;
        }
        let scale = u32::try_from(scale).ok()?;
        let integer_digits = (u32::from(precision) - scale).max(self.integer_digits_max);
        let scale = scale.max(self.scale_max);
        (integer_digits + scale <= DECIMAL_DIGITS_MAX)
            .then(|| DataType::Decimal128((integer_digits + scale) as u8, scale as i8))
    }

    /// The one order that fits, if there is just one; the user's comes first.
    fn order(&self) -> Option<DateOrder> {
        if self.orders & DateOrder::Given.mask() != 0 {
            return Some(DateOrder::Given);
        }
        let mut fitting =
            DateOrder::ALL.into_iter().filter(|order| self.orders & order.mask() != 0);
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expected: DataType) {
        let mut evidence = Evidence::default();
        for value in values {
            evidence.observe(value, &Notation::default());
        }
        assert_eq!(evidence.decide().data_type, expected, "{values:?}");
        // Two halves, merged, decide alike.
        let (left, right) = values.split_at(values.len() / 2);
        let mut halves = [left, right].map(|half| {
            let mut evidence = Evidence::default();
            half.iter().for_each(|value| evidence.observe(value, &Notation::default()));
            evidence
        });
        let (first, second) = halves.split_at_mut(1);
        second[0].merge(&first[0]);
        assert_eq!(second[0].decide().data_type, expected, "{values:?} in halves");
    }

    #[test]
    fn the_narrowest_type_that_changes_nothing() {
        let micros = |zone: Option<&str>| {
            DataType::Timestamp(TimeUnit::Microsecond, zone.map(std::convert::Into::into))
        };
        check(&["1", "-2", ""], DataType::Int64);
        check(&["1", "NA", "3"], DataType::Int64);
        check(&["NA"], DataType::Utf8View);
        check(&["007", "1"], DataType::Utf8View);
        check(&["+49151", "1"], DataType::Utf8View);
        check(&["1", "2.5", "1e3", "NaN"], DataType::Float64);
        check(&["9223372036854775808", "1"], DataType::Decimal128(38, 0));
        check(&["9007199254740993", "0.5"], DataType::Decimal128(38, 1));
        check(&["0.1234567890123456789"], DataType::Decimal128(38, 19));
        check(&["true", "False"], DataType::Boolean);
        check(&["2024-02-29", "2023-01-01"], DataType::Date32);
        check(&["2023-02-29"], DataType::Utf8View);
        check(&["2024-01-01", "2024-01-01 12:30:00"], micros(None));
        check(&["2024-01-01T12:30:00Z"], micros(Some("UTC")));
        check(&["2024-01-01T12:30:00Z", "2024-01-01T12:30:00"], DataType::Utf8View);
        check(&["31/12/2023"], DataType::Date32);
        check(&["01/02/2023"], DataType::Utf8View);
        check(&["13/02/2024", "02/13/2024"], DataType::Utf8View);
        check(&["$5", "12%"], DataType::Utf8View);
        check(&["1,5"], DataType::Utf8View);
    }
}
