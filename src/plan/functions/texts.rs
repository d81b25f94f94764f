//! `typeof` and `format`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, StringViewBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;

/// `typeof(x)`: the type of a value as SQL writes it.
pub fn type_of() -> ScalarUDF {
    ScalarUDF::new_from_impl(TypeOf { signature: Signature::any(1, Volatility::Immutable) })
}

/// `format('{} of {}', a, b)`: a text with values in the places of `{}`, or of `{0}`, `{1}`.
pub fn format() -> ScalarUDF {
    ScalarUDF::new_from_impl(Format { signature: Signature::variadic_any(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf {
    signature: Signature,
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &str {
        "typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = crate::sql_type::sql_type_name(args.arg_fields[0].data_type());
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(name))))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Format {
    signature: Signature,
}

impl ScalarUDFImpl for Format {
    fn name(&self) -> &str {
        "format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let texts = arrays
            .iter()
            .map(|array| cast(array, &DataType::Utf8View))
            .collect::<Result<Vec<_>, _>>()?;
        let texts: Vec<_> = texts
            .iter()
            .map(|array| datafusion::common::cast::as_string_view_array(array))
            .collect::<Result<_>>()?;
        let mut built = StringViewBuilder::with_capacity(args.number_rows);
        for row in 0..args.number_rows.min(texts.first().map_or(0, |array| array.len())) {
            // As with other functions, NULL in gives NULL out.
            if texts.iter().any(|array| array.is_null(row)) {
                built.append_null();
                continue;
            }
            let values: Vec<&str> = texts[1..].iter().map(|array| array.value(row)).collect();
            built.append_value(filled(texts[0].value(row), &values)?);
        }
        Ok(ColumnarValue::Array(Arc::new(built.finish())))
    }
}

/// Puts values into the places of a pattern; `{{` and `}}` are braces.
fn filled(pattern: &str, values: &[&str]) -> Result<String> {
    let wrong = |what: String| {
        Error::data(format!("format: {what} in {pattern:?}"))
            .hint("places are {} or {0}; braces are {{ and }}")
    };
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
        let (place, behind) = place.ok_or_else(|| wrong(format!("a single {brace}")))?;
        let idx = if place.is_empty() {
            next += 1;
            next - 1
        } else {
            place.parse().map_err(|_| wrong(format!("{{{place}}} is no place")))?
        };
        let value = values.get(idx);
        text.push_str(value.ok_or_else(|| wrong(format!("there is no value {idx}")))?);
        rest = behind;
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_order_or_by_number() {
        let check = |pattern: &str, expected: &str| {
            let found = filled(pattern, &["a", "b"]).unwrap_or_else(|_| "error".into());
            assert_eq!(found, expected, "{pattern}");
        };
        check("{} and {}", "a and b");
        check("{1}{0}{{}}", "ba{}");
        check("none", "none");
        check("{} {} {}", "error");
        check("{:>5}", "error");
        check("}", "error");
    }
}
