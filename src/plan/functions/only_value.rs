//! `only_value(value, count)`: the value of a subquery, or an error if it has more rows than one.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;

/// The name of the function; no statement calls it.
pub const ONLY_VALUE: &str = "swath_only_value";

/// The function.
pub fn function() -> ScalarUDF {
    ScalarUDF::new_from_impl(OnlyValue { signature: Signature::any(2, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OnlyValue {
    signature: Signature,
}

impl ScalarUDFImpl for OnlyValue {
    fn name(&self) -> &str {
        ONLY_VALUE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let counts = args.args[1].cast_to(&DataType::Int64, None)?.to_array(args.number_rows)?;
        let most = counts.as_primitive::<Int64Type>().iter().flatten().max();
        if let Some(count) = most.filter(|count| *count > 1) {
            let error = format!("a subquery that stands for one value has {count} rows");
            return Err(Error::data(error)
                .hint("add ORDER BY ... LIMIT 1, or take max(...)")
                .into());
        }
        Ok(args.args[0].clone())
    }
}
