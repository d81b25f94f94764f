//! `typeof`, slices of texts and `sparkline`.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::cast::{as_int64_array, as_list_array, as_string_view_array};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{
    ColumnarValue, ExprSchemable, GetFieldAccess, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, create_udf, lit,
};

use crate::error::Error;

/// `typeof(x)`: the type of a value as SQL writes it.
pub fn type_of() -> ScalarUDF {
    ScalarUDF::new_from_impl(TypeOf { signature: Signature::any(1, Volatility::Immutable) })
}

/// `text_slice(text, from, to)`: the characters from one place to another, counted from 1, or from the
/// end if negative; `'hello'[2:3]` means it.
pub fn slice() -> ScalarUDF {
    let arguments = vec![DataType::Utf8View, DataType::Int64, DataType::Int64];
    let slices = |args: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(args)?;
        let texts = as_string_view_array(&arrays[0])?;
        let (from, to) = (as_int64_array(&arrays[1])?, as_int64_array(&arrays[2])?);
        let sliced: StringViewArray = texts
            .iter()
            .zip(from.iter().zip(to.iter()))
            .map(|(text, (from, to))| Some(sliced(text?, from?, to?)))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(sliced)))
    };
    let (returned, fixed) = (DataType::Utf8View, Volatility::Immutable);
    create_udf("text_slice", arguments, returned, fixed, Arc::new(slices))
}

/// `sparkline(list)`: numbers as a line of small bars; NULL is a gap.
pub fn sparkline() -> ScalarUDF {
    ScalarUDF::new_from_impl(Sparkline { signature: Signature::any(1, Volatility::Immutable) })
}

/// Plans `text[i]` and `text[i:j]`, which DataFusion takes for lists only.
#[derive(Debug)]
pub struct TextSlices;

impl ExprPlanner for TextSlices {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let is_text = matches!(
            access.expr.get_type(schema),
            Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        );
        let (from, to) = match &access.field_access {
            GetFieldAccess::ListIndex { key } if is_text => (key, key),
            GetFieldAccess::ListRange { start, stop, stride }
                if is_text && **stride == lit(1_i64) =>
            {
                (start, stop)
            }
            _ => return Ok(PlannerResult::Original(access)),
        };
        let arguments = vec![access.expr.clone(), (**from).clone(), (**to).clone()];
        Ok(PlannerResult::Planned(slice().call(arguments)))
    }
}

/// The characters of a text from one place to another.
fn sliced(text: &str, from: i64, to: i64) -> &str {
    let count = text.chars().count() as i64;
    let place = |at: i64| if at < 0 { count.saturating_add(at).saturating_add(1) } else { at };
    let (from, to) = (place(from).max(1), place(to).min(count));
    if from > to {
        return "";
    }
    let mut starts = text.char_indices().map(|(at, _)| at).skip(from as usize - 1);
    let start = starts.next().unwrap_or(text.len());
    let end = starts.nth((to - from) as usize).unwrap_or(text.len());
    &text[start..end]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sparkline {
    signature: Signature,
}

impl ScalarUDFImpl for Sparkline {
    fn name(&self) -> &str {
        "sparkline"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::List(item) | DataType::LargeList(item)] if item.data_type().is_numeric() => {
                Ok(DataType::Utf8View)
            }
            _ => Err(Error::sql("sparkline takes a list of numbers")
                .hint("sparkline(list(amount ORDER BY day))")
                .into()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let floats = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        let lists = cast(&arrays[0], &floats)?;
        let lists = as_list_array(&lists)?;
        let lines: StringViewArray = lists
            .iter()
            .map(|list| {
                let list = list?;
                let values = list.as_primitive_opt::<Float64Type>()?;
                Some(spark(&values.iter().collect::<Vec<_>>()))
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(lines)))
    }
}

/// Numbers as bars of eight heights, from the least to the greatest.
pub fn spark(values: &[Option<f64>]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let found = || values.iter().flatten().copied().filter(|value| value.is_finite());
    let low = found().fold(f64::INFINITY, f64::min);
    let high = found().fold(f64::NEG_INFINITY, f64::max);
    let bar = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        BARS[((share * 7.0).round() as usize).min(7)]
    };
    let shown = values.iter().map(|value| value.filter(|value| value.is_finite()).map_or(' ', bar));
    shown.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_count_characters_from_both_ends() {
        let all = [(1, 3), (2, 2), (-2, -1), (-2, i64::MAX), (0, 1), (4, 2), (9, 9), (i64::MIN, 2)];
        let found: Vec<&str> = all.iter().map(|(from, to)| sliced("hällo", *from, *to)).collect();
        assert_eq!(found, ["häl", "ä", "lo", "lo", "h", "", "", "hä"]);
        assert_eq!(spark(&[Some(1.0), None, Some(8.0), Some(4.5)]), "▁ █▅");
        assert_eq!(spark(&[Some(2.0), Some(2.0)]), "▁▁");
    }
}
