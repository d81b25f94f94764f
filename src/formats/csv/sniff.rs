//! Sniffing: the dialect, the header and the types of a CSV file, out of a sample.
//!
//! ```text
//! head of the file -> encoding -> dialect (newline, comment, delimiter, quote, preamble)
//!                  -> header -> evidence for each column's type
//! ```
//!
//! A dialect is scored by how evenly it cuts the lines of the sample into fields. What the user
//! gave is never second-guessed; where two dialects do equally well, a note says so.

use super::dialect::{CsvOptions, Dialect};
use super::records::{Field, Tokenizer};
use super::types::Evidence;
use super::value::Notation;
use crate::error::{Error, Place, Result};
use crate::formats::encoding::{self, Detected};
use crate::notes::NoteKind;

const DELIMITERS: [u8; 5] = [b',', b'\t', b';', b'|', b'^'];
/// How many records a dialect is scored on.
const SCORED_RECORDS_MAX: usize = 1000;
/// Preambles longer than this are not looked for.
const PREAMBLE_RECORDS_MAX: usize = 50;
/// Survey questions serve as names; longer text is prose.
const NAME_LEN_MAX_BYTES: usize = 1000;

/// What a sample of one file says.
#[derive(Debug, Clone)]
pub struct Sniffed {
    /// How the file is written.
    pub dialect: Dialect,
    /// The columns' names in file order.
    pub names: Vec<String>,
    /// What the sampled values allow, one for each column.
    pub evidence: Vec<Evidence>,
    /// Where the first data record begins, in decoded bytes (a byte order mark counts).
    pub data_start: u64,
    /// What was guessed.
    pub notes: Vec<(NoteKind, String)>,
}

/// Finds the encoding of the head of a file.
pub fn encoding_of(head: &[u8], cut: bool, options: &CsvOptions) -> Detected {
    let detected = encoding::detect(head, cut);
    match options.encoding {
        Some(encoding) => Detected { encoding, guessed: false, ..detected },
        None => detected,
    }
}

/// Sniffs decoded text; `cut` if the file goes on behind it.
///
/// # Errors
/// When the options contradict the file: `names` of another count than its columns, for one.
pub fn sniff(
    file_name: &str,
    text: &[u8],
    cut: bool,
    encoding: Detected,
    options: &CsvOptions,
) -> Result<Sniffed> {
    let mut notes = Vec::new();
    if encoding.guessed {
        let name = encoding.encoding.name();
        notes.push((NoteKind::Encoding, format!("{file_name}: read as {name}, a guess")));
    }
    let body =
        &text[if encoding.encoding == encoding_rs::UTF_8 { encoding.mark_len_bytes } else { 0 }..];
    let mark_len_bytes = text.len() - body.len();
    let mut dialect = sniff_dialect(body, cut, options, &mut notes, file_name);
    dialect.encoding = encoding.encoding;
    let skipped = skip_lines(body, dialect.skip_lines, dialect.newline);
    let records = read_records(&dialect, &body[skipped..], cut, usize::MAX);
    let first = records.first();
    if first.is_none() {
        check_first_record(file_name, &dialect, body, skipped, cut)?;
    }
    dialect.header = options.header.unwrap_or_else(|| has_header(&records));
    let width = first.map_or(0, |record| record.values.len());
    let data_start = match first {
        Some(record) if dialect.header => skipped + record.end,
        _ => skipped,
    };
    let raw_names: Vec<String> = match (&options.names, first) {
        (Some(names), _) if width == 0 || names.len() == width || options.takes_any_width() => {
            names.clone()
        }
        (Some(names), _) => {
            return Err(Error::sql(format!(
                "names has {} entries, but the file has {width} columns",
                names.len()
            ))
            .at(Place::file(file_name)));
        }
        (None, Some(record)) if dialect.header => {
            record.values.iter().map(|value| value.trim().to_string()).collect()
        }
        _ => vec![String::new(); width],
    };
    let names = unique_names(raw_names, dialect.header, file_name, &mut notes);
    let data = if dialect.header { records.get(1..).unwrap_or_default() } else { &records[..] };
    let evidence = gather_evidence(data, names.len(), options);
    Ok(Sniffed {
        dialect,
        names,
        evidence,
        data_start: (mark_len_bytes + data_start) as u64,
        notes,
    })
}

/// Nothing can be known of a file whose first record cannot be read.
fn check_first_record(
    file_name: &str,
    dialect: &Dialect,
    body: &[u8],
    start: usize,
    cut: bool,
) -> Result<()> {
    if walk_records(dialect, &body[start..], cut, 1, |_, _, _| {}) {
        return Ok(());
    }
    let line = memchr::memchr_iter(dialect.newline, &body[..start]).count() as u64 + 1;
    let path = file_name.to_string();
    Err(Error::data("the first record cannot be read: its quotes do not pair")
        .at(Place::File { path, line: Some(line), column: Some(1) })
        .hint(format!("if quotes are plain text here: read_csv('{file_name}', quote => '')")))
}

/// Evidence from a piece in the middle or at the end of a file.
///
/// `text` may begin in the middle of a record; what comes before its first newline is left out.
/// Records of another width than `width` say nothing (the cut may lie inside quotes).
pub(crate) fn sniff_piece(
    dialect: &Dialect,
    text: &[u8],
    cut: bool,
    width: usize,
    options: &CsvOptions,
) -> Vec<Evidence> {
    let start = memchr::memchr(dialect.newline, text).map_or(text.len(), |at| at + 1);
    let records = read_records(dialect, &text[start..], cut, usize::MAX);
    let fitting = records.iter().filter(|record| record.values.len() == width).count();
    // Inside quotes the fields are nonsense: take the piece only if it looks like the file.
    if fitting * 10 < records.len() * 9 {
        return vec![Evidence::default(); width];
    }
    evidence_of_width(records, width, options)
}

/// Evidence from text that begins with a record, and how much of it whole records make up.
pub(crate) fn sniff_records(
    dialect: &Dialect,
    text: &[u8],
    cut: bool,
    width: usize,
    options: &CsvOptions,
) -> (Vec<Evidence>, usize) {
    let records = read_records(dialect, text, cut, usize::MAX);
    let used = records.last().map_or(0, |record| record.end);
    (evidence_of_width(records, width, options), if cut { used } else { text.len() })
}

fn evidence_of_width(records: Vec<Record>, width: usize, options: &CsvOptions) -> Vec<Evidence> {
    let fitting: Vec<_> =
        records.into_iter().filter(|record| record.values.len() == width).collect();
    gather_evidence(&fitting, width, options)
}

struct Record {
    values: Vec<String>,
    /// Offset behind the record.
    end: usize,
}

/// Reads the complete records of a sample, without blank and comment lines.
fn read_records(dialect: &Dialect, text: &[u8], cut: bool, count_max: usize) -> Vec<Record> {
    let tokenizer = Tokenizer::new(dialect);
    let mut records = Vec::new();
    walk_records(dialect, text, cut, count_max, |fields, end, bytes| {
        let values = fields
            .iter()
            .map(|&field| String::from_utf8_lossy(&tokenizer.value(bytes, field)).into_owned())
            .collect();
        records.push(Record { values, end });
    });
    records
}

/// Shows the complete records of a sample one by one, without blank and comment lines: the fields,
/// where the record ends in the sample, and the bytes in which the fields stand. Returns whether
/// all of the sample could be cut into records.
fn walk_records(
    dialect: &Dialect,
    text: &[u8],
    cut: bool,
    count_max: usize,
    mut visit: impl FnMut(&[Field], usize, &[u8]),
) -> bool {
    let mut tokenizer = Tokenizer::new(dialect);
    let mut fields: Vec<Field> = Vec::new();
    let (mut position, mut count) = (0, 0);
    while position < text.len() && count < count_max {
        let rest = &text[position..];
        if dialect.comment.is_some() && rest.first().copied() == dialect.comment {
            position += memchr::memchr(dialect.newline, rest).map_or(rest.len(), |at| at + 1);
            continue;
        }
        let used = match tokenizer.record(rest, !cut, &mut fields) {
            Ok(Some(used)) => used,
            // The sample ends inside a record.
            Ok(None) => break,
            Err(_) => return false,
        };
        position += used;
        let is_blank =
            matches!(fields[..], [Field { start, end, quoted: false, .. }] if start == end);
        if !is_blank {
            if count == 0 {
                tokenizer = Tokenizer::for_width(dialect, fields.len());
            }
            visit(&fields, position, rest);
            count += 1;
        }
    }
    true
}

fn gather_evidence(records: &[Record], width: usize, options: &CsvOptions) -> Vec<Evidence> {
    let mut evidence = vec![Evidence::default(); width];
    for record in records {
        for (column, value) in evidence.iter_mut().zip(&record.values) {
            let is_null = options.null_words.as_ref().is_some_and(|words| words.contains(value));
            if !is_null {
                column.observe(value, &options.notation);
            }
        }
    }
    if options.all_varchar {
        evidence.iter_mut().for_each(Evidence::force_text);
    }
    evidence
}

/// How well a dialect cuts the sample.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Score {
    /// Share of the records behind the preamble that have the usual width.
    even: f64,
    width: usize,
    preamble: usize,
    /// Whether the quote is ever used.
    quoted: bool,
}

fn sniff_dialect(
    body: &[u8],
    cut: bool,
    options: &CsvOptions,
    notes: &mut Vec<(NoteKind, String)>,
    file_name: &str,
) -> Dialect {
    let newline = sniff_newline(body);
    let base = Dialect {
        newline,
        comment: options.comment.unwrap_or_else(|| sniff_comment(body, newline)),
        skip_lines: options.skip_lines.unwrap_or(0),
        strict: !options.lenient,
        ..Dialect::default()
    };
    let start = skip_lines(body, base.skip_lines, newline);
    let mut best: Option<(f64, Score, Dialect)> = None;
    let mut rival: Option<(f64, Dialect)> = None;
    for (handicap, dialect) in candidates(body, &base, options) {
        let Some(score) = score(&dialect, &body[start..], cut) else { continue };
        if dialect.quote != Some(b'"') && options.quote.is_none() && !score.quoted {
            continue;
        }
        let value = if score.width > 1 { 1.0 + score.even } else { 0.5 }
            - handicap
            - 0.01 * score.preamble as f64
            + 0.0005 * score.width.min(20) as f64;
        match &best {
            Some((best_value, best_score, best_dialect)) if value <= *best_value => {
                let close = *best_value - value < 0.02 && best_score.width > 1;
                if close && score.width > 1 && best_dialect.delimiter != dialect.delimiter {
                    rival.get_or_insert((value, dialect));
                }
            }
            _ => {
                rival = best
                    .take()
                    .filter(|(old, old_score, old_dialect)| {
                        value - old < 0.02
                            && old_score.width > 1
                            && old_dialect.delimiter != dialect.delimiter
                    })
                    .map(|(old, _, old_dialect)| (old, old_dialect));
                best = Some((value, score, dialect));
            }
        }
    }
    let Some((_, score, mut dialect)) = best else { return base };
    if dialect.blank_after_delimiter && options.delimiter.is_none() {
        let delimiter = show_byte(dialect.delimiter);
        notes.push((
            NoteKind::Dialect,
            format!("{file_name}: blanks behind {delimiter} are read as part of the delimiter"),
        ));
    }
    if let Some((_, other)) = rival {
        notes.push((
            NoteKind::Dialect,
            format!(
                "{file_name}: delimiter read as {}, {} would fit too",
                show_byte(dialect.delimiter),
                show_byte(other.delimiter)
            ),
        ));
    }
    if score.width == 1 && options.delimiter.is_none() {
        single_column(&mut dialect, &body[start..], cut, notes, file_name);
    }
    let preamble_len = match score.preamble {
        _ if options.skip_lines.is_some() => 0,
        0 => title_rows(&dialect, &body[start..], cut),
        found => found,
    };
    if preamble_len > 0 {
        let preamble = read_records(&dialect, &body[start..], cut, preamble_len);
        let end = preamble.last().map_or(0, |record| record.end);
        dialect.skip_lines = memchr::memchr_iter(newline, &body[start..start + end]).count();
        notes.push((
            NoteKind::Dialect,
            format!(
                "{file_name}: {} before the header skipped",
                crate::units::show_counted(dialect.skip_lines as u64, "line")
            ),
        ));
    }
    dialect
}

/// The dialects to try, each with its handicap: all but the most usual must earn their place.
fn candidates(body: &[u8], base: &Dialect, options: &CsvOptions) -> Vec<(f64, Dialect)> {
    let delimiters: Vec<u8> = match options.delimiter {
        Some(delimiter) => vec![delimiter],
        None => DELIMITERS.to_vec(),
    };
    let quotes: Vec<Option<u8>> = match options.quote {
        Some(quote) => vec![quote],
        // Never no quote at all: then a quote that is not closed would pass as text.
        None => vec![Some(b'"'), Some(b'\'')],
    };
    let escapes: Vec<Option<u8>> = match options.escape {
        Some(escape) => vec![escape],
        None if memchr::memmem::find(body, b"\\\"").is_some() => vec![None, Some(b'\\')],
        None => vec![None],
    };
    let mut dialects = Vec::new();
    for &quote in &quotes {
        for &escape in &escapes {
            for (rank, &delimiter) in delimiters.iter().enumerate() {
                let blanks: &[bool] = match options.delimiter {
                    Some(_) if options.blank_after_delimiter => &[true],
                    // Only where it decides what a quote means.
                    None if has_blank_before_quote(body, delimiter, quote) => &[false, true],
                    _ => &[false],
                };
                let handicap = 0.001 * rank as f64
                    // A quote that opens fields and pairs everywhere is no accident.
                    + if quote == Some(b'"') { 0.0 } else { -0.02 }
                    + if escape.is_none() { 0.0 } else { 0.001 };
                for &blank_after_delimiter in blanks {
                    let dialect = Dialect {
                        delimiter: Some(delimiter),
                        blank_after_delimiter,
                        quote,
                        escape,
                        ..base.clone()
                    };
                    let blank_handicap = if blank_after_delimiter { 0.001 } else { 0.0 };
                    dialects.push((handicap + blank_handicap, dialect));
                }
            }
        }
    }
    dialects
}

/// Whether a delimiter, a blank and a quote follow each other, as in `a, "b, c"`.
fn has_blank_before_quote(body: &[u8], delimiter: u8, quote: Option<u8>) -> bool {
    quote.is_some_and(|quote| memchr::memmem::find(body, &[delimiter, b' ', quote]).is_some())
}

/// How many records before the header hold a title or nothing, as spreadsheets write them: `Sales,,,`.
fn title_rows(dialect: &Dialect, body: &[u8], cut: bool) -> usize {
    let filled = |record: &Record| record.values.iter().filter(|value| !value.is_empty()).count();
    // Nearly every file: its first record is no title.
    if read_records(dialect, body, cut, 1).first().is_none_or(|record| filled(record) > 1) {
        return 0;
    }
    let records = read_records(dialect, body, cut, PREAMBLE_RECORDS_MAX + 1);
    let width = records.first().map_or(0, |record| record.values.len());
    let count = records.iter().take_while(|record| filled(record) <= 1).count();
    let is_header = |record: &Record| record.values.len() == width && filled(record) == width;
    // Two columns say too little: `name,` over `a,1` may well be a header.
    if width > 2 && records.get(count).is_some_and(is_header) { count } else { 0 }
}

/// `\r` alone ends records where it is much more frequent than `\n` (old Macintosh files).
fn sniff_newline(body: &[u8]) -> u8 {
    let line_feeds = memchr::memchr_iter(b'\n', body).count();
    let returns =
        memchr::memchr_iter(b'\r', body).filter(|&at| body.get(at + 1) != Some(&b'\n')).count();
    if returns > line_feeds * 10 { b'\r' } else { b'\n' }
}

/// A file of one column: each line is a value, unless its lines hold quoted commas.
fn single_column(
    dialect: &mut Dialect,
    body: &[u8],
    cut: bool,
    notes: &mut Vec<(NoteKind, String)>,
    file_name: &str,
) {
    *dialect =
        Dialect { delimiter: Some(b','), quote: Some(b'"'), escape: None, ..dialect.clone() };
    let records = read_records(dialect, body, cut, SCORED_RECORDS_MAX);
    let splits = records.iter().filter(|record| record.values.len() > 1).count();
    if splits > 0 {
        dialect.delimiter = None;
        notes.push((
            NoteKind::Dialect,
            format!(
                "{file_name}: read as one column; a comma splits {splits} of {} sampled lines",
                records.len()
            ),
        ));
    }
}

fn score(dialect: &Dialect, body: &[u8], cut: bool) -> Option<Score> {
    let (mut widths, mut quoted) = (Vec::new(), false);
    let well_formed = walk_records(dialect, body, cut, SCORED_RECORDS_MAX, |fields, _, _| {
        widths.push(fields.len());
        quoted |= fields.iter().any(|field| field.quoted);
    });
    let first_width = *widths.first()?;
    // The width of most records; ties go to the width of the first one, which is the header.
    let mut counts = std::collections::BTreeMap::new();
    for &width in &widths {
        *counts.entry(width).or_insert(0_usize) += 1;
    }
    let share = |width: usize| counts.get(&width).copied().unwrap_or(0);
    let width = widths
        .iter()
        .copied()
        .max_by_key(|&width| (share(width), width == first_width, width))
        .unwrap_or(1);
    // A header that splits, over ragged rows, is still a header.
    let width = if first_width > 1 && (width == 1 || share(width) * 10 < widths.len() * 6) {
        first_width
    } else {
        width
    };
    let preamble =
        widths.iter().take(PREAMBLE_RECORDS_MAX).position(|&found| found == width).unwrap_or(0);
    // A preamble is short lines before wide ones; wider lines are ragged rows.
    let is_preamble = width > 1
        && preamble * 2 < widths.len()
        && widths[..preamble]
            .iter()
            .all(|&found| found < width && (found == 1 || found * 2 <= width));
    let preamble = if is_preamble { preamble } else { 0 };
    let body = &widths[preamble..];
    let mut even = body.iter().filter(|&&found| found == width).count() as f64 / body.len() as f64;
    if !well_formed {
        // Quotes that do not pair are a sign against the dialect, not proof.
        even *= 0.5;
    }
    Some(Score { even, width, preamble, quoted })
}

/// Lines that start with `#` before the header are comments.
fn sniff_comment(body: &[u8], newline: u8) -> Option<u8> {
    let first = body.first()?;
    let second_line = memchr::memchr(newline, body).map(|at| &body[at + 1..]).unwrap_or_default();
    // `#,name` is a header whose first column is a number sign.
    let looks_like_header = body.get(1).is_some_and(|byte| DELIMITERS.contains(byte));
    (*first == b'#' && !looks_like_header && !second_line.is_empty()).then_some(b'#')
}

fn skip_lines(body: &[u8], count: usize, newline: u8) -> usize {
    if count == 0 {
        return 0;
    }
    memchr::memchr_iter(newline, body).nth(count - 1).map_or(body.len(), |at| at + 1)
}

/// Whether the first record names the columns.
///
/// Its values must all be text; that is a header if a typed column stands below one of them, or if
/// all columns are text and the names are distinct. Years as names over numbers count as text.
fn has_header(records: &[Record]) -> bool {
    let Some(first) = records.first() else { return true };
    let kinds = |value: &String| {
        let mut evidence = Evidence::default();
        evidence.observe(value, &Notation::default());
        evidence
    };
    let is_text = |evidence: &Evidence| {
        evidence.is_empty()
            || evidence.decide().data_type == datafusion::arrow::datatypes::DataType::Utf8View
                && !evidence.decide().ambiguous_order
    };
    let first_kinds: Vec<Evidence> = first.values.iter().map(kinds).collect();
    let text_count = first_kinds.iter().filter(|evidence| is_text(evidence)).count();
    let has_names = first.values.iter().any(|value| !value.trim().is_empty());
    if !has_names {
        return false;
    }
    if records.len() == 1 {
        return text_count == first.values.len();
    }
    let below = gather_evidence(&records[1..], first.values.len(), &CsvOptions::default());
    let contrast = first_kinds.iter().zip(&below).any(|(name, column)| {
        is_text(name) && !name.is_empty() && !column.is_empty() && !is_text(column)
    });
    // `state,2018` over `Alabama,R+27`: a number over a column that holds none.
    let number_over_text = first_kinds
        .iter()
        .zip(&below)
        .any(|(name, column)| !is_text(name) && !column.is_empty() && is_text(column));
    if number_over_text && text_count > 0 {
        return true;
    }
    if text_count == first.values.len() {
        let distinct: std::collections::BTreeSet<_> =
            first.values.iter().map(|value| value.as_str()).collect();
        let short = first.values.iter().all(|value| value.len() <= NAME_LEN_MAX_BYTES);
        // A name that comes again as a value in its own column is no name; but a whole header that
        // comes again (files put together) is still one.
        let equal_names = |record: &Record| {
            let pairs = first.values.iter().zip(&record.values);
            pairs.filter(|(name, value)| !name.is_empty() && name == value).count()
        };
        let repeats = records[1..].iter().any(|record| equal_names(record) == 1);
        return contrast || (short && !repeats && (distinct.len() > 1 || first.values.len() == 1));
    }
    // Some values are no text: only years that are no values of their column are still names.
    let is_year =
        |text: &str| text.trim().parse::<u32>().is_ok_and(|year| (1500..=2200).contains(&year));
    let mut years = Vec::new();
    for (idx, (name, kind)) in first.values.iter().zip(&first_kinds).enumerate() {
        if is_text(kind) {
            continue;
        }
        let below = || records[1..].iter().filter_map(|record| record.values.get(idx));
        // One value in five may look like a year by chance.
        let alike = below().filter(|value| is_year(value)).count();
        if !is_year(name) || alike * 5 > below().count() {
            return false;
        }
        years.push(name.as_str());
    }
    let distinct: std::collections::BTreeSet<_> = years.iter().collect();
    text_count > 0 && distinct.len() == years.len()
}

/// Names for all columns, none twice, also not when case is ignored.
fn unique_names(
    names: Vec<String>,
    header: bool,
    file_name: &str,
    notes: &mut Vec<(NoteKind, String)>,
) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    let mut unique = Vec::with_capacity(names.len());
    for (idx, name) in names.into_iter().enumerate() {
        let wanted = if name.is_empty() { format!("column{}", idx + 1) } else { name.clone() };
        let mut candidate = wanted.clone();
        let mut suffix = 0;
        while !taken.insert(candidate.to_lowercase()) {
            suffix += 1;
            candidate = format!("{wanted}_{suffix}");
        }
        if header && candidate != name {
            let what = if name.is_empty() {
                "without a name".to_string()
            } else {
                format!("a second `{name}`")
            };
            notes.push((
                NoteKind::Renamed,
                format!("{file_name}: column {} is {what}, read as `{candidate}`", idx + 1),
            ));
        }
        unique.push(candidate);
    }
    unique
}

fn show_byte(byte: Option<u8>) -> String {
    match byte {
        Some(b'\t') => "tab".to_string(),
        Some(byte) => format!("`{}`", char::from(byte)),
        None => "none".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let options = CsvOptions::default();
        let encoding = encoding_of(text.as_bytes(), false, &options);
        let sniffed = sniff("f", text.as_bytes(), false, encoding, &options).expect("sniffs");
        let types: Vec<_> = sniffed
            .names
            .iter()
            .zip(&sniffed.evidence)
            .map(|(name, evidence)| format!("{name} {}", evidence.decide().data_type))
            .collect();
        let found = format!(
            "{} header={} skip={}: {}",
            show_byte(sniffed.dialect.delimiter),
            sniffed.dialect.header,
            sniffed.dialect.skip_lines,
            types.join(", ")
        );
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn dialects() {
        check("a|b\n1|2\n", "`|` header=true skip=0: a Int64, b Int64");
        check("a;b\n1,5;2,5\n3,5;4\n", "`;` header=true skip=0: a Utf8View, b Utf8View");
        check("a\tb\n1\tx,y\n", "tab header=true skip=0: a Int64, b Utf8View");
        check("a,b,c\n1,2\n1,2,3\n1,2,3,4\n", "`,` header=true skip=0: a Int64, b Int64, c Int64");
        check("'a,1','b'\n'c,2','d'\n", "`,` header=true skip=0: a,1 Utf8View, b Utf8View");
        check("word\nhello\nworld\n", "`,` header=true skip=0: word Utf8View");
        check("text\nHello, world\nfoo\nbar\n", "none header=true skip=0: text Utf8View");
    }

    #[test]
    fn preambles_and_comments() {
        check(
            "Report of today\n\nfrom here on\na,b,c\n1,2,3\n4,5,6\n7,8,9\n",
            "`,` header=true skip=3: a Int64, b Int64, c Int64",
        );
        check("# made by x\na,b\n1,2\n", "`,` header=true skip=0: a Int64, b Int64");
        check("#,b\n1,2\n", "`,` header=true skip=0: # Int64, b Int64");
    }

    #[test]
    fn blanks_behind_delimiters_and_title_rows() {
        check("a, b\n1, \"x, y\"\n2, \"z\"\n", "`,` header=true skip=0: a Int64, b Utf8View");
        check("Sales,,\n,,\na,b,c\n1,2,3\n", "`,` header=true skip=2: a Int64, b Int64, c Int64");
        check("a,,\n1,2,\n", "`,` header=true skip=0: a Int64, column2 Int64, column3 Utf8View");
    }

    #[test]
    fn headers() {
        check("1,2\n3,4\n", "`,` header=false skip=0: column1 Int64, column2 Int64");
        check("a,b\n", "`,` header=true skip=0: a Utf8View, b Utf8View");
        check("a,a,\n1,2,3\n", "`,` header=true skip=0: a Int64, a_1 Int64, column3 Int64");
        check(
            "land,1990,1991\nx,1.5,2\n",
            "`,` header=true skip=0: land Utf8View, 1990 Float64, 1991 Int64",
        );
        check(
            "x,2020-01-01\ny,2020-01-02\n",
            "`,` header=false skip=0: column1 Utf8View, column2 Date32",
        );
    }
}
