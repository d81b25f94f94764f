//! One schema over many files, by column name.
//!
//! ```text
//! columns of each file -> same name without regard to case -> evidence merged, types widened
//! ```
//!
//! Invariant: the result does not depend on the order of files beyond the order of the columns, and
//! no value of any sampled file is changed by the type that is chosen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::options::ReadOptions;
use crate::error::{Error, Place, Result};
use crate::formats::csv::decode::ColumnSpec;
use crate::formats::csv::types::{Decision, Evidence};
use crate::formats::{FileLayout, Found};
use crate::notes::{NoteKind, Notes};
use crate::sql_type::sql_type_name;

/// Texts that did not fit a guessed type, by lower-case column name.
pub type Misfits = BTreeMap<String, Vec<String>>;

/// What all files together say of one column.
struct Column {
    name: String,
    evidence: Evidence,
    typed: Option<DataType>,
    /// Each type that some file has by itself, with the first such file.
    seen: Vec<(DataType, String)>,
    /// The same for files whose values say it.
    sniffed: Vec<(DataType, String)>,
    file_count: usize,
}

/// Merges the columns of all files; `spelling` gives names that the statement uses elsewhere.
///
/// # Errors
/// When two files have types that nothing wider holds; both are named.
pub fn unify(
    files: &[(&str, &FileLayout)],
    options: &ReadOptions,
    misfits: &Misfits,
    spelling: &HashMap<String, String>,
    notes: &Notes,
) -> Result<Vec<ColumnSpec>> {
    let mut columns: Vec<Column> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    let mut left_out: BTreeSet<&str> = BTreeSet::new();
    for (file_idx, (file, layout)) in files.iter().enumerate() {
        let mut in_this_file: Vec<usize> = Vec::with_capacity(layout.columns.len());
        for column in &layout.columns {
            let lower = column.name.to_lowercase();
            if options.first_schema && file_idx > 0 && !positions.contains_key(&lower) {
                left_out.insert(&column.name);
                continue;
            }
            let idx = *positions.entry(lower.clone()).or_insert_with(|| {
                columns.push(Column {
                    name: spelling.get(&lower).unwrap_or(&column.name).clone(),
                    evidence: Evidence::default(),
                    typed: None,
                    seen: Vec::new(),
                    sniffed: Vec::new(),
                    file_count: 0,
                });
                columns.len() - 1
            });
            if in_this_file.contains(&idx) {
                return Err(Error::data(format!(
                    "not supported: columns that differ only by case: {}",
                    column.name
                ))
                .at(Place::file(*file)));
            }
            in_this_file.push(idx);
            columns[idx].add(file, &column.found)?;
        }
    }
    if !left_out.is_empty() {
        let names = shown_names(left_out.into_iter());
        notes.add(NoteKind::Layout, format!("{names} left out: not in the first file"));
    }
    report_missing(&columns, files.len(), notes);
    columns.into_iter().map(|column| column.decide(options, misfits, notes)).collect()
}

impl Column {
    fn add(&mut self, file: &str, found: &Found) -> Result<()> {
        self.file_count += 1;
        let (own_type, seen) = match found {
            Found::Typed(data_type) => {
                self.typed = Some(match self.typed.take() {
                    None => data_type.clone(),
                    Some(before) => {
                        widen(&before, data_type).ok_or_else(|| self.conflict(file, data_type))?
                    }
                });
                (data_type.clone(), &mut self.seen)
            }
            Found::Sniffed(evidence) => {
                self.evidence.merge(evidence);
                if evidence.is_empty() {
                    return Ok(());
                }
                (evidence.decide().data_type, &mut self.sniffed)
            }
        };
        if !seen.iter().any(|(seen, _)| *seen == own_type) {
            seen.push((own_type, file.to_string()));
        }
        Ok(())
    }

    fn conflict(&self, file: &str, data_type: &DataType) -> Error {
        let before = self.seen.last().map_or("another file", |(_, first)| first.as_str());
        let before_type =
            self.seen.last().map_or_else(String::new, |(seen, _)| sql_type_name(seen));
        Error::data(format!(
            "`{}` is {} here and {before_type} in {before}: no type holds both",
            self.name,
            sql_type_name(data_type)
        ))
        .at(Place::file(file))
        .hint("name fewer files, or read each with its own FROM and combine them with casts")
    }

    fn decide(
        mut self,
        options: &ReadOptions,
        misfits: &Misfits,
        notes: &Notes,
    ) -> Result<ColumnSpec> {
        let csv = &options.format.csv;
        let lower = self.name.to_lowercase();
        let mut spec = ColumnSpec::new(&self.name, DataType::Utf8View);
        spec.null_words = csv.null_words.clone().map(Into::into);
        spec.notation = csv.notation.clone();
        if let Some(data_type) = options.types.get(&lower) {
            spec.data_type = data_type.clone();
            spec.order = spec.notation.order_of(data_type);
            return Ok(spec);
        }
        if let Some(texts) = misfits.get(&lower) {
            let before = self.evidence.decide();
            texts.iter().for_each(|text| self.evidence.observe(text, &spec.notation));
            if self.evidence.decide() == before {
                self.evidence.force_text();
            }
        }
        spec.guessed = self.typed.is_none();
        let decision = self.evidence.decide();
        spec.order = decision.order;
        spec.data_type = self.combined(&decision)?;
        if decision.ambiguous_order && self.typed.is_none() {
            notes.add(
                NoteKind::DateOrder,
                format!(
                    "`{}` holds dates, but day and month could be either way: read as text; \
                     name the order with dateformat => '%d/%m/%Y'",
                    self.name
                ),
            );
        }
        self.report_widening(&spec.data_type, notes);
        Ok(spec)
    }

    /// What files say by themselves, joined with what values say.
    fn combined(&mut self, decision: &Decision) -> Result<DataType> {
        let Some(typed) = self.typed.clone() else { return Ok(decision.data_type.clone()) };
        let typed = &typed;
        if self.evidence.is_empty() {
            return Ok(typed.clone());
        }
        if let DataType::Decimal128(precision, scale) = typed
            && let Some(exact) = self.evidence.decimal_with(*precision, *scale)
        {
            // Text that fits the type that other files name is read as that type, not widened.
            self.sniffed.clear();
            return Ok(exact);
        }
        widen(typed, &decision.data_type).ok_or_else(|| {
            let file = self.sniffed.last().map_or("", |(_, file)| file.as_str());
            self.conflict(file, &decision.data_type)
        })
    }

    fn report_widening(&self, chosen: &DataType, notes: &Notes) {
        let all = || self.seen.iter().chain(&self.sniffed);
        let narrower = all().find(|(seen, _)| seen != chosen);
        let (Some((first_type, first_file)), true) = (narrower, all().count() > 1) else { return };
        let other = all().find(|(seen, _)| seen != first_type);
        let other = other.map_or_else(String::new, |(seen, file)| {
            format!(" and {} in {file}", sql_type_name(seen))
        });
        notes.add(
            NoteKind::Widened,
            format!(
                "`{}` is {} in {first_file}{other}: read as {}",
                self.name,
                sql_type_name(first_type),
                sql_type_name(chosen)
            ),
        );
    }
}

/// Columns that some files lack, in one note for each set of files.
fn report_missing(columns: &[Column], file_count: usize, notes: &Notes) {
    let mut groups: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for column in columns {
        if column.file_count < file_count {
            groups.entry(file_count - column.file_count).or_default().push(&column.name);
        }
    }
    for (missing, names) in groups {
        let names = shown_names(names.into_iter());
        notes.add(
            NoteKind::MissingColumn,
            format!("{names} missing in {missing} of {file_count} files: NULL there"),
        );
    }
}

/// The first names, and how many more there are.
fn shown_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const NAMES_SHOWN_MAX: usize = 8;
    let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
    let shown: Vec<_> = names.take(NAMES_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// The narrowest type that holds all values of two types unchanged, if there is one.
pub fn widen(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{
        BinaryView, Boolean, Date32, Decimal128, FixedSizeBinary, Float16, Float32, Float64, Int8,
        Int16, Int32, Int64, List, Null, Struct, Timestamp, UInt8, UInt16, UInt32, UInt64,
        Utf8View,
    };
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (DataType::Dictionary(_, values), other) | (other, DataType::Dictionary(_, values)) => {
            widen(&crate::formats::parquet::viewed(values), other)
        }
        (Int8, Int16) | (Int16, Int8) => Some(Int16),
        (Int8 | Int16, Int32) | (Int32, Int8 | Int16) => Some(Int32),
        (UInt8 | UInt16 | UInt32, UInt8 | UInt16 | UInt32) => Some(UInt32),
        (UInt64, UInt8 | UInt16 | UInt32) | (UInt8 | UInt16 | UInt32, UInt64) => Some(UInt64),
        (UInt64, Int8 | Int16 | Int32 | Int64) | (Int8 | Int16 | Int32 | Int64, UInt64) => {
            Some(Decimal128(20, 0))
        }
        (
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32,
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32,
        ) => Some(Int64),
        (Float16 | Float32 | Float64, Float16 | Float32 | Float64) => Some(Float64),
        (
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64,
            Float16 | Float32 | Float64,
        )
        | (
            Float16 | Float32 | Float64,
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64,
        ) => Some(Float64),
        (Decimal128(p1, s1), Decimal128(p2, s2)) => {
            let scale = (*s1).max(*s2);
            let integer = (i16::from(*p1) - i16::from(*s1)).max(i16::from(*p2) - i16::from(*s2));
            let precision = integer + i16::from(scale);
            (precision <= 38).then_some(Decimal128(precision as u8, scale))
        }
        (Decimal128(p, s), Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64)
        | (Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64, Decimal128(p, s)) => {
            widen(&Decimal128(*p, *s), &Decimal128(20, 0))
        }
        (Decimal128(..), Float16 | Float32 | Float64)
        | (Float16 | Float32 | Float64, Decimal128(..)) => Some(Float64),
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) if zone.is_none() => {
            Some(Timestamp(*unit, None))
        }
        (Timestamp(u1, z1), Timestamp(u2, z2)) if z1 == z2 => {
            Some(Timestamp(finer(*u1, *u2), z1.clone()))
        }
        (BinaryView, FixedSizeBinary(_)) | (FixedSizeBinary(_), BinaryView) => Some(BinaryView),
        (List(a), List(b)) => widen(a.data_type(), b.data_type()).map(|item| {
            List(Arc::new(a.as_ref().clone().with_data_type(item).with_nullable(true)))
        }),
        (Struct(a), Struct(b)) => widen_structs(a, b).map(Struct),
        (Utf8View, scalar) | (scalar, Utf8View) if is_printable(scalar) => Some(Utf8View),
        (Boolean, other) | (other, Boolean) if is_printable(other) => Some(Utf8View),
        (a, b) if is_printable(a) && is_printable(b) => Some(Utf8View),
        _ => None,
    }
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    a.max(b)
}

/// Scalars whose text says all there is.
fn is_printable(data_type: &DataType) -> bool {
    !data_type.is_nested() && !data_type.is_binary() && !matches!(data_type, DataType::Interval(_))
}

fn widen_structs(a: &Fields, b: &Fields) -> Option<Fields> {
    let mut fields: Vec<Field> = Vec::with_capacity(a.len());
    for field in a {
        let field = field.as_ref().clone().with_nullable(true);
        match b.iter().find(|other| other.name() == field.name()) {
            Some(other) => {
                let data_type = widen(field.data_type(), other.data_type())?;
                fields.push(field.with_data_type(data_type));
            }
            None => fields.push(field),
        }
    }
    for field in b {
        if !a.iter().any(|other| other.name() == field.name()) {
            fields.push(field.as_ref().clone().with_nullable(true));
        }
    }
    Some(fields.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_widen_without_loss() {
        let check = |a: DataType, b: DataType, expected: Option<DataType>| {
            assert_eq!(widen(&a, &b), expected, "{a} and {b}");
            assert_eq!(widen(&b, &a), expected, "{b} and {a}");
        };
        check(DataType::Int32, DataType::Int64, Some(DataType::Int64));
        check(DataType::UInt64, DataType::Int64, Some(DataType::Decimal128(20, 0)));
        check(DataType::Int64, DataType::Float64, Some(DataType::Float64));
        check(DataType::Int64, DataType::Utf8View, Some(DataType::Utf8View));
        check(
            DataType::Decimal128(10, 2),
            DataType::Decimal128(12, 4),
            Some(DataType::Decimal128(12, 4)),
        );
        check(
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Microsecond, None),
            Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        );
        check(DataType::new_list(DataType::Int64, true), DataType::Int64, None);
    }
}
