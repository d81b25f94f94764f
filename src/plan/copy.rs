//! COPY as others write it: `COPY (SELECT ...) TO 'folder' (FORMAT parquet, PARTITION_BY (year))`.
//!
//! DataFusion's own grammar (`STORED AS`, `PARTITIONED BY`, `OPTIONS ('key' 'value')`) is taken too.

use datafusion::sql::parser::{CopyToSource, CopyToStatement};
use datafusion::sql::sqlparser::ast::Value;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Reads what follows the word COPY.
///
/// # Errors
/// When it is no COPY ... TO.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<CopyToStatement, ParserError> {
    let source = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        CopyToSource::Query(query)
    } else {
        CopyToSource::Relation(parser.parse_object_name(true)?)
    };
    if parser.parse_keyword(Keyword::FROM) {
        return Err(ParserError::ParserError(
            "COPY ... FROM is not supported: INSERT INTO table SELECT * FROM 'file'".into(),
        ));
    }
    let mut copy = CopyToStatement {
        source,
        target: String::new(),
        partitioned_by: Vec::new(),
        stored_as: None,
        options: Vec::new(),
    };
    let words =
        [Keyword::TO, Keyword::STORED, Keyword::PARTITIONED, Keyword::OPTIONS, Keyword::WITH];
    let mut has_target = false;
    loop {
        if parser.peek_token().token == Token::LParen && has_target {
            options(parser, &mut copy)?;
            continue;
        }
        match parser.parse_one_of_keywords(&words) {
            Some(Keyword::TO) => {
                copy.target = parser.parse_literal_string()?;
                has_target = true;
            }
            Some(Keyword::STORED) => {
                parser.expect_keyword(Keyword::AS)?;
                copy.stored_as = Some(word(parser)?);
            }
            Some(Keyword::PARTITIONED) => {
                parser.expect_keyword(Keyword::BY)?;
                copy.partitioned_by = list(parser)?;
            }
            // The parenthesis follows.
            Some(_) if has_target && parser.peek_token().token == Token::LParen => {}
            Some(_) | None if has_target => return Ok(copy),
            _ => return parser.expected("TO 'path'", parser.peek_token()),
        }
    }
}

/// `(name, name value, name (a, b), ...)`.
fn options(parser: &mut Parser<'_>, copy: &mut CopyToStatement) -> Result<(), ParserError> {
    parser.expect_token(&Token::LParen)?;
    while !parser.consume_token(&Token::RParen) {
        let mut name = word(parser)?.to_lowercase();
        while parser.consume_token(&Token::Period) {
            name = format!("{name}.{}", word(parser)?.to_lowercase());
        }
        let _ = parser.consume_token(&Token::Eq) || parser.consume_token(&Token::RArrow);
        let is_partitions = matches!(name.as_str(), "partition_by" | "partitioned_by");
        match parser.peek_token().token {
            Token::Comma | Token::RParen => copy.options.push((name, Value::Boolean(true))),
            Token::LParen if is_partitions => copy.partitioned_by = list(parser)?,
            Token::LParen => {
                let text = list(parser)?.join(",");
                copy.options.push((name, Value::SingleQuotedString(text)));
            }
            _ if is_partitions => copy.partitioned_by = vec![word(parser)?],
            Token::Number(..) => {
                let number = parser.parse_number_value()?.value;
                copy.options.push((name, number));
            }
            _ => copy.options.push((name, Value::SingleQuotedString(word(parser)?))),
        }
        if !parser.consume_token(&Token::Comma) && parser.peek_token().token != Token::RParen {
            return parser.expected(", or )", parser.peek_token());
        }
    }
    Ok(())
}

fn list(parser: &mut Parser<'_>) -> Result<Vec<String>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let words = parser.parse_comma_separated(word)?;
    parser.expect_token(&Token::RParen)?;
    Ok(words)
}

/// A word, quoted or not, or a text.
fn word(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let found = parser.next_token();
    match found.token {
        Token::Word(word) => Ok(word.value),
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => Ok(text),
        _ => parser.expected("a word", found),
    }
}
