//! JSON by its operators and by the names that other tools have for them.
//!
//! ```text
//! j -> 'a', json_extract(j, 'a')             json_get_json(j, 'a'): JSON as text, `"x"` or `{"b":1}`
//! j ->> 'a', json_extract_string(j, 'a')     json_as_text(j, 'a'): `x`
//! j -> '$.a.b[0]'                            json_get_json(j, 'a', 'b', 0)
//! ```
//!
//! The parser takes `j -> 'a' > 1` for a function of j, `j -> ('a' > 1)`; it is one only as an argument of
//! functions that take functions. What DataFusion's planner makes of `->` is a value of many types,
//! which nothing can be done with: `'n: ' || (j -> 'n')` was NULL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    LambdaFunction, LambdaSyntax, OneOrManyWithParens, Value, VisitMut, VisitorMut,
};

use super::call;
use crate::error::{Error, Result};

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

/// Makes operators of what the parser takes for functions.
pub(in crate::plan) fn operators(statement: &mut impl VisitMut) {
    let _ = VisitMut::visit(statement, &mut Operators { functions: Vec::new() });
}

struct Operators {
    /// For each call around what is visited, which of its arguments are functions.
    functions: Vec<Vec<usize>>,
}

impl VisitorMut for Operators {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let takes_functions = HIGHER.contains(&call.name.to_string().to_lowercase().as_str());
        let mut found = Vec::new();
        for (idx, function) in functions(call).filter(|_| takes_functions) {
            if function.syntax == LambdaSyntax::Arrow {
                // It is passed by until the call is left.
                function.syntax = LambdaSyntax::LambdaKeyword;
                found.push(idx);
            }
        }
        self.functions.push(found);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(call) => {
                let found = self.functions.pop().unwrap_or_default();
                for (_, function) in functions(call).filter(|(idx, _)| found.contains(idx)) {
                    function.syntax = LambdaSyntax::Arrow;
                }
            }
            Expr::Lambda(function) if function.syntax == LambdaSyntax::Arrow => {
                if let Some(operator) = operator(function) {
                    *expr = operator;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The arguments of a call that are functions, with their positions.
fn functions(call: &mut Function) -> impl Iterator<Item = (usize, &mut LambdaFunction)> {
    let args = match &mut call.args {
        FunctionArguments::List(list) => &mut list.args[..],
        _ => &mut [],
    };
    args.iter_mut().enumerate().filter_map(|(idx, arg)| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Lambda(function))) => {
            Some((idx, function))
        }
        _ => None,
    })
}

/// `j -> 'a' > 1` as it is meant: the operator binds more strongly than all in the function's body.
fn operator(function: &LambdaFunction) -> Option<Expr> {
    let parameter = match &function.params {
        OneOrManyWithParens::One(parameter) => parameter,
        OneOrManyWithParens::Many(parameters) => match &parameters[..] {
            [parameter] => parameter,
            _ => return None,
        },
    };
    if parameter.data_type.is_some() {
        return None;
    }
    let mut body = function.body.as_ref().clone();
    let key = first_of(&mut body);
    let right = Box::new(key.clone());
    let left = Box::new(Expr::Identifier(parameter.name.clone()));
    *key = Expr::BinaryOp { left, op: BinaryOperator::Arrow, right };
    Some(body)
}

/// What stands first in an expression.
fn first_of(expr: &mut Expr) -> &mut Expr {
    match expr {
        Expr::BinaryOp { left: first, .. }
        | Expr::IsNull(first)
        | Expr::IsNotNull(first)
        | Expr::IsTrue(first)
        | Expr::IsNotTrue(first)
        | Expr::IsFalse(first)
        | Expr::IsNotFalse(first)
        | Expr::IsDistinctFrom(first, _)
        | Expr::IsNotDistinctFrom(first, _)
        | Expr::InList { expr: first, .. }
        | Expr::InSubquery { expr: first, .. }
        | Expr::Between { expr: first, .. }
        | Expr::Like { expr: first, .. }
        | Expr::ILike { expr: first, .. }
        | Expr::SimilarTo { expr: first, .. }
        | Expr::AnyOp { left: first, .. }
        | Expr::AllOp { left: first, .. } => first_of(first),
        key => key,
    }
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
    text.starts_with('$').then_some(text)
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
