//! A decimal of 38 digits, or an error: what arithmetic gives may have 39, and would print as another one.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;

/// The name of the function; no statement calls it.
pub const NAME: &str = "swath_decimal_38";

/// The function.
pub fn bounded() -> ScalarUDF {
    ScalarUDF::new_from_impl(Bounded { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    signature: Signature,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let limit = 10_i128.pow(u32::from(DECIMAL128_MAX_PRECISION));
        let values = array.as_primitive::<Decimal128Type>();
        if values.iter().flatten().any(|value| value.unsigned_abs() >= limit.unsigned_abs()) {
            return Err(Error::data("a sum of decimals has more than 38 digits")
                .hint("cast to a smaller DECIMAL, or to DOUBLE, first")
                .into());
        }
        Ok(args.args[0].clone())
    }
}
