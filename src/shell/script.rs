//! Scripts: texts of statements and dot-commands, one after the other.

use super::command::is_command;
use super::pieces::is_whole;

/// The statements and dot-commands of a text, with the line that each begins in, counted from 1.
pub(super) fn items(text: &str) -> Vec<(usize, &str)> {
    let mut items = Vec::new();
    let mut start = None;
    let mut end = 0;
    for (idx, line) in text.split_inclusive('\n').enumerate() {
        let at = end;
        end += line.len();
        let trimmed = line.trim();
        let is_between = start.is_none();
        if is_between && (trimmed.is_empty() || trimmed.starts_with("--")) {
            continue;
        }
        if is_between && is_command(trimmed) {
            items.push((idx + 1, trimmed));
            continue;
        }
        let (line_number, from) = *start.get_or_insert((idx + 1, at));
        // Only a line with a semicolon can end a statement.
        if line.contains(';') && is_whole(&text[from..end]) {
            items.push((line_number, text[from..end].trim()));
            start = None;
        }
    }
    if let Some((line_number, from)) = start {
        items.push((line_number, text[from..].trim()));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_between_statements_only() {
        let text = "-- first\n.mode csv\n\nSELECT ';'\n.5;\nSELECT 2; SELECT 3;\n.timer on\nSELECT 4; | sort\n| wc\nSELECT 5";
        assert_eq!(
            items(text),
            [
                (2, ".mode csv"),
                (4, "SELECT ';'\n.5;"),
                (6, "SELECT 2; SELECT 3;"),
                (7, ".timer on"),
                (8, "SELECT 4; | sort"),
                (9, "| wc"),
                (10, "SELECT 5"),
            ]
        );
        assert!(items("\n-- nothing\n").is_empty());
    }
}
