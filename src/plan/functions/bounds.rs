//! Numbers within their types, or an error.
//!
//! Sums of decimals may have 39 digits, and would print as another one; a DOUBLE beyond the largest REAL would
//! become infinite.

use datafusion::arrow::array::{AsArray, Float32Array, Float64Array};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Float64Type,
};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

use crate::error::Error;

/// A decimal of 38 digits.
pub fn decimal() -> ScalarUDF {
    Bound::Decimal.function()
}

/// A DOUBLE as REAL.
pub fn real() -> ScalarUDF {
    Bound::Real.function()
}

/// A DOUBLE without a fraction: the nearest whole number, of two the even one, as in IEEE 754.
pub fn whole() -> ScalarUDF {
    Bound::Whole.function()
}

/// The function of a name that this module gives; no statement calls it.
pub fn by_name(name: &str) -> Option<ScalarUDF> {
    let found =
        [Bound::Decimal, Bound::Real, Bound::Whole].into_iter().find(|bound| bound.name() == name);
    found.map(Bound::function)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bound {
    Decimal,
    Real,
    Whole,
}

impl Bound {
    fn name(self) -> &'static str {
        match self {
            Bound::Decimal => "swath_decimal_38",
            Bound::Real => "swath_real",
            Bound::Whole => "swath_whole",
        }
    }

    fn function(self) -> ScalarUDF {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::new_from_impl(Bounded { bound: self, signature })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    bound: Bound,
    signature: Signature,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.bound.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.bound {
            Bound::Decimal => arguments[0].clone(),
            Bound::Real => DataType::Float32,
            Bound::Whole => DataType::Float64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        match self.bound {
            Bound::Decimal => {
                let limit = 10_i128.pow(u32::from(DECIMAL128_MAX_PRECISION)).unsigned_abs();
                let values = array.as_primitive::<Decimal128Type>();
                if values.iter().flatten().any(|value| value.unsigned_abs() >= limit) {
                    return Err(Error::data("a sum of decimals has more than 38 digits")
                        .hint("cast to a smaller DECIMAL, or to DOUBLE, first")
                        .into());
                }
                Ok(args.args[0].clone())
            }
            Bound::Whole => {
                let wholes: Float64Array =
                    array.as_primitive::<Float64Type>().unary(f64::round_ties_even);
                Ok(ColumnarValue::Array(Arc::new(wholes)))
            }
            Bound::Real => {
                let reals: Float32Array =
                    array.as_primitive::<Float64Type>().try_unary(|value: f64| {
                        let real = value as f32;
                        match real.is_infinite() && value.is_finite() {
                            true => Err(Error::data(format!(
                                "{value:e} is beyond the largest REAL, 3.4e38"
                            ))
                            .hint("DOUBLE reaches further")),
                            false => Ok(real),
                        }
                    })?;
                Ok(ColumnarValue::Array(Arc::new(reals)))
            }
        }
    }
}
