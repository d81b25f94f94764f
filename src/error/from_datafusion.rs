//! What DataFusion says when something fails, as one of our errors.

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use super::{Error, ErrorKind, Place, nearest};
use crate::units::HIDDEN;

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        if let Some(own) = find_own(&error) {
            return own;
        }
        let root = error.find_root();
        let text = first_paragraph(&root.strip_backtrace());
        let place = error
            .diagnostic()
            .and_then(|diagnostic| diagnostic.span)
            .map(|span| Place::Sql { line: span.start.line, column: span.start.column });
        let own = match root {
            DataFusionError::ResourcesExhausted(_) => memory_limit(&text),
            DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    no_column(&field.name, valid_fields.iter().map(|field| field.name.as_str()))
                }
                _ => Error::sql(lower_first(trim_prefixes(&text))),
            },
            DataFusionError::ArrowError(..)
            | DataFusionError::ParquetError(_)
            | DataFusionError::IoError(_)
            | DataFusionError::ObjectStore(_)
            | DataFusionError::Execution(_) => of_data(&text),
            DataFusionError::Internal(_) => {
                Error::new(ErrorKind::Internal, lower_first(trim_prefixes(&text)))
                    .hint("this is a mistake in swath or DataFusion: please report it")
            }
            _ => {
                said_plainly(&text).unwrap_or_else(|| Error::sql(lower_first(trim_prefixes(&text))))
            }
        };
        match place {
            Some(place) if own.0.place.is_none() => own.at(place),
            _ => own,
        }
    }
}

#[cfg(feature = "cluster")]
impl Error {
    /// The error of ours in the chain of causes of another one, if there is one.
    pub(crate) fn found_in(error: &DataFusionError) -> Option<Self> {
        find_own(error)
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

/// What is wrong with a value.
fn of_data(text: &str) -> Error {
    let text = lower_first(trim_prefixes(text));
    let between = |before, after| between(&text, before, after);
    let far = between("verflow converting ", " to Nanosecond").or_else(|| {
        let value = between("annot cast ", " to Timestamp(ns)")?;
        text.contains("representable").then_some(value)
    });
    match far {
        Some(time) => {
            Error::data(format!("{time} is beyond TIMESTAMP, which goes from 1677 to 2262"))
                .hint("x::TIMESTAMP_US goes further")
        }
        None => Error::data(text),
    }
}

/// What the planner says most often, as one would say it.
fn said_plainly(text: &str) -> Option<Error> {
    let text = trim_prefixes(text);
    let between = |before, after| between(text, before, after);
    if let Some(name) = between("table 'datafusion.public.", "' not found") {
        let hint = format!("a file or folder is written in quotes: FROM '{name}'");
        return Some(Error::sql(format!("no table or view named {name}")).hint(hint));
    }
    if let Some(name) = between("Invalid function '", "'") {
        let error = Error::sql(format!("no function named {name}"));
        return Some(match between("Did you mean '", "'") {
            Some(near) if nearest(name, [near]).is_some() => {
                error.hint(format!("did you mean {near}?"))
            }
            _ => error,
        });
    }
    if let Some(name) = between("able function '", "' not found") {
        return Some(Error::sql(format!("no table function named {name}")));
    }
    if let Some(name) = between("column \"", "\" must appear in the GROUP BY clause") {
        return Some(
            Error::sql(format!("`{name}` is neither grouped by nor in an aggregate"))
                .hint("GROUP BY ALL groups by all that is not aggregated"),
        );
    }
    if let Some(name) = between("Config value \"", "\" not found") {
        return Some(no_setting(name));
    }
    if text.ends_with("is not a variable which can be viewed with 'SHOW'") {
        return Some(no_setting(between("'", "'")?));
    }
    if let Some((_, node)) = text.split_once("Unsupported ast node in sqltorel: ") {
        let name: String = node.chars().take_while(char::is_ascii_alphanumeric).collect();
        let error = format!("{} is not supported yet", name.to_uppercase());
        return Some(
            Error::sql(error).hint("leave it out, or say it by a function: .functions lists them"),
        );
    }
    if let Some((said, _)) = text.split_once("span: Span(") {
        // What follows is how the parser holds it.
        let said = said.trim_start_matches("This feature is not implemented: ");
        let said = said.split([':', ',']).next().unwrap_or(said);
        return Some(Error::sql(lower_first(said)));
    }
    if text.contains("`retract_batch` is not implemented") {
        let call =
            text.rsplit_once("is not implemented: ").map_or("an aggregate", |(_, call)| call);
        let name = call.split('(').next().unwrap_or(call);
        let error = format!("{name} is not supported yet over frames whose start moves");
        return Some(Error::sql(error).hint("let the frame start at UNBOUNDED PRECEDING"));
    }
    if let Some(call) = between("name and argument types '", "'. You might need") {
        return Some(
            Error::sql(format!("no function {} takes such arguments", in_sql(call)))
                .hint("cast them to the types that it takes, such as x::VARCHAR"),
        );
    }
    let function = between("Function '", "'").or_else(|| between("function '", "'"))?;
    if let (Some(wanted), Some((_, rest))) =
        (between("' expects ", " arguments but"), text.split_once("but received "))
    {
        let given: String = rest.chars().take_while(char::is_ascii_digit).collect();
        return Some(Error::sql(format!("`{function}` takes {wanted} arguments, not {given}")));
    }
    if text.contains("failed to match any signature") {
        let mut wanted: Vec<&str> = text.split("' requires ").skip(1).collect();
        wanted.iter_mut().for_each(|rest| *rest = rest.split([',', ' ']).next().unwrap_or(rest));
        wanted.dedup();
        let given = between("but received ", " (").or_else(|| between("but received ", ","))?;
        let wanted = wanted.join(", ");
        return Some(Error::sql(format!("`{function}` takes {wanted}, not {given}")));
    }
    None
}

/// A call with types by the names that SQL gives them.
fn in_sql(call: &str) -> String {
    const NAMES: [(&str, &str); 9] = [
        ("Utf8View", "VARCHAR"),
        ("Utf8", "VARCHAR"),
        ("Int64", "BIGINT"),
        ("Int32", "INTEGER"),
        ("Float64", "DOUBLE"),
        ("Boolean", "BOOLEAN"),
        ("Date32", "DATE"),
        ("Timestamp(ns)", "TIMESTAMP"),
        ("Timestamp(µs)", "TIMESTAMP"),
    ];
    NAMES.iter().fold(call.to_string(), |text, (from, to)| text.replace(from, to))
}

fn no_setting(name: &str) -> Error {
    Error::sql(format!("no setting named {name}")).hint("SHOW ALL lists the settings")
}

/// Looks for an error of ours anywhere in the chain of causes.
fn find_own(error: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(own) = current.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        if let Some(DataFusionError::Shared(inner)) = current.downcast_ref::<DataFusionError>() {
            return find_own(inner);
        }
        if let Some(io) = current.downcast_ref::<std::io::Error>()
            && let Some(inner) = io.get_ref()
        {
            cause = Some(inner);
            continue;
        }
        cause = current.source();
    }
    None
}

fn memory_limit(text: &str) -> Error {
    let text = text.trim_start_matches("Resources exhausted: ");
    // One line: who holds how much follows in a list.
    let text: Vec<&str> = text.lines().map(str::trim).collect();
    let text = lower_first(&text.join(" "));
    Error::new(ErrorKind::Limit, format!("the memory limit is reached: {text}"))
        .hint("give it more with --memory 8GB, or a place to spill with --spill-dir DIR")
}

/// A column that is not there, with the nearest one that is.
fn no_column<'a>(name: &str, valid: impl Iterator<Item = &'a str>) -> Error {
    const NAMES_SHOWN_MAX: usize = 12;
    let valid: Vec<&str> = valid.filter(|name| !name.starts_with(HIDDEN)).collect();
    let error = Error::sql(format!("no column named `{name}`"));
    match nearest(name, valid.iter().copied()) {
        Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
        None if valid.is_empty() => error,
        None => {
            let more = if valid.len() > NAMES_SHOWN_MAX { ", ..." } else { "" };
            let shown = &valid[..valid.len().min(NAMES_SHOWN_MAX)];
            error.hint(format!("the columns are {}{more}", shown.join(", ")))
        }
    }
}

/// Cuts what DataFusion appends after its message (backtraces, "this was likely caused by").
fn first_paragraph(text: &str) -> String {
    let text = text.split("\nbacktrace:").next().unwrap_or(text);
    let text = text.split(".\nThis issue was likely caused by").next().unwrap_or(text);
    text.trim_end().to_string()
}

/// Drops the class names that DataFusion puts in front of its messages.
fn trim_prefixes(text: &str) -> &str {
    const PREFIXES: [&str; 13] = [
        "Error during planning: ",
        "SQL error: ",
        "Schema error: ",
        "Execution error: ",
        "Arrow error: ",
        "Parquet error: ",
        "Optimizer rule failed: ",
        "Compute error: ",
        "External error: ",
        "Invalid argument error: ",
        "IO error: ",
        "Object Store error: ",
        "Internal error: ",
    ];
    let mut text = text;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    text
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // `SUM(...)`, `CSV` and the like keep their capitals.
        (Some(first), second) if second.is_none_or(|second| !second.is_uppercase()) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_string(),
    }
}
