//! COPY ... TO and INSERT INTO 'folder': an answer into files, which appear when all are whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Column;
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::{CopyToSource, CopyToStatement, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{Statement as SqlStatement, Value};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

use crate::dataset::Dataset;
use crate::dataset::location::Places;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::Format as FileFormat;
use crate::notes::{NoteKind, Notes};
use crate::objects::{self, Objects};
use crate::output::commit::IfExists;
use crate::output::{
    Compression, FileOptions, FolderOptions, FolderWriter, Format, OutputFile, Written,
};

/// Batches that may wait for the disk.
const BATCHES_WAITING_MAX: usize = 4;
/// The options of COPY.
const OPTIONS: &str = "FORMAT, PARTITION_BY, OVERWRITE, APPEND, REPLACE_PARTITIONS, BATCH, \
     FILE_SIZE_BYTES, WRITE_PARTITION_COLUMNS, RETURN_STATS, COMPRESSION, ROW_GROUP_SIZE, \
     BLOOM_FILTER, DELIMITER, HEADER, NULLSTR";

/// Where the rows of a statement go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    path: PathBuf,
    format: Format,
    file: FileOptions,
    /// For many files.
    folder: Option<Folder>,
    returns_stats: bool,
    /// Where it lies, if its path is a URL.
    objects: Objects,
}

/// How rows go into a folder.
#[derive(Debug, Clone, Default)]
struct Folder {
    options: FolderOptions,
    /// The names of the partition keys.
    keys: Vec<String>,
    /// The columns that the folder's files have, keys last; rows are cast to them.
    columns: Option<Vec<Field>>,
}

impl Target {
    /// Reads the target and the query of a COPY.
    ///
    /// # Errors
    /// When an option is not known, the format cannot be told, or the target lies outside the roots.
    pub(super) fn of(copy: &CopyToStatement, places: &Places) -> Result<(Self, DfStatement)> {
        let path = match (copy.target.strip_prefix("~/"), &places.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(&copy.target),
        };
        let is_object = objects::is_url(&copy.target);
        if is_object {
            Objects::check_writable(&copy.target)?;
            places.roots.check_url(&copy.target)?;
        } else {
            places.roots.check(&path)?;
        }
        let mut format = copy.stored_as.clone();
        let mut file = FileOptions::default();
        let mut options = FolderOptions::default();
        let mut returns_stats = false;
        let mut is_folder =
            !copy.partitioned_by.is_empty() || copy.target.ends_with('/') || path.is_dir();
        for (name, value) in &copy.options {
            let value = OptionValue { name, value };
            match name.strip_prefix("format.").unwrap_or(name) {
                "format" => format = Some(value.text()),
                "overwrite" | "overwrite_or_ignore" if value.flag()? => {
                    options.if_exists = IfExists::Overwrite;
                    is_folder |= path.is_dir();
                }
                "append" if value.flag()? => {
                    (options.if_exists, is_folder) = (IfExists::Append, true);
                }
                "replace_partitions" if value.flag()? => {
                    (options.if_exists, is_folder) = (IfExists::ReplacePartitions, true);
                }
                "overwrite" | "overwrite_or_ignore" | "append" | "replace_partitions" => {}
                "batch" => (options.batch, is_folder) = (Some(value.text()), true),
                "file_size_bytes" => {
                    let len = value.len_bytes()?;
                    (options.file_len_bytes, is_folder) = (Some(len), true);
                    // A file ends between two row groups.
                    file.row_group_len_bytes =
                        Some(usize::try_from(len / 4).unwrap_or(usize::MAX).max(1 << 20));
                }
                "write_partition_columns" => options.keeps_keys = value.flag()?,
                "return_stats" => returns_stats = value.flag()?,
                "compression" | "codec" => {
                    let known = Compression::parse(&value.text());
                    let hint = "there are none, snappy, lz4, brotli, gzip, zstd";
                    let unknown = || value.wrong("the name of a compression").hint(hint);
                    file.compression = Some(known.ok_or_else(unknown)?);
                }
                "row_group_size" | "max_row_group_size" => {
                    let rows = usize::try_from(value.number()?).unwrap_or(usize::MAX);
                    file.row_group_rows = Some(rows.max(1));
                }
                "bloom_filter" => {
                    file.bloom_filters = value.text().split(',').map(str::to_string).collect();
                }
                "delim" | "delimiter" | "sep" => match value.text().as_bytes() {
                    [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => {
                        file.delimiter = Some(*byte);
                    }
                    br"\t" => file.delimiter = Some(b'\t'),
                    _ => return Err(value.wrong("one ASCII character")),
                },
                "header" | "has_header" => file.no_header = !value.flag()?,
                "nullstr" | "null" | "null_value" => file.null_text = value.text(),
                _ => {
                    return Err(Error::sql(format!("COPY has no option {name}"))
                        .hint(format!("there are {OPTIONS}")));
                }
            }
        }
        let format = match format {
            Some(name) if name.eq_ignore_ascii_case("ndjson") => Format::Jsonl,
            Some(name) => Format::parse(&name)?,
            // What is added is as what is there.
            None if is_folder => format_within(&path).unwrap_or(Format::Parquet),
            None => Format::of_path(&path)?,
        };
        check_fits(format, &file)?;
        if let (false, false, Some(_)) = (is_folder, format.is_binary(), file.compression) {
            // Text is packed by the name of its file, so that readers see it.
            let wanted = format.extension(&file);
            if !copy.target.ends_with(&format!(".{wanted}")) {
                let stem = path.with_extension("");
                let name = format!("{}.{wanted}", stem.display());
                return Err(Error::sql(format!("to pack it, name the file {name}")));
            }
        }
        let query = match &copy.source {
            CopyToSource::Query(query) => {
                DfStatement::Statement(Box::new(SqlStatement::Query(query.clone())))
            }
            CopyToSource::Relation(name) => {
                crate::plan::parse::parse(&format!("SELECT * FROM {name}"))?.remove(0).statement
            }
        };
        let keys = copy.partitioned_by.clone();
        if is_folder && is_object {
            return Err(Error::sql("an object store gets one object, not a folder of files")
                .hint("name the object: COPY ... TO 's3://bucket/result.parquet'")
                .hint("or write the folder to this machine, and copy it from there"));
        }
        let folder = is_folder.then_some(Folder { options, keys, columns: None });
        let objects = places.objects.clone();
        Ok((Target { path, format, file, folder, returns_stats, objects }, query))
    }

    /// More rows for a dataset that is one folder.
    ///
    /// # Errors
    /// When it is a file, or of a format that is not written.
    pub(super) fn into_dataset(path: PathBuf, dataset: &Dataset) -> Result<Self> {
        if !path.is_dir() {
            return Err(Error::sql(format!("rows cannot be added to {}", path.display()))
                .hint("a file is written as a whole, by COPY; name the folder to add one to it"));
        }
        let layouts = || dataset.files.iter().filter_map(|file| file.layout.as_ref().ok());
        let format = match layouts().map(|layout| layout.format).max() {
            Some(FileFormat::Csv) => Format::Csv,
            Some(FileFormat::Json) => Format::Jsonl,
            Some(FileFormat::Arrow) => Format::Arrow,
            Some(FileFormat::Parquet) | None => Format::Parquet,
        };
        let mut file = FileOptions::default();
        if let (Format::Csv, Some(csv)) = (format, layouts().find_map(|layout| layout.csv.as_ref()))
        {
            file.delimiter = csv.dialect.delimiter;
            file.no_header = !csv.dialect.header;
        }
        let keys: Vec<String> =
            dataset.partitions.fields.iter().map(|field| field.name().clone()).collect();
        let count = dataset.columns.len() + keys.len();
        let fields = dataset.schema.fields().iter().take(count);
        let columns = Some(fields.map(|field| field.as_ref().clone()).collect());
        let options = FolderOptions { if_exists: IfExists::Append, ..FolderOptions::default() };
        let folder = Some(Folder { options, keys, columns });
        let objects = Objects::default();
        Ok(Target { path, format, file, folder, returns_stats: false, objects })
    }

    /// Whether rows get the columns of a folder.
    pub(super) fn has_columns(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| folder.columns.is_some())
    }

    /// The plan whose rows can be written one after the other: columns as the folder has them, rows of
    /// one partition together, in the order of the query within.
    ///
    /// # Errors
    /// When a partition key is no column, or columns do not fit those of the folder.
    pub(super) fn shaped(
        &self,
        logical: LogicalPlan,
        into: &[String],
        headers: Option<&[Option<String>]>,
    ) -> Result<LogicalPlan> {
        let Some(folder) = &self.folder else { return Ok(logical) };
        let own = names(&logical, headers);
        let by_name = matches!(into, [only] if only == crate::plan::respell::BY_NAME);
        let into = if by_name { &own[..] } else { into };
        let logical = match &folder.columns {
            Some(columns) => cast_to(logical, columns, into)?,
            None => logical,
        };
        if folder.keys.is_empty() {
            return Ok(logical);
        }
        let headers = if folder.columns.is_some() { None } else { headers };
        let names = names(&logical, headers);
        let mut order = Vec::new();
        for at in positions(&folder.keys, &names)? {
            let (qualifier, field) = logical.schema().qualified_field(at);
            let column = Expr::Column(Column::from((qualifier, field)));
            order.push(SortExpr::new(column, true, true));
        }
        let input = match &logical {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                order.extend(sort.expr.iter().cloned());
                sort.input.as_ref().clone()
            }
            _ => logical,
        };
        Ok(LogicalPlanBuilder::from(input).sort(order)?.build()?)
    }

    /// Writes all rows and returns their count, or what is known of each file, as one batch.
    ///
    /// # Errors
    /// The first error of the rows or of the disk; the files are then as they were.
    pub(super) async fn write(
        self,
        schema: SchemaRef,
        notes: &Notes,
        batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
    ) -> Result<RecordBatch> {
        let returns_stats = self.returns_stats;
        let batch = self.folder.as_ref().and_then(|folder| folder.options.batch.clone());
        let writer = blocking(move || Writer::begin(&self, &schema)).await?;
        let written = match writer {
            Some(writer) => fill(writer, batches).await?,
            None => None,
        };
        let written = written.unwrap_or_else(|| {
            let batch = batch.unwrap_or_default();
            let message = format!("batch {batch:?} is in the folder already: nothing was written");
            notes.add(NoteKind::Duplicate, message);
            Vec::new()
        });
        if returns_stats {
            return statistics(&written);
        }
        counted(written.iter().map(|file| file.row_count as i64).sum())
    }
}

/// Hands batches to a writer on a thread of its own; None if another one got this batch in.
async fn fill(
    writer: Writer,
    mut batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
) -> Result<Option<Vec<Written>>> {
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
    let writing = tokio::task::spawn_blocking(move || writer.write_all(receiver));
    let mut failed = None;
    while let Some(batch) = batches.next().await {
        let part = match batch {
            Ok(batch) => Part::Rows(batch),
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        if sender.send(part).await.is_err() {
            // The writer has stopped: it says why.
            break;
        }
    }
    if failed.is_none() {
        let _ = sender.send(Part::End).await;
    }
    drop(sender);
    let written = writing.await.map_err(died)?;
    match failed {
        Some(error) => Err(error),
        None => written,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(died)?
}

fn died(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, format!("the writer died: {error}"))
}

/// Writes rows, and publishes them if they came to their end.
enum Writer {
    File { file: OutputFile, format: Format, rows: Box<dyn crate::output::RowWriter> },
    Folder(Box<FolderWriter>),
}

impl Writer {
    /// None if this batch is in already.
    fn begin(target: &Target, schema: &SchemaRef) -> Result<Option<Self>> {
        let format = target.format;
        if let Some(folder) = &target.folder {
            let names: Vec<String> =
                schema.fields().iter().map(|field| field.name().clone()).collect();
            let keys = positions(&folder.keys, &names)?;
            let (file, options) = (target.file.clone(), folder.options.clone());
            let schema = Arc::clone(schema);
            let writer = FolderWriter::begin(&target.path, format, file, options, schema, keys)?;
            return Ok(writer.map(|writer| Writer::Folder(Box::new(writer))));
        }
        let file = OutputFile::create(&target.path, &target.objects)?;
        let fail = |error: io::Error| Error::cannot_write(&target.path, &error);
        let rows =
            format.file_writer(Box::new(file.handle()), schema, &target.file).map_err(fail)?;
        Ok(Some(Writer::File { file, format, rows }))
    }

    fn write_all(mut self, mut parts: mpsc::Receiver<Part>) -> Result<Option<Vec<Written>>> {
        let mut row_count = 0;
        loop {
            match parts.blocking_recv() {
                Some(Part::Rows(batch)) => {
                    row_count += batch.num_rows() as u64;
                    match &mut self {
                        Writer::Folder(folder) => folder.write(&batch)?,
                        Writer::File { file, rows, .. } => {
                            rows.write(&batch)
                                .map_err(|error| Error::cannot_write(file.target(), &error))?;
                        }
                    }
                }
                Some(Part::End) => break,
                None => return Err(Error::new(ErrorKind::Interrupted, "interrupted")),
            }
        }
        match self {
            Writer::Folder(folder) => folder.finish(),
            Writer::File { file, format, rows } => {
                rows.finish().map_err(|error| Error::cannot_write(file.target(), &error))?;
                let len_bytes = file.check(format, row_count)?;
                let path = file.target().display().to_string();
                file.publish()?;
                let partition = String::new();
                Ok(Some(vec![Written { path, row_count, len_bytes, partition }]))
            }
        }
    }
}

/// What the writer gets; without an end nothing is published.
enum Part {
    Rows(RecordBatch),
    End,
}

/// One option of COPY.
struct OptionValue<'a> {
    name: &'a str,
    value: &'a Value,
}

impl OptionValue<'_> {
    fn text(&self) -> String {
        match self.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        }
    }

    fn wrong(&self, wanted: &str) -> Error {
        Error::sql(format!("{} must be {wanted}, found {}", self.name, self.text()))
    }

    fn flag(&self) -> Result<bool> {
        match self.text().to_lowercase().as_str() {
            "true" | "1" | "on" => Ok(true),
            "false" | "0" | "off" => Ok(false),
            _ => Err(self.wrong("true or false")),
        }
    }

    fn number(&self) -> Result<u64> {
        self.text().parse().map_err(|_| self.wrong("a whole number"))
    }

    fn len_bytes(&self) -> Result<u64> {
        crate::units::parse_bytes(&self.text())
            .map_err(|_| self.wrong("a size such as 256MB"))
            .map(|len| len as u64)
    }
}

/// The format of the first file in a folder, by its name.
fn format_within(folder: &Path) -> Option<Format> {
    let listing = std::fs::read_dir(folder).ok()?;
    let mut paths: Vec<PathBuf> = listing
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
        })
        .collect();
    paths.sort();
    paths.iter().find_map(|path| {
        if path.is_dir() { format_within(path) } else { Format::of_path(path).ok() }
    })
}

/// An option that a format would ignore is a mistake.
fn check_fits(format: Format, file: &FileOptions) -> Result<()> {
    let is_csv = matches!(format, Format::Csv | Format::Tsv);
    let of_csv = file.delimiter.is_some() || file.no_header || !file.null_text.is_empty();
    let of_parquet = file.row_group_rows.is_some() || !file.bloom_filters.is_empty();
    let wrong = |what: &str| {
        Err(Error::sql(format!("{what} means nothing to {}", format.name()))
            .hint("leave it out, or name another FORMAT"))
    };
    if of_csv && !is_csv {
        return wrong("DELIMITER, HEADER or NULLSTR");
    }
    if of_parquet && format != Format::Parquet {
        return wrong("ROW_GROUP_SIZE or BLOOM_FILTER");
    }
    match file.compression {
        Some(Compression::Snappy | Compression::Lz4 | Compression::Brotli)
            if format != Format::Parquet =>
        {
            wrong("this compression")
        }
        Some(_) if format == Format::Arrow => wrong("COMPRESSION"),
        _ => Ok(()),
    }
}

/// The names of a plan's columns, as their user knows them.
fn names(logical: &LogicalPlan, headers: Option<&[Option<String>]>) -> Vec<String> {
    let fields = logical.schema().fields();
    let header = |at: usize| headers.filter(|headers| headers.len() == fields.len())?[at].clone();
    (0..fields.len()).map(|at| header(at).unwrap_or_else(|| fields[at].name().clone())).collect()
}

/// Where columns stand; names match without regard to case.
fn positions(wanted: &[String], names: &[String]) -> Result<Vec<usize>> {
    let position = |wanted: &String| {
        names.iter().position(|name| name.eq_ignore_ascii_case(wanted)).ok_or_else(|| {
            Error::sql(format!("there is no column {wanted} to partition by"))
                .hint(format!("the columns are {}", names.join(", ")))
        })
    };
    wanted.iter().map(position).collect()
}

/// The columns of a plan as those of a folder: by the names in `into`, or else by position.
fn cast_to(logical: LogicalPlan, columns: &[Field], into: &[String]) -> Result<LogicalPlan> {
    let schema = Arc::clone(logical.schema());
    let names: Vec<String> = columns.iter().map(|column| column.name().clone()).collect();
    let into = if into.is_empty() { &names[..] } else { into };
    if schema.fields().len() != into.len() {
        return Err(Error::sql(format!(
            "the query has {} columns, {} are to be filled",
            schema.fields().len(),
            into.len()
        ))
        .hint(format!("the columns are {}", names.join(", "))));
    }
    for name in into {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(Error::sql(format!("the folder has no column {name}"))
                .hint(format!("the columns are {}", names.join(", "))));
        }
    }
    let mut filled = Vec::new();
    for column in columns {
        let at = into.iter().position(|name| name.eq_ignore_ascii_case(column.name()));
        let value = match at {
            Some(at) => Expr::Column(Column::from(schema.qualified_field(at))),
            None => datafusion::logical_expr::lit(datafusion::scalar::ScalarValue::Null),
        };
        filled.push(value.cast_to(column.data_type(), &schema)?.alias(column.name()));
    }
    Ok(LogicalPlanBuilder::from(logical).project(filled)?.build()?)
}

fn counted(row_count: i64) -> Result<RecordBatch> {
    let counts: ArrayRef = Arc::new(Int64Array::from(vec![row_count]));
    answer(vec![("count", counts)])
}

fn statistics(written: &[Written]) -> Result<RecordBatch> {
    let texts = |text: fn(&Written) -> &str| -> ArrayRef {
        Arc::new(StringArray::from(written.iter().map(text).collect::<Vec<_>>()))
    };
    let numbers = |number: fn(&Written) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(written.iter().map(|file| number(file) as i64)))
    };
    answer(vec![
        ("filename", texts(|file| &file.path)),
        ("count", numbers(|file| file.row_count)),
        ("file_size_bytes", numbers(|file| file.len_bytes)),
        ("partition", texts(|file| &file.partition)),
    ])
}

fn answer(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let field = |(name, array): &(&str, ArrayRef)| {
        Field::new(*name, array.data_type().clone(), array.data_type() == &DataType::Null)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(schema), arrays)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}
