//! The last result: kept so that it can be looked at again without running the statement again.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::units::show_bytes;

/// A larger result is not kept.
const LEN_MAX_BYTES: usize = 64 << 20;

/// The rows of the last result, if they are not too many.
#[derive(Debug, Default)]
pub struct Kept {
    schema: Option<SchemaRef>,
    batches: Vec<RecordBatch>,
    len_bytes: usize,
}

impl Kept {
    /// Forgets the result before, for one of this schema.
    pub(super) fn start(&mut self, schema: &SchemaRef) {
        *self = Kept { schema: Some(Arc::clone(schema)), ..Kept::default() };
    }

    pub(super) fn push(&mut self, batch: &RecordBatch) {
        self.len_bytes += batch.get_array_memory_size();
        if self.len_bytes > LEN_MAX_BYTES {
            self.batches = Vec::new();
        } else {
            self.batches.push(batch.clone());
        }
    }

    /// A result that did not come to its end is none.
    pub(super) fn forget(&mut self) {
        *self = Kept::default();
    }

    /// The schema and the rows.
    ///
    /// # Errors
    /// When there is no result, or it was too large to keep.
    pub fn rows(&self) -> Result<(&SchemaRef, &[RecordBatch])> {
        let Some(schema) = &self.schema else {
            return Err(Error::usage("there is no result yet").hint("run a query first"));
        };
        if self.len_bytes > LEN_MAX_BYTES {
            let max = show_bytes(LEN_MAX_BYTES as u64);
            return Err(Error::usage(format!(
                "the last result has more than {max} and was not kept"
            ))
            .hint("run it again with fewer rows, or write it to a file with .once FILE"));
        }
        Ok((schema, &self.batches))
    }

    /// The rows as batches of a table, one at least: no two columns have one name. None if there is no
    /// result.
    pub fn table(&self) -> Option<Vec<RecordBatch>> {
        let (schema, batches) = self.rows().ok()?;
        let mut seen = std::collections::HashSet::new();
        let fields: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| {
                let mut name = field.name().clone();
                let mut count = 0;
                while !seen.insert(name.to_lowercase()) {
                    count += 1;
                    name = format!("{}_{count}", field.name());
                }
                field.as_ref().clone().with_name(name)
            })
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let renamed = |batch: &RecordBatch| {
            RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).ok()
        };
        let mut batches = batches.iter().map(renamed).collect::<Option<Vec<_>>>()?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Some(batches)
    }
}
