//! CREATE EXTERNAL TABLE, as DataFusion and Hive write it, as a view over a reading function.
//!
//! ```text
//! CREATE EXTERNAL TABLE t (a INT) STORED AS CSV LOCATION 'd' OPTIONS (delim ';')
//!   ->  CREATE VIEW t AS SELECT a FROM read_csv(['d'], types => {'a': 'INT'}, delim => ';')
//! ```

use datafusion::sql::parser::{CreateExternalTable, Statement};
use datafusion::sql::sqlparser::ast::Value;

use crate::dataset::options::{OptionDoc, OptionValue};
use crate::error::{Error, Result};
use crate::units::show_literal;

/// The view that reads what the table describes.
///
/// # Errors
/// When the table has a clause that would mean nothing, or an option that does not exist.
pub fn as_view(table: &CreateExternalTable) -> Result<Statement> {
    refuse(table.unbounded, "UNBOUNDED")?;
    refuse(!table.order_exprs.is_empty(), "WITH ORDER")?;
    refuse(!table.constraints.is_empty(), "a constraint of files")?;
    let function = match table.file_type.to_uppercase().as_str() {
        "CSV" | "TSV" => "read_csv",
        "PARQUET" => "read_parquet",
        "JSON" | "NDJSON" => "read_json",
        "ARROW" => "read_arrow",
        _ => {
            return Err(Error::sql(format!("no file type named {}", table.file_type))
                .hint("there are CSV, PARQUET, JSON and ARROW"));
        }
    };
    let locations: Vec<String> = table.locations.iter().map(|path| show_literal(path)).collect();
    let mut arguments = vec![format!("[{}]", locations.join(", "))];
    let mut is_headless = false;
    for (key, value) in &table.options {
        let (name, value) = option(key, value)?;
        is_headless |= name == "header" && value == "false";
        arguments.push(format!("{name} => {value}"));
    }
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.value.as_str()).collect();
    if is_headless && !names.is_empty() {
        let names: Vec<String> = names.iter().map(|name| show_literal(name)).collect();
        arguments.push(format!("names => [{}]", names.join(", ")));
    }
    if !names.is_empty() && function == "read_csv" {
        let types = table.columns.iter().map(|column| {
            let type_name = show_literal(&column.data_type.to_string());
            format!("{}: {type_name}", show_literal(&column.name.value))
        });
        arguments.push(format!("types => {{{}}}", types.collect::<Vec<_>>().join(", ")));
    }
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| match function {
            "read_csv" => column.name.to_string(),
            // What has types of its own is cast, and fails where a value does not fit.
            _ => format!("CAST({0} AS {1}) AS {0}", column.name, column.data_type),
        })
        .collect();
    let columns = if columns.is_empty() { "*".to_string() } else { columns.join(", ") };
    let sql = format!(
        "CREATE {}VIEW {}{} AS SELECT {columns} FROM {function}({})",
        if table.or_replace { "OR REPLACE " } else { "" },
        if table.if_not_exists { "IF NOT EXISTS " } else { "" },
        table.name,
        arguments.join(", ")
    );
    let mut statements = super::parse::parse(&sql)?;
    Ok(statements.remove(0).statement)
}

fn refuse(condition: bool, what: &str) -> Result<()> {
    if condition {
        return Err(Error::sql(format!("{what} is not supported")).hint("leave it out"));
    }
    Ok(())
}

/// One option as the reading functions write it; `format.has_header` is `header`.
fn option(key: &str, value: &Value) -> Result<(&'static str, String)> {
    let lower = key.to_lowercase();
    let name = lower.rsplit('.').next().unwrap_or(&lower);
    let name = match name {
        "has_header" => "header",
        "null_value" | "null_regex" => "nullstr",
        "date_format" => "dateformat",
        "timestamp_format" => "timestampformat",
        name => name,
    };
    let doc = OptionDoc::find(name)?;
    let text = match value {
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
        other => other.to_string(),
    };
    Ok((doc.name, show_value(&OptionValue::parse(doc, &text)?)))
}

fn show_value(value: &OptionValue) -> String {
    match value {
        OptionValue::Text(text) => show_literal(text),
        OptionValue::Number(number) => number.to_string(),
        OptionValue::Flag(flag) => flag.to_string(),
        OptionValue::List(items) => {
            let items: Vec<String> = items.iter().map(|item| show_literal(item)).collect();
            format!("[{}]", items.join(", "))
        }
        OptionValue::Map(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(name, value)| format!("{}: {}", show_literal(name), show_literal(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        OptionValue::Null => "NULL".into(),
    }
}
