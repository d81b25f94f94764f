//! Texts of a kind: what `x::JSON` and `x::UUID` check. Both are VARCHAR here.

use std::sync::Arc;

use datafusion::arrow::array::{Array, StringViewArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::cast::as_string_view_array;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::nested;
use crate::error::Error;

/// The functions that casts to these kinds call, with and without TRY.
pub(super) fn functions() -> impl Iterator<Item = ScalarUDF> {
    [Kind::Json, Kind::Uuid].into_iter().flat_map(|kind| {
        [false, true].map(|is_try| {
            let signature = Signature::any(1, Volatility::Immutable);
            ScalarUDF::new_from_impl(OfKind { kind, is_try, signature })
        })
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Json,
    Uuid,
}

impl Kind {
    /// A text as this kind is written, or what is wrong with it.
    fn written(self, text: &str) -> Result<String, String> {
        match self {
            Kind::Json => match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => Ok(text.to_string()),
                Err(error) => Err(format!("not JSON: {text:?}: {error}")),
            },
            Kind::Uuid => match Uuid::try_parse(text.trim()) {
                Ok(uuid) => Ok(uuid.to_string()),
                Err(_) => Err(format!("not a UUID: {text:?}")),
            },
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfKind {
    kind: Kind,
    is_try: bool,
    signature: Signature,
}

impl ScalarUDFImpl for OfKind {
    fn name(&self) -> &str {
        match (self.kind, self.is_try) {
            (Kind::Json, false) => "swath_json",
            (Kind::Json, true) => "swath_try_json",
            (Kind::Uuid, false) => "swath_uuid",
            (Kind::Uuid, true) => "swath_try_uuid",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given = args.args[0].data_type();
        if !given.is_string() && !given.is_null() && self.kind == Kind::Json {
            return nested::to_json().invoke_with_args(args);
        }
        let texts = args.args[0].cast_to(&DataType::Utf8View, None)?.to_array(args.number_rows)?;
        let texts = as_string_view_array(&texts)?;
        let mut written = Vec::with_capacity(texts.len());
        for text in texts {
            written.push(match text.map(|text| self.kind.written(text)).transpose() {
                Ok(text) => text,
                Err(_) if self.is_try => None,
                Err(message) => {
                    let error = Error::data(message);
                    return Err(error.hint("TRY_CAST makes NULL of what cannot be read").into());
                }
            });
        }
        Ok(ColumnarValue::Array(Arc::new(StringViewArray::from(written))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_of_their_kind_or_not() {
        let uuid = "123e4567-e89b-12d3-a456-426614174000";
        assert_eq!(Kind::Uuid.written(&uuid.to_uppercase()).as_deref(), Ok(uuid));
        assert_eq!(Kind::Uuid.written(&uuid.replace('-', "")).as_deref(), Ok(uuid));
        assert!(Kind::Uuid.written("123e4567").is_err());
        assert_eq!(Kind::Json.written("{\"a\": 1}").as_deref(), Ok("{\"a\": 1}"));
        assert!(Kind::Json.written("{\"a\": 1").is_err());
        assert!(Kind::Json.written("a").is_err());
    }
}
