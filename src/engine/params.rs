//! Parameters: values that a statement names as `$day`, bound and never pasted.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, UnaryOperator, Value, visit_expressions_mut};

use crate::error::{Error, Result};
use crate::plan::sugar::double;

/// The value of one parameter.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Param {
    /// NULL.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction, as text, so that every digit counts.
    Number(String),
    /// A double.
    Double(f64),
    /// A text; it also serves for dates, which SQL compares with texts.
    Text(String),
}

/// Parameters by name, without the `$`.
pub type Params = BTreeMap<String, Param>;

impl Param {
    /// Reads a value from a command line: a number if it is written like one, else a text.
    ///
    /// `007` and `+49` are texts: as numbers they would lose characters.
    pub fn parse(text: &str) -> Self {
        use crate::formats::csv::value::{number_shape, parse_integer};
        if let Some(number) = parse_integer(text.as_bytes(), true) {
            return Param::Integer(number);
        }
        match (number_shape(text.as_bytes(), b'.'), text) {
            (Some(shape), _) if !shape.special => Param::Number(text.to_string()),
            (_, "true") => Param::Boolean(true),
            (_, "false") => Param::Boolean(false),
            _ => Param::Text(text.to_string()),
        }
    }

    fn to_expr(&self) -> Expr {
        let number = |text: String| Expr::Value(Value::Number(text, false).into());
        match self {
            Param::Null => Expr::Value(Value::Null.into()),
            Param::Boolean(flag) => Expr::Value(Value::Boolean(*flag).into()),
            Param::Text(text) => Expr::Value(Value::SingleQuotedString(text.clone()).into()),
            Param::Integer(value) => signed(&value.to_string(), number),
            Param::Number(text) => signed(text, number),
            Param::Double(value) => double(&value.to_string()),
        }
    }
}

fn signed(text: &str, number: impl Fn(String) -> Expr) -> Expr {
    match text.strip_prefix('-') {
        Some(rest) => {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number(rest.to_string())) }
        }
        None => number(text.to_string()),
    }
}

macro_rules! from {
    ($($source:ty => $variant:expr),*) => {$(
        impl From<$source> for Param {
            fn from(value: $source) -> Self {
                $variant(value)
            }
        }
    )*};
}

from!(
    bool => Param::Boolean,
    i64 => Param::Integer,
    i32 => |value| Param::Integer(i64::from(value)),
    u32 => |value| Param::Integer(i64::from(value)),
    f64 => Param::Double,
    String => Param::Text,
    &str => |value: &str| Param::Text(value.to_string())
);

impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Param::Null, Into::into)
    }
}

/// Makes [`Params`]: `params! { "day" => "2024-01-01", "limit" => 10 }`.
#[macro_export]
macro_rules! params {
    ($($name:expr => $value:expr),* $(,)?) => {
        $crate::Params::from([$(($name.to_string(), $crate::Param::from($value))),*])
    };
}

/// Puts the values in the place of `$name` in a parsed statement.
///
/// # Errors
/// When the statement names a parameter that has no value.
pub(super) fn bind(statement: &mut Statement, params: &Params) -> Result<()> {
    let mut inner = statement;
    while let Statement::Explain(explain) = inner {
        inner = explain.statement.as_mut();
    }
    let Statement::Statement(statement) = inner else { return Ok(()) };
    let prepares =
        matches!(statement.as_ref(), datafusion::sql::sqlparser::ast::Statement::Prepare { .. });
    if prepares {
        return Ok(());
    }
    let flow = visit_expressions_mut(statement, |expr| {
        let Expr::Value(value) = &*expr else { return ControlFlow::Continue(()) };
        let Value::Placeholder(placeholder) = &value.value else {
            return ControlFlow::Continue(());
        };
        match params.get(placeholder.trim_start_matches(['$', ':', '@'])) {
            Some(param) => {
                *expr = param.to_expr();
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(placeholder.clone()),
        }
    });
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(name) => Err(Error::sql(format!("no value for the parameter {name}"))
            .hint(format!("give it one: swath -P {}=VALUE \"...\"", name.trim_start_matches('$')))),
    }
}
