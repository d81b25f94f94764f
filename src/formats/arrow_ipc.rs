//! Arrow IPC: the file format (`ARROW1`) and the stream format.

use std::io::{Cursor, Read};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, new_null_array,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::{FileReader, StreamReader};

use super::compression::Compression;
use super::csv::decode::strict_cast;
use super::file::SourceFile;
use super::one_nan::one_nan;
use super::{FileColumn, FileLayout, Format, Found, ReadRequest, Rows, Wanted};
use crate::error::{Error, Place, Result};
use crate::notes::Counts;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// Reads the schema of an Arrow file.
///
/// # Errors
/// When the file is no Arrow IPC.
pub fn inspect(file: &Arc<SourceFile>, compression: Compression) -> Result<FileLayout> {
    let (schema, _) = batches(file, compression)?;
    let columns = schema
        .fields()
        .iter()
        .map(|field| FileColumn {
            name: field.name().clone(),
            found: Found::Typed(field.data_type().clone()),
        })
        .collect();
    Ok(FileLayout {
        format: Format::Arrow,
        compression,
        columns,
        csv: None,
        parquet: None,
        notes: Vec::new(),
    })
}

fn batches(file: &Arc<SourceFile>, compression: Compression) -> Result<(SchemaRef, Batches)> {
    let fail = |error: ArrowError| {
        Error::data(format!("not a readable Arrow file: {error}")).at(Place::file(&file.name))
    };
    let io = |error: std::io::Error| Error::io("read", &file.name, &error);
    let mut bytes = compression.decode(file.read_all()?).map_err(io)?;
    let mut magic = [0; 6];
    bytes.read_exact(&mut magic).map_err(io)?;
    let mut bytes = Cursor::new(magic).chain(bytes);
    if &magic == b"ARROW1" {
        // The footer stands at the end: the whole file is needed.
        let mut all = Vec::new();
        bytes.read_to_end(&mut all).map_err(io)?;
        let reader = FileReader::try_new(Cursor::new(all), None).map_err(fail)?;
        return Ok((reader.schema(), Box::new(reader)));
    }
    let reader = StreamReader::try_new(bytes, None).map_err(fail)?;
    Ok((reader.schema(), Box::new(reader)))
}

/// Opens an Arrow file for reading.
///
/// # Errors
/// When the file cannot be opened, or changed since it was listed.
pub fn open(
    file: &Arc<SourceFile>,
    layout: &FileLayout,
    request: &Arc<ReadRequest>,
) -> Result<Rows> {
    let (_, batches) = batches(file, layout.compression)?;
    let sources: Vec<_> = request.columns.iter().map(|wanted| layout.source_of(wanted)).collect();
    let (name, request) = (file.name.clone(), Arc::clone(request));
    let mut rows_before = 0;
    Ok(Box::new(batches.map(move |batch| {
        let fail = |error: ArrowError| Error::data(error.to_string()).at(Place::file(&name));
        let batch = batch.map_err(fail)?;
        let start = rows_before;
        rows_before += batch.num_rows() as i64;
        Counts::bump(&request.notes.counts().rows_read, batch.num_rows() as u64);
        map_columns(&batch, &request, &sources, start).map_err(fail)
    })))
}

/// The wanted columns of a batch, cast to the wanted types.
pub(super) fn map_columns(
    batch: &RecordBatch,
    request: &ReadRequest,
    sources: &[Option<usize>],
    rows_before: i64,
) -> Result<RecordBatch, ArrowError> {
    let row_count = batch.num_rows();
    let arrays = request
        .columns
        .iter()
        .zip(sources)
        .zip(request.schema.fields())
        .map(|((wanted, source), field)| match (wanted, source) {
            (Wanted::RowNumber, _) => {
                let numbers = rows_before..rows_before + row_count as i64;
                Ok(Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef)
            }
            (Wanted::Column(_), None) => Ok(new_null_array(field.data_type(), row_count)),
            (Wanted::Column(_), Some(idx)) => {
                let array = one_nan(batch.column(*idx));
                if array.data_type() == field.data_type() {
                    Ok(array)
                } else {
                    strict_cast(&array, field.data_type())
                }
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(row_count));
    RecordBatch::try_new_with_options(Arc::clone(&request.schema), arrays, &options)
}
