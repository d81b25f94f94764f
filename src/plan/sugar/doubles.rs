//! Literals that are doubles: those with an exponent, and decimals among the doubles of VALUES.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, ExactNumberInfo, Expr, Value, Values, visit_expressions,
};

use super::{Rewriter, query};
use crate::error::Result;

impl Rewriter<'_> {
    /// Decimal literals of VALUES in columns in which a call gives a double: asks what the calls give.
    pub(super) fn doubles_beside_calls(&self, values: &mut Values) {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        for column in 0..width {
            let mut cells: Vec<&mut Expr> =
                values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)).collect();
            if !cells.iter().any(|cell| is_decimal(cell)) {
                continue;
            }
            let calls: HashSet<String> =
                cells.iter().filter(|cell| has_call(cell)).map(ToString::to_string).collect();
            let is_double = |call: &String| -> Result<bool> {
                let asked = query(&format!("SELECT typeof({call})"))?;
                let given = (self.lookups.values)(self.in_context(asked))?;
                let given = given.first().map(ToString::to_string).unwrap_or_default();
                Ok(["'DOUBLE'", "'REAL'"].contains(&given.as_str()))
            };
            // A call that cannot stand alone is left to the planner.
            if calls.iter().any(|call| is_double(call).unwrap_or(false)) {
                cells.iter_mut().for_each(|cell| make_double(cell));
            }
        }
    }
}

/// Decimal literals among the doubles of a column of VALUES are doubles as well: DataFusion makes all of
/// them a DECIMAL(30, 15), which holds no 1e-20 and no 1e30.
pub(super) fn doubles_of_values(values: &mut Values) {
    let width = values.rows.first().map_or(0, |row| row.content.len());
    for column in 0..width {
        let mut cells: Vec<&mut Expr> =
            values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)).collect();
        if cells.iter().any(|cell| is_double(cell)) {
            cells.iter_mut().for_each(|cell| make_double(cell));
        }
    }
}

fn has_call(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Function(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether an expression is a literal with a point.
fn is_decimal(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(expr) | Expr::UnaryOp { expr, .. } => is_decimal(expr),
        Expr::Value(value) => matches!(&value.value, Value::Number(text, _) if text.contains('.')),
        _ => false,
    }
}

fn is_double(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(expr) | Expr::UnaryOp { expr, .. } => is_double(expr),
        Expr::Cast { data_type, .. } => matches!(
            data_type,
            SqlType::Double(_)
                | SqlType::DoublePrecision
                | SqlType::Float(_)
                | SqlType::Float4
                | SqlType::Float8
                | SqlType::Float32
                | SqlType::Float64
                | SqlType::Real
        ),
        _ => false,
    }
}

/// Makes a double of a decimal literal.
fn make_double(expr: &mut Expr) {
    match expr {
        Expr::Nested(expr) | Expr::UnaryOp { expr, .. } => make_double(expr),
        Expr::Value(value) => {
            if let Value::Number(text, _) = &value.value {
                *expr = double(text);
            }
        }
        _ => {}
    }
}

/// A number as a double.
pub fn double(text: &str) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(Value::SingleQuotedString(text.to_string()).into())),
        data_type: SqlType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    }
}
