//! Values as text, the same in every text format.

use std::io;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};

fn format_options() -> FormatOptions<'static> {
    FormatOptions::default()
        .with_display_error(false)
        // Within lists and structs; a NULL of its own is for the format to show.
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"))
        .with_duration_format(DurationFormat::Pretty)
}

/// Formats the values of one column of a batch.
pub(crate) struct Values<'a> {
    array: &'a dyn Array,
    formatter: ArrayFormatter<'a>,
}

impl<'a> Values<'a> {
    pub(crate) fn new(array: &'a ArrayRef) -> io::Result<Self> {
        let options = format_options();
        let formatter =
            ArrayFormatter::try_new(array.as_ref(), &options).map_err(io::Error::other)?;
        Ok(Values { array, formatter })
    }

    /// All columns of a batch.
    pub(crate) fn of(batch: &'a RecordBatch) -> io::Result<Vec<Self>> {
        batch.columns().iter().map(Values::new).collect()
    }

    /// The text of a row's value; `None` is NULL.
    pub(crate) fn get(&self, row: usize) -> io::Result<Option<String>> {
        if self.array.is_null(row) || *self.array.data_type() == DataType::Null {
            return Ok(None);
        }
        self.formatter.value(row).try_to_string().map(Some).map_err(io::Error::other)
    }
}

/// Whether a column's values stand to the right.
pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// The names of the columns.
pub(super) fn names(schema: &SchemaRef) -> Vec<&str> {
    schema.fields().iter().map(|field| field.name().as_str()).collect()
}
