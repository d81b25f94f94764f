//! One value: text into number, date or boolean, exactly or not at all.
//!
//! Invariant: what is returned stands for the whole text; nothing is rounded to fit, cut or
//! guessed. Only DOUBLE rounds, to the nearest, as IEEE 754 asks.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

/// How numbers, dates and timestamps are written in a file; what is `None` is found or not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notation {
    /// The decimal mark.
    pub decimal: u8,
    /// The byte between groups of three digits.
    pub thousands: Option<u8>,
    /// The format of dates, with `%d`, `%m`, `%Y` and the like.
    pub date_format: Option<Arc<str>>,
    /// The format of timestamps, with `%H`, `%M`, `%S` and the like.
    pub timestamp_format: Option<Arc<str>>,
}

impl Default for Notation {
    fn default() -> Self {
        Notation { decimal: b'.', thousands: None, date_format: None, timestamp_format: None }
    }
}

impl Notation {
    /// The order for a column whose type the user named.
    pub fn order_of(&self, data_type: &DataType) -> DateOrder {
        let (date, timestamp) = (self.date_format.is_some(), self.timestamp_format.is_some());
        match data_type {
            DataType::Date32 if date => DateOrder::Given,
            DataType::Timestamp(..) if date || timestamp => DateOrder::Given,
            _ => DateOrder::Iso,
        }
    }

    /// A date as days since 1970-01-01.
    pub(crate) fn date(&self, text: &[u8], order: DateOrder) -> Option<i32> {
        match order {
            DateOrder::Given => formatted_date(text, self.date_format.as_deref()?),
            _ => parse_date(text, order),
        }
    }

    /// A date, or a date with a time.
    pub(crate) fn moment(&self, text: &[u8], order: DateOrder) -> Option<Moment> {
        if order != DateOrder::Given {
            return parse_timestamp(text, order);
        }
        let formats = [&self.timestamp_format, &self.date_format];
        formats.into_iter().flatten().find_map(|format| formatted_moment(text, format))
    }

    /// A number without the bytes between its groups; `None` if they do not part groups of three.
    #[inline]
    pub(crate) fn ungrouped<'a>(&self, text: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match self.thousands {
            Some(mark) if text.contains(&mark) => ungroup(text, mark, self.decimal).map(Cow::Owned),
            _ => Some(Cow::Borrowed(text)),
        }
    }
}

fn ungroup(text: &[u8], mark: u8, decimal: u8) -> Option<Vec<u8>> {
    let end = text.iter().position(|byte| *byte == decimal).unwrap_or(text.len());
    let (whole, fraction) = text.split_at(end);
    let (sign, digits) = match whole {
        [sign @ (b'-' | b'+'), digits @ ..] => (Some(*sign), digits),
        digits => (None, digits),
    };
    let mut groups = digits.split(|byte| *byte == mark);
    let first = groups.next()?;
    let is_grouped = (1..=3).contains(&first.len())
        && groups.all(|group| group.len() == 3 && group.iter().all(u8::is_ascii_digit))
        && !fraction.contains(&mark);
    let plain = digits.iter().copied().filter(|byte| *byte != mark);
    is_grouped.then(|| sign.into_iter().chain(plain).chain(fraction.iter().copied()).collect())
}

/// The order of day, month and year in a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub enum DateOrder {
    /// `2024-12-31` or `2024/12/31`.
    #[default]
    Iso,
    /// `31/12/2024`, `31.12.2024` or `31-12-2024`.
    DayFirst,
    /// `12/31/2024` or `12-31-2024`.
    MonthFirst,
    /// As the user's format says.
    Given,
}

impl DateOrder {
    /// All orders.
    pub const ALL: [DateOrder; 4] =
        [DateOrder::Iso, DateOrder::DayFirst, DateOrder::MonthFirst, DateOrder::Given];
    pub(crate) const ALL_MASK: u8 = 0b1111;

    pub(crate) fn mask(self) -> u8 {
        1 << self as u8
    }
}

/// What a number looks like, in digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NumberShape {
    pub(crate) significant: u32,
    pub(crate) integer_digits: u32,
    pub(crate) scale: u32,
    pub(crate) exponent: bool,
    /// NaN or an infinity.
    pub(crate) special: bool,
}

/// `true` and `false` in three spellings.
pub(crate) fn parse_boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"true" | b"True" | b"TRUE" => Some(true),
        b"false" | b"False" | b"FALSE" => Some(false),
        _ => None,
    }
}

/// A whole number of 64 bits. A guessed one (`guessed`) has neither `+` nor leading zeros, which
/// mark identifiers and telephone numbers.
#[inline]
pub(crate) fn parse_integer(text: &[u8], guessed: bool) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] if !guessed => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || (guessed && digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    let mut number: u64 = 0;
    if digits.len() < 19 {
        // Cannot overflow: the common case does without checks.
        for &byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            number = number * 10 + u64::from(digit);
        }
    } else {
        for &byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
        }
    }
    if negative { 0_i64.checked_sub_unsigned(number) } else { i64::try_from(number).ok() }
}

/// Looks at a number without reading it; `None` if it is none.
pub(crate) fn number_shape(text: &[u8], decimal: u8) -> Option<NumberShape> {
    let mut shape = NumberShape::default();
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    if matches!(unsigned, b"NaN" | b"nan" | b"inf" | b"Inf" | b"Infinity" | b"infinity") {
        shape.special = true;
        return Some(shape);
    }
    let digits_end = |from: usize| {
        let rest = &unsigned[from..];
        from + rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())
    };
    let integer_end = digits_end(0);
    shape.integer_digits = integer_end as u32;
    if integer_end > 1 && unsigned[0] == b'0' {
        return None;
    }
    let mut position = integer_end;
    if unsigned.get(position) == Some(&decimal) {
        let fraction_end = digits_end(position + 1);
        shape.scale = (fraction_end - position - 1) as u32;
        position = fraction_end;
    }
    if shape.integer_digits + shape.scale == 0 {
        return None;
    }
    shape.significant = significant_digits(&unsigned[..position], decimal);
    if let Some(b'e' | b'E') = unsigned.get(position) {
        shape.exponent = true;
        position += 1;
        if let Some(b'+' | b'-') = unsigned.get(position) {
            position += 1;
        }
        let exponent_end = digits_end(position);
        if exponent_end == position {
            return None;
        }
        position = exponent_end;
    }
    (position == unsigned.len()).then_some(shape)
}

/// Digits between the first and the last that are not zero.
fn significant_digits(mantissa: &[u8], decimal: u8) -> u32 {
    let digits = mantissa.iter().filter(|byte| **byte != decimal);
    let leading = digits.clone().take_while(|byte| **byte == b'0').count();
    let trailing = digits.clone().rev().take_while(|byte| **byte == b'0').count();
    digits.count().saturating_sub(leading + trailing) as u32
}

/// A DOUBLE, and whether it has more digits than a DOUBLE holds.
#[inline]
pub(crate) fn parse_double(text: &[u8], decimal: u8, guessed: bool) -> Option<(f64, bool)> {
    let first = *text.first()?;
    if guessed && (first == b'+' || has_leading_zero(text)) {
        return None;
    }
    if let Some(number) = parse_short_double(text, decimal) {
        return Some((number, false));
    }
    let mut buffer = [0; 64];
    let text = if decimal == b'.' {
        text
    } else {
        let copy = buffer.get_mut(..text.len())?;
        for (to, &from) in copy.iter_mut().zip(text) {
            if from == b'.' {
                return None;
            }
            *to = if from == decimal { b'.' } else { from };
        }
        copy
    };
    let number = std::str::from_utf8(text).ok()?.parse::<f64>().ok()?;
    if !number.is_finite() && text.iter().any(u8::is_ascii_digit) {
        return None;
    }
    let rounded = text.len() > super::types::DOUBLE_DIGITS_MAX as usize
        && number_shape(text, b'.')
            .is_some_and(|shape| shape.significant > super::types::DOUBLE_DIGITS_MAX);
    // There is one NaN, whatever sign a text gives it.
    Some((if number.is_nan() { f64::NAN } else { number }, rounded))
}

/// Whether a number has a zero before its first digit, as identifiers have.
#[inline]
pub(crate) fn has_leading_zero(text: &[u8]) -> bool {
    match text {
        [b'0', next, ..] | [b'-', b'0', next, ..] => next.is_ascii_digit(),
        _ => false,
    }
}

/// A number of at most 15 digits without exponent: both it and the power of ten are exact in a
/// DOUBLE, so that one division rounds correctly (Clinger, "How to Read Floating Point Numbers
/// Accurately", PLDI 1990).
#[inline]
pub(crate) fn parse_short_double(text: &[u8], decimal: u8) -> Option<f64> {
    const DIGITS_MAX: usize = 15;
    const POWERS: [f64; DIGITS_MAX + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.len() > DIGITS_MAX + 1 {
        return None;
    }
    let (mut mantissa, mut point) = (0_u64, None);
    for (idx, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            // Sixteen digits fit.
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if byte == decimal && point.is_none() {
            point = Some(idx);
        } else {
            return None;
        }
    }
    let digit_count = digits.len() - usize::from(point.is_some());
    if digit_count == 0 || digit_count > DIGITS_MAX {
        return None;
    }
    let scale = point.map_or(0, |idx| digits.len() - 1 - idx);
    let number = mantissa as f64 / POWERS[scale];
    Some(if negative { -number } else { number })
}

/// A DECIMAL as its unscaled number; digits beyond `scale` must be zeros.
pub(crate) fn parse_decimal(
    text: &[u8],
    precision: u8,
    scale: i8,
    decimal: u8,
    guessed: bool,
) -> Option<i128> {
    let text = match text {
        [b'+', rest @ ..] if !guessed => rest,
        _ => text,
    };
    let shape = match number_shape(text, decimal) {
        Some(shape) => shape,
        // Leading zeros are fine where the user asked for a number.
        None if !guessed => number_shape(strip_zeros(text), decimal)?,
        None => return None,
    };
    let scale = u32::try_from(scale).ok()?;
    if shape.exponent || shape.special {
        return None;
    }
    let (negative, unsigned) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut number: i128 = 0;
    let mut fraction: Option<u32> = None;
    for &byte in unsigned {
        if byte == decimal {
            fraction = Some(0);
            continue;
        }
        if let Some(count) = fraction.as_mut() {
            if *count == scale {
                if byte != b'0' {
                    return None;
                }
                continue;
            }
            *count += 1;
        }
        number = number.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    let missing = scale - fraction.unwrap_or(0);
    number = number.checked_mul(10_i128.checked_pow(missing)?)?;
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (number < limit).then_some(if negative { -number } else { number })
}

fn strip_zeros(text: &[u8]) -> &[u8] {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    &digits[zeros.min(digits.len().saturating_sub(1))..]
}

/// A date as days since 1970-01-01.
pub(crate) fn parse_date(text: &[u8], order: DateOrder) -> Option<i32> {
    let (days, rest) = date_prefix(text, order)?;
    rest.is_empty().then_some(days)
}

const EPOCH_DAYS_FROM_CE: i32 = 719_163;

fn date_prefix(text: &[u8], order: DateOrder) -> Option<(i32, &[u8])> {
    let (first, separator, second, third, rest) = three_numbers(text)?;
    let (year, month, day) = match order {
        DateOrder::Iso => (first, second, third),
        DateOrder::DayFirst => (third, second, first),
        DateOrder::MonthFirst => (third, first, second),
        DateOrder::Given => return None,
    };
    let separators: &[u8] = match order {
        DateOrder::Iso | DateOrder::MonthFirst => b"-/",
        DateOrder::DayFirst | DateOrder::Given => b"-/.",
    };
    // Two-digit years are a guess too many.
    if !separators.contains(&separator) || year.1 != 4 || month.1 > 2 || day.1 > 2 {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year.0).ok()?, month.0, day.0)?;
    use chrono::Datelike;
    Some((date.num_days_from_ce() - EPOCH_DAYS_FROM_CE, rest))
}

type Digits = (u32, usize);

/// Three numbers with one separator twice, and what follows.
fn three_numbers(text: &[u8]) -> Option<(Digits, u8, Digits, Digits, &[u8])> {
    if let Some(found) = iso_numbers(text) {
        return Some(found);
    }
    let (first, rest) = number_prefix(text, 4)?;
    let (&separator, rest) = rest.split_first()?;
    let (second, rest) = number_prefix(rest, 2)?;
    let rest = rest.strip_prefix(&[separator])?;
    let (third, rest) = number_prefix(rest, 4)?;
    Some((first, separator, second, third, rest))
}

/// `2024-12-31`, as nearly all dates are written.
fn iso_numbers(text: &[u8]) -> Option<(Digits, u8, Digits, Digits, &[u8])> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    let &[y1, y2, y3, y4, first, m1, m2, second, d1, d2] = date;
    let digits = [y1, y2, y3, y4, m1, m2, d1, d2].map(|byte| byte.wrapping_sub(b'0'));
    let is_whole = digits.iter().all(|digit| *digit <= 9)
        && first == second
        && !first.is_ascii_digit()
        && !rest.first().is_some_and(u8::is_ascii_digit);
    if !is_whole {
        return None;
    }
    let [y1, y2, y3, y4, m1, m2, d1, d2] = digits.map(u32::from);
    let year = ((y1 * 10 + y2) * 10 + y3) * 10 + y4;
    Some(((year, 4), first, (m1 * 10 + m2, 2), (d1 * 10 + d2, 2), rest))
}

/// One to `len_max` digits, their number and count, and what follows.
fn number_prefix(text: &[u8], len_max: usize) -> Option<(Digits, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 || len > len_max {
        return None;
    }
    let number = text[..len].iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    Some(((number, len), &text[len..]))
}

/// A point in time, in nanoseconds; see [`Moment::in_unit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    nanos: i128,
    pub(crate) fraction_digits: u32,
    /// The text named a zone or offset; the moment is in UTC then.
    pub(crate) zoned: bool,
}

impl Moment {
    /// The moment in a unit since 1970, if it is whole in that unit and fits 64 bits.
    pub(crate) fn in_unit(self, unit: TimeUnit) -> Option<i64> {
        let divisor = match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        };
        if self.nanos % divisor != 0 {
            return None;
        }
        i64::try_from(self.nanos / divisor).ok()
    }
}

/// A date, or a date with a time: `2024-12-31 23:59[:59[.999999999]][Z|+01:00]`, also with `T`.
fn parse_timestamp(text: &[u8], order: DateOrder) -> Option<Moment> {
    const SECOND: i128 = 1_000_000_000;
    let (days, rest) = date_prefix(text, order)?;
    let midnight = i128::from(days) * 86_400 * SECOND;
    if rest.is_empty() {
        return Some(Moment { nanos: midnight, fraction_digits: 0, zoned: false });
    }
    let rest = rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b" "))?;
    let (hours, rest) = number_prefix(rest, 2)?;
    let (minutes, rest) = number_prefix(rest.strip_prefix(b":")?, 2)?;
    let (seconds, rest) = match rest.strip_prefix(b":") {
        Some(rest) => number_prefix(rest, 2)?,
        None => ((0, 2), rest),
    };
    let (fraction, fraction_digits, rest) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let ((number, digits), rest) = number_prefix(rest, 9)?;
            (i128::from(number) * 10_i128.pow(9 - digits as u32), digits as u32, rest)
        }
        None => (0, 0, rest),
    };
    if hours.0 > 23 || minutes.0 > 59 || seconds.0 > 59 || minutes.1 != 2 || seconds.1 != 2 {
        return None;
    }
    let offset_seconds = if rest.is_empty() { None } else { Some(parse_offset(rest)?) };
    let clock = i128::from(hours.0 * 3600 + minutes.0 * 60 + seconds.0);
    let nanos = midnight + (clock - i128::from(offset_seconds.unwrap_or(0))) * SECOND + fraction;
    Some(Moment { nanos, fraction_digits, zoned: offset_seconds.is_some() })
}

/// `Z`, `+01:00`, `-0530` or `+01`, in seconds east of Greenwich.
fn parse_offset(text: &[u8]) -> Option<i32> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, rest) = match text {
        b"Z" | b"z" | b"UTC" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [a, b] => ([*a, *b], [b'0', b'0']),
        [a, b, c, d] | [a, b, b':', c, d] => ([*a, *b], [*c, *d]),
        _ => return None,
    };
    let two = |digits: [u8; 2]| {
        number_prefix(&digits, 2).filter(|((_, len), _)| *len == 2).map(|((number, _), _)| number)
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours <= 18 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60) as i32)
}

/// A date in the user's format, as days since 1970-01-01.
fn formatted_date(text: &[u8], format: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(std::str::from_utf8(text).ok()?, format).ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// A moment in the user's format, which may also be one of dates.
fn formatted_moment(text: &[u8], format: &str) -> Option<Moment> {
    let text = std::str::from_utf8(text).ok()?;
    let zoned = ["%z", "%:z", "%::z", "%#z", "%+"].iter().any(|code| format.contains(code));
    let moment = if zoned {
        DateTime::parse_from_str(text, format).ok()?.to_utc()
    } else {
        let midnight = |date: NaiveDate| date.and_time(chrono::NaiveTime::MIN);
        NaiveDateTime::parse_from_str(text, format)
            .or_else(|_| NaiveDate::parse_from_str(text, format).map(midnight))
            .ok()?
            .and_utc()
    };
    let fraction = moment.timestamp_subsec_nanos();
    // A leap second has no place on this scale.
    if fraction >= 1_000_000_000 {
        return None;
    }
    let mut fraction_digits = 9;
    while fraction_digits > 0 && fraction.is_multiple_of(10_u32.pow(10 - fraction_digits)) {
        fraction_digits -= 1;
    }
    let nanos = i128::from(moment.timestamp()) * 1_000_000_000 + i128::from(fraction);
    Some(Moment { nanos, fraction_digits, zoned })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_three_digits() {
        let notation = Notation { thousands: Some(b','), ..Notation::default() };
        let check = |text: &str, expected: Option<&str>| {
            let found = notation.ungrouped(text.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text}");
        };
        check("1,234,567.89", Some("1234567.89"));
        check("-12,345", Some("-12345"));
        check("1234", Some("1234"));
        check("1,23", None);
        check("1234,567", None);
        check(",123", None);
        check("1.234,567", None);
    }

    #[test]
    fn integers_are_whole_or_not_at_all() {
        let parse = |text: &str| parse_integer(text.as_bytes(), true);
        assert_eq!(parse("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse("9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse("9223372036854775808"), None);
        assert_eq!(parse("3.75"), None);
        assert_eq!(parse("007"), None);
        assert_eq!(parse_integer(b"007", false), Some(7));
        assert_eq!(parse("-"), None);
    }

    #[test]
    fn decimals_keep_every_digit() {
        let parse = |text: &str| parse_decimal(text.as_bytes(), 10, 2, b'.', true);
        assert_eq!(parse("12.5"), Some(1250));
        assert_eq!(parse("-0.05"), Some(-5));
        assert_eq!(parse("1.230"), Some(123));
        assert_eq!(parse("1.234"), None);
        assert_eq!(parse("123456789"), None);
        assert_eq!(parse_decimal(b"0012,50", 10, 2, b',', false), Some(1250));
    }

    #[test]
    fn doubles_report_lost_digits() {
        assert_eq!(parse_double(b"0.1", b'.', true), Some((0.1, false)));
        assert_eq!(parse_double(b"1,5", b',', true), Some((1.5, false)));
        assert_eq!(parse_double(b"0.12345678901234567890", b'.', true).map(|d| d.1), Some(true));
        assert_eq!(parse_double(b"1e999", b'.', true), None);
        assert_eq!(parse_double(b"00.5", b'.', true), None);
        assert!(parse_double(b"-0.0", b'.', true).is_some_and(|d| d.0.is_sign_negative()));
        for text in ["0.1", "999999999999999", "12345678.9012345", "-.5", "5.", "0.00000000000001"]
        {
            let expected: f64 = text.parse().expect("a number");
            assert_eq!(parse_short_double(text.as_bytes(), b'.'), Some(expected), "{text}");
        }
        assert_eq!(parse_short_double(b"1234567890123456", b'.'), None);
        assert_eq!(parse_short_double(b"1.2.3", b'.'), None);
        assert_eq!(parse_short_double(b"-", b'.'), None);
    }

    #[test]
    fn moments_in_utc() {
        let micros = |text: &str| {
            parse_timestamp(text.as_bytes(), DateOrder::Iso)?.in_unit(TimeUnit::Microsecond)
        };
        assert_eq!(micros("1970-01-01T00:00:01Z"), Some(1_000_000));
        assert_eq!(micros("1970-01-01 01:00:00+01:00"), Some(0));
        assert_eq!(micros("1970-01-01 00:00:00.0000001"), None);
        assert_eq!(micros("1970-01-01 24:00:00"), None);
        assert_eq!(parse_date(b"31.12.1969", DateOrder::DayFirst), Some(-1));
        let formatted = |text: &str, format: &str| {
            formatted_moment(text.as_bytes(), format)?.in_unit(TimeUnit::Microsecond)
        };
        assert_eq!(formatted("1.1.1970 0:01", "%d.%m.%Y %H:%M"), Some(60_000_000));
        assert_eq!(formatted("1970-01-01 01:00 +0100", "%Y-%m-%d %H:%M %z"), Some(0));
        assert_eq!(formatted("1970-01-01 0:0:0.0000001", "%Y-%m-%d %H:%M:%S%.f"), None);
    }
}
