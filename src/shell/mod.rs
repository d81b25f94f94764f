//! The shell: lines in, statements and dot-commands out, until the user leaves.
//!
//! Ctrl-C stops what runs, or clears the line; Ctrl-D leaves. History lives in the XDG state folder,
//! what runs at the start in the XDG config folder.
#![expect(clippy::print_stdout, reason = "the shell talks to its user")]

mod command;
mod complete;
mod highlight;
mod input;
mod pieces;
mod script;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, EditMode, Editor};

use self::command::Outcome;
use self::complete::Completion;
use self::highlight::Palette;
use self::input::Statements;
use crate::console::{Destination, Failure, Interrupt, Job, Kept, Screen, Settings};
use crate::engine::{Engine, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::notes::Note;

const HISTORY_LEN_MAX: usize = 10_000;
/// The table of the last result.
const LAST: &str = "_";

/// Where the shell keeps its things.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// What was typed.
    pub history: Option<PathBuf>,
    /// Statements and dot-commands that run at the start.
    pub rc: Option<PathBuf>,
}

/// Runs the shell until its user leaves.
///
/// # Errors
/// When the terminal cannot be used.
pub fn run(
    engine: &Engine,
    settings: Settings,
    interrupt: &Interrupt,
    files: &Files,
) -> Result<()> {
    let mut shell = Shell::new(engine.session(), settings, interrupt);
    interrupt.stay();
    let terminal = |error: ReadlineError| {
        Error::new(ErrorKind::Usage, format!("cannot use the terminal: {error}"))
    };
    let config = Config::builder()
        .auto_add_history(false)
        .max_history_size(HISTORY_LEN_MAX)
        .and_then(|builder| builder.history_ignore_dups(true))
        .map_err(terminal)?
        .completion_type(CompletionType::List)
        .build();
    let mut editor: Editor<Statements, DefaultHistory> =
        Editor::with_config(config).map_err(terminal)?;
    if shell.settings.table.color {
        shell.palette = Some(Palette::of_terminal());
    }
    editor.set_helper(Some(Statements::new(Completion::new(shell.session.clone()))));
    if let Some(path) = &files.history {
        // No history yet is no error.
        let _ = editor.load_history(path);
    }
    println!(
        "swath {}: SQL over files. .help for help, Ctrl-D to leave.",
        env!("CARGO_PKG_VERSION")
    );
    let mut outcome = match &files.rc {
        Some(rc) if rc.exists() => {
            let done = shell.run_file(rc);
            shell.shown(done).unwrap_or(Outcome::Stay)
        }
        _ => Outcome::Stay,
    };
    loop {
        editor.set_edit_mode(shell.edit_mode);
        if let Some(helper) = editor.helper_mut() {
            helper.palette = shell.palette;
        }
        let initial = match std::mem::replace(&mut outcome, Outcome::Stay) {
            Outcome::Leave => break,
            Outcome::Edit(text) => text,
            Outcome::Stay => String::new(),
        };
        match editor.readline_with_initial(&prompt(), (&initial, "")) {
            Ok(line) => {
                if line.trim().is_empty() {
                    continue;
                }
                let _ = editor.add_history_entry(line.trim());
                outcome = shell.take(&line);
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(terminal(error)),
        }
    }
    if let Some(path) = &files.history {
        save_history(&mut editor, path, &shell);
    }
    Ok(())
}

/// The prompt says where relative paths begin.
fn prompt() -> String {
    let here = std::env::current_dir().ok();
    let name = here.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
    match name {
        Some(name) if !name.contains(char::is_control) => format!("{name} swath> "),
        _ => "swath> ".to_string(),
    }
}

fn save_history(editor: &mut Editor<Statements, DefaultHistory>, path: &Path, shell: &Shell<'_>) {
    if let Some(folder) = path.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    if let Err(error) = editor.save_history(path) {
        shell.settings.report.warn(&format!("the history was not saved: {error}"));
    }
}

/// What lasts from line to line.
struct Shell<'a> {
    session: Session,
    settings: Settings,
    interrupt: &'a Interrupt,
    output: Output,
    /// Where the next answer goes, if not to `output`.
    once: Option<Output>,
    has_pager: bool,
    palette: Option<Palette>,
    edit_mode: EditMode,
    /// The rows of the last result.
    kept: RefCell<Kept>,
    /// The notes of the last statement.
    notes: Vec<Note>,
    /// The last text of SQL.
    last_sql: String,
    /// How many scripts run within each other.
    depth: usize,
}

/// Where answers go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Output {
    Terminal,
    File(PathBuf),
    Command(String),
}

impl<'a> Shell<'a> {
    fn new(session: Session, settings: Settings, interrupt: &'a Interrupt) -> Self {
        Shell {
            session,
            settings,
            interrupt,
            output: Output::Terminal,
            once: None,
            has_pager: true,
            palette: None,
            edit_mode: EditMode::Emacs,
            kept: RefCell::default(),
            notes: Vec::new(),
            last_sql: String::new(),
            depth: 0,
        }
    }

    /// Runs a line: a dot-command, or statements. Shows the error if it fails.
    fn take(&mut self, line: &str) -> Outcome {
        self.run_item(line).unwrap_or(Outcome::Stay)
    }

    /// [`Shell::take`]; None after an error.
    fn run_item(&mut self, line: &str) -> Option<Outcome> {
        let line = line.trim();
        if command::is_command(line) {
            let done = self.command(line);
            return self.shown(done);
        }
        let (sql, done) = match pieces::piped(line) {
            Some((_, "")) => {
                let done = self.pipe_last("");
                return self.shown(done);
            }
            Some((sql, to)) => (sql, self.run_sql_to(sql, &Output::Command(to.to_string()))),
            None => (line, self.run_sql(line)),
        };
        self.last_sql = sql.trim_end().to_string();
        done.then_some(Outcome::Stay)
    }

    /// What a command came to, its error shown.
    fn shown(&self, done: Result<Option<Outcome>>) -> Option<Outcome> {
        done.unwrap_or_else(|error| {
            self.settings.report.error(&error, None);
            None
        })
    }

    /// Runs statements; whether all went well.
    fn run_sql(&mut self, text: &str) -> bool {
        let output = self.once.take().unwrap_or_else(|| self.output.clone());
        self.run_sql_to(text, &output)
    }

    fn run_sql_to(&mut self, text: &str, output: &Output) -> bool {
        let statements = match self.session.parse(text) {
            Ok(statements) => statements,
            Err(error) => {
                self.settings.report.error(&error, Some(text));
                return false;
            }
        };
        for statement in statements {
            let destination = match output {
                Output::Terminal => match Screen::of_terminal().filter(|_| self.has_pager) {
                    Some(screen) if self.settings.table.width.is_some() => {
                        Destination::Screen(screen)
                    }
                    _ => Destination::Stdout,
                },
                Output::File(path) => Destination::File(path),
                Output::Command(line) => Destination::Command(line),
            };
            let job = Job {
                session: &self.session,
                params: &self.settings.params,
                destination,
                format: self.settings.format.filter(|_| !matches!(output, Output::File(_))),
                table: self.settings.table.clone(),
                stage_page: None,
                kept: Some(&self.kept),
            };
            let result = job.run(&statement, &self.settings.report, self.interrupt);
            // Also after an error: what is no last result any more must not answer as one.
            self.name_last_result();
            match result {
                Ok(ran) => self.notes = ran.notes.list(),
                Err(Failure::ClosedPipe) => return true,
                Err(Failure::Error(error)) => {
                    self.settings.report.error(&error, Some(text));
                    return false;
                }
            }
        }
        true
    }

    /// Makes the last result a table, so that `FROM _` reads it.
    fn name_last_result(&self) {
        self.session.deregister(LAST);
        if let Some(batches) = self.kept.borrow().table() {
            // A result that cannot be a table is none.
            let _ = self.session.register_batches(LAST, batches);
        }
    }
}
