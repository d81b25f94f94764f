//! The flags; their doc comments are the help text.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::console::chart::Picture;
use crate::dataset::options::{OPTIONS, OptionDoc};
use crate::engine::{Param, Params};
use crate::error::{Error, Result};
use crate::output::Format;

/// SQL over directories of CSV, Parquet, JSON and Arrow files.
///
/// Without a statement, a shell starts (or SQL is read from a pipe). Data goes to stdout, all else
/// to stderr.
#[derive(Debug, Clone, Parser)]
#[command(name = "swath", version, max_term_width = 100)]
pub(super) struct Args {
    /// Statements to run, in turn: "SELECT count(*) FROM 'data/*.csv'"; or a verb, below
    #[arg(value_name = "SQL")]
    pub(super) sql: Vec<String>,

    /// Runs a statement, like a plain argument
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    pub(super) commands: Vec<String>,

    /// Runs the statements in a file
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,

    /// Writes the last result into a file, in the format of its extension
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Output format: table, box, csv, tsv, json, jsonl, markdown, arrow, parquet, line
    #[arg(long, value_name = "NAME")]
    pub(super) format: Option<String>,

    /// Binds $NAME in statements, never as text: -P day=2024-01-01
    #[arg(short = 'P', long = "param", value_name = "NAME=VALUE")]
    pub(super) params: Vec<String>,

    /// Shows each statement's time on stderr
    #[arg(long)]
    pub(super) timer: bool,

    /// Leaves out the summary line; notes that change what an answer means stay
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// How notes and summary are written to stderr
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(super) notes: NotesForm,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Color,

    /// Rows that a table shows at most, half from each end
    #[arg(long, value_name = "COUNT")]
    pub(super) max_rows: Option<usize>,

    /// Memory that statements may use, as in 2GB [default: 70 % of the machine's]
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<String>,

    /// Threads [default: all cores]
    #[arg(long, value_name = "COUNT")]
    pub(super) threads: Option<usize>,

    /// Stops each statement after this time, as in 30s
    #[arg(long, value_name = "TIME")]
    pub(super) timeout: Option<String>,

    /// Refuses statements that would read more than this from files, as in 10GB
    #[arg(long, value_name = "SIZE")]
    pub(super) max_scan_bytes: Option<String>,

    /// Folder for what does not fit into memory [default: the system's]
    #[arg(long, value_name = "DIR")]
    pub(super) spill_dir: Option<PathBuf>,

    /// Confines statements to this folder; may be given several times
    #[arg(long = "allow-dir", value_name = "DIR")]
    pub(super) allowed_dirs: Vec<PathBuf>,

    /// Runs statements on the cluster of this scheduler, as in df://localhost:50050
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) cluster: Option<String>,

    /// Runs this share of the files here as well as on the cluster, as in 0.01: rows must be the same
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "SHARE", requires = "cluster")]
    pub(super) verify_local: Option<f64>,

    /// Shows how far a statement has come, on stderr [auto: on a terminal, after a second]
    #[arg(long, value_name = "FORM", default_value = "auto")]
    pub(super) progress: ProgressArg,

    /// Writes a page with the stages of the last statement and what each took
    #[arg(long, value_name = "FILE")]
    pub(super) explain_html: Option<PathBuf>,

    /// Keeps the partial aggregates of files, and reads only files that have none
    #[arg(long, conflicts_with = "no_cache")]
    pub(super) reuse: bool,

    /// How often `swath watch` looks after the files
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub(super) every: String,

    /// Neither uses nor keeps what passes over files have shown (swath cache stats | clear)
    #[arg(long)]
    pub(super) no_cache: bool,

    /// Leaves out what the shell runs at its start (rc.sql in the configuration folder)
    #[arg(long)]
    pub(super) no_rc: bool,

    /// Stops what runs when standard input ends, as it does when the process that started it is gone
    #[arg(long, hide = true)]
    pub(super) until_stdin_ends: bool,

    /// Rows in a batch; answers do not depend on it
    #[arg(long, value_name = "COUNT", hide = true)]
    pub(super) batch_rows: Option<usize>,

    /// Options of `read_csv` that hold for all files, with the flag's text
    #[arg(skip)]
    pub(super) csv_options: Vec<(&'static str, String)>,
}

const EXAMPLES: &str = "\
Examples:
  swath \"SELECT region, sum(amount) FROM 'sales/**/*.csv' GROUP BY ALL\"
  swath -o totals.parquet \"SELECT * FROM read_csv('a.csv', delim => ';')\"
  swath -o sales.svg \"SELECT day, sum(amount) FROM 'sales' GROUP BY day\"
  zcat log.csv.gz | swath \"SELECT count(*) FROM stdin\"

Exit codes: 0 done, 1 the SQL, 2 the flags, 3 the data, 4 a limit, 130 interrupted";

fn given(matches: &ArgMatches) -> Vec<(&'static str, String)> {
    csv_options()
        .filter_map(|option| Some((option.name, matches.get_one::<String>(option.name)?.clone())))
        .collect()
}

/// A statement that begins with a comment is no flag; `--command=SELECT` is one, on any number of
/// lines.
fn escaped(argument: OsString) -> OsString {
    let first_line = argument.to_str().and_then(|text| text.strip_prefix("--")?.split_once('\n'));
    let is_comment = first_line.is_some_and(|(line, _)| {
        line.split_once('=').is_none_or(|(name, _)| name.contains(char::is_whitespace))
    });
    if !is_comment {
        return argument;
    }
    let mut escaped = OsString::from(" ");
    escaped.push(argument);
    escaped
}

/// How notes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NotesForm {
    /// Sentences.
    Text,
    /// One JSON object for each statement.
    Json,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressArg {
    /// A bar where stderr is a terminal.
    Auto,
    /// Never.
    Never,
    /// One JSON object each second.
    Json,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The options of `read_csv` that are flags: `--csv-delim ';'`.
fn csv_options() -> impl Iterator<Item = &'static OptionDoc> {
    OPTIONS.iter().filter(|option| {
        let is_alias = option.help.starts_with("another word");
        !is_alias && (option.csv || option.name == "types")
    })
}

impl Args {
    /// All flags, with those of `read_csv`.
    pub(super) fn whole_command() -> Command {
        let flags = csv_options().map(|option| {
            Arg::new(option.name)
                .long(format!("csv-{}", option.name.replace('_', "-")))
                .value_name(option.value)
                .help(option.help)
                .allow_hyphen_values(true)
                .hide_short_help(true)
                .help_heading("Reading CSV, unless read_csv(...) says otherwise")
        });
        Args::command().args(flags).after_help(format!("{}\n{EXAMPLES}", super::verbs::help()))
    }

    /// Reads the process's arguments.
    ///
    /// # Errors
    /// When they are wrong, or ask for help.
    pub(super) fn read() -> Result<Self, clap::Error> {
        let mut command = Args::whole_command();
        let matches = command.try_get_matches_from_mut(std::env::args_os().map(escaped))?;
        let mut args =
            Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        args.csv_options = given(&matches);
        Ok(args)
    }

    /// Whether there is something to run without reading a terminal or a pipe.
    pub(super) fn has_statement(&self) -> bool {
        !(self.sql.is_empty() && self.commands.is_empty() && self.files.is_empty())
    }

    /// The bound parameters.
    ///
    /// # Errors
    /// When one is not of the form NAME=VALUE.
    pub(super) fn bound(&self) -> Result<Params> {
        self.params
            .iter()
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) if !name.is_empty() => {
                    Ok((name.trim_start_matches('$').to_string(), Param::parse(value)))
                }
                _ => Err(Error::usage(format!("not a parameter: {pair:?}"))
                    .hint("write -P day=2024-01-01 and use it as $day")),
            })
            .collect()
    }

    /// The format that was asked for.
    ///
    /// # Errors
    /// When there is none of that name, or the output file's extension says nothing.
    pub(super) fn output_format(&self) -> Result<Option<Format>> {
        match (&self.format, &self.output) {
            (Some(name), _) => Format::parse(name).map(Some),
            // A picture is no format of rows.
            (None, Some(path)) if Picture::of_path(path).is_some() => Ok(None),
            (None, Some(path)) => Format::of_path(path).map(Some),
            (None, None) => Ok(None),
        }
    }
}
