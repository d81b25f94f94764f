//! Rows of values that are compared: `(a, b) IN ((1, 2), (3, 4))`, `(a, b) < (c, d)`.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};

use super::joins::HIDDEN;
use super::{is_volatile, parsed};

/// A comparison of rows, in comparisons of their values.
pub(super) fn compared(expr: &Expr) -> Option<Expr> {
    let sql = match expr {
        Expr::BinaryOp { left, op, right } => {
            let (left, right) = (row(left)?, row(right)?);
            match op {
                BinaryOperator::Eq => equal(left, right)?,
                BinaryOperator::NotEq => format!("NOT ({})", equal(left, right)?),
                BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq => ordered(left, op, right)?,
                _ => return None,
            }
        }
        Expr::InList { expr, list, negated } => {
            let own = row(expr)?;
            let any: Option<Vec<String>> =
                list.iter().map(|other| equal(own, row(other)?)).collect();
            let any = any?.join(") OR (");
            format!("{}(({any}))", if *negated { "NOT " } else { "" })
        }
        // Where NULL and false are not the same, this is refused.
        Expr::InSubquery { expr, subquery, negated: false } => {
            let own = row(expr)?;
            let names: Vec<String> =
                (0..own.len()).map(|number| format!("{HIDDEN}value{number}")).collect();
            let same = own.iter().zip(&names).map(|(value, name)| format!("{name} = ({value})"));
            format!(
                "EXISTS (SELECT 1 FROM ({subquery}) AS {HIDDEN}row ({}) WHERE {})",
                names.join(", "),
                same.collect::<Vec<_>>().join(" AND ")
            )
        }
        _ => return None,
    };
    parsed(&format!("({sql})")).ok()
}

/// The values of a row.
fn row(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(values) if !values.iter().any(is_volatile) => Some(values),
        _ => None,
    }
}

fn equal(left: &[Expr], right: &[Expr]) -> Option<String> {
    let pairs = left.iter().zip(right).map(|(left, right)| format!("({left}) = ({right})"));
    (left.len() == right.len()).then(|| pairs.collect::<Vec<_>>().join(" AND "))
}

/// The first pair that differs decides.
fn ordered(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Option<String> {
    if left.len() != right.len() {
        return None;
    }
    let strict = match op {
        BinaryOperator::Lt | BinaryOperator::LtEq => "<",
        _ => ">",
    };
    let mut pairs = left.iter().zip(right).rev();
    let (left, right) = pairs.next()?;
    let last = format!("({left}) {op} ({right})");
    Some(pairs.fold(last, |rest, (left, right)| {
        format!("({left}) {strict} ({right}) OR (({left}) = ({right}) AND ({rest}))")
    }))
}
