//! The command line: flags, one-shot statements, exit codes.
//!
//! Everything that the library must not do happens here: reading HOME, the environment and the
//! terminal, deciding colours and exit codes.

mod args;
#[cfg(feature = "cluster")]
mod cluster;
mod one_shot;
mod stores;
mod verbs;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use self::args::{Args, Color, NotesForm, ProgressArg};
use self::verbs::Task;
use crate::console::{Interrupt, ProgressForm, Report, Settings, terminal_width, watch};
use crate::dataset::cache::Cache;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::fragment::Fragments;
use crate::output::TableOptions;
use crate::shell::Files;
use crate::store::StoreStats;
use crate::units::show_bytes;

/// Rows that a table shows in a pipe: beyond, a format that streams is the better choice.
const PIPED_TABLE_ROWS_MAX: usize = 10_000;

/// Runs the program with the process's arguments and returns its exit code.
pub fn main() -> ExitCode {
    // A mistake of ours is reported as an error of the statement, not as a panic's text.
    std::panic::set_hook(Box::new(|_| {}));
    #[cfg(feature = "cluster")]
    if let Some(code) = cluster::main() {
        return code;
    }
    let args = match Args::read() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            let usage = error.use_stderr();
            return ExitCode::from(if usage { ErrorKind::Usage.exit_code() } else { 0 });
        }
    };
    let kind = match settings(&args) {
        Ok(settings) => run(&args, &settings).err(),
        Err(error) => {
            report(&args).error(&error, None);
            Some(error.kind())
        }
    };
    kind.map_or(ExitCode::SUCCESS, |kind| ExitCode::from(kind.exit_code()))
}

fn run(args: &Args, settings: &Settings) -> Result<(), ErrorKind> {
    let shown = |error: crate::Error| {
        settings.report.error(&error, None);
        error.kind()
    };
    let task = verbs::task(&args.sql).map_err(shown)?;
    match &task {
        Some(Task::Cache(what)) => return about_cache(what).map_err(shown),
        Some(Task::Completions(shell)) => {
            verbs::write_completions(*shell);
            return Ok(());
        }
        Some(Task::Manual) => return verbs::write_manual().map_err(shown),
        _ => {}
    }
    let interrupt = Interrupt::install();
    if args.until_stdin_ends {
        interrupt.when_ended(std::io::stdin());
    }
    let sql_from_stdin = !args.has_statement() && !std::io::stdin().is_terminal();
    let engine = engine(args, sql_from_stdin).map_err(shown)?;
    if let Some(Task::Watch(sql)) = &task {
        let every = crate::units::parse_duration(&args.every).map_err(shown)?;
        let session = engine.default_session();
        return watch(session, sql, every, settings, &interrupt).map_err(|error| {
            settings.report.error(&error, Some(sql));
            error.kind()
        });
    }
    if args.has_statement() || sql_from_stdin {
        return one_shot::run(args, task, &engine, settings, &interrupt);
    }
    let files = Files { history: history_path(), rc: rc_path().filter(|_| !args.no_rc) };
    crate::shell::run(&engine, settings.clone(), &interrupt, &files).map_err(shown)
}

/// `swath cache stats` and `swath cache clear`.
fn about_cache(what: &str) -> Result<()> {
    let folder = cache_dir().ok_or_else(|| {
        Error::usage("there is no folder for a cache").hint("set XDG_CACHE_HOME, or HOME")
    })?;
    let stores = [
        ("what files hold", Cache::new(&folder).store().clone()),
        ("partial aggregates", Fragments::new(&folder).store().clone()),
    ];
    match what {
        "stats" => {
            for (of, store) in &stores {
                let StoreStats { entry_count, len_bytes } = store.stats();
                let entries =
                    format!("{entry_count} {}", if entry_count == 1 { "entry" } else { "entries" });
                let folder = store.folder().display();
                let line = format!("{of}: {entries}, {} in {folder}\n", show_bytes(len_bytes));
                let _ = std::io::stdout().write_all(line.as_bytes());
            }
            Ok(())
        }
        "clear" => stores.iter().try_for_each(|(_, store)| {
            store.clear().map_err(|error| {
                Error::data(format!("cannot delete {}: {error}", store.folder().display()))
            })
        }),
        _ => Err(Error::usage(format!("no such thing to do with the cache: {what}"))
            .hint("swath cache stats, or swath cache clear")),
    }
}

/// The engine with the limits that the flags give.
fn engine(args: &Args, sql_from_stdin: bool) -> Result<Engine> {
    let mut builder = Engine::builder().objects(stores::objects());
    if let Some(memory) = &args.memory {
        builder = builder.memory(memory)?;
    }
    if let Some(threads) = args.threads {
        builder = builder.threads(threads);
    }
    if let Some(timeout) = &args.timeout {
        builder = builder.timeout(crate::units::parse_duration(timeout)?);
    }
    if let Some(size) = &args.max_scan_bytes {
        builder = builder.max_scan_bytes(size)?;
    }
    if !args.allowed_dirs.is_empty() {
        builder = builder.roots(&args.allowed_dirs)?;
    }
    if let Some(dir) = &args.spill_dir {
        builder = builder.spill_dir(dir);
    }
    #[cfg(feature = "cluster")]
    if let Some(address) = &args.cluster {
        builder = builder.cluster(address)?;
        if let Some(share) = args.verify_local {
            builder = builder.verify_local(share)?;
        }
    }
    if let Some(rows) = args.batch_rows {
        builder = builder.batch_rows(rows);
    }
    for (name, value) in &args.csv_options {
        builder = builder.csv_option(name, value).map_err(|error| {
            Error::usage(format!("--csv-{}: {}", name.replace('_', "-"), error.message()))
        })?;
    }
    if let (Some(folder), false) = (cache_dir(), args.no_cache) {
        builder = builder.cache_dir(&folder);
        if args.reuse {
            builder = builder.reuse(folder);
        }
    }
    if let Some(home) = std::env::var_os("HOME") {
        builder = builder.home(home);
    }
    if !sql_from_stdin {
        builder = builder.stdin(std::io::stdin());
    }
    builder.build()
}

fn settings(args: &Args) -> Result<Settings> {
    let terminal = std::io::stdout().is_terminal();
    let defaults = TableOptions::default();
    let rows_max = if terminal { defaults.rows_max } else { PIPED_TABLE_ROWS_MAX };
    Ok(Settings {
        report: report(args),
        table: TableOptions {
            rows_max: args.max_rows.unwrap_or(rows_max),
            width: terminal.then(terminal_width).flatten(),
            color: wants_color(args, terminal),
            upright: terminal && args.format.is_none(),
            ..defaults
        },
        format: args.output_format()?,
        params: args.bound()?,
    })
}

fn report(args: &Args) -> Report {
    let terminal = std::io::stderr().is_terminal();
    Report {
        color: wants_color(args, terminal),
        json: args.notes == NotesForm::Json,
        summary: terminal && !args.quiet,
        timer: args.timer,
        progress: match args.progress {
            ProgressArg::Auto if terminal && !is_dumb() => {
                ProgressForm::Bar(terminal_width().unwrap_or(80).saturating_sub(1))
            }
            ProgressArg::Json => ProgressForm::Json,
            ProgressArg::Auto | ProgressArg::Never => ProgressForm::Off,
        },
    }
}

/// Whether the terminal can do no more than print.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Whether to colour what goes to a terminal or elsewhere.
fn wants_color(args: &Args, terminal: bool) -> bool {
    match args.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            terminal && !is_dumb() && !refused
        }
    }
}

/// Where the shell keeps its history: the XDG state folder.
fn history_path() -> Option<PathBuf> {
    Some(own_dir("XDG_STATE_HOME", ".local/state")?.join("history"))
}

/// What the shell runs at its start: a file in the XDG config folder.
fn rc_path() -> Option<PathBuf> {
    Some(own_dir("XDG_CONFIG_HOME", ".config")?.join("rc.sql"))
}

/// Where what was learned of files is kept: the XDG cache folder.
fn cache_dir() -> Option<PathBuf> {
    own_dir("XDG_CACHE_HOME", ".cache")
}

/// Our folder in one of the XDG base directories, which a variable may name.
fn own_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let base = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(below_home)))?;
    Some(base.join("swath"))
}
