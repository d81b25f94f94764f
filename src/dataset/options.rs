//! What the user said about a dataset: `read_csv('path', delim => ';', ...)`.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::DataType;

use crate::error::{Error, Result};
use crate::formats::csv::dialect::{Ragged, one_byte};
use crate::formats::csv::reject::OnError;
use crate::formats::{Format, FormatOptions};

/// The value of one option.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// `'text'`.
    Text(String),
    /// A number.
    Number(i64),
    /// `true` or `false`.
    Flag(bool),
    /// `['a', 'b']`.
    List(Vec<String>),
    /// `{'column': 'TYPE'}`.
    Map(Vec<(String, String)>),
    /// `NULL`.
    Null,
}

/// Options of reading, whatever the format.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// What formats look at.
    pub format: FormatOptions,
    /// Types that the user gave to columns, by lower-case name.
    pub types: BTreeMap<String, DataType>,
    /// Adds the column `filename`.
    pub filename: bool,
    /// Adds the column `file_row_number`.
    pub file_row_number: bool,
    /// `hive_partitioning => false` switches partition columns off.
    pub no_partitions: bool,
}

/// All options, for "did you mean" and for help.
pub const NAMES: [&str; 23] = [
    "all_varchar",
    "columns",
    "comment",
    "dateformat",
    "decimal",
    "delim",
    "delimiter",
    "encoding",
    "escape",
    "file_row_number",
    "filename",
    "header",
    "hive_partitioning",
    "max_rejects",
    "names",
    "nullstr",
    "on_error",
    "quote",
    "ragged",
    "sep",
    "skip",
    "types",
    "union_by_name",
];

impl ReadOptions {
    /// Options of a table function: `read_csv`, `read_parquet`, `read_json`, `read_arrow`.
    pub fn for_function(name: &str) -> Option<Self> {
        let format = match name {
            "read_csv" | "read_csv_auto" => Format::Csv,
            "read_parquet" => Format::Parquet,
            "read_json" | "read_json_auto" | "read_ndjson" => Format::Json,
            "read_arrow" => Format::Arrow,
            _ => return None,
        };
        let mut options = ReadOptions::default();
        options.format.format = Some(format);
        Some(options)
    }

    /// Sets one option by name; `parse_type` reads a type's name as SQL does.
    ///
    /// # Errors
    /// When there is no such option, or the value is of the wrong kind.
    pub fn set(
        &mut self,
        name: &str,
        value: &OptionValue,
        parse_type: &dyn Fn(&str) -> Result<DataType>,
    ) -> Result<()> {
        let lower = name.to_lowercase();
        if matches!(lower.as_str(), "on_error" | "max_rejects")
            && let Some(format @ (Format::Json | Format::Parquet | Format::Arrow)) =
                self.format.format
        {
            return Err(Error::sql(format!("{name} is not supported for {format} files"))
                .hint("to see what cannot be read: FROM check('path')"));
        }
        let csv = &mut self.format.csv;
        match lower.as_str() {
            "delim" | "sep" | "delimiter" => {
                let delimiter = one_byte(name, text(name, value)?)?;
                csv.delimiter = Some(delimiter.ok_or_else(|| wrong(name, "one character", value))?);
            }
            "quote" => csv.quote = Some(one_byte(name, text(name, value)?)?),
            "escape" => csv.escape = Some(one_byte(name, text(name, value)?)?),
            "comment" => csv.comment = Some(one_byte(name, text(name, value)?)?),
            "header" => csv.header = Some(flag(name, value)?),
            "all_varchar" => csv.all_varchar = flag(name, value)?,
            "skip" => match value {
                OptionValue::Number(count @ 0..) => csv.skip_lines = usize::try_from(*count).ok(),
                _ => return Err(wrong(name, "a number of lines", value)),
            },
            "nullstr" => csv.null_words = Some(list(name, value)?),
            "names" => csv.names = Some(list(name, value)?),
            "decimal" => match text(name, value)? {
                "." => csv.decimal = Some(b'.'),
                "," => csv.decimal = Some(b','),
                _ => return Err(wrong(name, "'.' or ','", value)),
            },
            "dateformat" => csv.date_format = Some(text(name, value)?.to_string()),
            "encoding" => {
                let label = text(name, value)?;
                let encoding = encoding_rs::Encoding::for_label(label.as_bytes())
                    .ok_or_else(|| wrong(name, "an encoding such as 'windows-1252'", value))?;
                csv.encoding = Some(encoding);
            }
            "ragged" => {
                csv.ragged = match text(name, value)? {
                    "error" => Ragged::Error,
                    "pad" => Ragged::Pad,
                    _ => return Err(wrong(name, "'error' or 'pad'", value)),
                };
            }
            "on_error" => {
                csv.on_error = match text(name, value)? {
                    "error" => OnError::Error,
                    "null" => OnError::Null,
                    "reject" => OnError::Reject,
                    _ => return Err(wrong(name, "'error', 'null' or 'reject'", value)),
                };
            }
            "max_rejects" => match value {
                OptionValue::Number(count @ 0..) => csv.max_rejects = u64::try_from(*count).ok(),
                _ => return Err(wrong(name, "a number of rows", value)),
            },
            "types" | "columns" => {
                let OptionValue::Map(pairs) = value else {
                    return Err(wrong(name, "{'column': 'TYPE'}", value));
                };
                for (column, type_name) in pairs {
                    self.types.insert(column.to_lowercase(), parse_type(type_name)?);
                }
            }
            "filename" => self.filename = flag(name, value)?,
            "file_row_number" => self.file_row_number = flag(name, value)?,
            "hive_partitioning" => self.no_partitions = !flag(name, value)?,
            // This is how swath always reads; the word is for those who come from DuckDB.
            "union_by_name" => {
                if !flag(name, value)? {
                    return Err(Error::sql("files are always matched by column name")
                        .hint("leave union_by_name out"));
                }
            }
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

fn text<'a>(name: &str, value: &'a OptionValue) -> Result<&'a str> {
    match value {
        OptionValue::Text(text) => Ok(text),
        OptionValue::Null => Ok(""),
        _ => Err(wrong(name, "a text", value)),
    }
}

fn flag(name: &str, value: &OptionValue) -> Result<bool> {
    match value {
        OptionValue::Flag(flag) => Ok(*flag),
        OptionValue::Number(0) => Ok(false),
        OptionValue::Number(1) => Ok(true),
        _ => Err(wrong(name, "true or false", value)),
    }
}

fn list(name: &str, value: &OptionValue) -> Result<Vec<String>> {
    match value {
        OptionValue::Text(text) => Ok(vec![text.clone()]),
        OptionValue::List(items) => Ok(items.clone()),
        _ => Err(wrong(name, "a text or a list of texts", value)),
    }
}

fn wrong(name: &str, wanted: &str, found: &OptionValue) -> Error {
    let found = match found {
        OptionValue::Text(text) => format!("{text:?}"),
        OptionValue::Number(number) => number.to_string(),
        OptionValue::Flag(flag) => flag.to_string(),
        OptionValue::List(_) => "a list".into(),
        OptionValue::Map(_) => "a map".into(),
        OptionValue::Null => "NULL".into(),
    };
    Error::sql(format!("option {name} must be {wanted}, found {found}"))
}

fn unknown(name: &str) -> Error {
    let lower = name.to_lowercase();
    let nearest = NAMES
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, &lower).total_cmp(&strsim::jaro_winkler(b, &lower)));
    let error = Error::sql(format!("no option named {name}"));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(nearest, &lower) > 0.7 => {
            error.hint(format!("did you mean {nearest}?"))
        }
        _ => error.hint(format!("there are {}", NAMES.join(", "))),
    }
}
