//! `regexp_extract_all` and `regexp_split_to_array`: all that a pattern finds, and what lies between.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ListBuilder, StringViewBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::common::cast::{as_int64_array, as_string_view_array};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use regex::Regex;

use crate::error::Error;

/// `regexp_extract_all(text, pattern [, group])`: each match, or a group of each.
pub fn extract_all() -> ScalarUDF {
    let texts = vec![DataType::Utf8View; 2];
    let with_group = [&texts[..], &[DataType::Int64]].concat();
    let signatures = vec![TypeSignature::Exact(texts), TypeSignature::Exact(with_group)];
    let signature = Signature::one_of(signatures, Volatility::Immutable);
    ScalarUDF::new_from_impl(Pieces { are_between: false, signature })
}

/// `regexp_split_to_array(text, pattern)`: what lies between the matches.
pub fn split() -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Utf8View; 2], Volatility::Immutable);
    ScalarUDF::new_from_impl(Pieces { are_between: true, signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Pieces {
    are_between: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Pieces {
    fn name(&self) -> &str {
        if self.are_between { "regexp_split_to_array" } else { "regexp_extract_all" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (texts, patterns) =
            (as_string_view_array(&arrays[0])?, as_string_view_array(&arrays[1])?);
        let groups = arrays.get(2).map(|groups| as_int64_array(groups)).transpose()?;
        let mut compiled: HashMap<&str, Regex> = HashMap::new();
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for row in 0..texts.len() {
            let group =
                groups.map_or(Some(0), |groups| groups.is_valid(row).then(|| groups.value(row)));
            let (true, true, Some(group)) = (texts.is_valid(row), patterns.is_valid(row), group)
            else {
                lists.append_null();
                continue;
            };
            let pattern = patterns.value(row);
            if !compiled.contains_key(pattern) {
                let regex = Regex::new(pattern).map_err(|error| {
                    Error::sql(format!("{}: {pattern:?} is no pattern: {error}", self.name())).hint(
                        "a backslash makes a sign of the pattern a letter: '\\(' is a bracket",
                    )
                })?;
                compiled.insert(pattern, regex);
            }
            let regex = &compiled[pattern];
            let group = usize::try_from(group).ok().filter(|group| *group < regex.captures_len());
            let group = group.ok_or_else(|| {
                let count = regex.captures_len() - 1;
                Error::sql(format!("{}: {pattern:?} has {count} groups", self.name()))
                    .hint("0 is the whole match, 1 what the first brackets hold")
            })?;
            let text = texts.value(row);
            if self.are_between {
                regex.split(text).for_each(|piece| lists.values().append_value(piece));
            } else {
                for found in regex.captures_iter(text) {
                    lists.values().append_option(found.get(group).map(|piece| piece.as_str()));
                }
            }
            lists.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(lists.finish())))
    }
}
