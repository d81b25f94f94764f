//! Orders: what the names in ORDER BY mean.
//!
//! A name alone is a column of the result; within an expression it is one of the tables, as in standard SQL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, visit_expressions_mut,
};

use super::joins::HIDDEN;
use super::names::{name_item, name_of, names_in, put, quoted};
use super::own::has_own;
use super::{Rewriter, factors, is_aggregate, is_grouped, joins, laterals};
use crate::error::Result;

impl Rewriter<'_> {
    /// Gives names in the ORDER BY of a SELECT their meaning.
    pub(super) fn orders(&self, query: &mut Query) -> Result<()> {
        let SetExpr::Select(select) = query.body.as_mut() else { return Ok(()) };
        let Some(OrderByKind::Expressions(keys)) =
            query.order_by.as_mut().map(|order_by| &mut order_by.kind)
        else {
            return Ok(());
        };
        let Some(around) = self.around.last() else { return Ok(()) };
        let is_of_groups = self.is_of_groups(select);
        if is_of_groups {
            keys.iter_mut().for_each(|key| of_result(&mut key.expr, select));
        }
        let mut added = Vec::new();
        for key in keys {
            let is_output = |name: &str| {
                let mut names = select.projection.iter().filter_map(name_of);
                names.any(|output| output.eq_ignore_ascii_case(name))
            };
            if matches!(&key.expr, Expr::Identifier(name) if is_output(&name.value)) {
                continue;
            }
            self.put_merged(&mut key.expr, &around.merged);
            laterals::put(&mut key.expr, &around.made);
            if !is_of_groups && self.of_tables(&mut key.expr, select)? {
                // The planner takes no column of a table beside a result of its name.
                let name = Ident::new(format!("{HIDDEN}key{}", added.len()));
                let expr = std::mem::replace(&mut key.expr, Expr::Identifier(name.clone()));
                added.push(SelectItem::ExprWithAlias { expr, alias: name });
            }
        }
        if !added.is_empty() {
            let hidden: Vec<String> = (0..added.len()).map(|n| format!("{HIDDEN}key{n}")).collect();
            let hidden = hidden.join(", ");
            select.projection.append(&mut added);
            let sql = format!("SELECT * EXCLUDE ({hidden}) FROM ({select}) AS {HIDDEN}keyed");
            *query.body = *super::query(&sql)?.body;
        }
        Ok(())
    }

    /// Names the tables of columns that share their name with another expression of the result; whether
    /// there are any.
    fn of_tables(&self, key: &mut Expr, select: &Select) -> Result<bool> {
        if matches!(key, Expr::Identifier(_)) {
            return Ok(false);
        }
        let is_alias = |name: &str| {
            select.projection.iter().any(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    let own = match expr {
                        Expr::Identifier(own) => Some(own),
                        Expr::CompoundIdentifier(parts) => parts.last(),
                        _ => None,
                    };
                    let is_same = own.is_some_and(|own| own.value.eq_ignore_ascii_case(name));
                    alias.value.eq_ignore_ascii_case(name) && !is_same
                }
                _ => false,
            })
        };
        let mut found: Vec<(String, Expr)> = Vec::new();
        for name in names_in(key) {
            if !is_alias(&name) || found.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if let Some(column) = self.column_of_tables(&name, select)? {
                found.push((name, column));
            }
        }
        let value_of = |name: &str| {
            let (_, column) = found.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
            Some(column.clone())
        };
        if !found.is_empty() {
            put(key, &value_of);
        }
        Ok(!found.is_empty())
    }

    /// Whether the rows of a SELECT are not those of its tables.
    pub(super) fn is_of_groups(&self, select: &Select) -> bool {
        is_grouped(select)
            || select.having.is_some()
            || matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_)))
            || has_own(&select.projection, |expr| is_aggregate(expr, self.lookups.is_aggregate))
    }

    /// The column of a name in the first table of a FROM that has one.
    fn column_of_tables(&self, name: &str, select: &Select) -> Result<Option<Expr>> {
        for table in factors(&select.from) {
            let Some(own) = joins::name_of(table) else { continue };
            let columns = self.columns_of_table(table)?;
            if let Some(column) = columns.iter().find(|column| column.eq_ignore_ascii_case(name)) {
                let parts = vec![own, Ident::with_quote('"', column)];
                return Ok(Some(Expr::CompoundIdentifier(parts)));
            }
        }
        Ok(None)
    }
}

/// Names items of groups by their aliases: by their places, or within expressions, the planner does not
/// always find them.
fn of_result(key: &mut Expr, select: &mut Select) {
    let position = match &*key {
        Expr::Value(value) => value.value.to_string().parse::<usize>().ok(),
        _ => None,
    };
    if let Some(item) = position.and_then(|at| select.projection.get_mut(at.checked_sub(1)?)) {
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            let title = expr.to_string();
            *key = Expr::Identifier(quoted(&title));
            name_item(item, &title);
        }
        return;
    }
    let _ = visit_expressions_mut(key, |part| {
        let alias = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias }
                if matches!(part, Expr::Function(_)) && expr.to_string() == part.to_string() =>
            {
                Some(alias.clone())
            }
            _ => None,
        });
        if let Some(alias) = alias {
            *part = Expr::Identifier(alias);
        }
        ControlFlow::<()>::Continue(())
    });
}
