//! What there is at a location: `FROM files('path')`, `FROM partitions('path')` and
//! `FROM parquet_metadata('path')`. Nothing but heads and footers is read.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampSecondArray, UInt64Array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::scalar::ScalarValue;
use parquet::file::statistics::Statistics;

use super::{Dataset, DatasetFile};
use crate::error::Result;
use crate::formats::parquet::ParquetLayout;

/// One row for each file.
///
/// # Errors
/// None that a user can cause.
pub fn files_table(dataset: &Dataset) -> Result<RecordBatch, ArrowError> {
    let files = &dataset.files;
    let layout = |file: &DatasetFile| file.layout.clone().ok();
    let modified = files
        .iter()
        .map(|file| i64::try_from(file.source.identity.modified_ns / 1_000_000_000).ok());
    RecordBatch::try_from_iter_with_nullable([
        ("file", texts(files, |file| Some(file.source.name.clone())), false),
        ("bytes", numbers(files, |file| Some(file.source.identity.len)), true),
        ("rows", numbers(files, known_rows), true),
        ("format", texts(files, |file| Some(layout(file)?.format.to_string())), true),
        ("modified", Arc::new(modified.collect::<TimestampSecondArray>()), true),
        (
            "compression",
            texts(files, |file| Some(format!("{:?}", layout(file)?.compression).to_lowercase())),
            true,
        ),
        ("columns", numbers(files, |file| Some(layout(file)?.columns.len() as u64)), true),
        ("partition", texts(files, |file| partition_of(dataset, file)), true),
        (
            "problem",
            texts(files, |file| Some(file.layout.as_ref().err()?.message().to_string())),
            true,
        ),
    ])
}

/// Rows in a file, where its footer or an earlier pass over all of it says.
fn known_rows(file: &DatasetFile) -> Option<u64> {
    let footer = file.layout.as_ref().ok()?.parquet.as_ref();
    footer.map(ParquetLayout::row_count).or_else(|| Some(file.learned.as_ref()?.row_count()))
}

/// `year=2024/month=1`, or None outside of partitions.
fn partition_of(dataset: &Dataset, file: &DatasetFile) -> Option<String> {
    let fields = dataset.partitions.fields.iter();
    let pairs: Vec<String> = fields
        .zip(&file.partition_values)
        .map(|(field, value)| format!("{}={value}", field.name()))
        .collect();
    (!pairs.is_empty()).then(|| pairs.join("/"))
}

/// One row for each partition: its keys, and how much lies in it.
///
/// # Errors
/// When the location has no partitions.
pub fn partitions_table(dataset: &Dataset) -> Result<RecordBatch, DataFusionError> {
    let fields = &dataset.partitions.fields;
    if fields.is_empty() {
        let error =
            crate::error::Error::data("there are no partitions: no folder is named key=value")
                .hint("files('path') lists the files");
        return Err(error.into());
    }
    let mut found: Vec<(Vec<ScalarValue>, u64, u64)> = Vec::new();
    let mut positions = std::collections::HashMap::new();
    for file in &dataset.files {
        let at = *positions.entry(file.partition_values.clone()).or_insert_with(|| {
            found.push((file.partition_values.clone(), 0, 0));
            found.len() - 1
        });
        found[at].1 += 1;
        found[at].2 += file.source.identity.len;
    }
    let mut columns: Vec<(&str, ArrayRef, bool)> = Vec::new();
    for (idx, field) in fields.iter().enumerate() {
        let values = ScalarValue::iter_to_array(found.iter().map(|row| row.0[idx].clone()))?;
        columns.push((field.name(), cast(&values, field.data_type())?, true));
    }
    let counts =
        |of: fn(&(Vec<ScalarValue>, u64, u64)) -> u64| numbers(&found, |row| Some(of(row)));
    columns.push(("files", counts(|row| row.1), true));
    columns.push(("bytes", counts(|row| row.2), true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// One row for each column of each row group of the Parquet files.
///
/// # Errors
/// None that a user can cause.
pub fn parquet_table(dataset: &Dataset) -> Result<RecordBatch, ArrowError> {
    struct Chunk<'a> {
        file: &'a str,
        group: usize,
        group_rows: i64,
        column: &'a parquet::file::metadata::ColumnChunkMetaData,
    }
    let mut chunks = Vec::new();
    for file in &dataset.files {
        let Ok(layout) = &file.layout else { continue };
        let Some(footer) = &layout.parquet else { continue };
        for (group, of) in footer.metadata.row_groups().iter().enumerate() {
            let (file, group_rows) = (file.source.name.as_str(), of.num_rows());
            let columns = of.columns().iter();
            chunks.extend(columns.map(|column| Chunk { file, group, group_rows, column }));
        }
    }
    let number = |of: &dyn Fn(&Chunk<'_>) -> Option<i64>| -> ArrayRef {
        Arc::new(chunks.iter().map(of).collect::<Int64Array>())
    };
    let text = |of: &dyn Fn(&Chunk<'_>) -> Option<String>| texts(&chunks, of);
    RecordBatch::try_from_iter_with_nullable([
        ("file", text(&|chunk| Some(chunk.file.to_string())), false),
        ("row_group", number(&|chunk| i64::try_from(chunk.group).ok()), true),
        ("row_group_rows", number(&|chunk| Some(chunk.group_rows)), true),
        ("column", text(&|chunk| Some(chunk.column.column_path().string())), true),
        ("type", text(&|chunk| Some(chunk.column.column_type().to_string())), true),
        (
            "encodings",
            text(&|chunk| {
                let encodings = chunk.column.encodings().map(|encoding| encoding.to_string());
                Some(encodings.collect::<Vec<_>>().join(", "))
            }),
            true,
        ),
        (
            "compression",
            text(&|chunk| {
                let name = chunk.column.compression().to_string().to_lowercase();
                Some(name.split('(').next().unwrap_or_default().to_string())
            }),
            true,
        ),
        ("values", number(&|chunk| Some(chunk.column.num_values())), true),
        (
            "nulls",
            number(&|chunk| i64::try_from(chunk.column.statistics()?.null_count_opt()?).ok()),
            true,
        ),
        ("min", text(&|chunk| bound(chunk.column.statistics()?, false)), true),
        ("max", text(&|chunk| bound(chunk.column.statistics()?, true)), true),
        ("compressed_bytes", number(&|chunk| Some(chunk.column.compressed_size())), true),
        ("uncompressed_bytes", number(&|chunk| Some(chunk.column.uncompressed_size())), true),
        (
            "bloom_filter",
            text(&|chunk| chunk.column.bloom_filter_offset().map(|_| "yes".into())),
            true,
        ),
    ])
}

/// A bound as the file stores it: dates and decimals are numbers here.
fn bound(statistics: &Statistics, is_max: bool) -> Option<String> {
    macro_rules! shown {
        ($typed:expr) => {
            if is_max { $typed.max_opt() } else { $typed.min_opt() }.map(ToString::to_string)
        };
    }
    match statistics {
        Statistics::Boolean(typed) => shown!(typed),
        Statistics::Int32(typed) => shown!(typed),
        Statistics::Int64(typed) => shown!(typed),
        Statistics::Float(typed) => shown!(typed),
        Statistics::Double(typed) => shown!(typed),
        Statistics::Int96(_) => None,
        Statistics::ByteArray(_) | Statistics::FixedLenByteArray(_) => {
            let bytes =
                if is_max { statistics.max_bytes_opt() } else { statistics.min_bytes_opt() };
            Some(String::from_utf8_lossy(bytes?).into_owned())
        }
    }
}

/// A column of texts.
pub(super) fn texts<T>(rows: &[T], of: impl Fn(&T) -> Option<String>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<StringArray>())
}

/// A column of counts.
pub(super) fn numbers<T>(rows: &[T], of: impl Fn(&T) -> Option<u64>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<UInt64Array>())
}
