//! What verbs and dot-commands ask about files; `{}` stands for the location, in quotes.

/// Columns and types.
pub const SCHEMA: &str = "DESCRIBE SELECT * FROM {}";
/// What is shown of files at first sight.
pub const FILES: &str = "SELECT file, bytes, rows, format, modified, problem FROM files({})";
/// How files are written.
pub const SNIFF: &str = "SELECT * FROM sniff({})";
/// All that is wrong with files.
pub const CHECK: &str = "SELECT * FROM check({})";
