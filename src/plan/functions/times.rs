//! `at_time_zone`, `try_strptime` and `age`.

use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{IntervalMonthDayNanoArray, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, IntervalMonthDayNano, IntervalUnit, TimeUnit,
};
use datafusion::common::cast::{as_string_view_array, as_timestamp_nanosecond_array};
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
        let shown_there = args.args[0].cast_to(&there, None)?;
        if !has_zone {
            return Ok(shown_there);
        }
        to_local_time().invoke_with_args(ScalarFunctionArgs {
            arg_fields: vec![Arc::new(Field::new("", there, true))],
            args: vec![shown_there],
            ..args
        })
    }
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
