//! What goes to stderr: errors, notes, the summary line, times.
#![expect(clippy::print_stderr, reason = "this is the one place that writes to stderr")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::bar::ProgressForm;
use super::excerpt::Excerpt;
use crate::error::Error;
use crate::notes::Notes;
use crate::units::{show_bytes, show_count, show_counted, show_seconds};

/// How things are said on stderr.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Whether to use colours.
    pub color: bool,
    /// Notes and errors as JSON objects, one a line.
    pub json: bool,
    /// Whether to show the summary line.
    pub summary: bool,
    /// Whether to show each statement's time.
    pub timer: bool,
    /// How progress is shown.
    pub progress: ProgressForm,
}

impl Report {
    /// Shows an error, with the line of the statement or file that it points to.
    pub fn error(&self, error: &Error, sql: Option<&str>) {
        if self.json {
            let place = error.place().map(ToString::to_string);
            let object = serde_json::json!({"error": error.message(), "place": place, "hints": error.hints()});
            eprintln!("{object}");
            return;
        }
        match Excerpt::of(error.place(), sql) {
            Some(excerpt) => eprintln!("{}", excerpt.draw(error.message(), self.color)),
            None => {
                eprintln!("{} {}", self.paint("1;31", "error:"), error.message());
                if let Some(place) = error.place() {
                    eprintln!("  {} {place}", self.paint("34", "-->"));
                }
            }
        }
        for hint in error.hints() {
            eprintln!("{} {hint}", self.paint("1;36", "hint:"));
        }
    }

    /// Shows a warning of the program itself.
    pub fn warn(&self, message: &str) {
        eprintln!("{} {message}", self.paint("33", "note:"));
    }

    /// Shows the notes, the summary and the time of one statement.
    pub fn statement(&self, notes: &Notes, row_count: u64, elapsed: Duration) {
        if self.json {
            let mut object = notes.to_json();
            object["rows"] = row_count.into();
            object["seconds"] = elapsed.as_secs_f64().into();
            eprintln!("{object}");
            return;
        }
        for note in notes.list() {
            if note.kind.changes_the_answer() || self.summary {
                eprintln!("{} {note}", self.paint("33", "note:"));
            }
        }
        if self.summary
            && let Some(summary) = summary(notes, elapsed)
        {
            eprintln!("{}", self.paint("2", &summary));
        }
        self.time(elapsed);
    }

    /// Shows the time that something took, where that was asked for.
    pub fn time(&self, elapsed: Duration) {
        if self.timer {
            eprintln!("Time: {}", show_seconds(elapsed));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// `read 12 of 340 files (1 of 12 partitions), 1,234 rows, 1.20 MB in 0.012 s`
fn summary(notes: &Notes, elapsed: Duration) -> Option<String> {
    let counts = notes.counts();
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let total = load(&counts.files_total);
    let read = load(&counts.files_read);
    // Nothing to sum up where no file was to be read, as for DESCRIBE.
    let is_idle = read == 0 && load(&counts.files_reused) == 0;
    if total == 0 || (is_idle && load(&counts.partitions_total) == 0) {
        return None;
    }
    let partitions = match load(&counts.partitions_total) {
        0 => String::new(),
        total => format!(
            " ({} of {} partitions)",
            show_count(load(&counts.partitions_read)),
            show_count(total)
        ),
    };
    let reused = match load(&counts.files_reused) {
        0 => String::new(),
        count => format!(", {} reused", show_count(count)),
    };
    Some(format!(
        "read {} of {}{partitions}{reused}, {}, {} in {}",
        show_count(read),
        show_counted(total, "file"),
        show_counted(load(&counts.rows_read), "row"),
        show_bytes(load(&counts.bytes_read)),
        show_seconds(elapsed)
    ))
}
