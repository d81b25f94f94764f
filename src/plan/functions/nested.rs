//! Values as texts: lists and structs as tables show them, and anything as JSON.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringViewBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::arrow::json::writer::{EncoderOptions, make_encoder};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;
use crate::output::value::Values;

/// `to_json(x)`: a value as JSON.
pub fn to_json() -> ScalarUDF {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::new_from_impl(AsText { is_json: true, signature })
}

/// The name of [`shown`]; no statement calls it.
pub const SHOWN: &str = "swath_shown";

/// What a cast of a list to a text means: as tables show it, with NULL told from an empty text.
pub fn shown() -> ScalarUDF {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::new_from_impl(AsText { is_json: false, signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AsText {
    is_json: bool,
    signature: Signature,
}

impl ScalarUDFImpl for AsText {
    fn name(&self) -> &str {
        if self.is_json { "to_json" } else { SHOWN }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let texts = if self.is_json { json(&array)? } else { text(&array)? };
        Ok(ColumnarValue::Array(texts))
    }
}

fn text(array: &ArrayRef) -> Result<ArrayRef> {
    let values = Values::new(array)?;
    let mut texts = StringViewBuilder::with_capacity(array.len());
    for row in 0..array.len() {
        texts.append_option(values.get(row)?);
    }
    Ok(Arc::new(texts.finish()))
}

fn json(array: &ArrayRef) -> Result<ArrayRef> {
    let field = Arc::new(Field::new("", array.data_type().clone(), true));
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let nulls = array.logical_nulls();
    let mut encoder = make_encoder(&field, array, &options)?;
    let (mut texts, mut text) = (StringViewBuilder::with_capacity(array.len()), Vec::new());
    for row in 0..array.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        let text = std::str::from_utf8(&text).map_err(|error| Error::data(error.to_string()))?;
        texts.append_value(text);
    }
    Ok(Arc::new(texts.finish()))
}
