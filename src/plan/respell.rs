//! Respelling: clauses of other tools, written in the words that the parser knows.
//!
//! ```text
//! PIVOT t ON k USING sum(x) GROUP BY g    SELECT * FROM (SELECT * FROM t) PIVOT (sum(x), .. FOR k IN (ANY))
//! UNPIVOT t ON a, b                       SELECT * FROM (SELECT * FROM t) UNPIVOT (value FOR name IN (..))
//! SELECT a: x + 1                         SELECT x + 1 AS a
//! FROM a: 'path'                          FROM 'path' AS a
//! FROM t WHERE x                          FROM t SELECT * WHERE x
//! LIMIT 10 %                              LIMIT percent_of_rows(10)
//! [x * 2 FOR x IN list IF x > 1]          list_transform(list_filter(list, x -> (x > 1)), x -> (x * 2))
//! t ASOF LEFT JOIN u ON ..                t ASOF JOIN u MATCH_CONDITION ('left') ON ..
//! t POSITIONAL JOIN u                     t ASOF JOIN u MATCH_CONDITION ('positional')
//! USING SAMPLE 10                         TABLESAMPLE (10 ROWS)
//! count(*) FILTER (x > 1)                 count(*) FILTER (WHERE x > 1)
//! PREPARE p AS SELECT ? + ?               PREPARE p AS SELECT $1 + $2
//! TABLE t, DESCRIBE t, SHOW PARTITIONS p  SELECT * FROM t, DESCRIBE SELECT * FROM t, ... partitions(p)
//! ```
//!
//! Works on tokens; what stands within brackets is respelled first. What it makes is given its
//! meaning in `plan/sugar.rs`.

use std::borrow::Cow;
use std::ops::Range;

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::place::Offsets;

/// Stands for the columns of `INSERT INTO t BY NAME`, which are those of the query.
pub const BY_NAME: &str = "_by_n";
/// Stands for LIMIT n %.
pub const PERCENT: &str = "percent_of_rows";
/// Stands for the GROUP BY of a PIVOT, among its aggregates.
pub const GROUP_BY: &str = "pivot_group_by";
/// Stands for the columns of an UNPIVOT that are no plain list of names.
pub const UNPIVOTED: &str = "unpivoted_columns";
/// What stands in a MATCH_CONDITION instead of a condition.
pub const POSITIONAL: &str = "positional";
/// An ASOF JOIN that keeps only rows with a partner.
pub const ASOF_INNER: &str = "inner";
/// An ASOF LEFT JOIN.
pub const ASOF_LEFT: &str = "left";

/// Brackets within each other that are looked into.
const DEPTH_MAX: usize = 250;
/// Words that end an item of a list or a table of a FROM.
const ENDS: [&str; 19] = [
    "from",
    "where",
    "group",
    "having",
    "order",
    "limit",
    "qualify",
    "window",
    "union",
    "intersect",
    "except",
    "offset",
    "fetch",
    "into",
    "on",
    "using",
    "join",
    "returning",
    "tablesample",
];
/// Words before JOIN.
const JOINS: [&str; 11] = [
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "natural",
    "semi",
    "anti",
    "asof",
    "positional",
    "match_condition",
];

/// A text in the parser's words.
pub struct Respelled<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// Where pieces of it came from: offsets in it and in the text before, growing.
    anchors: Vec<(usize, usize)>,
}

impl Respelled<'_> {
    /// The offset in the text before of an offset in this one.
    pub fn origin(&self, offset: usize) -> usize {
        let at = self.anchors.partition_point(|(new, _)| *new <= offset);
        match at.checked_sub(1).map(|at| self.anchors[at]) {
            Some((new, old)) => old + (offset - new),
            None => offset,
        }
    }
}

/// Respells a text that was cut into these tokens.
pub fn respell<'a>(sql: &'a str, tokens: &[TokenWithSpan]) -> Respelled<'a> {
    let mut offsets = Offsets::new(sql);
    let pieces: Vec<_> = tokens
        .iter()
        .filter(|found| !matches!(found.token, Token::Whitespace(_)))
        .map(|found| (&found.token, offsets.of(found.span.start)..offsets.of(found.span.end)))
        .collect();
    let closings = closings(&pieces);
    let mut writer = Writer {
        sql,
        pieces,
        text: String::new(),
        anchors: Vec::new(),
        changed: false,
        closings,
        depth: 0,
        question_count: 0,
    };
    writer.write(0, writer.pieces.len());
    if !writer.changed {
        return Respelled { text: Cow::Borrowed(sql), anchors: Vec::new() };
    }
    Respelled { text: Cow::Owned(writer.text), anchors: writer.anchors }
}

/// For each opening bracket the next one that closes at its depth.
fn closings(pieces: &[(&Token, Range<usize>)]) -> Vec<Option<usize>> {
    let mut closings = vec![None; pieces.len()];
    let mut open = Vec::new();
    for (at, (token, _)) in pieces.iter().enumerate() {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => open.push(at),
            Token::RParen | Token::RBracket | Token::RBrace => {
                if let Some(from) = open.pop() {
                    closings[from] = Some(at);
                }
            }
            _ => {}
        }
    }
    closings
}

fn is_question(token: &Token) -> bool {
    matches!(token, Token::Placeholder(text) if text == "?")
}

/// The part of a SELECT that is being written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clause {
    Items,
    From,
    Other,
}

struct Writer<'a> {
    sql: &'a str,
    pieces: Vec<(&'a Token, Range<usize>)>,
    text: String,
    anchors: Vec<(usize, usize)>,
    changed: bool,
    /// For each opening bracket the one that closes it.
    closings: Vec<Option<usize>>,
    depth: usize,
    /// How often `?` stood in the statement so far.
    question_count: usize,
}

impl Writer<'_> {
    fn is(&self, at: usize, wanted: &str) -> bool {
        matches!(self.pieces.get(at), Some((Token::Word(word), _))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
    }

    fn is_any(&self, at: usize, wanted: &[&str]) -> bool {
        matches!(self.pieces.get(at), Some((Token::Word(word), _))
            if word.quote_style.is_none()
                && wanted.contains(&word.value.to_lowercase().as_str()))
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.pieces.get(at).map(|(token, _)| *token)
    }

    fn is_open(&self, at: usize) -> bool {
        matches!(self.token(at), Some(Token::LParen | Token::LBracket | Token::LBrace))
    }

    fn is_close(&self, at: usize) -> bool {
        matches!(self.token(at), Some(Token::RParen | Token::RBracket | Token::RBrace))
    }

    /// The bracket that closes one, before `end`.
    fn closing(&self, open: usize, end: usize) -> Option<usize> {
        self.closings[open].filter(|close| *close < end)
    }

    /// The first token from `at` on, outside of brackets, that is one of these; else `end`.
    fn find(&self, mut at: usize, end: usize, is_wanted: impl Fn(&Self, usize) -> bool) -> usize {
        while at < end {
            if is_wanted(self, at) {
                return at;
            }
            at = match self.is_open(at) {
                true => self.closing(at, end).map_or(end, |close| close + 1),
                false => at + 1,
            };
        }
        end
    }

    /// Where an item of a list ends.
    fn item_end(&self, at: usize, end: usize) -> usize {
        self.find(at, end, |own, at| {
            let ends = matches!(own.token(at), Some(Token::Comma | Token::SemiColon))
                || own.is_close(at)
                || own.is_any(at, &ENDS);
            // x IS DISTINCT FROM y
            ends && !(own.is(at, "from") && at > 0 && own.is(at - 1, "distinct"))
        })
    }

    /// Where a table of a FROM ends.
    fn table_end(&self, at: usize, end: usize) -> usize {
        self.find(at, end, |own, at| {
            matches!(own.token(at), Some(Token::Comma | Token::SemiColon))
                || own.is_close(at)
                || own.is_any(at, &ENDS)
                || own.is_any(at, &JOINS)
        })
    }

    /// Writes a token as it stands, with the blanks and comments before it.
    fn copy(&mut self, at: usize) {
        let range = self.pieces[at].1.clone();
        let before = match at.checked_sub(1) {
            Some(before) => self.pieces[before].1.end,
            None => 0,
        };
        self.text.push_str(&self.sql[before..range.start]);
        self.anchors.push((self.text.len(), range.start));
        self.text.push_str(&self.sql[range]);
    }

    /// Writes words that do not stand in the text.
    fn add(&mut self, text: &str) {
        self.changed = true;
        self.text.push_str(text);
    }

    /// Whether a statement or a query in brackets begins here.
    fn begins(&self, at: usize, start: usize) -> bool {
        at == start || matches!(self.token(at - 1), Some(Token::SemiColon))
    }

    /// Whether the condition of an aggregate's FILTER begins here, without its WHERE.
    fn begins_filter(&self, at: usize) -> bool {
        let is_filter = at > 2
            && self.token(at - 1) == Some(&Token::LParen)
            && self.is(at - 2, "filter")
            && self.token(at - 3) == Some(&Token::RParen)
            && !self.is(at, "where");
        // Behind a table in brackets it is a name: FROM (SELECT 1) filter (x).
        is_filter
            && self.closings.iter().position(|close| *close == Some(at - 3)).is_some_and(|open| {
                open > 0
                    && matches!(self.token(open - 1), Some(Token::Word(_)))
                    && !self.is_any(open - 1, &["from", "join", "lateral"])
            })
    }

    /// Whether a query began with FROM, has come to its WHERE, and has no SELECT.
    fn lacks_select(&self, at: usize, start: usize) -> bool {
        let begin = self.statement_start(at, start);
        let begin = match self.is(begin, "explain") {
            true => self.find(begin, at, |own, at| own.is_any(at, &["from", "select", "with"])),
            false => begin,
        };
        let is_part = |own: &Self, at: usize| {
            own.is_any(at, &["select", "where", "group", "having", "union", "intersect", "except"])
        };
        self.is(begin, "from") && self.find(begin, at, is_part) == at
    }

    /// Where the statement begins that a token stands in.
    fn statement_start(&self, at: usize, start: usize) -> usize {
        let before = self.pieces[start..at].iter();
        let semicolon = before.rev().position(|(token, _)| **token == Token::SemiColon);
        semicolon.map_or(start, |back| at - back)
    }

    /// Writes the tokens from `start` up to `end`.
    fn write(&mut self, start: usize, end: usize) {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            // The parser refuses it anyway.
            (start..end).for_each(|at| self.copy(at));
        } else {
            self.write_within(start, end);
        }
        self.depth -= 1;
    }

    fn write_within(&mut self, start: usize, end: usize) {
        let mut at = start;
        let mut clause = Clause::Other;
        let mut is_item = false;
        while at < end {
            if let Some(next) = self.special(at, start, end).or_else(|| {
                let next = if is_item { self.prefix_alias(at, end, clause) } else { None };
                next.or_else(|| self.join(at, end))
            }) {
                is_item = false;
                at = next;
                continue;
            }
            is_item = match clause {
                Clause::Other => false,
                _ => matches!(self.token(at), Some(Token::Comma)),
            };
            if self.is(at, "select") {
                (clause, is_item) = (Clause::Items, true);
            } else if self.is(at, "from") && !(at > 0 && self.is(at - 1, "distinct")) {
                (clause, is_item) = (Clause::From, true);
            } else if self.is(at, "join") {
                is_item = clause == Clause::From;
            } else if clause == Clause::Items && self.is_any(at, &["distinct", "all"]) {
                is_item = true;
            } else if (self.is_any(at, &ENDS) || matches!(self.token(at), Some(Token::SemiColon)))
                && !self.is_any(at, &["on", "using", "from"])
            {
                clause = Clause::Other;
            }
            self.copy(at);
            if self.is_open(at)
                && let Some(close) = self.closing(at, end)
            {
                self.write(at + 1, close);
                self.copy(close);
                at = close;
            }
            at += 1;
        }
        // What stands behind the last token, comments included.
        if end == self.pieces.len() && start == 0 {
            let last = self.pieces.last().map_or(0, |(_, range)| range.end);
            self.text.push_str(&self.sql[last..]);
        }
    }

    /// Writes what begins here if it is respelled; returns where to go on.
    fn special(&mut self, at: usize, start: usize, end: usize) -> Option<usize> {
        if self.begins_filter(at) {
            self.add(" WHERE ");
            return None;
        }
        if self.token(at).is_some_and(is_question) {
            // The values of `?` are given in their order.
            self.question_count += 1;
            self.add(&format!(" ${}", self.question_count));
            return Some(at + 1);
        }
        if self.token(at) == Some(&Token::SemiColon) {
            self.question_count = 0;
        }
        let follows = |words: &[&str]| at > start && self.is_any(at - 1, words);
        let is_statement = self.begins(at, start)
            || follows(&["explain", "analyze", "stages"])
            || follows(&["as"])
                && self.is_any(at, &["pivot", "unpivot"])
                && self.is(self.statement_start(at, start), "create");
        if is_statement && let Some(next) = self.statement(at, end) {
            return Some(next);
        }
        if let Some(Token::LBracket) = self.token(at)
            && let Some(next) = self.comprehension(at, end)
        {
            return Some(next);
        }
        if self.is(at, "limit")
            && let Some(Token::Number(number, _)) = self.token(at + 1)
            && (self.is(at + 2, "percent") || self.token(at + 2) == Some(&Token::Mod))
        {
            let ends = |own: &Self, at: usize| {
                at >= end
                    || own.is_close(at)
                    || own.is(at, "offset")
                    || matches!(own.token(at), Some(Token::SemiColon))
            };
            if ends(self, at + 3) {
                let number = number.clone();
                self.copy(at);
                self.add(&format!(" {PERCENT}({number})"));
                return Some(at + 3);
            }
        }
        // FROM t WHERE x: the parser wants a SELECT before the WHERE.
        if self.is_any(at, &["where", "group", "having"]) && self.lacks_select(at, start) {
            self.add(" SELECT *");
            return None;
        }
        // [NOT] MATERIALIZED only asks for speed.
        let words = if self.is(at, "not") { 2 } else { 1 };
        if at > start
            && self.is(at - 1, "as")
            && self.is(at + words - 1, "materialized")
            && self.token(at + words) == Some(&Token::LParen)
        {
            self.add(" ");
            return Some(at + words);
        }
        // Columns match without regard to case: LIKE is ILIKE.
        if self.is(at, "like")
            && at > start + 1
            && self.token(at - 1) == Some(&Token::Mul)
            && (self.is(at - 2, "select") || self.token(at - 2) == Some(&Token::Comma))
        {
            self.add(" ILIKE");
            return Some(at + 1);
        }
        if self.is(at, "by") && self.is(at + 1, "name") && at > start + 1 && self.is(at - 2, "into")
        {
            self.add(&format!(" ({BY_NAME})"));
            return Some(at + 2);
        }
        if self.is(at, "using")
            && self.is(at + 1, "sample")
            && let Some(Token::Number(number, _)) = self.token(at + 2)
        {
            let is_percent = self.is(at + 3, "percent") || self.token(at + 3) == Some(&Token::Mod);
            let unit = if is_percent { "PERCENT" } else { "ROWS" };
            let sample = format!(" TABLESAMPLE ({number} {unit})");
            let words = if is_percent || self.is(at + 3, "rows") { 4 } else { 3 };
            self.add(&sample);
            return Some(at + words);
        }
        None
    }

    /// Statements that begin with words of their own.
    fn statement(&mut self, at: usize, end: usize) -> Option<usize> {
        if self.is(at, "pivot") {
            return self.pivot(at, end);
        }
        if self.is(at, "unpivot") {
            return self.unpivot(at, end);
        }
        let names_table = |own: &Self, at: usize| {
            matches!(own.token(at), Some(Token::Word(_) | Token::SingleQuotedString(_)))
        };
        if self.is(at, "table") && names_table(self, at + 1) {
            self.add(" SELECT * FROM");
            return Some(at + 1);
        }
        let starts_query = ["select", "from", "with", "values", "table", "pivot", "unpivot"];
        if self.is_any(at, &["describe", "desc"])
            && names_table(self, at + 1)
            && !self.is_any(at + 1, &starts_query)
        {
            self.add(" DESCRIBE SELECT * FROM");
            return Some(at + 1);
        }
        if self.is(at, "show")
            && self.is(at + 1, "partitions")
            && matches!(self.token(at + 2), Some(Token::SingleQuotedString(_)))
        {
            self.add(" SELECT * FROM partitions(");
            self.copy(at + 2);
            self.add(")");
            return Some(at + 3);
        }
        None
    }

    /// Whether the query ends that a PIVOT or UNPIVOT is.
    fn ends_pivot(&self, at: usize) -> bool {
        self.is_any(at, &["order", "limit", "union", "intersect", "except"])
            || matches!(self.token(at), Some(Token::SemiColon))
    }

    /// PIVOT source ON key [IN (...)] [USING aggregates] [GROUP BY columns]
    fn pivot(&mut self, at: usize, end: usize) -> Option<usize> {
        let on = self.find(at + 1, end, |own, at| own.is(at, "on"));
        if on == end || on == at + 1 {
            return None;
        }
        let using = self
            .find(on + 1, end, |own, at| own.is_any(at, &["using", "group"]) || own.ends_pivot(at));
        let group = match self.is(using, "using") {
            true => self.find(using + 1, end, |own, at| own.is(at, "group") || own.ends_pivot(at)),
            false => using,
        };
        let last = match self.is(group, "group") && self.is(group + 1, "by") {
            true => self.find(group + 2, end, Self::ends_pivot),
            false => group,
        };
        let within = self.find(on + 1, using, |own, at| own.is(at, "in"));
        self.add(" SELECT * FROM (SELECT * FROM");
        self.write(at + 1, on);
        self.add(") PIVOT (");
        if self.is(using, "using") {
            self.write(using + 1, group);
        } else {
            self.add("count(*)");
        }
        if last > group {
            self.add(&format!(", {GROUP_BY}("));
            self.write(group + 2, last);
            self.add(")");
        }
        self.add(" FOR");
        self.write(on + 1, within);
        if within < using {
            self.write(within, using);
        } else {
            self.add(" IN (ANY)");
        }
        self.add(")");
        Some(last)
    }

    /// UNPIVOT source ON columns [INTO NAME n VALUE v]
    fn unpivot(&mut self, at: usize, end: usize) -> Option<usize> {
        let on = self.find(at + 1, end, |own, at| own.is(at, "on"));
        if on == end || on == at + 1 {
            return None;
        }
        let into = self.find(on + 1, end, |own, at| own.is(at, "into") || own.ends_pivot(at));
        let mut last = into;
        let (mut name, mut value) = ("name".to_string(), "value".to_string());
        if self.is(into, "into") && self.is(into + 1, "name") && self.is(into + 3, "value") {
            name = self.sql[self.pieces.get(into + 2)?.1.clone()].to_string();
            value = self.sql[self.pieces.get(into + 4)?.1.clone()].to_string();
            last = into + 5;
        }
        let is_plain =
            (on + 1..into).all(|at| matches!(self.token(at), Some(Token::Word(_) | Token::Comma)));
        self.add(" SELECT * FROM (SELECT * FROM");
        self.write(at + 1, on);
        self.add(&format!(") UNPIVOT ({value} FOR {name} IN ("));
        if is_plain {
            self.write(on + 1, into);
        } else {
            let range = self.pieces.get(on + 1)?.1.start..self.pieces[into - 1].1.end;
            let list = crate::units::show_literal(&self.sql[range]);
            self.add(&format!("{UNPIVOTED}({list})"));
        }
        self.add("))");
        Some(last)
    }

    /// `[expression FOR x IN list IF condition]`
    fn comprehension(&mut self, at: usize, end: usize) -> Option<usize> {
        let close = self.closing(at, end)?;
        let each = self.find(at + 1, close, |own, at| own.is(at, "for"));
        let is_one =
            matches!(self.token(each + 1), Some(Token::Word(_))) && self.is(each + 2, "in");
        if each == close || !is_one {
            return None;
        }
        let condition = self.find(each + 3, close, |own, at| own.is(at, "if"));
        let name = self.sql[self.pieces[each + 1].1.clone()].to_string();
        self.add(" list_transform(");
        if condition < close {
            self.add("list_filter(");
        }
        self.write(each + 3, condition);
        if condition < close {
            self.add(&format!(", {name} -> ("));
            self.write(condition + 1, close);
            self.add("))");
        }
        self.add(&format!(", {name} -> ("));
        self.write(at + 1, each);
        self.add("))");
        Some(close + 1)
    }

    /// `a: expression` in a list of items, `a: table` in a FROM.
    fn prefix_alias(&mut self, at: usize, end: usize, clause: Clause) -> Option<usize> {
        let is_alias = matches!(self.token(at), Some(Token::Word(_)))
            && self.token(at + 1) == Some(&Token::Colon)
            && at + 2 < end;
        if !is_alias {
            return None;
        }
        let name = self.sql[self.pieces[at].1.clone()].to_string();
        let last = match clause {
            Clause::From => self.table_end(at + 2, end),
            _ => self.item_end(at + 2, end),
        };
        self.add(" ");
        self.write(at + 2, last);
        self.add(&format!(" AS {name}"));
        Some(last)
    }

    /// ASOF [LEFT] JOIN and POSITIONAL JOIN.
    fn join(&mut self, at: usize, end: usize) -> Option<usize> {
        let words = match (self.is(at, "asof"), self.is(at, "positional")) {
            (true, _) if self.is_any(at + 1, &["left", "inner"]) => 2,
            (true, _) | (_, true) => 1,
            _ => return None,
        };
        if !self.is(at + words, "join") {
            return None;
        }
        let table = at + words + 1;
        let last = self.table_end(table, end);
        let kind = if self.is(at, "positional") {
            POSITIONAL
        } else if self.is(at + 1, "left") {
            ASOF_LEFT
        } else {
            ASOF_INNER
        };
        let has_condition = self.is(last, "match_condition");
        if has_condition && words == 1 {
            return None;
        }
        self.add(" ASOF JOIN");
        self.write(table, last);
        if !has_condition {
            self.add(&format!(" MATCH_CONDITION ('{kind}')"));
        }
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::dialect::SwathDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    fn check(sql: &str, expected: &str) {
        let tokens = Tokenizer::new(&SwathDialect, sql).tokenize_with_location().expect("tokens");
        let found = respell(sql, &tokens).text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(found, expected, "{sql}");
    }

    #[test]
    fn clauses_of_other_tools_are_respelled() {
        check("SELECT 1 -- a: b\n", "SELECT 1 -- a: b");
        check("SELECT a: 1 + f(b, c), d FROM t", "SELECT 1 + f(b, c) AS a, d FROM t");
        check(
            "SELECT DISTINCT a: x IS DISTINCT FROM y FROM z: t JOIN u: v ON 1 = 1",
            "SELECT DISTINCT x IS DISTINCT FROM y AS a FROM t AS z JOIN v AS u ON 1 = 1",
        );
        check("SELECT {a: 1}, l[a:b], x::INT", "SELECT {a: 1}, l[a:b], x::INT");
        check("SELECT sum(a) FILTER (a > 1)", "SELECT sum(a) FILTER ( WHERE a > 1)");
        check(
            "SELECT sum(a) FILTER (WHERE a > 1) FROM (SELECT 1) filter (a), (f(2)) filter (b)",
            "SELECT sum(a) FILTER (WHERE a > 1) FROM (SELECT 1) filter (a), (f(2)) filter (b)",
        );
        check(
            "FROM (PIVOT t ON k USING sum(n) GROUP BY a, b ORDER BY a) LIMIT 5 %",
            "FROM ( SELECT * FROM (SELECT * FROM t) PIVOT ( sum(n), pivot_group_by( a, b) FOR k IN (ANY)) ORDER BY a) LIMIT percent_of_rows(5)",
        );
        check(
            "PIVOT 'a.csv' ON k IN ('x', 'y')",
            "SELECT * FROM (SELECT * FROM 'a.csv') PIVOT (count(*) FOR k IN ('x', 'y'))",
        );
        check(
            "UNPIVOT t ON a, b INTO NAME n VALUE v",
            "SELECT * FROM (SELECT * FROM t) UNPIVOT (v FOR n IN ( a, b))",
        );
        check(
            "UNPIVOT t ON COLUMNS('x.*')",
            "SELECT * FROM (SELECT * FROM t) UNPIVOT (value FOR name IN (unpivoted_columns('COLUMNS(''x.*'')')))",
        );
        check(
            "SELECT [y + 1 FOR y IN [x FOR x IN l IF x > 1]]",
            "SELECT list_transform( list_transform(list_filter( l, x -> ( x > 1)), x -> (x)), y -> (y + 1))",
        );
        check("t ASOF LEFT JOIN u ON a", "t ASOF JOIN u MATCH_CONDITION ('left') ON a");
        check(
            "SELECT a FROM t POSITIONAL JOIN u WHERE 1",
            "SELECT a FROM t ASOF JOIN u MATCH_CONDITION ('positional') WHERE 1",
        );
        check("t ASOF JOIN u MATCH_CONDITION (a)", "t ASOF JOIN u MATCH_CONDITION (a)");
        check(
            "TABLE t; DESCRIBE 'x'; DESCRIBE SELECT 1",
            "SELECT * FROM t; DESCRIBE SELECT * FROM 'x'; DESCRIBE SELECT 1",
        );
        check(
            "SELECT 1; CREATE VIEW v AS PIVOT t ON k",
            "SELECT 1; CREATE VIEW v AS SELECT * FROM (SELECT * FROM t) PIVOT (count(*) FOR k IN (ANY))",
        );
        check("SELECT a AS pivot FROM t JOIN u ON b", "SELECT a AS pivot FROM t JOIN u ON b");
        check("EXPLAIN ANALYZE TABLE t", "EXPLAIN ANALYZE SELECT * FROM t");
        check("EXPLAIN TABLE t", "EXPLAIN SELECT * FROM t");
        check(
            "WITH a AS NOT MATERIALIZED (SELECT 1) SELECT * LIKE 'i%' FROM a",
            "WITH a AS (SELECT 1) SELECT * ILIKE 'i%' FROM a",
        );
        check(
            "CREATE TABLE t AS SELECT 1; DROP TABLE t",
            "CREATE TABLE t AS SELECT 1; DROP TABLE t",
        );
        check(
            "SELECT x FROM t USING SAMPLE 5 % WHERE a",
            "SELECT x FROM t TABLESAMPLE (5 PERCENT) WHERE a",
        );
        check(
            "PREPARE p AS SELECT ? + f(?); SELECT ?",
            "PREPARE p AS SELECT $1 + f( $2); SELECT $1",
        );
        check(
            "FROM t WHERE a; SELECT (FROM u WHERE b GROUP BY c), x FROM v WHERE d",
            "FROM t SELECT * WHERE a; SELECT (FROM u SELECT * WHERE b GROUP BY c), x FROM v WHERE d",
        );
        check("FROM t SELECT a WHERE b", "FROM t SELECT a WHERE b");
        check("EXPLAIN SELECT a FROM t WHERE b", "EXPLAIN SELECT a FROM t WHERE b");
        check("EXPLAIN STAGES FROM t WHERE b", "EXPLAIN STAGES FROM t SELECT * WHERE b");
        check("SELECT 7 % 3 LIMIT 1", "SELECT 7 % 3 LIMIT 1");
    }

    #[test]
    fn offsets_lead_back() {
        let sql = "SELECT a: x, y FROM t";
        let tokens = Tokenizer::new(&SwathDialect, sql).tokenize_with_location().expect("tokens");
        let respelled = respell(sql, &tokens);
        let at = respelled.text.find("y FROM").expect("there");
        assert_eq!(respelled.origin(at), sql.find("y FROM").expect("there"));
    }
}
