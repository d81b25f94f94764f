//! Output: batches into bytes that people and programs read.
//!
//! Invariant: every writer streams; only the table looks at all rows, and keeps those it shows.

pub mod commit;
mod delimited;
mod file;
mod folder;
mod json;
mod lines;
mod markdown;
mod parquet;
mod sink;
mod table;
pub(crate) mod value;

pub use self::file::OutputFile;
pub use self::folder::{FolderOptions, FolderWriter, Written};
pub use self::lines::text_lines;
pub use self::sink::{Compression, FileOptions, Format, RowWriter};
pub use self::table::{Table, TableOptions, TableStyle, fit};
#[cfg(feature = "cluster")]
pub(crate) use self::value::Values;
