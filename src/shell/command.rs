//! Dot-commands: what the shell does besides SQL. `.help` is made from this table.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustyline::EditMode;

use super::highlight::Palette;
use super::{LAST, Output, Shell, script};
use crate::console::chart::{Chart, Picture, Request};
use crate::console::{Screen, about, show_rows, watch};
use crate::error::{Error, Result, nearest};
use crate::output::Format;
use crate::units::show_literal;

/// How often a watched statement looks after its files.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Scripts that read scripts, at most.
const DEPTH_MAX: usize = 50;
const CHART_SIZE: Screen = Screen { width: 80, height: 24 };
const CHART_HEIGHT_MAX: usize = 30;

/// What happens after a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Stay,
    Leave,
    /// The next line begins with this text.
    Edit(String),
}

/// None stands for an error that was shown.
type Done = Result<Option<Outcome>>;

struct Command {
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    run: fn(&mut Shell<'_>, &str) -> Done,
}

/// All commands, in groups.
const COMMANDS: [(&str, &[Command]); 4] = [
    (
        "Looking at files",
        &[
            command(".schema", "NAME or 'PATH'", "shows columns and types", |shell, name| {
                shell.about(name, about::SCHEMA, ".schema 'data/sales'")
            }),
            command(
                ".files",
                "'PATH'",
                "lists the files, their sizes and formats",
                |shell, path| shell.about(path, about::FILES, ".files 'data/sales'"),
            ),
            command(".partitions", "'PATH'", "lists the partitions", |shell, path| {
                shell.about(path, "SELECT * FROM partitions({})", ".partitions 'data/sales'")
            }),
            command(
                ".sniff",
                "'PATH'",
                "shows how files are written, and the call that reads them so",
                |shell, path| {
                    shell.upright(|shell| shell.about(path, about::SNIFF, ".sniff 'data.csv'"))
                },
            ),
            command(".check", "'PATH'", "lists all that is wrong with files", |shell, path| {
                shell.about(path, about::CHECK, ".check 'data/sales'")
            }),
            command(".tables", "", "lists tables and views", |shell, _| shell.tables()),
            command(
                ".functions",
                "[TEXT]",
                "lists functions, with their arguments",
                |shell, text| shell.functions(text),
            ),
        ],
    ),
    (
        "Results",
        &[
            command(".last", "", "shows all of the last result; FROM _ queries it", |shell, _| {
                shell.last()
            }),
            command(
                ".chart",
                "[bar|line|scatter|histogram] [X] [Y...] [> FILE]",
                "draws the last result; FILE is .svg, .png or .html",
                |shell, request| shell.chart(request),
            ),
            command(
                ".notes",
                "",
                "shows what there is to be known about the last answer",
                |shell, _| shell.show_notes(),
            ),
            command(".mode", "[FORMAT]", "sets the output format", |shell, format| {
                shell.mode(format)
            }),
            command(
                ".output",
                "[FILE or |COMMAND]",
                "sends answers there, each anew, or to the terminal again",
                |shell, to| {
                    shell.output = output(to)?;
                    STAY
                },
            ),
            command(".once", "FILE or |COMMAND", "sends the next answer there", |shell, to| {
                if to.is_empty() {
                    return Err(Error::usage("no file given").hint(".once totals.parquet"));
                }
                shell.once = Some(output(to)?);
                STAY
            }),
            command(".rows", "[COUNT]", "sets how many rows a table shows", |shell, count| {
                shell.rows(count)
            }),
            command(
                ".pager",
                "[on|off]",
                "shows what does not fit through a pager",
                |shell, word| switch(".pager", word, &mut shell.has_pager),
            ),
            command(".timer", "[on|off]", "shows each statement's time", |shell, word| {
                switch(".timer", word, &mut shell.settings.report.timer)
            }),
        ],
    ),
    (
        "Statements",
        &[
            command(
                ".explain",
                "[SELECT ...]",
                "shows the stages of a query, else of the last one",
                |shell, sql| {
                    let sql = if sql.is_empty() { shell.last_sql.clone() } else { sql.to_string() };
                    let sql = sql.trim_end().trim_end_matches(';');
                    if sql.is_empty() {
                        return Err(Error::usage("no query given")
                            .hint(".explain SELECT count(*) FROM 'logs'"));
                    }
                    Ok(shell.run_sql(&format!("EXPLAIN STAGES {sql}")).then_some(Outcome::Stay))
                },
            ),
            command(
                ".watch",
                "SELECT ...",
                "answers again whenever files change, until Ctrl-C",
                |shell, sql| shell.watch(sql),
            ),
            #[cfg(feature = "cluster")]
            command(
                ".connect",
                "[ADDRESS|off]",
                "runs statements on the cluster of a scheduler, or here again",
                |shell, address| shell.connect(address),
            ),
            command(".edit", "", "opens the last statement in $EDITOR", |shell, _| shell.edit()),
            command(
                ".read",
                "FILE",
                "runs the statements and commands in a file",
                |shell, path| shell.read(path),
            ),
        ],
    ),
    (
        "The shell",
        &[
            command(
                ".set",
                "[NAME [VALUE]]",
                "shows the settings, or changes one",
                |shell, words| shell.set(words),
            ),
            command(
                ".cd",
                "FOLDER",
                "changes the folder that relative paths begin in",
                |shell, path| shell.cd(path),
            ),
            command(".keys", "[emacs|vi]", "sets the keys", |shell, name| shell.keys(name)),
            command(".colors", "[dark|light|off]", "sets the colours", |shell, name| {
                shell.colors(name)
            }),
            command(".help", "[COMMAND]", "shows this list", |_, name| help(name)),
            command(".quit", "", "leaves, as Ctrl-D does", |_, _| Ok(Some(Outcome::Leave))),
            command(".exit", "", "leaves", |_, _| Ok(Some(Outcome::Leave))),
        ],
    ),
];

const STAY: Done = Ok(Some(Outcome::Stay));

const fn command(
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    run: fn(&mut Shell<'_>, &str) -> Done,
) -> Command {
    Command { name, arguments, help, run }
}

fn commands() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().flat_map(|(_, commands)| commands.iter())
}

/// What other shells call commands of ours; any of them may be written with a backslash as well.
const ELSEWHERE: [(&str, &str); 9] = [
    ("\\?", ".help"),
    ("\\d", ".schema"),
    ("\\df", ".functions"),
    ("\\dt", ".tables"),
    ("\\e", ".edit"),
    ("\\i", ".read"),
    ("\\o", ".output"),
    ("\\q", ".quit"),
    ("\\timing", ".timer"),
];

/// Whether a line is a command, and no SQL.
pub(super) fn is_command(line: &str) -> bool {
    line.trim_start().starts_with(['.', '\\', '|'])
}

/// The name of a command as it stands in the table.
pub(super) fn own_name(name: &str) -> String {
    let lower = name.to_lowercase();
    match ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == lower) {
        Some((_, own)) => own.to_string(),
        None => lower.replacen('\\', ".", 1),
    }
}

/// The names of all commands.
pub(super) fn names() -> Vec<&'static str> {
    commands().map(|command| command.name).collect()
}

impl Shell<'_> {
    /// Runs a dot-command.
    ///
    /// # Errors
    /// When there is none of that name, or it fails.
    pub(super) fn command(&mut self, line: &str) -> Done {
        if let Some(to) = line.strip_prefix('|') {
            return self.pipe_last(to.trim());
        }
        let line = line.trim_end_matches(';').trim_end();
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let own = match (name, argument.trim()) {
            // Without a name it lists what there is to be described.
            ("\\d", "") => ".tables".to_string(),
            _ => own_name(name),
        };
        let command =
            commands().find(|command| command.name == own).ok_or_else(|| unknown(name))?;
        (command.run)(self, argument.trim())
    }

    /// A query about what the user names.
    fn about(&mut self, argument: &str, sql: &str, example: &str) -> Done {
        if argument.is_empty() {
            return Err(Error::usage("nothing is named").hint(example));
        }
        // A path without quotes, where a name would not do.
        let is_path =
            argument.contains(['/', '.', '*', '~']) && !argument.contains(['\'', '"', '(']);
        let argument = if is_path { show_literal(argument) } else { argument.to_string() };
        Ok(self.run_sql(&sql.replace("{}", &argument)).then_some(Outcome::Stay))
    }

    /// Runs work that shows one value a line, if nothing else was asked for.
    fn upright<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.settings.format;
        self.settings.format = before.or(Some(Format::Line));
        let result = work(self);
        self.settings.format = before;
        result
    }

    /// Says or changes where statements run.
    #[cfg(feature = "cluster")]
    fn connect(&self, address: &str) -> Done {
        let address = address.trim_matches(['\'', '"']);
        let members = match address {
            "" => self.session.members()?,
            "off" => {
                self.session.connect(None)?;
                None
            }
            address => Some(self.session.connect(Some(address))?),
        };
        let Some(members) = members else {
            println!("statements run here");
            return STAY;
        };
        let cores: u32 = members.iter().map(|member| member.cores).sum();
        let of = crate::units::show_counted(members.len() as u64, "executor");
        println!(
            "statements run on {of} with {}",
            crate::units::show_counted(cores.into(), "core")
        );
        for member in members {
            println!("  {}  {} cores", member.address(), member.cores);
        }
        STAY
    }

    fn tables(&self) -> Done {
        let names = self.session.table_names().into_iter().filter(|name| name != LAST);
        names.for_each(|name| println!("{name}"));
        STAY
    }

    /// Functions whose name or call contains a text.
    fn functions(&self, text: &str) -> Done {
        let text = text.trim_matches(['(', ')', '\'']).to_lowercase();
        let signatures = self.session.function_signatures();
        let found =
            signatures.iter().filter(|(name, call)| name.contains(&text) || call.contains(&text));
        found.for_each(|(_, call)| println!("{call}"));
        STAY
    }

    fn last(&self) -> Done {
        let kept = self.kept.borrow();
        let (schema, batches) = kept.rows()?;
        let table = self.settings.table.whole();
        let format = self.settings.format.unwrap_or(Format::Table);
        let screen =
            Screen::of_terminal().filter(|_| self.has_pager && self.settings.table.width.is_some());
        show_rows(schema, batches, format, &table, screen)?;
        STAY
    }

    /// Sends the last result to a command.
    pub(super) fn pipe_last(&mut self, to: &str) -> Done {
        if to.is_empty() {
            return Err(Error::usage("no command given").hint("| sort"));
        }
        self.kept.borrow().rows()?;
        let sql = format!("FROM {LAST}");
        let done = self.run_sql_to(&sql, &Output::Command(to.to_string()));
        Ok(done.then_some(Outcome::Stay))
    }

    fn chart(&self, request: &str) -> Done {
        let (request, file) = match request.split_once('>') {
            Some((request, file)) => (request, Some(PathBuf::from(unquoted(file)))),
            None => (request, None),
        };
        let kept = self.kept.borrow();
        let (schema, batches) = kept.rows()?;
        let chart = Chart::of(schema, batches, &Request::parse(request))?;
        let Some(file) = file else {
            let screen = Screen::of_terminal().unwrap_or(CHART_SIZE);
            let height = screen.height.saturating_sub(4).min(CHART_HEIGHT_MAX);
            print!("{}", chart.text(screen.width - 1, height, self.settings.table.color));
            return STAY;
        };
        let picture = Picture::of_path(&file).ok_or_else(|| {
            Error::usage(format!("cannot tell a picture from {}", file.display()))
                .hint("use .svg, .png or .html")
        })?;
        chart.write(picture, &file, self.session.objects())?;
        STAY
    }

    fn show_notes(&self) -> Done {
        if self.notes.is_empty() {
            println!("nothing was guessed, skipped or left out");
        }
        self.notes.iter().for_each(|note| println!("{}: {note}", note.kind.name()));
        STAY
    }

    fn mode(&mut self, name: &str) -> Done {
        if name.is_empty() {
            let names: Vec<_> = Format::ALL.iter().map(|(name, _)| *name).collect();
            let mode = self.settings.format.unwrap_or(Format::Table).name();
            println!("mode is {mode}, of {}", names.join(", "));
            return STAY;
        }
        let format = Format::parse(name)?;
        self.settings.format = (format != Format::Table).then_some(format);
        STAY
    }

    fn rows(&mut self, count: &str) -> Done {
        match count.parse() {
            Ok(count) => self.settings.table.rows_max = count,
            Err(_) if count.is_empty() => {
                println!("{} rows are shown", self.settings.table.rows_max)
            }
            Err(_) => {
                return Err(Error::usage(format!("not a count of rows: {count}")).hint(".rows 100"));
            }
        }
        STAY
    }

    fn watch(&self, sql: &str) -> Done {
        if sql.is_empty() {
            return Err(
                Error::usage("no statement given").hint(".watch SELECT count(*) FROM 'logs'")
            );
        }
        watch(&self.session, sql, WATCH_EVERY, &self.settings, self.interrupt)?;
        STAY
    }

    fn edit(&self) -> Done {
        let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok());
        let editor = editor.unwrap_or_else(|| "vi".to_string());
        let fail = |error: std::io::Error| Error::usage(format!("cannot edit: {error}"));
        let mut file = tempfile::Builder::new().suffix(".sql").tempfile().map_err(fail)?;
        file.write_all(self.last_sql.as_bytes()).map_err(fail)?;
        // The path is an argument of its own: nothing in it is the shell's business.
        let mut command = crate::console::shell_command(&format!("{editor} \"$0\""));
        let status = command.arg(file.path()).status().map_err(fail)?;
        if !status.success() {
            return Err(Error::usage(format!("{editor}: {status}")).hint("set EDITOR"));
        }
        let text = std::fs::read_to_string(file.path()).map_err(fail)?;
        Ok(Some(Outcome::Edit(text.trim_end().to_string())))
    }

    fn read(&mut self, path: &str) -> Done {
        self.run_file(&PathBuf::from(unquoted(path)))
    }

    /// Runs a script up to its end, the first error, or where it leaves the shell.
    pub(super) fn run_file(&mut self, path: &Path) -> Done {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::usage(format!("cannot read {shown}: {error}")))?;
        if self.depth == DEPTH_MAX {
            return Err(Error::usage(format!("{shown} reads itself")));
        }
        self.depth += 1;
        let mut last = Some(Outcome::Stay);
        for (line, item) in script::items(&text) {
            last = self.run_item(item);
            if last.is_none() {
                self.settings.report.warn(&format!("stopped in {shown}, line {line}"));
            }
            if last != Some(Outcome::Stay) {
                break;
            }
        }
        self.depth -= 1;
        Ok(last)
    }

    fn set(&mut self, words: &str) -> Done {
        let sql = match words.split_once(char::is_whitespace) {
            _ if words.is_empty() => "SHOW ALL".to_string(),
            None => format!("SHOW {words}"),
            Some((name, value)) => {
                let value = value.trim().trim_start_matches('=').trim().trim_matches('\'');
                format!("SET {} = {}", name.trim_end_matches('='), show_literal(value))
            }
        };
        Ok(self.run_sql(&sql).then_some(Outcome::Stay))
    }

    fn cd(&self, path: &str) -> Done {
        let path = unquoted(path);
        let folder = match (path.strip_prefix('~'), self.session.home()) {
            (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
            (_, Some(home)) if path.is_empty() => home,
            _ => PathBuf::from(&path),
        };
        std::env::set_current_dir(&folder)
            .map_err(|error| Error::usage(format!("cannot go to {}: {error}", folder.display())))?;
        STAY
    }

    fn keys(&mut self, name: &str) -> Done {
        self.edit_mode = match name {
            "emacs" => EditMode::Emacs,
            "vi" => EditMode::Vi,
            "" => {
                println!(
                    "keys are {}",
                    if self.edit_mode == EditMode::Vi { "vi" } else { "emacs" }
                );
                return STAY;
            }
            _ => return Err(Error::usage("keys are emacs or vi").hint(".keys vi")),
        };
        STAY
    }

    fn colors(&mut self, name: &str) -> Done {
        let palette = match name {
            "" => Some(Palette::of_terminal()),
            name => Palette::of_name(name)?,
        };
        self.palette = palette;
        self.settings.table.color = palette.is_some();
        self.settings.report.color = palette.is_some();
        STAY
    }
}

/// A path as it may be written, in quotes or without.
fn unquoted(path: &str) -> String {
    path.trim().trim_matches(['\'', '"']).to_string()
}

fn output(to: &str) -> Result<Output> {
    if let Some(line) = to.strip_prefix('|') {
        return Ok(Output::Command(line.trim().to_string()));
    }
    let path = PathBuf::from(unquoted(to));
    if path.as_os_str().is_empty() {
        return Ok(Output::Terminal);
    }
    if Picture::of_path(&path).is_none() {
        Format::of_path(&path)?;
    }
    Ok(Output::File(path))
}

fn switch(name: &str, word: &str, is_on: &mut bool) -> Done {
    match word {
        "on" => *is_on = true,
        "off" => *is_on = false,
        "" => println!("{} is {}", &name[1..], if *is_on { "on" } else { "off" }),
        _ => return Err(Error::usage(format!("{name} is on or off")).hint(format!("{name} on"))),
    }
    STAY
}

fn help(name: &str) -> Done {
    let name = name.trim_start_matches('.');
    if !name.is_empty() {
        let dotted = format!(".{name}");
        let command = commands().find(|command| command.name == dotted);
        let Command { name, arguments, help, .. } = command.ok_or_else(|| unknown(&dotted))?;
        println!("{name} {arguments}\n  {help}");
        return STAY;
    }
    for (title, commands) in COMMANDS {
        println!("{title}");
        for Command { name, arguments, help, .. } in commands {
            let call = format!("{name} {arguments}");
            if call.len() > 26 {
                println!("  {call}\n  {:<26} {help}", "");
            } else {
                println!("  {call:<26} {help}");
            }
        }
    }
    println!("Lines and keys");
    for (keys, help) in KEYS {
        println!("  {keys:<26} {help}");
    }
    STAY
}

const KEYS: [(&str, &str); 8] = [
    ("Enter", "runs what ends with ; and goes to the next line else"),
    ("; | COMMAND", "behind a statement sends its answer there; | COMMAND alone the last one"),
    ("Tab", "completes paths, columns, values of partitions, functions, keywords"),
    ("Up, Down", "move within the statement, then through the history"),
    ("Ctrl-R", "searches the history"),
    ("Ctrl-C", "stops what runs, or clears the line"),
    ("Ctrl-L", "clears the screen"),
    ("Ctrl-D", "leaves"),
];

fn unknown(name: &str) -> Error {
    let error = Error::usage(format!("no command named {name}"));
    match nearest(name, names()) {
        Some(nearest) => error.hint(format!("did you mean {nearest}?")),
        None => error.hint(".help lists all commands"),
    }
}
