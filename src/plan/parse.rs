//! Parsing: text into statements, with the place of a mistake.

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Query, SelectItem, SetExpr};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, Place, Result};

/// Expressions nested deeper than this are refused before they can exhaust the stack.
const DEPTH_MAX: usize = 200;

/// Reads all statements of a text; none runs if one cannot be parsed.
///
/// # Errors
/// When the text is not SQL; the place is the line and column of what was unexpected.
pub fn parse(sql: &str) -> Result<Vec<Statement>> {
    let dialect = GenericDialect {};
    DFParserBuilder::new(sql)
        .with_dialect(&dialect)
        .with_recursion_limit(DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map(Vec::from)
        .map_err(|error| with_place(Error::from(error)))
}

/// Whether a text is one or more whole statements: the last one ends with `;`.
///
/// Quotes, dollar quotes and comments are respected, because the tokenizer knows them.
pub fn is_complete(text: &str) -> bool {
    let dialect = GenericDialect {};
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

/// Moves "at Line: 1, Column: 8" out of the parser's message.
fn with_place(error: Error) -> Error {
    let message = error.message().to_string();
    let mut cleaned = message.clone();
    for prefix in ["sql parser error: ", "parserError(\"", "ParserError(\"", "TokenizerError(\""] {
        if let Some(rest) = cleaned.strip_prefix(prefix) {
            cleaned = rest.trim_end_matches("\")").to_string();
        }
    }
    let Some((text, position)) = cleaned.rsplit_once(" at Line: ") else {
        return Error::sql(cleaned);
    };
    let mut numbers = position.split(", Column: ").map(|number| {
        number.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>()
    });
    match (numbers.next(), numbers.next()) {
        (Some(Ok(line)), Some(Ok(column))) => {
            Error::sql(text.to_string()).at(Place::Sql { line, column })
        }
        _ => Error::sql(cleaned),
    }
}

/// The headers of a query's result as the user wrote them: `sum(amount)`, not `sum(sales.amount)`.
///
/// `None` where a column has a name of its own, or a wildcard makes the list unknown.
pub fn written_headers(query: &Query) -> Option<Vec<Option<String>>> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    select
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
    fn a_mistake_has_a_place() {
        let error = parse("SELECT 1;\nSELECT 1 +").expect_err("not SQL");
        assert!(matches!(error.place(), Some(Place::Sql { line: 2, .. })), "{error}");
    }

    #[test]
    fn depth_is_an_error_and_not_the_end() {
        let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(parse(&deep).is_err());
    }
}
