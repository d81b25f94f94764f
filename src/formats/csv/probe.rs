//! Reading one text in every way that there is: what tests and fuzzing compare.

use std::io::Read;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::binary;

use super::decode::ColumnSpec;
use super::dialect::{Dialect, Ragged};
use super::reader::{CsvReader, Input, LinesBefore, RECORD_LEN_MAX_BYTES};
use super::reject::{OnError, Rejects};
use crate::formats::{ReadRequest, Wanted};

/// Hands out a few bytes at a time, so that buffers end anywhere.
struct Trickle(std::io::Cursor<Vec<u8>>, usize);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = buffer.len().min(self.1);
        self.0.read(&mut buffer[..len])
    }
}

/// The ways to read a text.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// What rows of another length are.
    pub ragged: Ragged,
    /// What values are that do not fit.
    pub on_error: OnError,
    /// Whether the scanner may vouch for records.
    pub with_scanner: bool,
    /// Tries `a >= 5` first.
    pub with_prefilter: bool,
}

fn request(how: How) -> ReadRequest {
    let names = ["a", "b", "c"];
    let types = [DataType::Int64, DataType::Utf8View, DataType::Float64];
    let fields: Vec<_> = names
        .iter()
        .zip(&types)
        .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
        .chain([Field::new("row", DataType::Int64, false)])
        .collect();
    let columns = names
        .iter()
        .zip(&types)
        .map(|(name, data_type)| Wanted::Column(ColumnSpec::new(*name, data_type.clone())))
        .chain([Wanted::RowNumber])
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let predicate = how.with_prefilter.then(|| {
        let column = datafusion::physical_expr::expressions::col("a", &schema).expect("there");
        let five = datafusion::physical_expr::expressions::lit(5_i64);
        binary(column, Operator::GtEq, five, &schema).expect("of one type")
    });
    ReadRequest {
        dataset: 0,
        schema,
        columns,
        batch_rows: 3,
        predicate,
        checked: Vec::new(),
        rejects: Arc::new(Rejects::listed()),
        notes: crate::notes::Notes::default(),
    }
}

/// Reads columns `a` (BIGINT), `b` (VARCHAR) and `c` (DOUBLE), `step` bytes at a time: all rows as `a` and the whole row, or the error with its place; then what was left out.
pub fn read(text: &[u8], step: usize, end: u64, how: How) -> (Vec<(Option<i64>, String)>, String) {
    let request = request(how);
    let input = Input {
        bytes: Box::new(Trickle(std::io::Cursor::new(text.to_vec()), step)),
        start: 0,
        end,
        len_max: None,
        dialect: Dialect { strict: how.ragged != Ragged::Fit, ..Dialect::default() },
        width: 3,
        ragged: how.ragged,
        on_error: how.on_error,
        record_len_max_bytes: RECORD_LEN_MAX_BYTES,
        name: "f.csv".into(),
        learner: None,
        lines_before: LinesBefore::new(Box::new(|| 0)),
    };
    let sources = [Some(0), Some(1), Some(2), None];
    let rejects = Arc::clone(&request.rejects);
    let mut reader = CsvReader::new(input, Arc::new(request), &sources);
    if !how.with_scanner {
        reader.forget_scanner();
    }
    let (mut rows, mut failed) = (Vec::new(), String::new());
    for batch in reader {
        match batch {
            Ok(batch) => {
                let keys = batch.column(0).as_primitive::<Int64Type>();
                rows.extend((0..batch.num_rows()).map(|row| {
                    let key = keys.is_valid(row).then(|| keys.value(row));
                    (key, format!("{:?}", batch.slice(row, 1).columns()))
                }));
            }
            Err(error) => {
                rows.clear();
                failed = format!("{error:?}");
            }
        }
    }
    (rows, format!("{failed}{:?}", rejects.sorted()))
}
