//! `format('{} of {:.2f}', a, b)` and `printf('%s of %.2f', a, b)`: values in the places of a pattern.
//!
//! Places are those of Python's and fmtlib's `format`, and of C's `printf`; a comma groups digits by three.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type};
use datafusion::common::Result;
use datafusion::common::cast::as_string_view_array;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;

/// Both functions.
pub(super) fn functions() -> impl Iterator<Item = ScalarUDF> {
    [Style::Braces, Style::Percent].into_iter().map(|style| {
        let signature = Signature::variadic_any(Volatility::Immutable);
        ScalarUDF::new_from_impl(Format { style, signature })
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Style {
    Braces,
    Percent,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Format {
    style: Style,
    signature: Signature,
}

impl ScalarUDFImpl for Format {
    fn name(&self) -> &str {
        match self.style {
            Style::Braces => "format",
            Style::Percent => "printf",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let pattern = cast(&arrays[0], &DataType::Utf8View)?;
        let pattern = as_string_view_array(&pattern)?;
        let columns = arrays[1..].iter().map(Column::of).collect::<Result<Vec<_>>>()?;
        let mut built = StringViewBuilder::with_capacity(pattern.len());
        for row in 0..pattern.len() {
            // As with other functions, NULL in gives NULL out.
            if arrays.iter().any(|array| array.is_null(row)) {
                built.append_null();
                continue;
            }
            let values: Vec<Value<'_>> = columns.iter().map(|column| column.value(row)).collect();
            let pattern = pattern.value(row);
            let filled = match self.style {
                Style::Braces => braces(pattern, &values),
                Style::Percent => percent(pattern, &values),
            };
            built.append_value(filled.map_err(|what| {
                let hint = match self.style {
                    Style::Braces => "places are {}, {0} or {:.2f}; braces are {{ and }}",
                    Style::Percent => "places are %s, %d or %.2f; a percent sign is %%",
                };
                Error::data(format!("{}: {what} in {pattern:?}", self.name())).hint(hint)
            })?);
        }
        Ok(ColumnarValue::Array(Arc::new(built.finish())))
    }
}

/// An argument, with what its values are shown as where a place says nothing else.
struct Column {
    texts: ArrayRef,
    numbers: Option<ArrayRef>,
}

impl Column {
    fn of(array: &ArrayRef) -> Result<Self> {
        let texts = cast(array, &DataType::Utf8View)?;
        let wide = match array.data_type() {
            data_type if data_type.is_integer() => Some(DataType::Decimal128(38, 0)),
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale) => Some(DataType::Decimal128(38, *scale)),
            data_type if data_type.is_floating() => Some(DataType::Float64),
            _ => None,
        };
        let numbers = wide.map(|wide| cast(array, &wide)).transpose()?;
        Ok(Column { texts, numbers })
    }

    fn value(&self, row: usize) -> Value<'_> {
        let text = self.texts.as_string_view().value(row);
        let number = self.numbers.as_ref().map(|numbers| match numbers.data_type() {
            DataType::Decimal128(_, scale) => {
                Number::Exact(numbers.as_primitive::<Decimal128Type>().value(row), *scale)
            }
            _ => Number::Double(numbers.as_primitive::<Float64Type>().value(row)),
        });
        Value { text, number }
    }
}

#[derive(Debug, Clone, Copy)]
struct Value<'a> {
    text: &'a str,
    number: Option<Number>,
}

#[derive(Debug, Clone, Copy)]
enum Number {
    /// So many units of a power of ten: 123 and 2 are 1.23.
    Exact(i128, i8),
    Double(f64),
}

/// How a place shows its value.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    /// Whether zeros stand between the sign and the digits.
    zeros: bool,
    width: usize,
    groups: bool,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Shape {
    /// Reads `[[fill]align][sign][0][width][,][.precision][kind]`.
    fn parsed(text: &str) -> Option<Shape> {
        let mut shape = Shape::default();
        let mut rest: &[char] = &text.chars().collect::<Vec<_>>();
        match rest {
            [fill, align @ ('<' | '>' | '^'), ..] => {
                (shape.fill, shape.align) = (Some(*fill), Some(*align));
                rest = &rest[2..];
            }
            [align @ ('<' | '>' | '^'), ..] => {
                shape.align = Some(*align);
                rest = &rest[1..];
            }
            _ => {}
        }
        if let [sign @ ('+' | '-' | ' '), tail @ ..] = rest {
            (shape.sign, rest) = (Some(*sign), tail);
        }
        rest = shape.sized(rest)?;
        match rest {
            [] => {}
            [kind] => shape.kind = Some(*kind),
            _ => return None,
        }
        Some(shape)
    }

    /// Reads `[0][width][,][.precision]`; returns what is behind it.
    fn sized<'a>(&mut self, mut rest: &'a [char]) -> Option<&'a [char]> {
        if let ['0', tail @ ..] = rest {
            (self.zeros, rest) = (true, tail);
        }
        (self.width, rest) = number_in(rest)?;
        if let [',' | '_', tail @ ..] = rest {
            (self.groups, rest) = (true, tail);
        }
        if let ['.', tail @ ..] = rest {
            let (precision, tail) = number_in(tail)?;
            (self.precision, rest) = (Some(precision), tail);
        }
        Some(rest)
    }

    fn show(&self, value: &Value<'_>) -> Result<String, String> {
        let wrong = |what| Err(format!("{:?} is {what}", value.text));
        let (sign, digits) = match (self.kind, value.number) {
            (None | Some('s'), None) => {
                let text: String = match self.precision {
                    Some(len) => value.text.chars().take(len).collect(),
                    None => value.text.to_string(),
                };
                return Ok(self.padded(text, '<'));
            }
            (Some('s'), Some(_)) => return Ok(self.padded(value.text.to_string(), '<')),
            (_, None) => return wrong("no number"),
            (Some('d' | 'i' | 'u' | 'x' | 'X' | 'o' | 'b'), Some(Number::Exact(whole, 0))) => {
                let (sign, size) = (whole < 0, whole.unsigned_abs());
                (
                    sign,
                    match self.kind {
                        Some('x') => format!("{size:x}"),
                        Some('X') => format!("{size:X}"),
                        Some('o') => format!("{size:o}"),
                        Some('b') => format!("{size:b}"),
                        _ => size.to_string(),
                    },
                )
            }
            (Some('d' | 'i' | 'u' | 'x' | 'X' | 'o' | 'b'), _) => return wrong("no whole number"),
            (Some('f' | 'F'), Some(number)) => fixed(number, self.precision.unwrap_or(6)),
            (None, Some(number @ Number::Exact(..))) if self.precision.is_some() => {
                fixed(number, self.precision.unwrap_or(0))
            }
            (Some('e' | 'E' | 'g' | 'G'), Some(number))
            | (None, Some(number @ Number::Double(_)))
                if self.kind.is_some() || self.precision.is_some() =>
            {
                let double = match number {
                    Number::Double(double) => double,
                    Number::Exact(units, scale) => units as f64 / 10_f64.powi(i32::from(scale)),
                };
                let is_exponent = matches!(self.kind, Some('e' | 'E'));
                let digits = match is_exponent {
                    true => exponent(double.abs(), self.precision.unwrap_or(6)),
                    false => general(double.abs(), self.precision.unwrap_or(6).max(1)),
                };
                let is_upper = matches!(self.kind, Some('E' | 'G'));
                (double < 0.0, if is_upper { digits.to_uppercase() } else { digits })
            }
            (None, Some(_)) => match value.text.strip_prefix('-') {
                Some(digits) => (true, digits.to_string()),
                None => (false, value.text.to_string()),
            },
            (Some(kind), Some(_)) => return Err(format!("there is no form {kind:?}")),
        };
        let digits = if self.groups { grouped(&digits) } else { digits };
        let sign = match (sign, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let is_finite = digits.starts_with(|first: char| first.is_ascii_hexdigit());
        if self.zeros && self.align.is_none() && is_finite {
            let width = self.width.saturating_sub(sign.len());
            return Ok(format!("{sign}{digits:0>width$}"));
        }
        Ok(self.padded(format!("{sign}{digits}"), '>'))
    }

    fn padded(&self, text: String, usual: char) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        let before = match self.align.unwrap_or(usual) {
            '<' => 0,
            '^' => missing / 2,
            _ => missing,
        };
        let fill = |count| std::iter::repeat_n(self.fill.unwrap_or(' '), count);
        fill(before).chain(text.chars()).chain(fill(missing - before)).collect()
    }
}

/// More than this is no width, and would fill the memory.
const WIDTH_MAX: usize = 10_000;

/// The number that a text begins with, 0 without one.
fn number_in(text: &[char]) -> Option<(usize, &[char])> {
    let len = text.iter().take_while(|digit| digit.is_ascii_digit()).count();
    let digits: String = text[..len].iter().collect();
    let number = if len == 0 { 0 } else { digits.parse().ok()? };
    (number <= WIDTH_MAX).then_some((number, &text[len..]))
}

/// Whether a number is negative, and its digits with so many behind the point.
fn fixed(number: Number, precision: usize) -> (bool, String) {
    match number {
        Number::Double(double) if double.is_finite() => {
            (double < 0.0, format!("{:.precision$}", double.abs()))
        }
        Number::Double(double) => {
            (double < 0.0, if double.is_nan() { "nan" } else { "inf" }.to_string())
        }
        Number::Exact(units, scale) => {
            let scale = usize::try_from(scale).unwrap_or(0);
            let mut size = units.unsigned_abs();
            if let Some(cut) = scale.checked_sub(precision).filter(|cut| *cut > 0) {
                let unit = 10_u128.pow(cut as u32);
                size = size / unit + u128::from(size % unit >= unit / 2);
            }
            let kept = scale.min(precision);
            let digits = format!("{size:0>width$}", width = kept + 1);
            let (whole, part) = digits.split_at(digits.len() - kept);
            let point = if precision > 0 { "." } else { "" };
            (units < 0, format!("{whole}{point}{part:0<precision$}"))
        }
    }
}

/// A number such as `1.5e+06`, as C writes it.
fn exponent(double: f64, precision: usize) -> String {
    let text = format!("{double:.precision$e}");
    match text.split_once('e') {
        Some((digits, power)) => {
            let (sign, power) = match power.strip_prefix('-') {
                Some(power) => ('-', power),
                None => ('+', power),
            };
            format!("{digits}e{sign}{power:0>2}")
        }
        None => text.to_lowercase(),
    }
}

/// A number with so many digits that count, with an exponent where it is very large or small.
fn general(double: f64, precision: usize) -> String {
    let text = exponent(double, precision - 1);
    let power: Option<i32> = text.split_once('e').and_then(|(_, power)| power.parse().ok());
    let Some(power) = power else { return text };
    let trimmed = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => digits.to_string(),
    };
    if power < -4 || power >= precision as i32 {
        let (digits, power) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{power}", trimmed(digits));
    }
    let behind = (precision as i32 - 1 - power).max(0) as usize;
    trimmed(&format!("{double:.behind$}"))
}

/// Digits with a comma between each three before the point.
fn grouped(digits: &str) -> String {
    let len = digits.find(|part: char| !part.is_ascii_digit()).unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(len);
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (len - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

/// Fills `{}`, `{0}` and `{:>5}`; `{{` and `}}` are braces.
fn braces(pattern: &str, values: &[Value<'_>]) -> Result<String, String> {
    let (mut text, mut next, mut rest) = (String::new(), 0, pattern);
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix(brace) {
            text.push_str(brace);
            rest = behind;
            continue;
        }
        let place = rest.split_once('}').filter(|_| brace == "{");
        let (place, behind) = place.ok_or_else(|| format!("a single {brace}"))?;
        let (number, shape) = place.split_once(':').unwrap_or((place, ""));
        let idx = if number.is_empty() {
            next += 1;
            next - 1
        } else {
            number.parse().map_err(|_| format!("{{{place}}} is no place"))?
        };
        let shape = Shape::parsed(shape).ok_or_else(|| format!("{{{place}}} is no place"))?;
        let value = values.get(idx).ok_or_else(|| format!("there is no value {idx}"))?;
        text.push_str(&shape.show(value)?);
        rest = behind;
    }
    text.push_str(rest);
    Ok(text)
}

/// Fills `%s`, `%5d` and `%-5.2f`; `%%` is a percent sign.
fn percent(pattern: &str, values: &[Value<'_>]) -> Result<String, String> {
    let all: Vec<char> = pattern.chars().collect();
    let (mut text, mut next, mut rest) = (String::new(), 0, &all[..]);
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != '%' {
            text.push(*first);
            continue;
        }
        if let ['%', tail @ ..] = rest {
            text.push('%');
            rest = tail;
            continue;
        }
        let mut shape = Shape { align: Some('>'), ..Shape::default() };
        while let [flag @ ('-' | '+' | ' ' | '0' | ',' | '\''), tail @ ..] = rest {
            match flag {
                '-' => shape.align = Some('<'),
                '0' => shape.zeros = true,
                ',' | '\'' => shape.groups = true,
                sign => shape.sign = Some(*sign),
            }
            rest = tail;
        }
        if shape.zeros && shape.align == Some('>') {
            shape.align = None;
        }
        let zeros = shape.zeros;
        rest = shape.sized(rest).ok_or("a width too large")?;
        shape.zeros |= zeros;
        // Lengths of C's types.
        while let ['l' | 'h', tail @ ..] = rest {
            rest = tail;
        }
        let [kind, tail @ ..] = rest else { return Err("a single %".to_string()) };
        (shape.kind, rest) = (Some(*kind), tail);
        let value = values.get(next).ok_or_else(|| format!("there is no value {next}"))?;
        next += 1;
        text.push_str(&shape.show(value)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [Value<'_>; 4] = [
        Value { text: "ä", number: None },
        Value { text: "-1234567", number: Some(Number::Exact(-1_234_567, 0)) },
        Value { text: "2.5", number: Some(Number::Double(2.5)) },
        Value { text: "12.345", number: Some(Number::Exact(12_345, 3)) },
    ];

    #[test]
    fn braces_are_filled_in_order_or_by_number() {
        let check = |pattern: &str, expected: &str| {
            let found = braces(pattern, &VALUES).unwrap_or_else(|_| "error".into());
            assert_eq!(found, expected, "{pattern}");
        };
        check("{} and {}", "ä and -1234567");
        check("{1}{0}{{}}", "-1234567ä{}");
        check("none", "none");
        check("{} {} {} {} {}", "error");
        check("}", "error");
        check("{:>3}|{:,}|{:08.3f}|{:.2f}", "  ä|-1,234,567|0002.500|12.35");
        check("{0:*^4}|{0:<3}|{1:x}|{2:+.1e}|{2:g}|{3:.0f}", "*ä**|ä  |-12d687|+2.5e+00|2.5|12");
        check("{0:d}", "error");
        check("{2:d}", "error");
        check("{0:>99999999}", "error");
    }

    #[test]
    fn percents_are_filled_as_c_does() {
        let check = |pattern: &str, expected: &str| {
            let found = percent(pattern, &VALUES).unwrap_or_else(|_| "error".into());
            assert_eq!(found, expected, "{pattern}");
        };
        check("%s|%d|%.2f|%08.1f|%%", "ä|-1234567|2.50|000012.3|%");
        check("%-3s|%,d|%6.2f|%g", "ä  |-1,234,567|  2.50|12.345");
        check("%s %s %s %s", "ä -1234567 2.5 12.345");
        check("%d", "error");
        check("50 %", "error");
    }

    #[test]
    fn numbers_are_as_long_as_they_count() {
        let all = [0.0, 1e-5, 1234567.0, 0.1, 100_000.0];
        let found: Vec<String> = all.iter().map(|number| general(*number, 6)).collect();
        assert_eq!(found, ["0", "1e-05", "1.23457e+06", "0.1", "100000"]);
        assert_eq!(fixed(Number::Exact(-5, 3), 1), (true, "0.0".to_string()));
        assert_eq!(fixed(Number::Exact(5, 1), 0), (false, "1".to_string()));
        assert_eq!(fixed(Number::Exact(7, 0), 2), (false, "7.00".to_string()));
    }
}
