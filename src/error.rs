//! The one error type: what failed, where, and what to type next.
//!
//! Invariant: everything a user can cause arrives here as a kind (which fixes the exit code), a
//! message in lower case without a full stop, a place where one is known, and hints that can be
//! pasted. Errors cross DataFusion as `DataFusionError::External` and come back unchanged.

use std::fmt;
use std::path::Path;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

/// Result of everything in swath that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says whose turn it is to act; each kind has its own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The statement cannot be parsed, bound or run as written.
    Sql,
    /// A flag, option or setting is wrong.
    Usage,
    /// A file or a value in it cannot be read as asked.
    Data,
    /// A limit was reached: memory, time, size.
    Limit,
    /// The user stopped the statement.
    Interrupted,
    /// A mistake in swath itself.
    Internal,
}

impl ErrorKind {
    /// The process exit code that stands for this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Sql | ErrorKind::Internal => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Data => 3,
            ErrorKind::Limit => 4,
            ErrorKind::Interrupted => 130,
        }
    }
}

/// Where something went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A position in the statement, both counted from 1.
    Sql {
        /// Line of the statement.
        line: u64,
        /// Character in that line.
        column: u64,
    },
    /// A position in a file; line and column are counted from 1.
    File {
        /// The file as the user knows it.
        path: String,
        /// Line in the file, where lines exist.
        line: Option<u64>,
        /// Byte in that line.
        column: Option<u64>,
    },
}

impl Place {
    /// A whole file.
    pub fn file(path: impl Into<String>) -> Self {
        Place::File { path: path.into(), line: None, column: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Sql { line, column } => write!(f, "statement:{line}:{column}"),
            Place::File { path, line, column } => {
                write!(f, "{path}")?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                if let (Some(_), Some(column)) = (line, column) {
                    write!(f, ":{column}")?;
                }
                Ok(())
            }
        }
    }
}

/// A value that the type guessed for its column does not hold.
///
/// The session answers it by reading the column wider and running the statement again, as long as
/// nothing has been handed out yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The dataset, by its number in the statement's bindings.
    pub dataset: u64,
    /// The column's name.
    pub column: String,
    /// The text that was found.
    pub text: String,
}

/// What went wrong, where, and what to type next.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    place: Option<Place>,
    hints: Vec<String>,
    misfit: Option<Misfit>,
    is_passing: bool,
}

impl Error {
    /// Makes an error of a kind; messages are lower case and have no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            place: None,
            hints: Vec::new(),
            misfit: None,
            is_passing: false,
        }))
    }

    /// The statement is at fault.
    pub fn sql(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Sql, message)
    }

    /// A flag, option or setting is at fault.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A file or a value in it is at fault.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// An input/output error on a file.
    pub fn io(what: &str, path: &str, error: &std::io::Error) -> Self {
        // An error of ours may have travelled through a reader as `io::Error`.
        if let Some(own) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return own.clone();
        }
        let mut own = Self::data(format!("cannot {what}: {error}")).at(Place::file(path));
        // It was there when it was listed.
        own.0.is_passing = error.kind() == std::io::ErrorKind::NotFound;
        own
    }

    /// What was to be written cannot be.
    pub(crate) fn cannot_write(path: &Path, error: &std::io::Error) -> Self {
        Self::data(format!("cannot write {}: {error}", path.display()))
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    /// Adds a hint: something to type or to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Marks the error as one that reading a column wider would cure.
    #[must_use]
    pub fn misfit(mut self, misfit: Misfit) -> Self {
        self.0.misfit = Some(misfit);
        self
    }

    /// Marks the error as one that running the statement again may cure.
    #[must_use]
    pub(crate) fn passing(mut self) -> Self {
        self.0.is_passing = true;
        self
    }

    /// Whether files changed under a statement, so that it may succeed when it is run again.
    pub(crate) fn is_passing(&self) -> bool {
        self.0.is_passing
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What failed and what was found.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where, when that is known.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// What to type next.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// The column that would have to be read wider, if that is the cure.
    pub(crate) fn as_misfit(&self) -> Option<&Misfit> {
        self.0.misfit.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.message)?;
        if let Some(place) = &self.0.place {
            write!(f, "\n  --> {place}")?;
        }
        for hint in &self.0.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        std::io::Error::other(error)
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        if let Some(own) = find_own(&error) {
            return own;
        }
        let root = error.find_root();
        let text = first_paragraph(&root.strip_backtrace());
        match root {
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
            | DataFusionError::Execution(_) => Error::data(lower_first(trim_prefixes(&text))),
            DataFusionError::Internal(_) => {
                Error::new(ErrorKind::Internal, lower_first(trim_prefixes(&text)))
                    .hint("this is a mistake in swath or DataFusion: please report it")
            }
            _ => missing_table(&text)
                .unwrap_or_else(|| Error::sql(lower_first(trim_prefixes(&text)))),
        }
    }
}

/// `table 'datafusion.public.x' not found`, said as the user wrote it.
fn missing_table(text: &str) -> Option<Error> {
    let name = trim_prefixes(text).strip_prefix("table 'datafusion.public.")?;
    let name = name.strip_suffix("' not found")?;
    Some(
        Error::sql(format!("no table or view named {name}"))
            .hint(format!("a file or folder is written in quotes: FROM '{name}'")),
    )
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
    let valid: Vec<&str> = valid.collect();
    let lower = name.to_lowercase();
    let nearest = valid
        .iter()
        .map(|valid| (strsim::jaro_winkler(&valid.to_lowercase(), &lower), *valid))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let error = Error::sql(format!("no column named `{name}`"));
    match nearest {
        Some((likeness, nearest)) if likeness > 0.75 => {
            error.hint(format!("did you mean `{nearest}`?"))
        }
        Some(_) => {
            let more = if valid.len() > NAMES_SHOWN_MAX { ", ..." } else { "" };
            let shown = &valid[..valid.len().min(NAMES_SHOWN_MAX)];
            error.hint(format!("there are {}{more}", shown.join(", ")))
        }
        None => error,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_error_survives_the_way_through_datafusion() {
        let own = Error::data("cannot read").at(Place::file("a.csv")).hint("try");
        let wrapped = DataFusionError::Shared(std::sync::Arc::new(
            DataFusionError::from(own.clone()).context("while scanning"),
        ));
        assert_eq!(Error::from(wrapped).to_string(), own.to_string());
        let io = std::io::Error::from(own.clone());
        assert_eq!(Error::io("read", "b.csv", &io).to_string(), own.to_string());
        let arrow = datafusion::arrow::error::ArrowError::ExternalError(Box::new(own.clone()));
        assert_eq!(Error::from(DataFusionError::from(arrow)).to_string(), own.to_string());
    }

    #[test]
    fn messages_lose_the_class_names() {
        let error = Error::from(DataFusionError::Plan("No field named x".into()));
        assert_eq!(error.message(), "no field named x");
        assert_eq!(error.kind(), ErrorKind::Sql);
    }
}
