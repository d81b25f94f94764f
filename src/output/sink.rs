//! The formats by name, and the writer for each.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::writer::{FileWriter, StreamWriter};
use parquet::basic::Compression as ParquetCompression;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::delimited::Delimited;
use super::json::Json;
use super::lines::Lines;
use super::markdown::Markdown;
use super::parquet::Parquet;
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

/// How a file is written; what is `None` is the format's own choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// What packs the pages of Parquet, or the whole of a text file.
    pub compression: Option<Compression>,
    /// Rows of a Parquet row group at most.
    pub row_group_rows: Option<usize>,
    /// Bytes of a Parquet row group, about, at most.
    pub row_group_len_bytes: Option<usize>,
    /// Columns that get a bloom filter.
    pub bloom_filters: Vec<String>,
    /// The byte between two fields of CSV.
    pub delimiter: Option<u8>,
    /// Whether CSV has no header.
    pub no_header: bool,
    /// What CSV writes for NULL.
    pub null_text: String,
}

/// What packs bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    None,
    /// Snappy, in Parquet only.
    Snappy,
    /// LZ4 without a frame, in Parquet only.
    Lz4,
    /// Brotli, in Parquet only.
    Brotli,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// What a name stands for.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_lowercase().as_str() {
            "none" | "uncompressed" => Compression::None,
            "snappy" => Compression::Snappy,
            "lz4" | "lz4_raw" => Compression::Lz4,
            "brotli" => Compression::Brotli,
            "gzip" | "gz" => Compression::Gzip,
            "zstd" | "zst" => Compression::Zstd,
            _ => return None,
        })
    }

    fn of_pages(self) -> ParquetCompression {
        match self {
            Compression::None => ParquetCompression::UNCOMPRESSED,
            Compression::Snappy => ParquetCompression::SNAPPY,
            Compression::Lz4 => ParquetCompression::LZ4_RAW,
            Compression::Brotli => ParquetCompression::BROTLI(Default::default()),
            Compression::Gzip => ParquetCompression::GZIP(Default::default()),
            Compression::Zstd => ParquetCompression::ZSTD(Default::default()),
        }
    }
}

/// Writes batches in one format.
pub trait RowWriter: Send {
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

    /// The extension of a file of this format, with that of its packing.
    pub fn extension(self, options: &FileOptions) -> String {
        let plain = match self {
            Format::Table | Format::Box | Format::Line => "txt",
            Format::Markdown => "md",
            other => other.name(),
        };
        match options.compression {
            Some(Compression::Gzip) if !self.is_binary() => format!("{plain}.gz"),
            Some(Compression::Zstd) if !self.is_binary() => format!("{plain}.zst"),
            _ => plain.to_string(),
        }
    }

    /// Looks at a file that was written: whether it can be read, as far as that is cheap to tell.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(self, path: &Path, row_count: u64) -> io::Result<()> {
        if self != Format::Parquet {
            return Ok(());
        }
        let file = std::fs::File::open(path)?;
        let footer =
            ParquetMetaDataReader::new().parse_and_finish(&file).map_err(io::Error::other)?;
        let found = footer.file_metadata().num_rows();
        if u64::try_from(found) == Ok(row_count) {
            return Ok(());
        }
        Err(io::Error::other(format!("{row_count} rows were written, the file says {found}")))
    }

    /// A writer of this format into a file.
    ///
    /// # Errors
    /// When the header cannot be written, or the schema has types that the format lacks.
    pub fn file_writer<'a>(
        self,
        out: Box<dyn Write + Send + 'a>,
        schema: &SchemaRef,
        options: &FileOptions,
    ) -> io::Result<Box<dyn RowWriter + 'a>> {
        match self {
            Format::Csv | Format::Tsv => {
                let out = BufWriter::with_capacity(1 << 16, out);
                let delimiter = if self == Format::Tsv { b'\t' } else { b',' };
                let delimiter = options.delimiter.unwrap_or(delimiter);
                let written =
                    Delimited::new(out, delimiter, schema, !options.no_header, &options.null_text)?;
                Ok(Box::new(written))
            }
            Format::Parquet => {
                let out = BufWriter::with_capacity(1 << 16, out);
                Ok(Box::new(Parquet::new(out, schema, properties(options))?))
            }
            _ => {
                let table = TableOptions { rows_max: usize::MAX, ..TableOptions::default() };
                self.writer(out, schema, &table, true)
            }
        }
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
            Format::Csv => Box::new(Delimited::new(out, b',', schema, true, "")?),
            Format::Tsv => Box::new(Delimited::new(out, b'\t', schema, true, "")?),
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
                Box::new(Parquet::new(out, schema, properties(&FileOptions::default()))?)
            }
        })
    }
}

/// How Parquet is written: Zstandard pages unless told otherwise.
fn properties(options: &FileOptions) -> WriterProperties {
    let compression = options.compression.unwrap_or(Compression::Zstd);
    let mut builder = WriterProperties::builder()
        .set_compression(compression.of_pages())
        .set_created_by(concat!("swath ", env!("CARGO_PKG_VERSION")).to_string());
    if let Some(rows) = options.row_group_rows {
        builder = builder.set_max_row_group_row_count(Some(rows));
    }
    if let Some(len) = options.row_group_len_bytes {
        builder = builder.set_max_row_group_bytes(Some(len));
    }
    for column in &options.bloom_filters {
        let path = ColumnPath::from(column.as_str());
        builder = builder.set_column_bloom_filter_enabled(path, true);
    }
    builder.build()
}

struct ArrowFile<W: Write>(FileWriter<W>);

impl<W: Write + Send> RowWriter for ArrowFile<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.0.write(batch).map_err(io::Error::other)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.finish().map_err(io::Error::other)?;
        self.0.into_inner().map_err(io::Error::other)?.flush()
    }
}

struct ArrowStream<W: Write>(StreamWriter<W>);

impl<W: Write + Send> RowWriter for ArrowStream<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.0.write(batch).map_err(io::Error::other)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.finish().map_err(io::Error::other)?;
        self.0.into_inner().map_err(io::Error::other)?.flush()
    }
}
