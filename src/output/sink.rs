//! The formats by name, and the writer for each.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression as ParquetCompression;
use parquet::file::properties::WriterProperties;

use super::delimited::Delimited;
use super::json::Json;
use super::lines::Lines;
use super::markdown::Markdown;
use super::table::{TableOptions, TableStyle, TableWriter};
use crate::error::{Error, Result};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table for people: fitted to the terminal, long results cut in the middle.
    Table,
    /// The same with a border around it.
    Box,
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// A Markdown table.
    Markdown,
    /// Arrow IPC: the stream format to a pipe, the file format to a file.
    Arrow,
    /// Apache Parquet.
    Parquet,
    /// One value a line under its name.
    Line,
}

/// Writes batches in one format.
pub trait RowWriter {
    /// Writes the rows of a batch.
    ///
    /// # Errors
    /// When the output cannot be written to.
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()>;

    /// Writes what comes after the last row.
    ///
    /// # Errors
    /// When the output cannot be written to.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl Format {
    /// All formats with their names.
    pub const ALL: [(&'static str, Format); 10] = [
        ("table", Format::Table),
        ("box", Format::Box),
        ("csv", Format::Csv),
        ("tsv", Format::Tsv),
        ("json", Format::Json),
        ("jsonl", Format::Jsonl),
        ("markdown", Format::Markdown),
        ("arrow", Format::Arrow),
        ("parquet", Format::Parquet),
        ("line", Format::Line),
    ];

    /// The format of a name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn parse(name: &str) -> Result<Self> {
        let lower = name.to_lowercase();
        let found = Self::ALL.into_iter().find(|(known, _)| *known == lower);
        found.map(|(_, format)| format).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(name, _)| *name).collect();
            Error::usage(format!("no format named {name}"))
                .hint(format!("there are {}", names.join(", ")))
        })
    }

    /// The name of the format.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("table", |(name, _)| name)
    }

    /// The format that a file's extension asks for; `.gz` and `.zst` behind it are allowed.
    ///
    /// # Errors
    /// When the extension is unknown.
    pub fn of_path(path: &Path) -> Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
        let name = name.unwrap_or_default();
        let plain = name.trim_end_matches(".gz").trim_end_matches(".zst");
        match plain.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "csv" => Ok(Format::Csv),
            "tsv" => Ok(Format::Tsv),
            "json" => Ok(Format::Json),
            "jsonl" | "ndjson" => Ok(Format::Jsonl),
            "md" | "markdown" => Ok(Format::Markdown),
            "arrow" | "ipc" | "feather" => Ok(Format::Arrow),
            "parquet" | "parq" => Ok(Format::Parquet),
            "txt" => Ok(Format::Table),
            _ => Err(Error::usage(format!("cannot tell a format from {}", path.display()))
                .hint("name it with --format, or use .csv, .parquet, .jsonl, .arrow, .md")),
        }
    }

    /// Whether a terminal would show it as noise.
    pub fn is_binary(self) -> bool {
        matches!(self, Format::Arrow | Format::Parquet)
    }

    /// A writer of this format. `seekable` is true for files: Arrow then gets its file format.
    ///
    /// # Errors
    /// When the header cannot be written, or the schema has types that the format lacks.
    pub fn writer<'a>(
        self,
        out: Box<dyn Write + Send + 'a>,
        schema: &SchemaRef,
        table: &TableOptions,
        seekable: bool,
    ) -> io::Result<Box<dyn RowWriter + 'a>> {
        let out = BufWriter::with_capacity(1 << 16, out);
        Ok(match self {
            Format::Table | Format::Box => {
                let style = if self == Format::Box { TableStyle::Box } else { TableStyle::Light };
                Box::new(TableWriter::new(out, schema, TableOptions { style, ..table.clone() }))
            }
            Format::Csv => Box::new(Delimited::new(out, b',', schema)?),
            Format::Tsv => Box::new(Delimited::new(out, b'\t', schema)?),
            Format::Json => Box::new(Json::array(out)),
            Format::Jsonl => Box::new(Json::lines(out)),
            Format::Markdown => Box::new(Markdown::new(out, schema)?),
            Format::Line => Box::new(Lines::new(out, schema)),
            Format::Arrow if seekable => {
                Box::new(ArrowFile(FileWriter::try_new(out, schema).map_err(io::Error::other)?))
            }
            Format::Arrow => {
                Box::new(ArrowStream(StreamWriter::try_new(out, schema).map_err(io::Error::other)?))
            }
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(ParquetCompression::ZSTD(Default::default()))
                    .set_created_by(concat!("swath ", env!("CARGO_PKG_VERSION")).to_string())
                    .build();
                let writer =
                    ArrowWriter::try_new(out, std::sync::Arc::clone(schema), Some(properties));
                Box::new(Parquet(writer.map_err(io::Error::other)?))
            }
        })
    }
}

struct ArrowFile<W: Write>(FileWriter<W>);

impl<W: Write> RowWriter for ArrowFile<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.0.write(batch).map_err(io::Error::other)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.finish().map_err(io::Error::other)?;
        self.0.into_inner().map_err(io::Error::other)?.flush()
    }
}

struct ArrowStream<W: Write>(StreamWriter<W>);

impl<W: Write> RowWriter for ArrowStream<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.0.write(batch).map_err(io::Error::other)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.finish().map_err(io::Error::other)?;
        self.0.into_inner().map_err(io::Error::other)?.flush()
    }
}

struct Parquet<W: Write + Send>(ArrowWriter<W>);

impl<W: Write + Send> RowWriter for Parquet<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.0.write(batch).map_err(io::Error::other)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.into_inner().map_err(io::Error::other)?.flush()
    }
}
