//! One NaN: whatever bits a file or a computation gives it, NaN is one value, the greatest.
//!
//! Processors make NaN with either sign (0.0 / 0.0 has one on x86), and writers keep it. DataFusion
//! compares by IEEE 754's total order, in which a negative NaN is the least of all values, and each
//! pattern of bits is a group of its own. So what may have made a NaN goes through this function.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::schema_name_from_exprs;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

/// The name of the function in plans.
pub const NAME: &str = "swath_one_nan";

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(OneNan { signature }))
});

/// The function.
pub fn function() -> Arc<ScalarUDF> {
    Arc::clone(&FUNCTION)
}

/// Whether a type has NaN.
pub fn has_nan(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// The expression with one NaN; `expr` is of a type that has NaN, and its field is `field`.
pub fn physical(expr: Arc<dyn PhysicalExpr>, field: FieldRef) -> Arc<dyn PhysicalExpr> {
    let options = Arc::new(ConfigOptions::default());
    Arc::new(ScalarFunctionExpr::new(NAME, function(), vec![expr], field, options))
}

/// The argument of a call of the function, if an expression is one.
pub fn argument(expr: &Arc<dyn PhysicalExpr>) -> Option<&Arc<dyn PhysicalExpr>> {
    let call = expr.downcast_ref::<ScalarFunctionExpr>().filter(|call| call.name() == NAME)?;
    call.args().first()
}

/// The same values, with one NaN.
pub fn one_nan(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => canonical::<Float64Type>(array, f64::NAN, |value| {
            if value.is_nan() { value.to_bits() ^ f64::NAN.to_bits() } else { 0 }
        }),
        DataType::Float32 => canonical::<Float32Type>(array, f32::NAN, |value| {
            let bits = value.to_bits() ^ f32::NAN.to_bits();
            if value.is_nan() { u64::from(bits) } else { 0 }
        }),
        _ => Arc::clone(array),
    }
}

/// `nan` is the one; `other_bits` gives those that differ from it in a NaN, and none else.
fn canonical<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    nan: T::Native,
    other_bits: impl Fn(T::Native) -> u64,
) -> ArrayRef {
    let values = array.as_primitive::<T>();
    let differing = values.values().iter().fold(0, |bits, value| bits | other_bits(*value));
    if differing == 0 {
        return Arc::clone(array);
    }
    let same: PrimitiveArray<T> =
        values.unary(|value| if other_bits(value) == 0 { value } else { nan });
    Arc::new(same)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OneNan {
    signature: Signature,
}

impl ScalarUDFImpl for OneNan {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    // Columns keep the names that they have without it.
    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(ToString::to_string).collect())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(schema_name_from_exprs(args)?)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [data_type] => Ok(data_type.clone()),
            _ => internal_err!("{NAME} takes one argument"),
        }
    }

    // NULL only where the argument is.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [field] => Ok(Arc::clone(field)),
            _ => internal_err!("{NAME} takes one argument"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(match args.args.as_slice() {
            [ColumnarValue::Array(array)] => ColumnarValue::Array(one_nan(array)),
            [ColumnarValue::Scalar(ScalarValue::Float64(Some(value)))] if value.is_nan() => {
                ColumnarValue::Scalar(ScalarValue::Float64(Some(f64::NAN)))
            }
            [ColumnarValue::Scalar(ScalarValue::Float32(Some(value)))] if value.is_nan() => {
                ColumnarValue::Scalar(ScalarValue::Float32(Some(f32::NAN)))
            }
            [ColumnarValue::Scalar(scalar)] => ColumnarValue::Scalar(scalar.clone()),
            _ => return internal_err!("{NAME} takes one argument"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Array, Float32Array, Float64Array};

    #[test]
    fn all_patterns_of_nan_become_one_and_nothing_else_changes() {
        let odd = [-f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001), f64::from_bits(u64::MAX)];
        for nan in odd {
            let values =
                [Some(1.5), None, Some(nan), Some(f64::NAN), Some(-0.0), Some(f64::INFINITY)];
            let array: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
            let same = one_nan(&array);
            let bits = |idx: usize| same.as_primitive::<Float64Type>().value(idx).to_bits();
            assert_eq!((bits(2), bits(3)), (f64::NAN.to_bits(), f64::NAN.to_bits()));
            assert_eq!((bits(0), bits(4)), (1.5_f64.to_bits(), (-0.0_f64).to_bits()));
            assert_eq!(bits(5), f64::INFINITY.to_bits());
            assert_eq!(same.null_count(), 1);
        }
        let array: ArrayRef = Arc::new(Float32Array::from(vec![-f32::NAN, 1.0]));
        let same = one_nan(&array);
        let first = same.as_primitive::<Float32Type>().value(0);
        assert_eq!(first.to_bits(), f32::NAN.to_bits());
        let plain: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
        assert!(Arc::ptr_eq(&plain, &one_nan(&plain)));
    }
}
