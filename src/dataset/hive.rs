//! Hive partitions: folders named `key=value` become typed columns.
//!
//! Invariant: the keys and their types are decided over all paths of a dataset, before any file is
//! opened. A file outside the layout has NULL in the keys that its path lacks, and is reported.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;

use crate::formats::csv::value::{DateOrder, parse_date, parse_integer};
use crate::notes::{NoteKind, Notes};

const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// The partition columns of a dataset and each file's values.
#[derive(Debug, Clone, Default)]
pub struct Partitions {
    /// One field for each key, in the order of first sight.
    pub fields: Vec<Field>,
    /// For each file one value for each field.
    pub values: Vec<Vec<ScalarValue>>,
    /// How many different combinations of values there are.
    pub count: usize,
}

/// Finds the partition columns in the paths of a dataset's files.
pub fn find(paths: &[&str], notes: &Notes) -> Partitions {
    let found: Vec<Vec<(String, Option<String>)>> =
        paths.iter().map(|path| keys_in(path)).collect();
    let mut keys: Vec<String> = Vec::new();
    for (key, _) in found.iter().flatten() {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    report_outsiders(paths, &found, &keys, notes);
    let columns: Vec<(DataType, Vec<Option<&str>>)> = keys
        .iter()
        .map(|key| {
            let texts: Vec<Option<&str>> = found
                .iter()
                .map(|pairs| {
                    pairs
                        .iter()
                        .rev()
                        .find(|(name, _)| name == key)
                        .and_then(|(_, text)| text.as_deref())
                })
                .collect();
            (type_of(&texts), texts)
        })
        .collect();
    let fields = keys
        .iter()
        .zip(&columns)
        .map(|(key, (data_type, _))| Field::new(key, data_type.clone(), true))
        .collect();
    let values: Vec<Vec<ScalarValue>> = (0..paths.len())
        .map(|file| {
            columns.iter().map(|(data_type, texts)| typed(texts[file], data_type)).collect()
        })
        .collect();
    let distinct: BTreeSet<Vec<Option<&str>>> = (0..paths.len())
        .map(|file| columns.iter().map(|(_, texts)| texts[file]).collect())
        .collect();
    Partitions { fields, values, count: if keys.is_empty() { 0 } else { distinct.len() } }
}

/// The `key=value` folders of a path, decoded; the file's own name is no folder.
fn keys_in(path: &str) -> Vec<(String, Option<String>)> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders
        .split('/')
        .filter_map(|folder| folder.split_once('='))
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| {
            let value = (value != NULL_FOLDER).then(|| decode(value));
            (decode(key), value)
        })
        .collect()
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn report_outsiders(
    paths: &[&str],
    found: &[Vec<(String, Option<String>)>],
    keys: &[String],
    notes: &Notes,
) {
    let outside: Vec<&str> = paths
        .iter()
        .zip(found)
        .filter(|(_, pairs)| !keys.iter().all(|key| pairs.iter().any(|(name, _)| name == key)))
        .map(|(path, _)| *path)
        .collect();
    if let Some(first) = outside.first() {
        notes.add(
            NoteKind::Layout,
            format!(
                "{} of {} files lie outside the partition folders {}: NULL there, first {first}",
                outside.len(),
                paths.len(),
                keys.iter().map(|key| format!("{key}=")).collect::<Vec<_>>().join("/"),
            ),
        );
    }
}

/// BIGINT if all values are whole numbers (also `01`), DATE if all are dates, else text.
fn type_of(texts: &[Option<&str>]) -> DataType {
    let mut values = texts.iter().flatten().peekable();
    if values.peek().is_none() {
        return DataType::Utf8View;
    }
    if values
        .clone()
        .all(|text| !text.starts_with('+') && parse_integer(text.as_bytes(), false).is_some())
    {
        DataType::Int64
    } else if values.all(|text| parse_date(text.as_bytes(), DateOrder::Iso).is_some()) {
        DataType::Date32
    } else {
        DataType::Utf8View
    }
}

fn typed(text: Option<&str>, data_type: &DataType) -> ScalarValue {
    let bytes = text.map(str::as_bytes);
    match data_type {
        DataType::Int64 => ScalarValue::Int64(bytes.and_then(|text| parse_integer(text, false))),
        DataType::Date32 => {
            ScalarValue::Date32(bytes.and_then(|text| parse_date(text, DateOrder::Iso)))
        }
        _ => ScalarValue::Utf8View(text.map(str::to_string)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], expected: &str) {
        let notes = Notes::default();
        let partitions = find(paths, &notes);
        let fields: Vec<_> = partitions
            .fields
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        let values: Vec<_> = partitions
            .values
            .iter()
            .map(|values| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            .collect();
        let notes = notes.list().len();
        assert_eq!(format!("{}: {}; {notes}", fields.join(", "), values.join(", ")), expected);
    }

    #[test]
    fn types_over_all_paths() {
        check(&["t/y=2023/m=01/a", "t/y=2023/m=12/a"], "y Int64, m Int64: 2023 1, 2023 12; 0");
        check(&["d=2024-01-01/a", "d=2024-01-02/a"], "d Date32: 2024-01-01, 2024-01-02; 0");
        check(&["k=1/a", "k=x/a"], "k Utf8View: 1, x; 0");
        check(&["k=a%20b/a", "k=__HIVE_DEFAULT_PARTITION__/a"], "k Utf8View: a b, NULL; 0");
        check(&["t/k=1/a", "t/root.csv"], "k Int64: 1, NULL; 1");
        check(&["a/b.csv", "x=1.csv"], ": , ; 0");
    }
}
