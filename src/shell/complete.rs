//! Completion: what may stand at the cursor, read from the files that the statement names.
//!
//! ```text
//! .ti<Tab>                                  dot-commands
//! FROM 'data/sa<Tab>                        paths
//! FROM sa<Tab>                              tables, views, CTEs, reading functions
//! SELECT re<Tab> FROM 'data/sales'          columns of that location, functions, keywords
//! SELECT s.<Tab> FROM 'data/sales' s        columns of that alias
//! WHERE year = <Tab>                        values of that partition key
//! SET exe<Tab>                              settings
//! ```

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use datafusion::arrow::array::Array;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use rustyline::completion::Pair;

use super::command;
use super::pieces::{Kind, Piece, pieces};
use crate::engine::Session;
use crate::objects::{self, Objects};
use crate::output::Format;
use crate::plan::bind::TABLE_FUNCTIONS;
use crate::plan::parse::{Following, following};
use crate::units::show_literal;

/// What was looked up is looked up again after this time.
const FRESH: Duration = Duration::from_secs(10);
/// More values of a key than this are no help.
const VALUES_MAX: usize = 200;

/// What statements are made of. Where several words follow each other, Tab gives all of them.
const KEYWORDS: [&str; 100] = [
    "ALL",
    "ANALYZE",
    "AND",
    "ANTI JOIN",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CREATE MACRO",
    "CREATE OR REPLACE",
    "CREATE TABLE",
    "CREATE VIEW",
    "CROSS JOIN",
    "CURRENT ROW",
    "DATE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DISTINCT ON",
    "DROP TABLE",
    "DROP VIEW",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXCLUDE",
    "EXISTS",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "EXPLAIN STAGES",
    "FALSE",
    "FILTER",
    "FOLLOWING",
    "FROM",
    "FULL JOIN",
    "GROUP BY",
    "GROUP BY ALL",
    "GROUPING SETS",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER JOIN",
    "INSERT INTO",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS NOT NULL",
    "IS NULL",
    "JOIN",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "NATURAL JOIN",
    "NOT",
    "NULL",
    "NULLS FIRST",
    "NULLS LAST",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "ORDER BY ALL",
    "OUTER",
    "OVER",
    "PARTITION BY",
    "PIVOT",
    "PRECEDING",
    "QUALIFY",
    "RANGE",
    "RECURSIVE",
    "RENAME",
    "REPLACE",
    "RIGHT JOIN",
    "ROWS BETWEEN",
    "SELECT",
    "SEMI JOIN",
    "SET",
    "SHOW TABLES",
    "SUMMARIZE",
    "TABLESAMPLE",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "TRY_CAST",
    "UNBOUNDED",
    "UNION",
    "UNION ALL",
    "UNPIVOT",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN GROUP",
];
/// Those that are values, or begin one, although the parser also takes them for names.
const VALUES: [&str; 11] = [
    "CASE",
    "CAST",
    "DATE",
    "EXISTS",
    "FALSE",
    "INTERVAL",
    "NOT",
    "NULL",
    "TIMESTAMP",
    "TRUE",
    "TRY_CAST",
];

/// Whether a word is one of SQL's, for colours.
pub(super) fn is_keyword(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> =
        LazyLock::new(|| KEYWORDS.into_iter().flat_map(|phrase| phrase.split(' ')).collect());
    WORDS.contains(word.to_uppercase().as_str())
}

/// Finds what may stand at the cursor.
pub(super) struct Completion {
    session: Session,
    home: Option<PathBuf>,
    /// First columns of answers by the query, and when they were looked up.
    known: RefCell<HashMap<String, (Instant, Vec<String>)>>,
    functions: RefCell<Vec<Pair>>,
}

/// Something that a statement reads.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    /// A query of all its columns.
    query: String,
    /// The location, if it is one.
    location: Option<String>,
    /// The names that it goes by, in lower case.
    names: Vec<String>,
}

impl Completion {
    pub(super) fn new(session: Session) -> Self {
        let home = session.home();
        Completion { session, home, known: RefCell::default(), functions: RefCell::default() }
    }

    /// Where the word at the cursor begins, and what it may become, best first.
    pub(super) fn candidates(&self, line: &str, cursor: usize) -> (usize, Vec<Pair>) {
        if let Some(found) = self.of_command(line, cursor) {
            return found;
        }
        // Only the statement that the cursor is in.
        let all = pieces(line);
        let is_end = |piece: &&Piece| &line[piece.range.clone()] == ";";
        let start = all.iter().filter(is_end).map(|piece| piece.range.end);
        let start = start.filter(|end| *end <= cursor).max().unwrap_or(0);
        let end = all.iter().filter(is_end).map(|piece| piece.range.start);
        let end = end.filter(|at| *at >= cursor).min().unwrap_or(line.len());
        let (at, found) = self.of_statement(&line[start..end], cursor - start);
        (at + start, found)
    }

    /// What may follow in a dot-command; None where SQL follows.
    fn of_command(&self, line: &str, cursor: usize) -> Option<(usize, Vec<Pair>)> {
        let before = &line[..cursor];
        let dotted = before.trim_start();
        if !command::is_command(dotted) {
            return None;
        }
        let Some((name, argument)) = dotted.split_once(char::is_whitespace) else {
            let mark = &dotted[..1];
            let names: Vec<String> =
                command::names().into_iter().map(|name| name.replacen('.', mark, 1)).collect();
            let names = names.iter().map(String::as_str);
            return Some((cursor - dotted.len(), matching(names, dotted)));
        };
        let name = command::own_name(name);
        let word = argument.trim_start().rsplit(char::is_whitespace).next().unwrap_or_default();
        let at = cursor - word.len();
        let words: &[&str] = match name.as_str() {
            ".explain" | ".watch" => return None,
            ".set" => return Some((at, self.settings(word))),
            ".help" => &command::names(),
            ".mode" => &Format::ALL.map(|(name, _)| name),
            ".timer" | ".pager" => &["on", "off"],
            ".keys" => &["emacs", "vi"],
            ".colors" => &["dark", "light", "off"],
            ".chart" => &["bar", "histogram", "line", "scatter"],
            _ => {
                let typed = word.trim_start_matches(['\'', '|']);
                let close = if word.starts_with('\'') { "'" } else { "" };
                return Some((
                    cursor - typed.len(),
                    plain(paths(typed, self.home.as_deref(), self.session.objects(), close)),
                ));
            }
        };
        Some((at, matching(words.iter().copied(), word)))
    }

    fn of_statement(&self, text: &str, cursor: usize) -> (usize, Vec<Pair>) {
        // The names of settings have dots.
        let typed = text[..cursor].trim_start();
        if let Some((verb, setting)) = typed.split_once(char::is_whitespace)
            && ["set", "show", "reset"].contains(&verb.to_lowercase().as_str())
            && !setting.trim_start().contains([' ', '='])
        {
            let setting = setting.trim_start();
            return (cursor - setting.len(), self.settings(setting));
        }
        let before: Vec<Piece> =
            pieces(&text[..cursor]).into_iter().filter(|piece| piece.kind != Kind::Blank).collect();
        let shown = |piece: &Piece| &text[piece.range.clone()];
        let is_word = |piece: &&Piece| {
            matches!(
                piece.kind,
                Kind::Name | Kind::Keyword | Kind::Function | Kind::Number | Kind::Endless
            ) && piece.range.end == cursor
        };
        let (head, start) = match before.last().filter(is_word) {
            Some(piece) => (&before[..before.len() - 1], piece.range.start),
            None => (&before[..], cursor),
        };
        let word = &text[start..cursor];
        let sources = sources(text);
        let key = compared_name(head, text);
        if let Some(typed) = word.strip_prefix('\'') {
            if let Some(key) = key {
                let values = self.partition_values(&sources, &key);
                if !values.is_empty() {
                    let values: Vec<String> = values
                        .into_iter()
                        .map(|value| format!("{}'", value.replace('\'', "''")))
                        .collect();
                    return (start + 1, matching(values.iter().map(String::as_str), typed));
                }
            }
            let objects = self.session.objects();
            return (start + 1, plain(paths(typed, self.home.as_deref(), objects, "'")));
        }
        let last = head.last().map(shown).unwrap_or_default().to_lowercase();
        if last == "." && head.len() > 1 {
            let alias = shown(&head[head.len() - 2]).trim_matches('"').to_lowercase();
            let of_alias = sources.iter().filter(|source| source.names.contains(&alias));
            let columns: Vec<String> = of_alias.flat_map(|source| self.columns(source)).collect();
            return (start, matching(columns.iter().map(String::as_str), word));
        }
        if ["from", "join", "into", "table", "view", "describe", "summarize"]
            .contains(&last.as_str())
        {
            let mut tables = self.session.table_names();
            tables.extend(ctes(text).into_iter().map(|(name, _)| name));
            // All but one take a path first.
            tables.extend(TABLE_FUNCTIONS.map(|name| match name {
                "generate_series" => format!("{name}("),
                _ => format!("{name}('"),
            }));
            return (start, matching(tables.iter().map(String::as_str), word));
        }
        if let Some(key) = &key {
            let values = self.partition_values(&sources, key);
            let literals: Vec<String> = values
                .into_iter()
                .map(
                    |value| if value.parse::<f64>().is_ok() { value } else { show_literal(&value) },
                )
                .collect();
            if !literals.is_empty() {
                return (start, matching(literals.iter().map(String::as_str), word));
            }
        }
        if word.is_empty() && head.is_empty() {
            return (start, Vec::new());
        }
        if word.is_empty() && following(&text[..start]) == Following::Other {
            let keywords = matching(fitting(&text[..start]), word);
            if !keywords.is_empty() {
                return (start, keywords);
            }
        }
        let columns: Vec<String> = sources.iter().flat_map(|source| self.columns(source)).collect();
        let mut found = matching(columns.iter().map(String::as_str), word);
        if !word.is_empty() {
            // What is being typed may look like an alias.
            let names = sources.iter().flat_map(|source| source.names.iter().map(String::as_str));
            found.extend(matching(names.filter(|name| !name.eq_ignore_ascii_case(word)), word));
            found.extend(self.functions(word));
            let is_lower = !word.contains(char::is_uppercase);
            let keywords = matching(fitting(&text[..start]), word);
            found.extend(keywords.into_iter().map(|mut keyword| {
                if is_lower {
                    keyword.replacement = keyword.replacement.to_lowercase();
                    keyword.display = keyword.replacement.clone();
                }
                keyword
            }));
        }
        // What begins with the word comes before what only contains its letters.
        let lower = word.to_lowercase();
        let begins = |pair: &Pair| pair.replacement.to_lowercase().starts_with(&lower);
        if found.iter().any(begins) {
            found.retain(begins);
        }
        let mut seen = HashSet::new();
        found.retain(|pair| seen.insert(pair.replacement.clone()));
        (start, found)
    }

    /// Functions with their arguments.
    fn functions(&self, word: &str) -> Vec<Pair> {
        let mut functions = self.functions.borrow_mut();
        if functions.is_empty() {
            let signatures = self.session.function_signatures();
            *functions = signatures
                .into_iter()
                .map(|(name, signature)| Pair {
                    display: signature,
                    replacement: format!("{name}("),
                })
                .collect();
        }
        let lower = word.to_lowercase();
        let named = |pair: &&Pair| is_like(&pair.replacement, &lower);
        functions
            .iter()
            .filter(named)
            .map(|pair| Pair {
                display: pair.display.clone(),
                replacement: pair.replacement.clone(),
            })
            .collect()
    }

    fn settings(&self, word: &str) -> Vec<Pair> {
        let names = self.first_column("SELECT name FROM information_schema.df_settings ORDER BY 1");
        matching(names.iter().map(String::as_str), word)
    }

    fn columns(&self, source: &Source) -> Vec<String> {
        self.remembered(&format!("columns of {}", source.query), || {
            self.session.column_names(&source.query)
        })
    }

    /// The values of a partition key in what a statement reads.
    fn partition_values(&self, sources: &[Source], key: &str) -> Vec<String> {
        let key = key.replace('"', "\"\"");
        let of_source = |location: &String| {
            let sql = format!(
                "SELECT DISTINCT \"{key}\" FROM partitions({location}) WHERE \"{key}\" IS NOT NULL \
                 ORDER BY 1 LIMIT {VALUES_MAX}"
            );
            self.first_column(&sql)
        };
        sources.iter().filter_map(|source| source.location.as_ref()).flat_map(of_source).collect()
    }

    /// The first column of an answer as texts; nothing if there is none.
    fn first_column(&self, sql: &str) -> Vec<String> {
        self.remembered(sql, || {
            let Ok(answer) = self.session.query(sql) else { return Vec::new() };
            let options = FormatOptions::default();
            let mut values = Vec::new();
            for batch in answer.batches() {
                let Ok(format) = ArrayFormatter::try_new(batch.column(0), &options) else {
                    continue;
                };
                values.extend((0..batch.column(0).len()).map(|row| format.value(row).to_string()));
            }
            values
        })
    }

    fn remembered(&self, key: &str, look: impl FnOnce() -> Vec<String>) -> Vec<String> {
        if let Some((when, found)) = self.known.borrow().get(key)
            && when.elapsed() < FRESH
        {
            return found.clone();
        }
        let found = look();
        self.known.borrow_mut().insert(key.to_string(), (Instant::now(), found.clone()));
        found
    }
}

/// The keywords that may follow a text, as the parser sees it; all where the text itself is wrong.
fn fitting(before: &str) -> impl Iterator<Item = &'static str> {
    let before = before.trim_end().to_string();
    let here = following(&before);
    let goes_on = {
        let before = before.clone();
        move |text: &str| following(&format!("{before} {text}")) != Following::Nothing
    };
    // Where a name may stand, the parser takes many a keyword for one; a comma tells which.
    let takes_names = goes_on("a_name");
    KEYWORDS.into_iter().filter(move |keyword| {
        let is_value = here == Following::Value && VALUES.contains(keyword);
        let first = keyword.split(' ').next().unwrap_or_default();
        let is_name = || takes_names && goes_on(&format!("{first}, a_name"));
        here == Following::Nothing || goes_on(keyword) && (is_value || !is_name())
    })
}

/// The column that what is typed is compared with: `year = `, `year IN (1, `.
fn compared_name(head: &[Piece], text: &str) -> Option<String> {
    let shown = |piece: &Piece| &text[piece.range.clone()];
    let mut rest = head;
    // Back over the list of an IN.
    if let Some(open) = rest.iter().rposition(|piece| piece.kind == Kind::Open)
        && open > 0
        && shown(&rest[open - 1]).eq_ignore_ascii_case("in")
        && rest[open + 1..]
            .iter()
            .all(|piece| matches!(piece.kind, Kind::Number | Kind::Text) || shown(piece) == ",")
    {
        rest = &rest[..open - 1];
    } else {
        let (operator, before) = rest.split_last()?;
        if !["=", "<>", "!=", "<", ">", "<=", ">="].contains(&shown(operator)) {
            return None;
        }
        rest = before;
    }
    let name = rest.last().filter(|piece| matches!(piece.kind, Kind::Name | Kind::Function))?;
    Some(shown(name).trim_matches('"').to_string())
}

/// The names of CTEs, and the text from WITH up to the end of each.
fn ctes(text: &str) -> Vec<(String, String)> {
    let all: Vec<Piece> =
        pieces(text).into_iter().filter(|piece| piece.kind != Kind::Blank).collect();
    let shown = |piece: &Piece| &text[piece.range.clone()];
    let is = |idx: usize, word: &str| {
        all.get(idx).is_some_and(|piece: &Piece| shown(piece).eq_ignore_ascii_case(word))
    };
    let Some(with) = (0..all.len()).find(|idx| is(*idx, "with")) else { return Vec::new() };
    let mut found = Vec::new();
    for idx in with + 1..all.len() {
        if all[idx].kind != Kind::Name || !is(idx + 1, "as") || !is(idx + 2, "(") {
            continue;
        }
        let Some(close) = closing(&all, idx + 2) else { continue };
        let prefix = &text[all[with].range.start..all[close].range.end];
        found.push((shown(&all[idx]).trim_matches('"').to_string(), prefix.to_string()));
    }
    found
}

/// The bracket that closes one.
fn closing(pieces: &[Piece], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (idx, piece) in pieces.iter().enumerate().skip(open) {
        match piece.kind {
            Kind::Open => depth += 1,
            Kind::Close => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(idx);
                }
            }
            _ => {}
        }
    }
    None
}

/// What stands behind FROM and JOIN.
fn sources(text: &str) -> Vec<Source> {
    let all: Vec<Piece> =
        pieces(text).into_iter().filter(|piece| piece.kind != Kind::Blank).collect();
    let shown = |piece: &Piece| &text[piece.range.clone()];
    let ctes = ctes(text);
    let mut found = Vec::new();
    for (idx, piece) in all.iter().enumerate() {
        let is_from = ["from", "join"].contains(&shown(piece).to_lowercase().as_str());
        let Some(source) = all.get(idx + 1).filter(|_| is_from) else { continue };
        let end = match source.kind {
            Kind::Text | Kind::Name => idx + 1,
            Kind::Function => match closing(&all, idx + 2) {
                Some(close) => close,
                None => continue,
            },
            _ => continue,
        };
        let written = &text[source.range.start..all[end].range.end];
        let mut names = Vec::new();
        if source.kind == Kind::Name {
            names.push(written.trim_matches('"').to_lowercase());
        }
        let mut next = end + 1;
        if all.get(next).is_some_and(|piece| shown(piece).eq_ignore_ascii_case("as")) {
            next += 1;
        }
        if let Some(alias) = all.get(next).filter(|piece| piece.kind == Kind::Name) {
            names.push(shown(alias).trim_matches('"').to_lowercase());
        }
        let cte = ctes.iter().find(|(name, _)| name.eq_ignore_ascii_case(written));
        let query = match cte {
            Some((name, prefix)) => format!("{prefix} SELECT * FROM {name}"),
            None => format!("SELECT * FROM {written}"),
        };
        let location = (source.kind == Kind::Text).then(|| written.to_string());
        found.push(Source { query, location, names });
    }
    found
}

/// Entries of the folder that is typed, as far as it is typed; a file ends with `close`.
fn paths(typed: &str, home: Option<&Path>, objects: &Objects, close: &str) -> Vec<String> {
    let (folder, name) =
        typed.rsplit_once('/').map_or(("", typed), |(folder, name)| (folder, name));
    let shown = if typed.contains('/') { format!("{folder}/") } else { String::new() };
    let wanted = |own: &str| {
        own.starts_with(name)
            && (!own.starts_with('.') || name.starts_with('.'))
            && !own.contains('\'')
    };
    let mut found: Vec<String> = entries(&shown, home, objects)
        .into_iter()
        .filter(|(own, _)| wanted(own))
        .map(|(own, is_folder)| format!("{shown}{own}{}", if is_folder { "/" } else { close }))
        .collect();
    found.sort();
    found
}

/// The names in a folder, and which of them are folders.
fn entries(folder: &str, home: Option<&Path>, objects: &Objects) -> Vec<(String, bool)> {
    if objects::is_url(folder) {
        let found = objects.look_into(folder).unwrap_or_default();
        let folders = found.folders.into_iter().map(|name| (name, true));
        return folders.chain(found.objects.into_iter().map(|name| (name, false))).collect();
    }
    let place = match (folder.strip_prefix('~'), home) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
        _ if folder.is_empty() => PathBuf::from("."),
        _ => PathBuf::from(folder),
    };
    let Ok(listing) = std::fs::read_dir(place) else { return Vec::new() };
    let named = |entry: std::fs::DirEntry| {
        Some((entry.file_name().into_string().ok()?, entry.path().is_dir()))
    };
    listing.flatten().filter_map(named).collect()
}

fn plain(texts: Vec<String>) -> Vec<Pair> {
    texts.into_iter().map(|text| Pair { display: text.clone(), replacement: text }).collect()
}

/// Those that begin with a word, without regard to case; else those that have its letters in order.
fn matching<'a>(all: impl Iterator<Item = &'a str>, word: &str) -> Vec<Pair> {
    let lower = word.to_lowercase();
    let (best, rest): (Vec<&str>, Vec<&str>) = all
        .filter(|one| is_like(one, &lower))
        .partition(|one| one.to_lowercase().starts_with(&lower));
    let chosen = if best.is_empty() { rest } else { best };
    plain(chosen.into_iter().map(str::to_string).collect())
}

/// Whether the letters of a word occur in a text in their order, the first of them at its start.
fn is_like(text: &str, lower: &str) -> bool {
    let mut letters = text.chars().flat_map(char::to_lowercase);
    let mut wanted = lower.chars();
    let Some(first) = wanted.next() else { return true };
    letters.next() == Some(first) && wanted.all(|letter| letters.any(|found| found == letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::objects::in_memory;

    /// What is offered at `|`.
    fn offered(line: &str) -> Vec<String> {
        let engine = Engine::open().expect("opens");
        let session = engine.default_session();
        session.register("zeros", "testdata/traps/zeros.csv").expect("a view");
        let keys = ["sales/year=2023/a.csv", "sales/year=2024/a.csv", "salt.csv"];
        let bucket = in_memory(&keys.map(|key| (key, b"id\n1\n".as_slice())));
        session.objects().register("s3://b", bucket);
        let completion = Completion::new(session.clone());
        let cursor = line.find('|').expect("a cursor");
        let (_, pairs) = completion.candidates(&line.replace('|', ""), cursor);
        pairs.into_iter().map(|pair| pair.replacement).collect()
    }

    #[test]
    fn what_lies_in_a_bucket_is_known() {
        assert_eq!(offered("FROM 's3://b/sal|"), ["s3://b/sales/", "s3://b/salt.csv'"]);
        assert_eq!(offered("FROM 's3://b/sales/year=2024/|"), ["s3://b/sales/year=2024/a.csv'"]);
        assert_eq!(offered("FROM 's3://b/sales' WHERE year = |"), ["2023", "2024"]);
        assert!(offered("FROM 's3://|").is_empty());
    }

    #[test]
    fn what_fits_at_the_cursor_is_offered() {
        assert_eq!(offered(".ti|"), [".timer"]);
        assert_eq!(offered(r"\ti|"), [r"\timer"]);
        assert_eq!(offered(".mode js|"), ["json", "jsonl"]);
        assert_eq!(offered(r"\mode js|"), ["json", "jsonl"]);
        assert_eq!(offered(".read testdata/traps/zer|"), ["testdata/traps/zeros.csv"]);
        assert_eq!(offered("SELECT * FROM 'testdata/traps/zer|"), ["testdata/traps/zeros.csv'"]);
        assert_eq!(offered("SELECT * FROM 'testdata/tra|"), ["testdata/traps/"]);
        assert_eq!(offered("SELECT * FROM ze|"), ["zeros"]);
        assert_eq!(offered("SELECT * FROM read_c|"), ["read_csv('"]);
        // Columns come first, then functions, then keywords.
        assert_eq!(offered("SELECT l_sh| FROM 'testdata/tpch/lineitem.csv'").len(), 3);
        let mixed = offered("SELECT * FROM 'testdata/sales' WHERE re|");
        assert_eq!(mixed[0], "region");
        assert!(mixed.contains(&"regexp_like(".to_string()), "{mixed:?}");
        assert_eq!(offered("SELECT 1 from zeros wh|"), ["where"]);
        assert_eq!(offered("SELECT 1 FROM zeros WHER|"), ["WHERE"]);
        assert!(offered("|").is_empty());
        assert!(offered("SELECT x FROM 'no/such' WHERE zzz|").is_empty());
        assert_eq!(offered("SELECT 1; SELECT * FROM ze|; SELECT 2"), ["zeros"]);
    }

    #[test]
    fn keywords_are_those_that_may_follow() {
        for (line, keywords) in [
            ("SEL|", "SELECT"),
            ("SELECT 1 F|", "FROM"),
            ("SELECT no|", "NOT"),
            ("SELECT a, nul|", "NULL"),
            ("SELECT 1 AS a FROM zeros g|", "GROUP BY,GROUP BY ALL"),
            ("SELECT 1 FROM zeros WHERE n b|", "BETWEEN"),
            ("SELECT 1 FROM zeros WHERE n BETWEEN 1 a|", "AND"),
            ("SELECT 1 FROM zeros WHERE n i|", "ILIKE,IN,INTERSECT,IS NOT NULL,IS NULL"),
            ("SELECT 1 FROM zeros ORDER BY n d|", "DESC"),
            ("SELECT 1 FROM zeros ORDER BY n DESC n|", "NULLS FIRST,NULLS LAST"),
            ("SELECT 1 FROM zeros LEFT JOIN zeros b u|", "UNION,UNION ALL,UNPIVOT,USING"),
            ("SELECT sum(1) OVER (p|", "PARTITION BY"),
            ("SELECT * ex|", "EXCEPT,EXCLUDE"),
            ("EXPLAIN s|", "SELECT,SET,SHOW TABLES"),
            ("SELECT 1 FROM zeros ORDER BY n DESC NULLS FIRST |", "LIMIT,OFFSET"),
            // Where the parser gives up all of a CASE, nobody knows, and all are offered.
            ("SELECT CASE WHEN true THEN 1 el|", "ELSE"),
        ] {
            let mut found = offered(line);
            found.retain(|word| {
                !word.contains('(') && KEYWORDS.contains(&word.to_uppercase().as_str())
            });
            let found: Vec<String> = found.iter().map(|word| word.to_uppercase()).collect();
            assert_eq!(found.join(","), keywords, "{line}");
        }
    }

    #[test]
    fn names_that_the_statement_makes_are_known() {
        assert_eq!(
            offered("SELECT s.re| FROM 'testdata/sales' AS s, 'testdata/tpch/region.csv'"),
            ["region"]
        );
        assert_eq!(
            offered("WITH totals AS (SELECT 1 AS amount) SELECT am| FROM totals"),
            ["amount"]
        );
        assert_eq!(offered("WITH totals AS (SELECT 1 AS amount) SELECT * FROM to|"), ["totals"]);
        assert_eq!(
            offered("SELECT l_ordk| FROM read_csv('testdata/tpch/lineitem.csv', header => true) l"),
            ["l_orderkey"]
        );
    }

    #[test]
    fn values_of_partition_keys_are_known() {
        let years = offered("SELECT * FROM 'testdata/sales' WHERE year = |");
        assert!(
            years.len() > 1 && years.iter().all(|year| year.parse::<u32>().is_ok()),
            "{years:?}"
        );
        assert_eq!(offered("SELECT * FROM 'testdata/sales' WHERE year IN (2023, |"), years);
        assert_ne!(offered("SELECT * FROM 'testdata/sales' WHERE amount = |"), years);
    }

    #[test]
    fn letters_in_order_find_what_no_beginning_finds() {
        assert_eq!(offered("SELECT l_rtf| FROM 'testdata/tpch/lineitem.csv'"), ["l_returnflag"]);
        assert!(offered("SET swath.re|").contains(&"swath.reuse".to_string()));
    }
}
