//! DELETE and UPDATE: their subqueries are looked up first. The planner makes joins of them, of which a table that
//! is changed learns nothing: all rows were deleted.

use datafusion::sql::sqlparser::ast::{Expr, Query, Statement};

use super::own::change_own;
use super::{Lookups, parsed, query};
use crate::error::{Error, Result};

/// Puts values in the place of subqueries.
///
/// # Errors
/// When one of them uses columns of the table that is changed, or has several rows for one value.
pub(super) fn looked_up(statement: &mut Statement, lookups: Lookups<'_>) -> Result<()> {
    let mut look_up = |expr: &mut Expr| {
        if let Some(value) = value_of(expr, lookups)? {
            *expr = value;
        }
        Ok::<(), Error>(())
    };
    match statement {
        Statement::Delete(delete) => change_own(&mut delete.selection, &mut look_up),
        Statement::Update(update) => {
            for assignment in &mut update.assignments {
                change_own(&mut assignment.value, &mut look_up)?;
            }
            change_own(&mut update.selection, &mut look_up)
        }
        _ => Ok(()),
    }
}

fn value_of(expr: &Expr, lookups: Lookups<'_>) -> Result<Option<Expr>> {
    let values = |query: Query| {
        (lookups.values)(query).map_err(|error| match error.message() {
            message if message.starts_with("no column named") => {
                let what = "a subquery in DELETE or UPDATE that uses columns of the table";
                Error::sql(format!("{what} is not supported yet ({message})"))
                    .hint("CREATE OR REPLACE TABLE t AS SELECT ... makes the table anew")
            }
            _ => error,
        })
    };
    Ok(match expr {
        Expr::InSubquery { expr, subquery, negated } => {
            let list = values(subquery.as_ref().clone())?;
            Some(match list.is_empty() {
                true => parsed(if *negated { "true" } else { "false" })?,
                false => Expr::InList { expr: expr.clone(), list, negated: *negated },
            })
        }
        Expr::Exists { subquery, negated } => {
            let count = values(query(&format!("SELECT count(*) FROM ({subquery}) AS found"))?)?;
            let is_there = count.first().is_some_and(|count| count.to_string() != "0");
            Some(parsed(if is_there != *negated { "true" } else { "false" })?)
        }
        Expr::Subquery(subquery) => {
            let mut found = values(subquery.as_ref().clone())?;
            if found.len() > 1 {
                let error =
                    format!("a subquery that stands for one value has {} rows", found.len());
                return Err(Error::data(error).hint("add ORDER BY ... LIMIT 1, or take max(...)"));
            }
            Some(found.pop().map_or_else(|| parsed("NULL"), Ok)?)
        }
        _ => None,
    })
}
