//! `range(start, stop, step)` as a list, of dates too.
//!
//! DataFusion (55) ends ranges of dates a whole step before `stop`: with months, or a step that does not
//! divide the range, the last date was missing.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Date32Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_date32_array, as_interval_mdn_array};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_nested::range::{gen_series_udf, range_udf};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// `range`, under the name of the one it replaces.
pub(super) fn range() -> ScalarUDF {
    ScalarUDF::new_from_impl(Range { inner: range_udf() })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Range {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Range {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_of_dates = matches!(args.args[0].data_type(), DataType::Date32 | DataType::Date64);
        if !is_of_dates || args.args.len() != 3 {
            return self.inner.invoke_with_args(args);
        }
        let is_one = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let stops = last_days(&arrays[1], &arrays[2])?;
        args.number_rows = stops.len();
        args.args = arrays.into_iter().map(ColumnarValue::Array).collect();
        args.args[1] = ColumnarValue::Array(stops);
        let ranges = gen_series_udf().invoke_with_args(args)?;
        match (is_one, ranges) {
            (true, ColumnarValue::Array(one)) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?))
            }
            (_, ranges) => Ok(ranges),
        }
    }
}

/// The days that are the last to be reached: one before the stop, or one behind it where steps go back.
fn last_days(stops: &ArrayRef, steps: &ArrayRef) -> Result<ArrayRef> {
    let stops = cast(stops, &DataType::Date32)?;
    let (stops, steps) = (as_date32_array(&stops)?, as_interval_mdn_array(steps)?);
    let days = stops.iter().zip(steps.iter()).map(|(stop, step)| {
        let step = step?;
        let is_back = step.months < 0 || step.days < 0;
        stop.map(|stop| if is_back { stop.saturating_add(1) } else { stop.saturating_sub(1) })
    });
    Ok(Arc::new(days.collect::<Date32Array>()))
}
