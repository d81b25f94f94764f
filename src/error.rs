//! The one error type: what failed, where, and what to type next.
//!
//! Invariant: everything a user can cause arrives here as a kind (which fixes the exit code), a
//! message in lower case without a full stop, a place where one is known, and hints that can be
//! pasted. Errors cross DataFusion as `DataFusionError::External` and come back unchanged.

mod from_datafusion;

use std::fmt;
use std::path::Path;

use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};

/// Result of everything in swath that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says whose turn it is to act; each kind has its own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misfit {
    /// The dataset, by its number in the statement's bindings.
    pub dataset: u64,
    /// The column's name.
    pub column: String,
    /// The text that was found.
    pub text: String,
}

/// Around an error in a word.
#[cfg(any(test, feature = "cluster"))]
const WORD_BEGIN: &str = "swath-error<";
#[cfg(any(test, feature = "cluster"))]
const WORD_END: char = '>';

/// What went wrong, where, and what to type next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, Serialize, Deserialize)]
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

    /// Takes the place away.
    #[must_use]
    pub(crate) fn without_place(mut self) -> Self {
        self.0.place = None;
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

    /// Whether a decoder may have given it, which does not know what file it decodes.
    pub(crate) fn is_nameless(&self) -> bool {
        matches!(self.kind(), ErrorKind::Data | ErrorKind::Internal) && self.place().is_none()
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

    /// All of the error as one word, which survives being put into other messages.
    #[cfg(any(test, feature = "cluster"))]
    pub(crate) fn to_word(&self) -> String {
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{WORD_BEGIN}{digits}{WORD_END}")
    }

    /// The first error that stands as a word in a text; see [`Error::to_word`].
    #[cfg(any(test, feature = "cluster"))]
    pub(crate) fn from_word(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once(WORD_BEGIN)?;
        let (digits, _) = rest.split_once(WORD_END)?;
        let bytes = (0..digits.len() / 2)
            .map(|idx| u8::from_str_radix(digits.get(2 * idx..2 * idx + 2)?, 16).ok())
            .collect::<Option<Vec<u8>>>()?;
        postcard::from_bytes(&bytes).ok()
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

impl From<Error> for ParquetError {
    fn from(error: Error) -> Self {
        ParquetError::External(Box::new(error))
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        std::io::Error::other(error)
    }
}

/// Of some names the one that is most like a wrong one, if any is like it at all.
pub(crate) fn nearest<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const LIKENESS_MIN: f64 = 0.72;
    let lower = wrong.to_lowercase();
    let likeness = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &lower);
    let nearest = names.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(nearest) > LIKENESS_MIN).then_some(nearest)
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
    fn an_error_crosses_processes_within_the_messages_of_others() {
        let misfit = Misfit { dataset: 7, column: "x".into(), text: "\"n/a\"".into() };
        let place = Place::File { path: "a\\b.csv".into(), line: Some(3), column: None };
        let own = Error::data("no number").at(place).hint("try").misfit(misfit.clone());
        let text = format!("{:?}", DataFusionError::Execution(format!("task: {}", own.to_word())));
        let back = Error::from_word(&text).expect("it is in there");
        assert_eq!(back.to_string(), own.to_string());
        assert_eq!((back.kind(), back.as_misfit()), (ErrorKind::Data, Some(&misfit)));
        assert!(Error::from_word("swath-error<zz>").is_none());
        assert!(Error::from_word("nothing of ours").is_none());
    }

    #[test]
    fn messages_lose_the_class_names() {
        let error = Error::from(DataFusionError::Plan("No field named x".into()));
        assert_eq!(error.message(), "no field named x");
        assert_eq!(error.kind(), ErrorKind::Sql);
    }
}
