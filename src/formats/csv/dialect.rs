//! How one CSV file is written, and what `read_csv` may say about it.

use encoding_rs::Encoding;

use serde::{Deserialize, Serialize};

use super::reject::OnError;
use super::value::Notation;
use crate::error::{Error, Result};

/// The writing of one CSV file, found by sniffing or given by the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dialect {
    /// Byte between two fields; `None` reads each line as one field.
    pub delimiter: Option<u8>,
    /// Whether fields begin behind the blanks that follow a delimiter.
    pub blank_after_delimiter: bool,
    /// Byte around a field that holds delimiters or newlines.
    pub quote: Option<u8>,
    /// Byte before a quote inside a quoted field, where quotes are not doubled.
    pub escape: Option<u8>,
    /// Byte that starts a comment line.
    pub comment: Option<u8>,
    /// Byte that ends a record: `\n` (also after `\r`), or `\r` alone.
    pub newline: u8,
    /// Lines before the header.
    pub skip_lines: usize,
    /// Whether the first record names the columns.
    pub header: bool,
    /// Whether quotes that do not pair are an error; text, if not.
    pub strict: bool,
    /// The encoding of the bytes.
    pub encoding: &'static Encoding,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect {
            delimiter: Some(b','),
            blank_after_delimiter: false,
            quote: Some(b'"'),
            escape: None,
            comment: None,
            newline: b'\n',
            skip_lines: 0,
            header: true,
            strict: true,
            encoding: encoding_rs::UTF_8,
        }
    }
}

impl Dialect {
    /// Whether tasks may start reading in the middle of a file.
    ///
    /// A comment line may hold any quotes, other encodings have no fixed newline byte, and what a
    /// stray quote means is known only by who has read all before it.
    pub fn is_splittable(&self) -> bool {
        self.comment.is_none()
            && self.strict
            && !self.blank_after_delimiter
            && self.encoding == encoding_rs::UTF_8
    }
}

/// What the user said about a CSV file; what is `None` is sniffed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CsvOptions {
    /// `delim`, `sep`, `delimiter`.
    pub delimiter: Option<u8>,
    /// Whether `delim` is followed by a blank.
    pub blank_after_delimiter: bool,
    /// `quote`; the inner `None` switches quoting off.
    pub quote: Option<Option<u8>>,
    /// `escape`.
    pub escape: Option<Option<u8>>,
    /// `comment`.
    pub comment: Option<Option<u8>>,
    /// `header`.
    pub header: Option<bool>,
    /// `skip`: lines before the header.
    pub skip_lines: Option<usize>,
    /// `encoding`.
    pub encoding: Option<&'static Encoding>,
    /// `nullstr`: texts that are NULL in every column.
    pub null_words: Option<Vec<String>>,
    /// `names`: the columns' names, in order.
    pub names: Option<Vec<String>>,
    /// `all_varchar`: no types are guessed.
    pub all_varchar: bool,
    /// `decimal`, `thousands`, `dateformat`, `timestampformat`.
    pub notation: Notation,
    /// `ragged`: what to do with rows of the wrong length.
    pub ragged: Ragged,
    /// `strict => false`: stray quotes are text, rows of another length are padded or cut.
    pub lenient: bool,
    /// `on_error`: what to do with values that do not fit their type.
    pub on_error: OnError,
    /// `max_rejects`: how many rows may be left out.
    pub max_rejects: Option<u64>,
    /// `max_line_size`: the longest record that is read.
    pub record_len_max_bytes: Option<usize>,
    /// `sample_size`: rows that are looked at from the front; `usize::MAX` for all.
    pub sample_rows: Option<usize>,
}

impl CsvOptions {
    /// Whether the first row may have another width than the table.
    pub(crate) fn takes_any_width(&self) -> bool {
        self.lenient || self.ragged != Ragged::Error
    }
}

/// What to do with a row that has too few or too many fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Ragged {
    /// Stop with an error that names the line.
    #[default]
    Error,
    /// Fill short rows with NULL; long rows stay errors unless the rest is empty. Counted.
    Pad,
    /// Fill short rows with NULL, leave out what is too much. Counted.
    Fit,
    /// Leave them out, counted.
    Reject,
}

/// Reads an option that must be one ASCII character; empty text means "none".
pub(crate) fn one_byte(option: &str, text: &str) -> Result<Option<u8>> {
    match text.as_bytes() {
        [] => Ok(None),
        [byte] if byte.is_ascii() => Ok(Some(*byte)),
        br"\t" => Ok(Some(b'\t')),
        _ => Err(Error::sql(format!("{option} must be one ASCII character, found {text:?}"))
            .hint(format!("write {option} => ';' or {option} => '\\t'"))),
    }
}
