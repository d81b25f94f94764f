//! Excerpts: the line that an error points to, of the statement or of a file, with a mark under it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::error::Place;

/// Lines that begin behind this are not looked for.
const FILE_LEN_MAX_BYTES: u64 = 256 << 20;
/// Longer lines are cut around the mark.
const CONTEXT_LEN_MAX_BYTES: usize = 2_000;

/// A line and what is marked in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    name: String,
    line_number: usize,
    line: String,
    /// Bytes of the line.
    mark: Range<usize>,
}

impl Excerpt {
    /// The excerpt of a place, if its line can be shown.
    pub(super) fn of(place: Option<&Place>, sql: Option<&str>) -> Option<Self> {
        match (place?, sql) {
            (Place::Sql { line, column }, Some(sql)) => {
                let line_number = usize::try_from(*line).ok()?;
                let text = sql.lines().nth(line_number.checked_sub(1)?)?;
                let column = usize::try_from(*column).ok()?.checked_sub(1)?;
                let start =
                    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(column)?;
                let mark = start..start + token_len(&text[start..]);
                Excerpt::new("statement".to_string(), line_number, text, mark)
            }
            (Place::File { path, line: Some(line), column: Some(column) }, _) => {
                let line_number = usize::try_from(*line).ok()?;
                let text = line_of(path, line_number)?;
                let start = usize::try_from(*column).ok()?.checked_sub(1)?;
                if !text.is_char_boundary(start) || start > text.len() {
                    return None;
                }
                let mark = start..start + value_len(&text[start..]);
                Excerpt::new(path.clone(), line_number, &text, mark)
            }
            _ => None,
        }
    }

    /// Tabs are one blank wide, and control characters none of the terminal's business.
    fn new(name: String, line_number: usize, line: &str, mark: Range<usize>) -> Option<Self> {
        if line.chars().any(|c| c.is_control() && c != '\t') || line_number == 0 {
            return None;
        }
        let line = line.replace('\t', " ");
        Some(Excerpt { name, line_number, line, mark })
    }

    /// The error's message above the line with its mark.
    pub(super) fn draw(&self, message: &str, color: bool) -> String {
        let annotation = AnnotationKind::Primary.span(self.mark.clone());
        let snippet = Snippet::source(self.line.as_str())
            .path(self.name.as_str())
            .line_start(self.line_number)
            .annotation(annotation);
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[Level::ERROR.primary_title(message).element(snippet)])
    }
}

/// Bytes of the word or the quoted text that begins here.
fn token_len(text: &str) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    if is_part(first) {
        return text.find(|c| !is_part(c)).unwrap_or(text.len());
    }
    if ['\'', '"'].contains(&first) {
        return text[1..].find(first).map_or(text.len(), |at| at + 2);
    }
    first.len_utf8()
}

/// Bytes up to the end of a value, as far as that can be told without the file's dialect.
fn value_len(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    text.find([',', ';', '\t', '|']).unwrap_or(text.len()).max(first)
}

/// A line of a file of plain UTF-8, counted from 1.
fn line_of(path: &str, line_number: usize) -> Option<String> {
    let mut reader = BufReader::new(File::open(path).ok()?.take(FILE_LEN_MAX_BYTES));
    for _ in 1..line_number {
        if reader.skip_until(b'\n').ok()? == 0 {
            return None;
        }
    }
    let mut line = Vec::new();
    reader.take(CONTEXT_LEN_MAX_BYTES as u64).read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8(line).ok()?;
    let line = line.trim_end_matches(['\n', '\r']);
    // A byte order mark is not part of the first value.
    Some(line.trim_start_matches('\u{feff}').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_under_what_is_wrong() {
        let place = Place::Sql { line: 2, column: 5 };
        let excerpt = Excerpt::of(Some(&place), Some("SELECT 1,\n\tä, nme FROM t")).expect("shown");
        insta::assert_snapshot!(excerpt.draw("no column named `nme`", false));
        let place =
            Place::File { path: "testdata/traps/zeros.csv".into(), line: Some(2), column: Some(1) };
        let excerpt = Excerpt::of(Some(&place), None).expect("shown");
        insta::assert_snapshot!(excerpt.draw("not a number", false));
        let place = Place::File { path: "no/such".into(), line: Some(2), column: Some(1) };
        assert_eq!(Excerpt::of(Some(&place), None), None);
    }
}
