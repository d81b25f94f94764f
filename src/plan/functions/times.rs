//! `at_time_zone`, `try_strptime` and `age`, and times that nanoseconds do not reach.

use std::str::FromStr;
use std::sync::Arc;

use chrono::{
    DateTime, Datelike, LocalResult, Months, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone,
    Utc,
};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{
    Array, IntervalMonthDayNanoArray, StringViewArray, TimestampNanosecondArray,
};
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, IntervalMonthDayNano, IntervalUnit, TimeUnit,
};
use datafusion::common::cast::{
    as_float64_array, as_int64_array, as_string_view_array, as_timestamp_microsecond_array,
    as_timestamp_nanosecond_array,
};
use datafusion::common::{Result, internal_err};
use datafusion::functions::datetime::to_local_time;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, create_udf,
};

use crate::error::Error;

/// `x AT TIME ZONE zone`: of a time without a zone the instant at which clocks there show it, of an
/// instant what they show.
pub fn at_time_zone() -> ScalarUDF {
    ScalarUDF::new_from_impl(AtTimeZone { signature: Signature::any(2, Volatility::Immutable) })
}

/// `try_strptime(text, format)`: the time that a text is, or NULL.
pub fn try_strptime() -> ScalarUDF {
    let parse = |args: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(args)?;
        let (texts, formats) =
            (as_string_view_array(&arrays[0])?, as_string_view_array(&arrays[1])?);
        let times: TimestampNanosecondArray =
            texts.iter().zip(formats.iter()).map(|(text, format)| parsed(text?, format?)).collect();
        Ok(ColumnarValue::Array(Arc::new(times)))
    };
    let returned = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let arguments = vec![DataType::Utf8View; 2];
    create_udf("try_strptime", arguments, returned, Volatility::Immutable, Arc::new(parse))
}

/// `age(to, from)`: years, months, days and a time of day from one time to another.
pub fn age() -> ScalarUDF {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let returned = DataType::Interval(IntervalUnit::MonthDayNano);
    let ages = |args: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(args)?;
        let (to, from) = (
            as_timestamp_nanosecond_array(&arrays[0])?,
            as_timestamp_nanosecond_array(&arrays[1])?,
        );
        let ages: IntervalMonthDayNanoArray =
            to.iter().zip(from.iter()).map(|(to, from)| Some(elapsed(to?, from?))).collect();
        Ok(ColumnarValue::Array(Arc::new(ages)))
    };
    let arguments = vec![time.clone(), time];
    create_udf("age", arguments, returned, Volatility::Immutable, Arc::new(ages))
}

/// `make_timestamp(year, month, day, hour, minute, second)`: the time of these parts, or an error.
pub fn make_timestamp() -> ScalarUDF {
    let returned = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let made = |args: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(args)?;
        let wholes = arrays[..5].iter().map(|array| as_int64_array(array));
        let wholes: Vec<_> = wholes.collect::<Result<_>>()?;
        let seconds = as_float64_array(&arrays[5])?;
        let time_of = |row: usize| -> Result<Option<i64>> {
            if arrays.iter().any(|array| array.is_null(row)) {
                return Ok(None);
            }
            let parts: Vec<i64> = wholes.iter().map(|part| part.value(row)).collect();
            made_of(&parts, seconds.value(row)).map(Some).ok_or_else(|| {
                let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
                let error = format!("no time: {}, {}", parts.join(", "), seconds.value(row));
                Error::data(error).hint("hours go to 23, minutes and seconds to 59").into()
            })
        };
        let times =
            (0..seconds.len()).map(time_of).collect::<Result<TimestampNanosecondArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(times)))
    };
    let mut arguments = vec![DataType::Int64; 5];
    arguments.push(DataType::Float64);
    create_udf("make_timestamp", arguments, returned, Volatility::Immutable, Arc::new(made))
}

/// Nanoseconds since 1970 of year, month, day, hour and minute, and of seconds to the microsecond.
fn made_of(parts: &[i64], seconds: f64) -> Option<i64> {
    let part = |at: usize| u32::try_from(parts[at]).ok();
    let date = NaiveDate::from_ymd_opt(i32::try_from(parts[0]).ok()?, part(1)?, part(2)?)?;
    let micros = (seconds * 1e6).round();
    if !(0.0..60e6).contains(&micros) {
        return None;
    }
    let (whole, rest) = (micros as u32 / 1_000_000, micros as u32 % 1_000_000);
    let time = date.and_hms_micro_opt(part(3)?, part(4)?, whole, rest)?;
    time.and_utc().timestamp_nanos_opt()
}

/// The name of [`date_text`]; no statement calls it.
pub const DATE_TEXT: &str = "swath_date_text";

/// A text without the time behind its date: of `2024-01-01 02:00+05` the date there, not the one in UTC.
pub fn date_text() -> ScalarUDF {
    shortened(DATE_TEXT, without_time)
}

/// The name of [`clock_text`]; no statement calls it.
pub const CLOCK_TEXT: &str = "swath_clock_text";

/// A text without the zone behind its time: what a clock there shows.
pub fn clock_text() -> ScalarUDF {
    shortened(CLOCK_TEXT, without_zone)
}

/// A function that cuts what stands at the end of texts.
fn shortened(name: &str, shorten: fn(&str) -> &str) -> ScalarUDF {
    let shortened = move |args: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(args)?;
        let texts = as_string_view_array(&arrays[0])?;
        let texts: StringViewArray = texts.iter().map(|text| text.map(shorten)).collect();
        Ok(ColumnarValue::Array(Arc::new(texts)))
    };
    let text = DataType::Utf8View;
    create_udf(name, vec![text.clone()], text, Volatility::Immutable, Arc::new(shortened))
}

/// Texts that are no times stay as they are.
pub fn without_zone(text: &str) -> &str {
    const TIME_START: usize = "2024-01-01 ".len();
    let Some(time) = text.get(TIME_START..) else { return text };
    let trimmed = time.trim_end();
    let at = match trimmed.rfind(['+', '-']) {
        Some(at) => at,
        None if trimmed.ends_with(['Z', 'z']) => trimmed.len() - 1,
        None => return text,
    };
    match string_to_datetime(&Utc, text.trim_end()).is_ok() {
        true => text[..TIME_START + at].trim_end(),
        false => text,
    }
}

/// What makes no time of the whole stays, so that the error shows it.
pub fn without_time(text: &str) -> &str {
    const DATE_LEN: usize = "2024-01-01".len();
    match text.as_bytes().get(DATE_LEN) {
        Some(b' ' | b'T') if string_to_datetime(&Utc, text).is_ok() => &text[..DATE_LEN],
        _ => text,
    }
}

/// As PostgreSQL counts: whole months from the earlier time on, then days, then the rest.
fn elapsed(to: i64, from: i64) -> IntervalMonthDayNano {
    let (early, late, sign) = if to < from { (to, from, -1) } else { (from, to, 1) };
    let (early, late) =
        (DateTime::from_timestamp_nanos(early), DateTime::from_timestamp_nanos(late));
    let years = late.year() - early.year();
    let mut months = years * 12 + late.month() as i32 - early.month() as i32;
    let after = |months: i32| early.checked_add_months(Months::new(months.unsigned_abs()));
    if after(months).is_none_or(|time| time > late) {
        months -= 1;
    }
    let rest = after(months).map_or(TimeDelta::zero(), |time| late - time);
    let nanos = (rest - TimeDelta::days(rest.num_days())).num_nanoseconds().unwrap_or(0);
    let days = rest.num_days() as i32;
    IntervalMonthDayNano::new(sign * months, sign * days, i64::from(sign) * nanos)
}

/// Nanoseconds since 1970.
fn parsed(text: &str, format: &str) -> Option<i64> {
    // Elsewhere %f is a fraction of a second, here it would be nanoseconds.
    let format = &format.replace(".%f", "%.f");
    let time = NaiveDateTime::parse_from_str(text, format).or_else(|_| {
        // A format without a time means midnight.
        NaiveDate::parse_from_str(text, format).map(|date| date.and_time(Default::default()))
    });
    time.ok()?.and_utc().timestamp_nanos_opt()
}

/// The name of [`within_reach`]; no statement calls it.
pub const WITHIN_REACH: &str = "swath_within_reach";

/// Microseconds as nanoseconds; times beyond those are the last one, or the first.
pub fn within_reach() -> ScalarUDF {
    ScalarUDF::new_from_impl(WithinReach { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WithinReach {
    signature: Signature,
}

impl ScalarUDFImpl for WithinReach {
    fn name(&self) -> &str {
        WITHIN_REACH
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match &arguments[0] {
            DataType::Timestamp(_, zone) => {
                Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))
            }
            other => internal_err!("{WITHIN_REACH} takes no {other}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let times = as_timestamp_microsecond_array(&arrays[0])?;
        let times: TimestampNanosecondArray = times.unary(|time| time.saturating_mul(1_000));
        let times = times.with_timezone_opt(match args.return_field.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        });
        Ok(ColumnarValue::Array(Arc::new(times)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AtTimeZone {
    signature: Signature,
}

impl ScalarUDFImpl for AtTimeZone {
    fn name(&self) -> &str {
        "at_time_zone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of AT TIME ZONE depends on the zone")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let zone = args.scalar_arguments[1].and_then(|zone| zone.try_as_str().flatten());
        let hint = "such as 'Europe/Berlin', 'UTC' or '+02:00'";
        let Some(zone) = zone else {
            return Err(Error::sql("AT TIME ZONE takes the name of a zone").hint(hint).into());
        };
        if Tz::from_str(zone).is_err() {
            return Err(Error::sql(format!("no time zone named {zone:?}")).hint(hint).into());
        }
        let has_zone = matches!(args.arg_fields[0].data_type(), DataType::Timestamp(_, Some(_)));
        let returned = (!has_zone).then(|| zone.into());
        let returned = DataType::Timestamp(TimeUnit::Nanosecond, returned);
        Ok(Arc::new(Field::new(self.name(), returned, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ColumnarValue::Scalar(zone) = &args.args[1] else {
            return internal_err!("AT TIME ZONE has a zone for each row");
        };
        let zone = zone.try_as_str().flatten().unwrap_or_default();
        let there = DataType::Timestamp(TimeUnit::Nanosecond, Some(zone.into()));
        let has_zone = matches!(args.args[0].data_type(), DataType::Timestamp(_, Some(_)));
        if !has_zone {
            let clock = DataType::Timestamp(TimeUnit::Nanosecond, None);
            let times = args.args[0].cast_to(&clock, None)?.to_array(args.number_rows)?;
            let times = as_timestamp_nanosecond_array(&times)?;
            let zone_of_clock = Tz::from_str(zone)?;
            let instants: TimestampNanosecondArray =
                times.unary_opt(|time| instant(time, &zone_of_clock));
            return Ok(ColumnarValue::Array(Arc::new(instants.with_timezone(zone))));
        }
        let shown_there = args.args[0].cast_to(&there, None)?;
        to_local_time().invoke_with_args(ScalarFunctionArgs {
            arg_fields: vec![Arc::new(Field::new("", there, true))],
            args: vec![shown_there],
            ..args
        })
    }
}

/// The instant at which clocks in a zone show a time: of two the one after they were set back. A time that they leave out is shown
/// as if they had not been moved yet.
fn instant(time: i64, zone: &Tz) -> Option<i64> {
    let time = DateTime::from_timestamp_nanos(time).naive_utc();
    let offset = match zone.offset_from_local_datetime(&time) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => offset,
        LocalResult::None => {
            zone.offset_from_local_datetime(&(time - TimeDelta::days(1))).earliest()?
        }
    };
    (time - offset.fix()).and_utc().timestamp_nanos_opt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_times_or_nothing() {
        assert_eq!(parsed("01/02/1970", "%d/%m/%Y"), Some(31 * 86_400_000_000_000));
        assert_eq!(parsed("1970-01-01 00:00:01", "%Y-%m-%d %H:%M:%S"), Some(1_000_000_000));
        assert_eq!(parsed("1970-01-01 00:00:00.5", "%Y-%m-%d %H:%M:%S.%f"), Some(500_000_000));
        assert_eq!(parsed("x", "%Y"), None);
        assert_eq!(parsed("1970-01-01", "%Q"), None);
    }

    #[test]
    fn clocks_that_are_moved_leave_out_times_and_show_others_twice() {
        let zone = Tz::from_str("Europe/Berlin").expect("a zone");
        let check = |text: &str, expected: &str| {
            let time = |text| parsed(text, "%Y-%m-%d %H:%M").expect("a time");
            assert_eq!(instant(time(text), &zone), Some(time(expected)), "{text}");
        };
        check("2024-03-31 01:59", "2024-03-31 00:59");
        check("2024-03-31 02:30", "2024-03-31 01:30");
        check("2024-03-31 03:30", "2024-03-31 01:30");
        check("2024-10-27 02:30", "2024-10-27 01:30");
    }

    #[test]
    fn parts_make_a_time_or_none() {
        assert_eq!(made_of(&[1970, 1, 1, 0, 0], 1.5), Some(1_500_000_000));
        assert_eq!(made_of(&[1970, 1, 1, 24, 0], 0.0), None);
        assert_eq!(made_of(&[1970, 13, 1, 0, 0], 0.0), None);
        assert_eq!(made_of(&[1970, 1, 1, 0, 0], 60.0), None);
        assert_eq!(made_of(&[1970, 1, 1, 0, 0], f64::NAN), None);
    }

    #[test]
    fn dates_are_those_of_the_text() {
        assert_eq!(without_time("2024-01-01 02:00:00+05"), "2024-01-01");
        assert_eq!(without_time("2024-01-01T23:00:00Z"), "2024-01-01");
        assert_eq!(without_time("2024-01-01"), "2024-01-01");
        assert_eq!(without_time("2024-01-01 x"), "2024-01-01 x");
        assert_eq!(without_time("äöüäöü 1"), "äöüäöü 1");
        assert_eq!(without_zone("2024-01-01 10:00:00+02"), "2024-01-01 10:00:00");
        assert_eq!(without_zone("2024-01-01T10:00:00.5Z"), "2024-01-01T10:00:00.5");
        assert_eq!(without_zone("2024-01-01 10:00:00 -03:30"), "2024-01-01 10:00:00");
        assert_eq!(without_zone("2024-01-01 10:00:00"), "2024-01-01 10:00:00");
        assert_eq!(without_zone("äöüäöüäöü-Z"), "äöüäöüäöü-Z");
    }

    #[test]
    fn ages_are_counted_in_months_first() {
        let check = |to: &str, from: &str, expected: (i32, i32, i64)| {
            let time = |text| parsed(text, "%Y-%m-%d").expect("a date");
            let found = elapsed(time(to), time(from));
            assert_eq!((found.months, found.days, found.nanoseconds), expected, "{to} {from}");
        };
        check("2024-03-01", "2024-01-31", (1, 1, 0));
        check("2024-01-31", "2024-03-01", (-1, -1, 0));
        check("2024-12-31", "2000-01-01", (299, 30, 0));
        check("2024-01-01", "2024-01-01", (0, 0, 0));
        check("2023-01-01", "2022-12-31", (0, 1, 0));
    }
}
