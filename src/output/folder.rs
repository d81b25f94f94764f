//! Folders of files: rows that come sorted by their partition keys go into one file after the other.
//!
//! Only one file is open at a time, so memory does not grow with the number of partitions.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, partition};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::commit::{Commit, IfExists};
use super::file::OutputFile;
use super::sink::{FileOptions, Format, RowWriter};
use crate::error::{Error, Result};

/// The folder of rows whose key is NULL.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";
/// What Hive writes as `%XX` in the name of a folder.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'\'')
    .add(b'*')
    .add(b'/')
    .add(b':')
    .add(b'=')
    .add(b'?')
    .add(b'\\')
    .add(b'{')
    .add(b'}')
    .add(b'[')
    .add(b']')
    .add(b'^');

/// How rows go into a folder.
#[derive(Debug, Clone, Default)]
pub struct FolderOptions {
    /// What to do when it holds files.
    pub if_exists: IfExists,
    /// The name of what is written, so that writing it again changes nothing.
    pub batch: Option<String>,
    /// Files are ended at about this length.
    pub file_len_bytes: Option<u64>,
    /// Whether partition keys are columns of the files, too.
    pub keeps_keys: bool,
}

/// One file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its path.
    pub path: String,
    /// Rows in it.
    pub row_count: u64,
    /// Its length.
    pub len_bytes: u64,
    /// Its partition, `year=2024/month=1`.
    pub partition: String,
}

/// Writes rows into a folder, which shows none of them before the end.
pub struct FolderWriter {
    commit: Commit,
    format: Format,
    extension: String,
    file: FileOptions,
    options: FolderOptions,
    schema: SchemaRef,
    /// Names and positions of the partition keys.
    keys: Vec<(String, usize)>,
    /// The columns that go into files.
    columns: Vec<usize>,
    open: Option<OpenFile>,
    written: Vec<Written>,
}

/// The file that is being written.
struct OpenFile {
    folder: String,
    file: OutputFile,
    writer: Box<dyn RowWriter>,
    row_count: u64,
    len_bytes: Arc<AtomicU64>,
}

impl FolderWriter {
    /// Starts to write rows of a schema, whose columns `keys` name the folders; None if this batch
    /// is in already.
    ///
    /// # Errors
    /// When the folder cannot be written to, holds files that must stay, or no column is left.
    pub fn begin(
        target: &Path,
        format: Format,
        file: FileOptions,
        options: FolderOptions,
        schema: SchemaRef,
        keys: Vec<usize>,
    ) -> Result<Option<Self>> {
        let is_key = |column: &usize| keys.contains(column) && !options.keeps_keys;
        let columns: Vec<usize> =
            (0..schema.fields().len()).filter(|column| !is_key(column)).collect();
        if columns.is_empty() {
            return Err(Error::sql("no column is left for the files: all are partition keys"));
        }
        let batch = options.batch.as_deref();
        let Some(commit) = Commit::begin(target, options.if_exists, batch)? else {
            return Ok(None);
        };
        let keys = keys.into_iter().map(|at| (schema.field(at).name().clone(), at)).collect();
        let extension = format.extension(&file);
        let (open, written) = (None, Vec::new());
        Ok(Some(FolderWriter {
            commit,
            format,
            extension,
            file,
            options,
            schema,
            keys,
            columns,
            open,
            written,
        }))
    }

    /// Takes in rows; those of one partition must follow each other.
    ///
    /// # Errors
    /// When the disk fails, or a value cannot be the name of a folder.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let arrow = |error: datafusion::arrow::error::ArrowError| Error::data(error.to_string());
        let rows = batch.project(&self.columns).map_err(arrow)?;
        if self.keys.is_empty() {
            return self.write_run("", &rows);
        }
        let keys: Vec<ArrayRef> =
            self.keys.iter().map(|(_, at)| Arc::clone(batch.column(*at))).collect();
        let texts = keys
            .iter()
            .map(|key| cast(key, &DataType::Utf8))
            .collect::<Result<Vec<_>, _>>()
            .map_err(arrow)?;
        for run in partition(&texts).map_err(arrow)?.ranges() {
            let folder: Vec<String> = self
                .keys
                .iter()
                .zip(&texts)
                .map(|((name, _), texts)| folder_name(name, texts, run.start))
                .collect();
            self.write_run(&folder.join("/"), &rows.slice(run.start, run.len()))?;
        }
        Ok(())
    }

    /// Writes rows of one partition.
    fn write_run(&mut self, folder: &str, rows: &RecordBatch) -> Result<()> {
        let len_max = self.options.file_len_bytes.unwrap_or(u64::MAX);
        let ends = self.open.as_ref().is_some_and(|open| {
            open.folder != folder || open.len_bytes.load(Ordering::Relaxed) >= len_max
        });
        if ends {
            self.end_file()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(Self::start_file(
                &mut self.commit,
                folder,
                (self.format, &self.extension, &self.file),
                &rows.schema(),
            )?),
        };
        open.writer.write(rows).map_err(|error| Error::cannot_write(open.file.target(), &error))?;
        open.row_count += rows.num_rows() as u64;
        Ok(())
    }

    fn start_file(
        commit: &mut Commit,
        folder: &str,
        (format, extension, options): (Format, &str, &FileOptions),
        schema: &SchemaRef,
    ) -> Result<OpenFile> {
        let file = commit.create(folder, extension)?;
        let handle = file.handle();
        let len_bytes = handle.len_bytes();
        let writer = format
            .file_writer(Box::new(handle), schema, options)
            .map_err(|error| Error::cannot_write(file.target(), &error))?;
        Ok(OpenFile { folder: folder.to_string(), file, writer, row_count: 0, len_bytes })
    }

    fn end_file(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let OpenFile { folder, file, writer, row_count, .. } = open;
        writer.finish().map_err(|error| Error::cannot_write(file.target(), &error))?;
        let len_bytes = file.check(self.format, row_count)?;
        file.publish()?;
        self.written.push(Written { path: String::new(), row_count, len_bytes, partition: folder });
        Ok(())
    }

    /// Makes all files appear and tells which; None if another writer got this batch in.
    ///
    /// # Errors
    /// When the disk fails; the folder is then as it was.
    pub fn finish(mut self) -> Result<Option<Vec<Written>>> {
        if self.keys.is_empty() && self.written.is_empty() && self.open.is_none() {
            // No rows: a file that says what their columns would be.
            let none = RecordBatch::new_empty(Arc::clone(&self.schema));
            self.write_run("", &none)?;
        }
        self.end_file()?;
        for (written, path) in self.written.iter_mut().zip(self.commit.paths()) {
            written.path = path.display().to_string();
        }
        Ok(self.commit.publish()?.then_some(self.written))
    }
}

/// `key=value`, so that a reader gets the value back.
fn folder_name(key: &str, texts: &ArrayRef, row: usize) -> String {
    let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
    let value = match texts.is_valid(row).then(|| texts.as_string::<i32>().value(row)) {
        None => NULL_FOLDER.to_string(),
        Some(NULL_FOLDER) => NULL_FOLDER.replacen('_', "%5F", 1),
        Some(text) => escaped(text),
    };
    format!("{}={value}", escaped(key))
}
