//! Output: batches into bytes that people and programs read.
//!
//! Invariant: every writer streams; only the table looks at all rows, and keeps those it shows.

mod delimited;
mod file;
mod json;
mod lines;
mod markdown;
mod sink;
mod table;
mod value;

pub use self::file::OutputFile;
pub use self::lines::text_lines;
pub use self::sink::{Format, RowWriter};
pub use self::table::{Table, TableOptions, TableStyle};
