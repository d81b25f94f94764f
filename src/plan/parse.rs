//! Parsing: text into statements, with the place of a mistake.

use datafusion::common::format::ExplainStatementOptions;
use datafusion::error::DataFusionError;
use datafusion::sql::parser::{
    CopyToSource, CopyToStatement, DFParser, DFParserBuilder, ExplainStatement, Statement,
};
use datafusion::sql::sqlparser::ast::{
    Query, Select, SelectItem, SetExpr, SetQuantifier, Statement as SqlStatement,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::dialect::SwathDialect;
use super::place::Offsets;
use super::respell::{Respelled, respell};
use crate::error::{Error, Place, Result};

/// Expressions nested deeper than this are refused before they can exhaust the stack.
const DEPTH_MAX: usize = 200;
/// Operators in one chain (`a + b + ...`, `x OR y OR ...`) and set operations in one statement: each
/// nests one deeper in the syntax tree.
const CHAIN_LEN_MAX: usize = 1500;
/// Walking the deepest tree that is let through needs less stack than this.
const STACK_LEN_BYTES: usize = 64 << 20;

/// One statement, and how EXPLAIN is to show it if it is one.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The statement.
    pub statement: Statement,
    /// Of no meaning unless it is an EXPLAIN.
    pub view: ExplainView,
    /// `SUMMARIZE`: what is known of each column of the query is wanted, and not its rows.
    pub summarize: bool,
}

/// How EXPLAIN shows a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainView {
    /// As a tree of operators; measured, as stages.
    #[default]
    Tree,
    /// `EXPLAIN STAGES`: cut at its exchanges.
    Stages,
    /// `EXPLAIN (FORMAT json)`: the stages as JSON.
    Json,
}

/// Reads all statements of a text; none runs if one cannot be parsed.
///
/// # Errors
/// When the text is not SQL; the place is the line and column of what was unexpected.
pub fn parse(sql: &str) -> Result<Vec<Parsed>> {
    let dialect = SwathDialect;
    // What cannot be cut into tokens is the parser's to report.
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().unwrap_or_default();
    check_chains(&tokens)?;
    let respelled = respell(sql, &tokens);
    let has_arrows = tokens.iter().any(|found| found.token == Token::Arrow);
    let marked = || {
        let mut tokens = Tokenizer::new(&dialect, &respelled.text).tokenize_with_location().ok()?;
        super::sugar::json::mark_operators(&mut tokens);
        Some(DFParserBuilder::new(tokens))
    };
    let builder = has_arrows.then(marked).flatten();
    let builder = builder.unwrap_or_else(|| DFParserBuilder::new(respelled.text.as_ref()));
    builder
        .with_dialect(&dialect)
        .with_recursion_limit(DEPTH_MAX)
        .build()
        .and_then(|mut parser| parse_all(&mut parser))
        .map_err(|error| with_place(&Error::from(error), sql, &respelled))
        .map(|mut all| {
            if has_arrows {
                all.iter_mut().for_each(|parsed| arrows_are_operators(&mut parsed.statement));
            }
            all
        })
}

/// `j -> 'a'` is a key of JSON wherever no function is expected.
fn arrows_are_operators(statement: &mut Statement) {
    let walk = || match statement {
        Statement::CopyTo(CopyToStatement { source: CopyToSource::Query(query), .. }) => {
            super::sugar::json::unmark_operators(query);
        }
        statement => {
            if let Some(sql) = super::names::sql_of_mut(statement) {
                super::sugar::json::unmark_operators(sql);
            }
        }
    };
    with_stack(walk);
}

fn parse_all(parser: &mut DFParser<'_>) -> Result<Vec<Parsed>, DataFusionError> {
    let mut all = Vec::new();
    loop {
        while parser.parser.consume_token(&Token::SemiColon) {}
        if parser.parser.peek_token().token == Token::EOF {
            return Ok(all);
        }
        let parsed = match own_explain(&mut parser.parser) {
            Some((view, analyze)) => {
                let options = ExplainStatementOptions { analyze, ..Default::default() };
                let statement = Box::new(parser.parse_statement()?);
                let statement = Statement::Explain(ExplainStatement { statement, options });
                Parsed { statement, view, summarize: false }
            }
            None => {
                let summarize = takes_word(&mut parser.parser, "summarize");
                let statement = if summarize && !starts_query(&parser.parser) {
                    let table = parser.parser.parse_table_factor()?;
                    whole_table(&table)?
                } else if parser.parser.parse_keyword(Keyword::COPY) {
                    Statement::CopyTo(super::copy::parse(&mut parser.parser)?)
                } else if let Some(variable) = set_variable(&mut parser.parser)? {
                    Statement::Statement(Box::new(variable))
                } else {
                    parser.parse_statement()?
                };
                Parsed { statement, view: ExplainView::Tree, summarize }
            }
        };
        all.push(parsed);
        let next = parser.parser.peek_token();
        if !matches!(next.token, Token::SemiColon | Token::EOF) {
            parser.parser.expected("end of statement", next)?;
        }
    }
}

/// Takes in a word that is no keyword of the parser's, if a statement begins with it.
fn takes_word(parser: &mut Parser<'_>, wanted: &str) -> bool {
    let is_word = matches!(parser.peek_token().token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted));
    if is_word {
        parser.next_token();
    }
    is_word
}

fn starts_query(parser: &Parser<'_>) -> bool {
    match parser.peek_token_ref().token {
        Token::LParen => true,
        Token::Word(ref word) => {
            let starts = [Keyword::SELECT, Keyword::FROM, Keyword::WITH, Keyword::VALUES];
            starts.contains(&word.keyword)
        }
        _ => false,
    }
}

fn whole_table(table: &impl std::fmt::Display) -> Result<Statement, DataFusionError> {
    let sql = format!("SELECT * FROM {table}");
    DFParserBuilder::new(sql.as_str()).with_dialect(&SwathDialect).build()?.parse_statement()
}

/// `SET VARIABLE name = literal`, as a macro that `getvariable('name')` calls.
fn set_variable(parser: &mut Parser<'_>) -> Result<Option<SqlStatement>, DataFusionError> {
    let is_variable = matches!(parser.peek_token().token, Token::Word(ref word) if word.keyword == Keyword::SET)
        && matches!(parser.peek_nth_token(1).token, Token::Word(ref word) if word.keyword == Keyword::VARIABLE)
        && matches!(parser.peek_nth_token(2).token, Token::Word(_));
    if !is_variable {
        return Ok(None);
    }
    parser.next_token();
    parser.next_token();
    let name = parser.parse_identifier()?;
    if !parser.consume_token(&Token::Eq) {
        parser.expect_keyword(Keyword::TO)?;
    }
    let value = parser.parse_expr()?;
    Ok(Some(super::macros::variable(&name.value, value)?))
}

/// Takes in `EXPLAIN [ANALYZE] STAGES` and `EXPLAIN (FORMAT json [, ANALYZE])`, which the parser does
/// not know; returns how to show the plan, and whether to run it.
fn own_explain(parser: &mut Parser<'_>) -> Option<(ExplainView, bool)> {
    let mut words = Vec::new();
    // Words and parentheses up to the first that is not an option.
    while let Some(word) = match parser.peek_nth_token(words.len()).token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
        Token::LParen => Some("(".to_string()),
        Token::RParen => Some(")".to_string()),
        Token::Comma => Some(",".to_string()),
        _ => None,
    } {
        let is_option = ["explain", "analyze", "stages", "format", "json", "(", ")", ","];
        if !is_option.contains(&word.as_str()) {
            break;
        }
        words.push(word);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (view, analyze, len) = match words[..] {
        ["explain", "stages", ..] => (ExplainView::Stages, false, 2),
        ["explain", "analyze", "stages", ..] => (ExplainView::Stages, true, 3),
        ["explain", "(", "format", "json", ")", ..] => (ExplainView::Json, false, 5),
        ["explain", "(", "format", "json", ",", "analyze", ")", ..]
        | ["explain", "(", "analyze", ",", "format", "json", ")", ..] => {
            (ExplainView::Json, true, 7)
        }
        ["explain", "format", "json", ..] => (ExplainView::Json, false, 3),
        ["explain", "analyze", "format", "json", ..] => (ExplainView::Json, true, 4),
        _ => return None,
    };
    // `EXPLAIN stages` alone describes a table of that name.
    if matches!(parser.peek_nth_token(len).token, Token::SemiColon | Token::EOF) {
        return None;
    }
    for _ in 0..len {
        parser.next_token();
    }
    Some((view, analyze))
}

/// Runs work on a statement's tree with stack enough for it, whatever the caller's thread has.
pub fn with_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_LEN_BYTES / 2, STACK_LEN_BYTES, work)
}

/// Refuses chains of operators so long that their tree would exhaust the stack.
fn check_chains(tokens: &[TokenWithSpan]) -> Result<()> {
    // One count for each open parenthesis, and the sum of all; a comma starts a new chain.
    let mut open: Vec<usize> = vec![0];
    let (mut sum, mut deepest, mut set_operations) = (0, 0, 0);
    let mut after_value = false;
    let tokens = tokens.iter().map(|found| &found.token);
    for token in tokens.filter(|token| !matches!(token, Token::Whitespace(_))) {
        match token {
            Token::LParen | Token::LBracket => open.push(0),
            Token::RParen | Token::RBracket if open.len() > 1 => {
                sum -= open.pop().unwrap_or_default();
            }
            Token::Comma => {
                sum -= open.last_mut().map(std::mem::take).unwrap_or_default();
            }
            Token::SemiColon => (open, sum, set_operations) = (vec![0], 0, 0),
            token if is_set_operation(token) => set_operations += 1,
            token if is_operator(token, after_value) => {
                if let Some(chain) = open.last_mut() {
                    *chain += 1;
                    sum += 1;
                }
            }
            _ => {}
        }
        after_value = match token {
            Token::Word(word) => {
                word.keyword == Keyword::NoKeyword || word.keyword == Keyword::NULL
            }
            token => matches!(
                token,
                Token::Number(..) | Token::SingleQuotedString(_) | Token::RParen | Token::RBracket
            ),
        };
        deepest = deepest.max(sum + set_operations);
    }
    if deepest <= CHAIN_LEN_MAX {
        return Ok(());
    }
    Err(Error::sql(format!("a chain of more than {CHAIN_LEN_MAX} operators in one statement"))
        .hint("use x IN (...) for many values, and a file or VALUES for many rows"))
}

fn is_set_operation(token: &Token) -> bool {
    matches!(token, Token::Word(word)
        if matches!(word.keyword, Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT))
}

/// Whether a token joins two expressions; `-` and `*` do so only after a value.
fn is_operator(token: &Token, after_value: bool) -> bool {
    match token {
        Token::Minus | Token::Mul => after_value,
        Token::Plus | Token::Div | Token::Mod | Token::StringConcat => true,
        Token::Word(word) => {
            matches!(word.keyword, Keyword::AND | Keyword::OR | Keyword::XOR | Keyword::NOT)
        }
        token => {
            matches!(token, Token::Eq | Token::Lt | Token::Gt | Token::Neq | Token::DoubleColon)
        }
    }
}

/// Whether a text is one or more whole statements: the last one ends with `;`.
///
/// Quotes, dollar quotes and comments are respected, because the tokenizer knows them.
pub fn is_complete(text: &str) -> bool {
    let dialect = SwathDialect;
    match Tokenizer::new(&dialect, text).tokenize() {
        // An open quote or comment: more lines must follow.
        Err(_) => false,
        Ok(tokens) => tokens
            .iter()
            .rev()
            .find(|token| !matches!(token, Token::Whitespace(_) | Token::EOF))
            .is_none_or(|token| *token == Token::SemiColon),
    }
}

/// What may come behind the beginning of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Following {
    /// Nothing: no statement begins so.
    Nothing,
    /// A value, such as a column.
    Value,
    /// Something else, or nothing more.
    Other,
}

/// What may come behind a text that is not yet a statement.
pub fn following(text: &str) -> Following {
    match parse(text) {
        // A comma may be the last thing of a list, but one more is likely.
        Ok(_) if text.trim_end().ends_with(',') => Following::Value,
        Ok(_) => Following::Other,
        Err(error) if !error.message().ends_with(END_OF_TEXT) => Following::Nothing,
        Err(error) if error.message().starts_with("expected an expression") => Following::Value,
        Err(_) => Following::Other,
    }
}

/// How messages end about what should follow the end.
const END_OF_TEXT: &str = "found the end of the text";

/// The parser's message without the names of its parts; "at Line: 1, Column: 8" becomes a place.
fn with_place(error: &Error, sql: &str, respelled: &Respelled<'_>) -> Error {
    let mut message = error.message();
    for prefix in ["sql parser error: ", "parserError(\"", "ParserError(\"", "tokenizerError(\""] {
        if let Some(rest) = message.strip_prefix(prefix) {
            message = rest.trim_end_matches("\")");
        }
    }
    if message.contains("recursionLimitExceeded") {
        return Error::sql(format!("the statement nests deeper than {DEPTH_MAX} levels"))
            .hint("give parts of it names: WITH a AS (SELECT ...) SELECT ...");
    }
    if let Some(wanted) = message.strip_suffix(", found: EOF") {
        let wanted = wanted.replacen("Expected: ", "expected ", 1);
        return Error::sql(format!("{wanted}, {END_OF_TEXT}")).at(end_of(sql));
    }
    let placed = message.rsplit_once(" at Line: ").and_then(|(text, position)| {
        let (line, column) = position.split_once(", Column: ")?;
        let number = |text: &str| {
            text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().ok()
        };
        let place = Location { line: number(line)?, column: number(column)? };
        let found = Offsets::new(&respelled.text).of(place);
        Some((text, place_of(sql, respelled.origin(found))))
    });
    let (text, place) = placed.map_or((message, None), |(text, place)| (text, Some(place)));
    let text = match text.strip_prefix("Expected: ") {
        Some(rest) => format!("expected {}", rest.replacen(", found: ", ", found ", 1)),
        None => text
            .strip_prefix("Unterminated")
            .map_or_else(|| text.to_string(), |rest| format!("unterminated{rest}")),
    };
    let error = match text.as_str() {
        "expected ), found EXCLUDE" => Error::sql("EXCLUDE in a frame is not supported yet")
            .hint("subtract what is left out: sum(x) OVER (...) - x"),
        _ => Error::sql(text),
    };
    match place {
        Some(place) => error.at(place),
        None => error,
    }
}

/// The line and the column of an offset.
fn place_of(text: &str, offset: usize) -> Place {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place::Sql {
        line: before.matches('\n').count() as u64 + 1,
        column: before[line_start..].chars().count() as u64 + 1,
    }
}

/// The place behind the last word of a text.
fn end_of(sql: &str) -> Place {
    let text = sql.trim_end();
    let last = text.lines().last().unwrap_or_default();
    Place::Sql { line: text.lines().count().max(1) as u64, column: last.chars().count() as u64 + 1 }
}

/// The headers of a query's result as the user wrote them: `sum(amount)`, not `sum(sales.amount)`.
///
/// `None` where a column has a name of its own, or a wildcard makes the list unknown.
pub fn written_headers(query: &Query) -> Option<Vec<Option<String>>> {
    naming_side(&query.body)?
        .projection
        .iter()
        .map(|item| match item {
            SelectItem::UnnamedExpr(expr) => {
                use datafusion::sql::sqlparser::ast::Expr;
                match expr {
                    Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Some(None),
                    other => Some(Some(other.to_string())),
                }
            }
            SelectItem::ExprWithAlias { .. } => Some(None),
            _ => None,
        })
        .collect()
}

/// The SELECT that names the columns: of set operations the first one.
fn naming_side(body: &SetExpr) -> Option<&Select> {
    use SetQuantifier::{AllByName, ByName, DistinctByName};
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::SetOperation { set_quantifier: ByName | AllByName | DistinctByName, .. } => None,
        SetExpr::SetOperation { left, .. } => naming_side(left),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_where_sql_says() {
        assert!(is_complete("SELECT 1;"));
        assert!(is_complete("SELECT 1; -- done; really"));
        assert!(!is_complete("SELECT 1"));
        assert!(!is_complete("SELECT ';"));
        assert!(!is_complete("SELECT 1 -- a;"));
        assert!(!is_complete("SELECT 1 /* ; */"));
        assert!(is_complete("  "));
    }

    #[test]
    fn copy_takes_options_as_others_write_them() {
        let copy = |sql: &str| {
            let Ok(mut parsed) = parse(sql) else { panic!("{sql}: {:?}", parse(sql)) };
            let Statement::CopyTo(copy) = parsed.remove(0).statement else { panic!("{sql}") };
            format!(
                "{} {:?} {:?} {:?}",
                copy.target, copy.stored_as, copy.partitioned_by, copy.options
            )
        };
        let plain = copy("COPY (SELECT 1) TO 'a' OPTIONS (format 'parquet')");
        assert_eq!(copy("COPY (SELECT 1) TO 'a' (FORMAT parquet)"), plain);
        assert_eq!(copy("-- ä\nCOPY t\nTO 'a'\nWITH (FORMAT => parquet);"), plain);
        let parted = "COPY t TO 'a' (partition_by (x, \"Y z\"), append)";
        assert!(
            copy(parted).contains(r#"["x", "Y z"] [("append", Boolean(true))]"#),
            "{}",
            copy(parted)
        );
        assert_eq!(
            copy("COPY t TO 'a' STORED AS csv PARTITIONED BY (x)"),
            r#"a Some("csv") ["x"] []"#
        );
        assert!(parse("COPY t FROM 'a'").is_err());
        assert!(parse("COPY t (a) 'x'").is_err());
    }

    #[test]
    fn explain_has_views_of_its_own() {
        let view = |sql: &str| {
            let parsed = parse(sql).expect("parses").remove(0);
            let Statement::Explain(explain) = parsed.statement else { panic!("{sql}") };
            (parsed.view, explain.options.analyze)
        };
        assert_eq!(view("EXPLAIN SELECT 1"), (ExplainView::Tree, false));
        assert_eq!(view("explain stages select 1"), (ExplainView::Stages, false));
        assert_eq!(view("EXPLAIN ANALYZE STAGES SELECT 1;"), (ExplainView::Stages, true));
        assert_eq!(view("EXPLAIN (FORMAT json) SELECT 1"), (ExplainView::Json, false));
        assert_eq!(view("EXPLAIN (ANALYZE, FORMAT JSON) (SELECT 1)"), (ExplainView::Json, true));
        assert_eq!(view("EXPLAIN ANALYZE SELECT 1"), (ExplainView::Tree, true));
    }

    #[test]
    fn a_mistake_has_a_place() {
        let error = parse("SELECT 1;\nSELEC 2").expect_err("not SQL");
        assert!(matches!(error.place(), Some(Place::Sql { line: 2, .. })), "{error}");
    }

    #[test]
    fn chains_are_bounded_and_lists_are_not() {
        let chain = |count: usize, text: &str| {
            format!("SELECT 1 WHERE {}", vec!["x = 1"; count].join(text))
        };
        assert!(parse(&chain(300, " OR ")).is_ok());
        assert!(parse(&chain(20_000, " OR ")).is_err());
        assert!(parse(&vec!["SELECT 1"; 5_000].join(" UNION ALL ")).is_err());
        let list = vec!["-1"; 20_000].join(", ");
        assert!(parse(&format!("SELECT 1 WHERE 1 IN ({list})")).is_ok());
    }

    #[test]
    fn depth_is_an_error_and_not_the_end() {
        let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(parse(&deep).is_err());
    }
}
