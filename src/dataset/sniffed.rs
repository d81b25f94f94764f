//! What was found out about each file of a dataset, as a table: `FROM sniff('path')`.
//!
//! One row for each file, and in it the call of `read_csv` that reads the file in just this way,
//! whatever it holds tomorrow.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::arrow::error::ArrowError;

use super::Dataset;
use crate::formats::csv::CsvLayout;
use crate::formats::csv::decode::ColumnSpec;
use crate::formats::{FileLayout, Found};
use crate::sql_type::sql_type_name;
use crate::units::show_literal;

/// The table: one row for each file, in path order; what does not apply to a format is NULL.
///
/// # Errors
/// None that a user can cause.
pub fn sniffed(dataset: &Dataset) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<_> = dataset
        .files
        .iter()
        .map(|file| (file.source.name.as_str(), file.layout.as_ref().map(AsRef::as_ref)))
        .collect();
    let text = |of: &dyn Fn(&FileLayout) -> Option<String>| -> ArrayRef {
        let values = rows.iter().map(|(_, layout)| layout.ok().and_then(of));
        Arc::new(values.collect::<StringArray>())
    };
    let csv = |of: &dyn Fn(&CsvLayout) -> Option<String>| -> ArrayRef {
        text(&|layout| layout.csv.as_ref().and_then(of))
    };
    let byte = |byte: Option<u8>| byte.map(|byte| char::from(byte).to_string());
    let header: BooleanArray =
        rows.iter().map(|(_, layout)| Some(layout.ok()?.csv.as_ref()?.dialect.header)).collect();
    let skip: Int64Array = rows
        .iter()
        .map(|(_, layout)| Some(layout.ok()?.csv.as_ref()?.dialect.skip_lines as i64))
        .collect();
    let notes: StringArray = rows.iter().map(|(_, layout)| Some(notes_of(*layout))).collect();
    let calls: StringArray = rows
        .iter()
        .map(|(name, layout)| {
            let layout = layout.ok()?;
            Some(call(name, layout, layout.csv.as_ref()?, dataset))
        })
        .collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("file", Arc::new(rows.iter().map(|(name, _)| Some(*name)).collect::<StringArray>())),
        ("format", text(&|layout| Some(layout.format.to_string()))),
        ("compression", text(&|layout| Some(format!("{:?}", layout.compression).to_lowercase()))),
        ("encoding", csv(&|csv| Some(csv.dialect.encoding.name().to_lowercase()))),
        ("delim", csv(&|csv| byte(csv.dialect.delimiter))),
        ("quote", csv(&|csv| byte(csv.dialect.quote))),
        ("escape", csv(&|csv| byte(csv.dialect.escape))),
        ("comment", csv(&|csv| byte(csv.dialect.comment))),
        ("header", Arc::new(header)),
        ("skip", Arc::new(skip)),
        ("columns", text(&|layout| Some(columns_of(layout)))),
        ("notes", Arc::new(notes)),
        ("call", Arc::new(calls)),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, name != "file")),
    )
}

fn notes_of(layout: Result<&FileLayout, &crate::error::Error>) -> String {
    match layout {
        Ok(layout) => {
            let notes = layout.notes.iter().map(|(_, message)| message.as_str());
            notes.collect::<Vec<_>>().join("; ")
        }
        Err(error) => format!("cannot be read: {}", error.message()),
    }
}

/// Names and types by the file's own values: `a BIGINT, b VARCHAR`.
fn columns_of(layout: &FileLayout) -> String {
    let columns = layout.columns.iter().map(|column| {
        let data_type = match &column.found {
            Found::Typed(data_type) => data_type.clone(),
            Found::Sniffed(evidence) => evidence.decide().data_type,
        };
        format!("{} {}", column.name, sql_type_name(&data_type))
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// The call that reads the file as it was sniffed, with the types of the whole dataset.
fn call(name: &str, layout: &FileLayout, csv: &CsvLayout, dataset: &Dataset) -> String {
    let dialect = &csv.dialect;
    let mut options = Vec::new();
    let byte = |byte: Option<u8>| match byte {
        Some(b'\t') => show_literal(r"\t"),
        Some(byte) => show_literal(&char::from(byte).to_string()),
        None => show_literal(""),
    };
    if dialect.blank_after_delimiter {
        let delimiter = char::from(dialect.delimiter.unwrap_or(b','));
        options.push(format!("delim => {}", show_literal(&format!("{delimiter} "))));
    } else if dialect.delimiter.is_some() {
        options.push(format!("delim => {}", byte(dialect.delimiter)));
    }
    options.push(format!("quote => {}", byte(dialect.quote)));
    if dialect.escape.is_some() {
        options.push(format!("escape => {}", byte(dialect.escape)));
    }
    if dialect.comment.is_some() {
        options.push(format!("comment => {}", byte(dialect.comment)));
    }
    options.push(format!("header => {}", dialect.header));
    if dialect.skip_lines > 0 {
        options.push(format!("skip => {}", dialect.skip_lines));
    }
    if dialect.encoding != encoding_rs::UTF_8 {
        let encoding = dialect.encoding.name().to_lowercase();
        options.push(format!("encoding => {}", show_literal(&encoding)));
    }
    let notation = &dataset.options.format.csv.notation;
    if notation.decimal != b'.' {
        options.push(format!("decimal => {}", byte(Some(notation.decimal))));
    }
    if notation.thousands.is_some() {
        options.push(format!("thousands => {}", byte(notation.thousands)));
    }
    for (option, format) in
        [("dateformat", &notation.date_format), ("timestampformat", &notation.timestamp_format)]
    {
        if let Some(format) = format {
            options.push(format!("{option} => {}", show_literal(format)));
        }
    }
    let types: Vec<_> = dataset
        .columns
        .iter()
        .filter(|spec| can_be_named(spec) && layout.position_of(&spec.name).is_some())
        .map(|spec| format!("{}: '{}'", show_literal(&spec.name), sql_type_name(&spec.data_type)))
        .collect();
    if !types.is_empty() {
        options.push(format!("types => {{{}}}", types.join(", ")));
    }
    format!("read_csv({}, {})", show_literal(name), options.join(", "))
}

/// Whether the type's name says all: a date's order and nanoseconds are left to sniffing.
fn can_be_named(spec: &ColumnSpec) -> bool {
    match spec.data_type {
        DataType::Date32 => spec.order == spec.notation.order_of(&spec.data_type),
        DataType::Timestamp(unit, _) => {
            spec.order == spec.notation.order_of(&spec.data_type) && unit == TimeUnit::Microsecond
        }
        _ => true,
    }
}
