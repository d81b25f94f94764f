//! PIVOT and UNPIVOT as subqueries.

use datafusion::sql::sqlparser::ast::{
    Expr, ExprWithAlias, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, NullInclusion,
    PivotValueSource, SetExpr, TableAlias, TableFactor, Value,
};

use super::names::names_in;
use super::{Rewriter, named, only_arg, query};
use crate::error::{Error, Result};
use crate::plan::respell::{GROUP_BY, UNPIVOTED};

/// More columns than this are no table that anyone reads.
const VALUES_MAX: usize = 1000;

impl Rewriter<'_> {
    /// PIVOT (sum(x) FOR key IN (a, b)): one filtered aggregate for each value.
    pub(super) fn pivoted(&self, pivot: &TableFactor) -> Result<(String, Option<TableAlias>)> {
        let TableFactor::Pivot {
            table,
            aggregate_functions,
            value_column,
            value_source,
            default_on_null: None,
            alias,
        } = pivot
        else {
            return Err(Error::sql("this form of PIVOT is not supported")
                .hint("PIVOT (sum(x) FOR key IN ('a', 'b'))"));
        };
        let [key] = &value_column[..] else {
            return Err(Error::sql("PIVOT goes FOR one column"));
        };
        let found;
        let values = match value_source {
            PivotValueSource::List(values) => values,
            PivotValueSource::Any(_) => {
                found = self.values_of_key(table, key)?;
                &found
            }
            PivotValueSource::Subquery(_) => {
                return Err(Error::sql("PIVOT ... IN (subquery) is not supported")
                    .hint("leave IN (...) out: then all values are columns"));
            }
        };
        let (groups, aggregate_functions): (Vec<_>, Vec<_>) =
            aggregate_functions.iter().partition(|function| is_call_of(&function.expr, GROUP_BY));
        let mut used = names_in(key);
        used.extend(aggregate_functions.iter().flat_map(|function| names_in(&function.expr)));
        let columns = self.columns_of_table(table)?;
        let others: Vec<String> = match groups.first() {
            Some(group_by) => args_of(&group_by.expr),
            None => columns
                .iter()
                .filter(|name| !used.contains(&name.to_lowercase()))
                .map(|name| named(name).to_string())
                .collect(),
        };
        let mut items = others.clone();
        for value in values {
            let name = match (&value.alias, &value.expr) {
                (Some(alias), _) => alias.value.clone(),
                (None, Expr::Value(text)) => {
                    text.value.clone().into_string().unwrap_or_else(|| text.to_string())
                }
                (None, other) => other.to_string(),
            };
            for function in &aggregate_functions {
                let title = match (&function.alias, aggregate_functions.len()) {
                    (Some(alias), _) => format!("{name}_{}", alias.value),
                    (None, 1) => name.clone(),
                    (None, _) => format!("{name}_{}", function.expr),
                };
                let title = Ident::with_quote('"', title.replace('"', "\"\""));
                let aggregate = &function.expr;
                items.push(format!("{aggregate} FILTER (WHERE {key} = {}) AS {title}", value.expr));
            }
        }
        let group_by = match others.len() {
            0 => String::new(),
            _ => format!(" GROUP BY {}", others.join(", ")),
        };
        Ok((format!("SELECT {} FROM {table}{group_by}", items.join(", ")), alias.clone()))
    }

    /// UNPIVOT (value FOR name IN (a, b)): one SELECT for each column.
    pub(super) fn unpivoted(&self, unpivot: &TableFactor) -> Result<(String, Option<TableAlias>)> {
        let TableFactor::Unpivot { table, value, name, columns, null_inclusion, alias } = unpivot
        else {
            return Err(Error::sql("this form of UNPIVOT is not supported"));
        };
        let expanded;
        let columns = match &columns[..] {
            [only] if is_call_of(&only.expr, UNPIVOTED) => {
                expanded = self.listed_columns(table, &only.expr)?;
                &expanded
            }
            _ => columns,
        };
        let used: Vec<String> = columns.iter().flat_map(|column| names_in(&column.expr)).collect();
        let others: Vec<String> = self
            .columns_of_table(table)?
            .iter()
            .filter(|name| !used.contains(&name.to_lowercase()))
            .map(|name| format!("{}, ", named(name)))
            .collect();
        let keeps_nulls = matches!(null_inclusion, Some(NullInclusion::IncludeNulls));
        let part = |column: &ExprWithAlias| {
            let title = match &column.alias {
                Some(alias) => alias.value.clone(),
                None => column.expr.to_string().replace('"', ""),
            };
            let title = crate::units::show_literal(&title);
            let (others, column) = (others.concat(), &column.expr);
            let filter =
                if keeps_nulls { String::new() } else { format!(" WHERE {column} IS NOT NULL") };
            format!("SELECT {others}{title} AS {name}, {column} AS {value} FROM {table}{filter}")
        };
        let parts: Vec<String> = columns.iter().map(part).collect();
        Ok((parts.join(" UNION ALL "), alias.clone()))
    }

    /// All values of a key, which are found by asking the table.
    fn values_of_key(&self, table: &TableFactor, key: &Expr) -> Result<Vec<ExprWithAlias>> {
        let limit = VALUES_MAX + 1;
        let distinct = query(&format!(
            "SELECT DISTINCT {key} FROM {table} WHERE {key} IS NOT NULL ORDER BY 1 LIMIT {limit}"
        ))?;
        let values = (self.lookups.values)(self.in_context(distinct))?;
        if values.len() == limit {
            return Err(Error::sql(format!("PIVOT: {key} has more than {VALUES_MAX} values"))
                .hint(format!("name those that are to be columns: ON {key} IN ('a', 'b')")));
        }
        Ok(values.into_iter().map(|expr| ExprWithAlias { expr, alias: None }).collect())
    }

    /// The columns of an UNPIVOT that are written as the items of a SELECT: `* EXCLUDE (a)`.
    fn listed_columns(&self, table: &TableFactor, call: &Expr) -> Result<Vec<ExprWithAlias>> {
        let list = match call {
            Expr::Function(function) => only_arg(&function.args).and_then(text_of),
            _ => None,
        };
        let list = list.unwrap_or_default();
        let mut listed = query(&format!("SELECT {list} FROM {table}"))?;
        if let SetExpr::Select(select) = listed.body.as_mut() {
            self.select(select)?;
        }
        let columns = (self.lookups.columns)(self.in_context(listed))?;
        Ok(columns.iter().map(|name| ExprWithAlias { expr: named(name), alias: None }).collect())
    }
}

fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn is_call_of(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Function(function) if function.name.to_string() == name)
}

fn args_of(expr: &Expr) -> Vec<String> {
    let Expr::Function(function) = expr else { return Vec::new() };
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let args = list.args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.to_string()),
        _ => None,
    });
    args.collect()
}
