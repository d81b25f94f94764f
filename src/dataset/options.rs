//! What the user said about a dataset: `read_csv('path', delim => ';', ...)`.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::DataType;

use crate::error::{Error, Result, nearest};
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

impl OptionValue {
    /// Reads the value of a flag: `;`, `true`, `a,b`, `id=BIGINT,day=DATE`.
    ///
    /// # Errors
    /// When the option wants something else.
    pub fn parse(option: &OptionDoc, text: &str) -> Result<Self> {
        let wanted = match option.value {
            "BOOL" => "true or false",
            "MAP" => "of the form name=TYPE,name=TYPE",
            _ => "a number",
        };
        let fail = || wrong(option.name, wanted, &OptionValue::Text(text.into()));
        Ok(match option.value {
            "BOOL" => match text {
                "true" => OptionValue::Flag(true),
                "false" => OptionValue::Flag(false),
                _ => return Err(fail()),
            },
            "LINES" | "ROWS" | "BYTES" => OptionValue::Number(text.parse().map_err(|_| fail())?),
            "LIST" => OptionValue::List(text.split(',').map(str::to_string).collect()),
            "MAP" => {
                let mut open_count = 0;
                // The comma in DECIMAL(10,2) parts nothing.
                let pairs = text.split(|byte| {
                    open_count += i32::from(byte == '(') - i32::from(byte == ')');
                    byte == ',' && open_count == 0
                });
                let pairs = pairs.map(|pair| {
                    let (name, type_name) = pair.split_once('=')?;
                    Some((name.to_string(), type_name.to_string()))
                });
                OptionValue::Map(pairs.collect::<Option<_>>().ok_or_else(fail)?)
            }
            _ => OptionValue::Text(text.to_string()),
        })
    }
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
    /// `schema => 'first'`: the columns of the first file alone.
    pub first_schema: bool,
}

/// One option, for help, flags and "did you mean".
#[derive(Debug)]
pub struct OptionDoc {
    /// The name.
    pub name: &'static str,
    /// The values it takes, as help shows them.
    pub value: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Whether it is about CSV alone.
    pub csv: bool,
}

impl OptionDoc {
    /// The option of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(name: &str) -> Result<&'static Self> {
        let lower = name.to_lowercase();
        OPTIONS.iter().find(|option| option.name == lower).ok_or_else(|| unknown(name))
    }
}

const fn csv(name: &'static str, value: &'static str, help: &'static str) -> OptionDoc {
    OptionDoc { name, value, help, csv: true }
}

const fn any(name: &'static str, value: &'static str, help: &'static str) -> OptionDoc {
    OptionDoc { name, value, help, csv: false }
}

/// All options; `sep` and `delimiter` are `delim`, `columns` is `types`.
pub const OPTIONS: [OptionDoc; 30] = [
    csv("delim", "BYTE", "between two fields, a blank may follow [sniffed]"),
    csv("quote", "BYTE", "around a field; '' if there is none [sniffed]"),
    csv("escape", "BYTE", "before a quote inside quotes, where it is not doubled [sniffed]"),
    csv("comment", "BYTE", "starts a line that is left out [sniffed]"),
    csv("header", "BOOL", "whether the first record names the columns [sniffed]"),
    csv("skip", "LINES", "lines before the header [sniffed]"),
    csv("encoding", "NAME", "as in windows-1252 or utf-16le [sniffed]"),
    csv("names", "LIST", "the columns' names, in order"),
    csv("nullstr", "LIST", "texts that are NULL in every column [NA, NULL, - and the like]"),
    csv("decimal", "BYTE", "the decimal mark, . or , [.]"),
    csv("thousands", "BYTE", "between groups of three digits [none]"),
    csv("dateformat", "FORMAT", "of dates, as in %d/%m/%Y [sniffed]"),
    csv("timestampformat", "FORMAT", "of timestamps, as in %d/%m/%Y %H:%M:%S [sniffed]"),
    csv("all_varchar", "BOOL", "no types are guessed"),
    csv("ragged", "WORD", "rows of another length: error, pad or reject [error]"),
    csv("strict", "BOOL", "false: stray quotes are text, rows are padded and cut [true]"),
    csv("on_error", "WORD", "what does not fit its type: error, null or reject [error]"),
    csv("max_rejects", "ROWS", "more rows left out than this are an error"),
    csv("max_line_size", "BYTES", "longer records are an error [64 MiB]"),
    csv("sample_size", "ROWS", "looked at for the types; -1 for all [head, middle and end]"),
    any("types", "MAP", "types of columns by name"),
    any("schema", "WORD", "union: all files' columns; first: those of the first file [union]"),
    any("filename", "BOOL", "adds the column filename"),
    any("file_row_number", "BOOL", "adds the column file_row_number"),
    any("hive_partitioning", "BOOL", "key=value folders become columns [true]"),
    any("union_by_name", "BOOL", "true, which is how files are always read"),
    any("columns", "MAP", "another word for types"),
    csv("sep", "BYTE", "another word for delim"),
    csv("strict_mode", "BOOL", "another word for strict"),
    csv("delimiter", "BYTE", "another word for delim"),
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
                let written = text(name, value)?;
                // As in `a, "b, c"`: blanks behind the byte belong to no field.
                let bare = written.strip_suffix(' ').filter(|bare| !bare.is_empty());
                csv.blank_after_delimiter = bare.is_some();
                let delimiter = one_byte(name, bare.unwrap_or(written))?;
                csv.delimiter = Some(delimiter.ok_or_else(|| wrong(name, "one character", value))?);
            }
            "quote" => csv.quote = Some(one_byte(name, text(name, value)?)?),
            "escape" => csv.escape = Some(one_byte(name, text(name, value)?)?),
            "comment" => csv.comment = Some(one_byte(name, text(name, value)?)?),
            "header" => csv.header = Some(flag(name, value)?),
            "strict" | "strict_mode" => csv.lenient = !flag(name, value)?,
            "all_varchar" => csv.all_varchar = flag(name, value)?,
            "skip" => match value {
                OptionValue::Number(count @ 0..) => csv.skip_lines = usize::try_from(*count).ok(),
                _ => return Err(wrong(name, "a number of lines", value)),
            },
            "nullstr" => csv.null_words = Some(list(name, value)?),
            "names" => csv.names = Some(list(name, value)?),
            "decimal" => match text(name, value)? {
                "." => csv.notation.decimal = b'.',
                "," => csv.notation.decimal = b',',
                _ => return Err(wrong(name, "'.' or ','", value)),
            },
            "thousands" => csv.notation.thousands = one_byte(name, text(name, value)?)?,
            "dateformat" => csv.notation.date_format = Some(text(name, value)?.into()),
            "timestampformat" => csv.notation.timestamp_format = Some(text(name, value)?.into()),
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
                    "reject" => Ragged::Reject,
                    _ => return Err(wrong(name, "'error', 'pad' or 'reject'", value)),
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
            "max_line_size" => match value {
                OptionValue::Number(len @ 1..) => {
                    csv.record_len_max_bytes = usize::try_from(*len).ok();
                }
                _ => return Err(wrong(name, "a number of bytes", value)),
            },
            "sample_size" => match value {
                OptionValue::Number(-1) => csv.sample_rows = Some(usize::MAX),
                OptionValue::Number(rows @ 1..) => csv.sample_rows = usize::try_from(*rows).ok(),
                _ => return Err(wrong(name, "a number of rows, or -1 for all", value)),
            },
            "schema" => {
                self.first_schema = match text(name, value)? {
                    "union" => false,
                    "first" => true,
                    _ => return Err(wrong(name, "'union' or 'first'", value)),
                };
            }
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
    let error = Error::sql(format!("no option named {name}"));
    let names = || OPTIONS.iter().map(|option| option.name);
    match nearest(name, names()) {
        Some(nearest) => error.hint(format!("did you mean {nearest}?")),
        None => error.hint(format!("there are {}", names().collect::<Vec<_>>().join(", "))),
    }
}
