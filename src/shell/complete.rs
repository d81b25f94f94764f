//! Completion: what may stand at the cursor, read from the files that the statement names.
//!
//! ```text
//! .ti<Tab>                                  dot-commands
//! FROM 'data/sa<Tab>                        paths
//! FROM sa<Tab>                              tables, views, reading functions
//! SELECT re<Tab> FROM 'data/sales'          columns of that location, functions, keywords
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::engine::Session;

/// Columns of a location are looked up again after this time.
const COLUMNS_FRESH: Duration = Duration::from_secs(10);

/// Words that statements are made of, where they are more than one would type blindly.
const KEYWORDS: [&str; 62] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CROSS JOIN",
    "DATE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXCLUDE",
    "EXISTS",
    "EXPLAIN ANALYZE",
    "EXPLAIN STAGES",
    "FALSE",
    "FILTER",
    "FROM",
    "FULL JOIN",
    "GROUP BY",
    "GROUP BY ALL",
    "HAVING",
    "IN",
    "INNER JOIN",
    "INTERSECT",
    "INTERVAL",
    "IS NOT NULL",
    "IS NULL",
    "JOIN",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS FIRST",
    "NULLS LAST",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "QUALIFY",
    "SELECT",
    "SET",
    "SHOW TABLES",
    "THEN",
    "TRUE",
    "UNION ALL",
    "UNION",
    "USING",
    "VALUES",
    "WHERE",
    "WITH",
];

/// Functions that stand where a table does.
const TABLE_FUNCTIONS: [&str; 8] = [
    "check('",
    "generate_series(",
    "read_arrow('",
    "read_csv('",
    "read_json('",
    "read_parquet('",
    "rejects('",
    "sniff('",
];

/// Finds what may stand at the cursor.
pub(super) struct Completion {
    session: Session,
    home: Option<PathBuf>,
    commands: Vec<&'static str>,
    /// Columns of locations and tables, and when they were looked up.
    columns: RefCell<HashMap<String, (Instant, Vec<String>)>>,
}

impl Completion {
    pub(super) fn new(session: Session, commands: Vec<&'static str>) -> Self {
        let home = session.home();
        Completion { session, home, commands, columns: RefCell::default() }
    }

    /// Where the word at the cursor begins, and what it may become, best first.
    pub(super) fn candidates(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = &line[..cursor];
        if let Some(argument) = before.trim_start().strip_prefix('.')
            && !argument.contains(char::is_whitespace)
        {
            let start = cursor - argument.len() - 1;
            return (start, starting_with(self.commands.iter().copied(), &before[start..]));
        }
        if let Some(quote) = open_quote(before) {
            let typed = &before[quote + 1..];
            return (quote + 1, paths(typed, self.home.as_deref()));
        }
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let start = before
            .char_indices()
            .rev()
            .take_while(|(_, c)| is_part(*c))
            .last()
            .map_or(cursor, |(at, _)| at);
        let word = &before[start..];
        let previous = before[..start].split_whitespace().next_back().unwrap_or_default();
        let is_table =
            ["from", "join", "into", "table", "view"].contains(&previous.to_lowercase().as_str());
        if is_table {
            let tables = self.session.table_names();
            let all = tables.iter().map(String::as_str).chain(TABLE_FUNCTIONS);
            return (start, starting_with(all, word));
        }
        if word.is_empty() && previous.is_empty() {
            return (start, Vec::new());
        }
        let columns = self.columns(line);
        let mut found = starting_with(columns.iter().map(String::as_str), word);
        if !word.is_empty() {
            let functions = self.session.function_names();
            let functions: Vec<String> =
                functions.iter().map(|function| format!("{function}(")).collect();
            found.extend(starting_with(functions.iter().map(String::as_str), word));
            let is_lower = !word.contains(char::is_uppercase);
            found.extend(
                starting_with(KEYWORDS.into_iter(), word)
                    .into_iter()
                    .map(|keyword| if is_lower { keyword.to_lowercase() } else { keyword }),
            );
        }
        let mut seen = std::collections::HashSet::new();
        found.retain(|candidate| seen.insert(candidate.clone()));
        (start, found)
    }

    /// The columns of all locations and tables that a line names behind FROM and JOIN.
    fn columns(&self, line: &str) -> Vec<String> {
        let mut all = Vec::new();
        for source in sources(line) {
            let mut known = self.columns.borrow_mut();
            let is_fresh =
                known.get(&source).is_some_and(|(when, _)| when.elapsed() < COLUMNS_FRESH);
            if !is_fresh {
                let columns = self.session.column_names(&source);
                known.insert(source.clone(), (Instant::now(), columns));
            }
            all.extend(known.get(&source).map(|(_, columns)| columns.clone()).unwrap_or_default());
        }
        all
    }
}

/// What stands behind FROM and JOIN, as SQL writes it.
fn sources(line: &str) -> Vec<String> {
    let dialect = GenericDialect {};
    // A quote may still be open: then what is before it counts.
    let mut line = line;
    let tokens = loop {
        match Tokenizer::new(&dialect, line).tokenize() {
            Ok(tokens) => break tokens,
            Err(_) => match open_quote(line) {
                Some(quote) => line = &line[..quote],
                None => return Vec::new(),
            },
        }
    };
    let tokens: Vec<_> =
        tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let is_from = |token: &Token| {
        matches!(token, Token::Word(word)
            if ["from", "join"].contains(&word.value.to_lowercase().as_str()))
    };
    tokens
        .windows(2)
        .filter(|pair| is_from(&pair[0]))
        .filter_map(|pair| match &pair[1] {
            Token::SingleQuotedString(_) | Token::Word(_) => Some(pair[1].to_string()),
            _ => None,
        })
        .collect()
}

/// The place of a quote that is open at the end of a text.
fn open_quote(text: &str) -> Option<usize> {
    let mut open = None;
    for (at, _) in text.match_indices('\'') {
        open = if open.is_none() { Some(at) } else { None };
    }
    open
}

/// Entries of the folder that is typed, as far as it is typed; a file closes the quote.
fn paths(typed: &str, home: Option<&Path>) -> Vec<String> {
    let (folder, name) =
        typed.rsplit_once('/').map_or(("", typed), |(folder, name)| (folder, name));
    let shown = if typed.contains('/') { format!("{folder}/") } else { String::new() };
    let place = match (folder.strip_prefix('~'), home) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
        _ if shown.is_empty() => PathBuf::from("."),
        _ => PathBuf::from(&shown),
    };
    let Ok(listing) = std::fs::read_dir(place) else { return Vec::new() };
    let mut found: Vec<String> = listing
        .flatten()
        .filter_map(|entry| {
            let own = entry.file_name().into_string().ok()?;
            let is_wanted =
                own.starts_with(name) && (!own.starts_with('.') || name.starts_with('.'));
            let end = if entry.path().is_dir() { "/" } else { "'" };
            (is_wanted && !own.contains('\'')).then(|| format!("{shown}{own}{end}"))
        })
        .collect();
    found.sort();
    found
}

/// Those that begin with a word, without regard to case.
fn starting_with<'a>(all: impl Iterator<Item = &'a str>, word: &str) -> Vec<String> {
    let lower = word.to_lowercase();
    all.filter(|one| one.to_lowercase().starts_with(&lower)).map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    /// What is offered at `|`.
    fn offered(line: &str) -> Vec<String> {
        let engine = Engine::open().expect("opens");
        let session = engine.default_session();
        session.register("zeros", "testdata/traps/zeros.csv").expect("a view");
        let completion = Completion::new(session.clone(), vec![".tables", ".timer"]);
        let cursor = line.find('|').expect("a cursor");
        completion.candidates(&line.replace('|', ""), cursor).1
    }

    #[test]
    fn what_fits_at_the_cursor_is_offered() {
        assert_eq!(offered(".ti|"), [".timer"]);
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
        assert_eq!(offered("SELECT 1 FROM zeros WH|"), ["WHERE"]);
        assert!(offered("|").is_empty());
        assert!(offered("SELECT x FROM 'no/such' WHERE zzz|").is_empty());
    }
}
