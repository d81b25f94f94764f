//! Formats: the bytes of one file into record batches.
//!
//! Invariant: a format sees one file. It knows nothing of datasets, partitions or sessions; what it
//! is to produce it learns from a [`ReadRequest`], what it found out it tells in a [`FileLayout`].

pub mod arrow_ipc;
pub mod compression;
pub mod csv;
pub mod encoding;
pub mod file;
pub mod json;
pub mod one_nan;
pub mod parquet;
pub mod source;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use serde::{Deserialize, Serialize};

use self::compression::Compression;
use self::csv::decode::ColumnSpec;
use self::csv::dialect::CsvOptions;
use self::csv::learned::Learner;
use self::csv::reject::Rejects;
use self::csv::types::Evidence;
use self::csv::{CsvLayout, Depth, Piece};
use self::file::SourceFile;
use self::parquet::ParquetLayout;
use crate::error::{Error, Place, Result};
use crate::notes::{NoteKind, Notes};

/// How the bytes of a file are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Format {
    /// Delimited text.
    Csv,
    /// JSON objects, one after the other or in an array.
    Json,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC, file or stream.
    Arrow,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Csv => "CSV",
            Format::Json => "JSON",
            Format::Parquet => "Parquet",
            Format::Arrow => "Arrow",
        })
    }
}

/// One column as one file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileColumn {
    /// The name in the file.
    pub name: String,
    /// What is known of its type.
    pub found: Found,
}

/// What is known of a column's type.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Found {
    /// The values say it.
    Sniffed(Evidence),
    /// The file says it; not kept between processes. (Last: formats that count variants count only
    /// those that are kept.)
    #[serde(skip)]
    Typed(DataType),
}

/// What was found out about one file without reading all of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileLayout {
    /// The format.
    pub format: Format,
    /// How it is packed.
    pub compression: Compression,
    /// Its columns in file order.
    pub columns: Vec<FileColumn>,
    /// For CSV: dialect and start of the data.
    pub csv: Option<CsvLayout>,
    /// For Parquet: the footer.
    #[serde(skip)]
    pub parquet: Option<ParquetLayout>,
    /// What was guessed.
    pub notes: Vec<(NoteKind, String)>,
}

impl FileLayout {
    /// Whether tasks may start reading in the middle.
    pub fn is_splittable(&self) -> bool {
        self.compression == Compression::None
            && self
                .csv
                .as_ref()
                .is_some_and(|csv| csv.dialect.is_splittable() && csv.dialect.escape.is_none())
    }

    /// The position in the file of a wanted column.
    fn source_of(&self, wanted: &Wanted) -> Option<usize> {
        let Wanted::Column(spec) = wanted else { return None };
        self.position_of(&spec.name)
    }

    /// The position of a column in the file; names match without regard to case.
    pub fn position_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name).or_else(|| {
            let lower = name.to_lowercase();
            self.columns.iter().position(|column| column.name.to_lowercase() == lower)
        })
    }
}

/// One column that a reader is to produce.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// A column of the file; NULL where the file has none of that name.
    Column(ColumnSpec),
    /// The number of the row in its file, from 0 as in DuckDB.
    RowNumber,
}

/// What a reader is to produce.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The dataset's number, for errors that ask for a wider type.
    pub dataset: u64,
    /// The schema of the batches: one field for each wanted column.
    pub schema: SchemaRef,
    /// The columns.
    pub columns: Vec<Wanted>,
    /// Rows of a batch at most.
    pub batch_rows: usize,
    /// Rows for which this is not true need not be produced; over the columns of `schema`.
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    /// Columns that are decoded only to find rows that must be left out.
    pub checked: Vec<ColumnSpec>,
    /// Where rows that are left out go.
    pub rejects: Arc<Rejects>,
    /// Where counts and notes go.
    pub notes: Notes,
}

/// Batches of one file.
pub type Rows = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// What the user said about reading, whatever the format.
#[derive(Debug, Clone, Default)]
pub struct FormatOptions {
    /// The format, from `read_csv` and the like; else the content decides.
    pub format: Option<Format>,
    /// Options of CSV.
    pub csv: CsvOptions,
}

/// Looks at a file: its format, packing, columns and what is needed to read it.
///
/// # Errors
/// When it cannot be read or is of no known format.
pub fn inspect(
    file: &Arc<SourceFile>,
    options: &FormatOptions,
    depth: Depth,
) -> Result<FileLayout> {
    // The end of such an object tells more than its head, and each costs a request.
    let head = match file.as_object() {
        Some(object) if says_parquet(&object.name) => Vec::new(),
        _ => file.head(4096)?,
    };
    let compression = Compression::detect(&head);
    let head =
        if compression == Compression::None { head } else { unpacked_head(file, compression)? };
    let found = detect(&head, &file.name);
    if let Some(wanted) = options.format
        && wanted != found
        && (matches!(found, Format::Parquet | Format::Arrow)
            || matches!(wanted, Format::Parquet | Format::Arrow))
    {
        return Err(Error::data(format!("this is no {wanted} file, it looks like {found}"))
            .at(Place::file(&file.name))
            .hint("leave the format to swath: FROM 'path'"));
    }
    match options.format.unwrap_or(found) {
        Format::Csv => csv::inspect(file, compression, &options.csv, depth),
        Format::Json => json::inspect(file, compression),
        Format::Arrow => arrow_ipc::inspect(file, compression),
        Format::Parquet => parquet::inspect(file, compression),
    }
}

fn unpacked_head(file: &Arc<SourceFile>, compression: Compression) -> Result<Vec<u8>> {
    use std::io::Read;
    let raw = file.head(256 * 1024)?;
    let mut head = Vec::new();
    let result = compression
        .decode(Box::new(std::io::Cursor::new(raw)))
        .and_then(|reader| reader.take(4096).read_to_end(&mut head));
    match result {
        Err(error) if head.is_empty() => {
            Err(Error::data(format!("cannot decompress: {error}")).at(Place::file(&file.name)))
        }
        _ => Ok(head),
    }
}

fn says_parquet(name: &str) -> bool {
    name.ends_with(".parquet") || name.ends_with(".parq")
}

/// Whether a name says JSON; a list of numbers could be a line of CSV otherwise.
fn says_json(name: &str) -> bool {
    let packed = [".gz", ".zst", ".bz2", ".xz"].iter().find_map(|end| name.strip_suffix(end));
    let name = packed.unwrap_or(name);
    [".json", ".jsonl", ".ndjson"].iter().any(|end| name.ends_with(end))
}

/// The format by content; the name only helps where text could be two things.
fn detect(head: &[u8], name: &str) -> Format {
    if head.starts_with(b"PAR1") || head.starts_with(b"PARE") || says_parquet(name) {
        return Format::Parquet;
    }
    if head.starts_with(b"ARROW1") || head.starts_with(&[0xff, 0xff, 0xff, 0xff]) {
        return Format::Arrow;
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    if json::looks_like_json(&text[start..]) || says_json(name) && start < text.len() {
        return Format::Json;
    }
    Format::Csv
}

/// Opens a file, or a piece of it, for reading; Parquet goes through its own source instead.
///
/// # Errors
/// When the file cannot be opened or changed since it was listed.
pub fn open(
    file: &Arc<SourceFile>,
    layout: &FileLayout,
    piece: Option<&Piece>,
    learner: Option<&Arc<Learner>>,
    request: &Arc<ReadRequest>,
) -> Result<Rows> {
    match (layout.format, &layout.csv) {
        (Format::Csv, Some(csv)) => csv::open(file, layout, csv, piece, learner, request),
        (Format::Json, _) => json::open(file, layout, request),
        (Format::Arrow, _) => arrow_ipc::open(file, layout, request),
        _ => Err(Error::new(
            crate::error::ErrorKind::Internal,
            format!("{} files are not read as rows", layout.format),
        )),
    }
}
