//! JSON by its operators and by the names that other tools have for them.
//!
//! ```text
//! j -> 'a', json_extract(j, 'a')             json_get_json(j, 'a'): JSON as text, `"x"` or `{"b":1}`
//! j ->> 'a', json_extract_string(j, 'a')     json_as_text(j, 'a'): `x`
//! j -> '$.a.b[0]'                            json_get_json(j, 'a', 'b', 0)
//! ```
//!
//! The parser takes `j -> 'a' > 1` for a function of j, `j -> ('a' > 1)`, so the arrows that are none are
//! marked before it runs. What DataFusion's planner makes of `->` is a value of many types,
//! which nothing can be done with: `'n: ' || (j -> 'n')` was NULL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value, VisitMut,
    visit_expressions_mut,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::call;
use crate::error::{Error, Result};
use crate::plan::dialect::ARROW;

/// Functions that take functions.
const HIGHER: [&str; 11] = [
    "any_match",
    "array_any_match",
    "array_filter",
    "array_first",
    "array_transform",
    "filter",
    "list_any_match",
    "list_filter",
    "list_first",
    "list_transform",
    "transform",
];
/// What gives JSON, and what gives text, under the names of other tools.
const GETTERS: [(&str, &str); 4] = [
    ("json_extract", AS_JSON),
    ("json_extract_path", AS_JSON),
    ("json_extract_path_text", AS_TEXT),
    ("json_extract_string", AS_TEXT),
];
const AS_JSON: &str = "json_get_json";
const AS_TEXT: &str = "json_as_text";

/// Tells the parser which arrows are operators: all but those between the parameters and the body of a
/// function that is an argument.
pub(in crate::plan) fn mark_operators(tokens: &mut [TokenWithSpan]) {
    // For each bracket that is open, where it stands, and whether functions may be given in it.
    let mut open: Vec<(usize, bool)> = Vec::new();
    let is_blank = |token: &Token| matches!(token, Token::Whitespace(_));
    let mut said: Vec<usize> = Vec::new();
    let mut closed = None;
    for idx in 0..tokens.len() {
        let before = |back: usize| said.len().checked_sub(back).map(|at| &tokens[said[at]].token);
        match &tokens[idx].token {
            token if is_blank(token) => continue,
            Token::LParen => {
                let is_higher = matches!(before(1), Some(Token::Word(word))
                    if HIGHER.contains(&word.value.to_lowercase().as_str()));
                open.push((said.len(), is_higher));
            }
            Token::RParen => closed = open.pop().map(|(at, _)| at),
            Token::Arrow => {
                // `x -> ..` and `(x, y) -> ..`, behind a bracket or a comma.
                let start = match before(1) {
                    Some(Token::Word(_)) => said.len().checked_sub(1),
                    Some(Token::RParen) => closed,
                    _ => None,
                };
                let begins = start.and_then(|start| start.checked_sub(1)).is_some_and(|at| {
                    matches!(tokens[said[at]].token, Token::LParen | Token::Comma)
                });
                let is_function = begins && open.last().is_some_and(|(_, is_higher)| *is_higher);
                if !is_function {
                    tokens[idx].token = Token::CustomBinaryOperator(ARROW.to_string());
                }
            }
            _ => {}
        }
        said.push(idx);
    }
}

/// Gives the operators that were marked their own kind.
pub(in crate::plan) fn unmark_operators(statement: &mut impl VisitMut) {
    let _ = visit_expressions_mut(statement, |expr| {
        if let Expr::BinaryOp { op, .. } = expr
            && matches!(op, BinaryOperator::Custom(custom) if custom == ARROW)
        {
            *op = BinaryOperator::Arrow;
        }
        ControlFlow::<()>::Continue(())
    });
}

/// The call of a function of ours for an operator or another tool's function.
///
/// # Errors
/// When a path has steps that are not supported.
pub(super) fn getter(expr: &Expr) -> Result<Option<Expr>> {
    let (name, args) = match expr {
        Expr::BinaryOp { left, op: BinaryOperator::Arrow, right } => {
            (AS_JSON, vec![left.as_ref(), right.as_ref()])
        }
        Expr::BinaryOp { left, op: BinaryOperator::LongArrow, right } => {
            (AS_TEXT, vec![left.as_ref(), right.as_ref()])
        }
        Expr::Function(call) => {
            let own = call.name.to_string().to_lowercase();
            let own = GETTERS.iter().find(|(elsewhere, _)| *elsewhere == own);
            let (Some((_, name)), FunctionArguments::List(list)) = (own, &call.args) else {
                return Ok(None);
            };
            let args = list.args.iter().map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => Some(arg),
                _ => None,
            });
            let Some(args) = args.collect::<Option<Vec<_>>>() else { return Ok(None) };
            (*name, args)
        }
        _ => return Ok(None),
    };
    let Some((json, keys)) = args.split_first() else { return Ok(None) };
    let mut steps: Vec<Expr> = vec![(*json).clone()];
    for key in keys {
        match path_in(key) {
            Some(path) => steps.extend(steps_of(path)?),
            None => steps.push((*key).clone()),
        }
    }
    Ok(call(name, &steps.iter().collect::<Vec<_>>()))
}

/// The path from the root that a literal is: `$.a.b`.
fn path_in(key: &Expr) -> Option<&str> {
    let Expr::Value(value) = key else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    // Keys such as `$oid` are keys.
    (text == "$" || text.starts_with("$.") || text.starts_with("$[")).then_some(text)
}

/// The keys and positions of a path such as `$.a."b c"[0]`.
fn steps_of(path: &str) -> Result<Vec<Expr>> {
    let wrong = || {
        Error::sql(format!("`{path}` is no path of keys and positions"))
            .hint("such as '$.items[0].name' or '$.\"a key\"'; other steps are not supported")
    };
    let text = |key: &str| Expr::Value(Value::SingleQuotedString(key.to_string()).into());
    let (mut steps, mut rest) = (Vec::new(), path.strip_prefix('$').unwrap_or_default());
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix(".\"") {
            let (key, behind) = quoted.split_once('"').ok_or_else(wrong)?;
            steps.push(text(key));
            rest = behind;
        } else if let Some(named) = rest.strip_prefix('.') {
            let end = named.find(['.', '[']).unwrap_or(named.len());
            let (key, behind) = named.split_at(end);
            if key.is_empty() || key.contains(['*', '"', '?', '(']) {
                return Err(wrong());
            }
            steps.push(text(key));
            rest = behind;
        } else {
            let (position, behind) =
                rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(wrong)?;
            if position.is_empty() || !position.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(wrong());
            }
            steps.push(Expr::Value(Value::Number(position.to_string(), false).into()));
            rest = behind;
        }
    }
    Ok(steps)
}
