//! Names of items: aliases that other parts of a SELECT use, and those that the planner would confuse.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, Select, SelectItem, SetExpr, Statement, VisitMut, VisitorMut,
};

use super::own::{change_own, has_own};
use super::{Rewriter, columns, is_volatile, named};
use crate::error::{Error, Result};

/// Aliases in one expression, with all in those that they stand for.
const ALIASED_SIZE_MAX: usize = 200;
/// Begins the names of nameless expressions whose names are of no use.
const OF_UNION: &str = "column_of_union_";

impl Rewriter<'_> {
    /// Gives another name to what stands beside a wildcard that has a column of that name. The first
    /// keeps its own; behind joins, where columns of a wildcard may share names, the wildcard does.
    pub(super) fn wildcards(&self, select: &mut Select, known: &mut Option<Vec<String>>) {
        let is_single = matches!(&select.from[..], [table] if table.joins.is_empty());
        let is_wild = |item: &SelectItem| match item {
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                let is_plain = options.opt_exclude.is_none()
                    && options.opt_except.is_none()
                    && options.opt_replace.is_none();
                is_plain && (is_single || matches!(item, SelectItem::Wildcard(_)))
            }
            _ => false,
        };
        let wild_count = select.projection.iter().filter(|item| is_wild(item)).count();
        let names: Vec<&str> = select.projection.iter().filter_map(name_of).collect();
        if wild_count == 0 || names.is_empty() && wild_count == 1 {
            return;
        }
        // What is wrong with the tables is for the planner to say.
        let Ok(columns) = known.take().map_or_else(|| self.columns_of(select), Ok) else { return };
        let is_twice = |name: &&str| columns.iter().any(|column| column == name);
        let clashes = wild_count > 1 || names.iter().any(is_twice);
        let distinct: HashSet<&String> = columns.iter().collect();
        let is_plain = distinct.len() == columns.len();
        if clashes {
            let mut seen = HashSet::new();
            if is_plain {
                let spelled = |item: SelectItem| match is_wild(&item) {
                    true => {
                        columns.iter().map(|name| SelectItem::UnnamedExpr(named(name))).collect()
                    }
                    false => vec![item],
                };
                select.projection = select.projection.drain(..).flat_map(spelled).collect();
            } else {
                seen.extend(columns.iter().map(|name| name_key(name)));
            }
            for item in &mut select.projection {
                let Some(alias) = name_of(item).and_then(|name| new_name(name, &mut seen)) else {
                    continue;
                };
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
        }
        *known = Some(columns);
    }

    /// Puts what aliases stand for in their place, in WHERE and in the items behind them.
    pub(super) fn aliases(&self, select: &mut Select, known: Option<Vec<String>>) -> Result<()> {
        let mut aliases: Vec<(String, Expr)> = Vec::new();
        let mut is_used = select.selection.as_ref().map(names_in).unwrap_or_default();
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    is_used.extend(names_in(expr));
                    aliases.push((alias.value.to_lowercase(), expr.clone()));
                }
                SelectItem::UnnamedExpr(expr) => is_used.extend(names_in(expr)),
                _ => {}
            }
        }
        aliases.retain(|(alias, expr)| {
            let is_itself = matches!(expr, Expr::Identifier(name)
                if name.value.to_lowercase() == *alias);
            is_used.contains(alias) && !is_itself
        });
        if aliases.is_empty() {
            return Ok(());
        }
        let columns = match known {
            Some(columns) => columns,
            None => self.columns_of(select)?,
        };
        // A column comes first, as in SQL.
        aliases.retain(|(alias, _)| !columns.iter().any(|name| name.eq_ignore_ascii_case(alias)));
        if aliases.is_empty() {
            return Ok(());
        }
        if let Some((alias, _)) = aliases.iter().find(|(_, expr)| is_volatile(expr)) {
            return Err(Error::sql(format!("{alias} would be computed anew wherever it is used"))
                .hint("compute it in a query of its own: WITH a AS (SELECT ...) SELECT ..."));
        }
        let mut usable: Vec<(String, Expr)> = Vec::new();
        let mut sizes: HashMap<String, usize> = HashMap::new();
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    let size = size_with(expr, &sizes)?;
                    put_aliases(expr, &usable);
                    let lower = alias.value.to_lowercase();
                    if aliases.iter().any(|(name, _)| *name == lower) {
                        sizes.insert(lower.clone(), size);
                        usable.push((lower, expr.clone()));
                    }
                }
                SelectItem::UnnamedExpr(expr) => {
                    size_with(expr, &sizes)?;
                    put_aliases(expr, &usable);
                }
                _ => {}
            }
        }
        if let Some(selection) = &select.selection {
            size_with(selection, &sizes)?;
        }
        if let Some(selection) = &mut select.selection {
            put_aliases(selection, &usable);
        }
        Ok(())
    }
}

/// Names expressions beside columns in what is united with other rows. The names of the first side are
/// those of the result, and DataFusion would give them to expressions also where a column has that name.
pub(super) fn named_apart(select: &mut Select) {
    let is_column = |item: &SelectItem| {
        let SelectItem::UnnamedExpr(expr) = item else { return true };
        matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
    };
    if !select.projection.iter().any(is_column) {
        return;
    }
    for (idx, item) in select.projection.iter_mut().enumerate() {
        if let (SelectItem::UnnamedExpr(expr), false) = (&*item, is_column(item)) {
            let alias = Ident::new(format!("{OF_UNION}{}", idx + 1));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// Gives items of one name different ones, because the planner takes no two of one name, and no column
/// of a table beside another item of its name.
pub(super) fn part_names(items: &mut [SelectItem]) {
    let aliases: HashSet<String> = items
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(name_key(&alias.value)),
            _ => None,
        })
        .collect();
    let mut seen: HashSet<String> = HashSet::new();
    for item in items {
        let (expr, title) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (&*expr, alias.value.clone()),
            SelectItem::UnnamedExpr(expr) => match &*expr {
                Expr::CompoundIdentifier(parts)
                    if parts.last().is_some_and(|own| aliases.contains(&name_key(&own.value))) =>
                {
                    let own = parts.last().cloned().unwrap_or_else(|| Ident::new(""));
                    let alias = new_name(&own.value, &mut seen).unwrap_or(own);
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                    continue;
                }
                // The planner would call it by its column, which may be one of the others.
                Expr::Subquery(_) => {
                    let title = title_of(expr);
                    let alias = new_name(&title, &mut seen).unwrap_or_else(|| quoted(&title));
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                    continue;
                }
                expr => (expr, title_of(expr)),
            },
            _ => continue,
        };
        if let Some(name) = new_name(&title, &mut seen) {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: name };
        }
    }
}

/// Gives an item without a name this one.
pub(super) fn name_item(item: &mut SelectItem, title: &str) {
    if let SelectItem::UnnamedExpr(expr) = item {
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: quoted(title) };
    }
}

/// A name in quotes.
pub(super) fn quoted(title: &str) -> Ident {
    Ident::with_quote('"', title.replace('"', "\"\""))
}

/// An item's name as it was written.
fn title_of(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    }
}

/// Another name, if this one was given before.
pub(super) fn new_name(title: &str, seen: &mut HashSet<String>) -> Option<Ident> {
    if seen.insert(name_key(title)) {
        return None;
    }
    let name = (1..).map(|n| format!("{title}_{n}")).find(|name| seen.insert(name_key(name)))?;
    Some(quoted(&name))
}

/// What names are told apart by: the planner's have no parentheses but those of calls.
fn name_key(title: &str) -> String {
    title.replace(['(', ')'], "")
}

/// The name that an item gives, if it is an alias or that of a column.
pub(super) fn name_of(item: &SelectItem) -> Option<&str> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(&alias.value),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(&name.value),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => {
            names.last().map(|name| name.value.as_str())
        }
        _ => None,
    }
}

/// Names all items that are no columns as they were written: the planner's own names may be one for
/// two of them, as for a cast and what it casts.
pub fn name_items(statement: &mut Statement) {
    struct Namer;
    impl VisitorMut for Namer {
        type Break = ();
        fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            for item in &mut select.projection {
                let SelectItem::UnnamedExpr(expr) = item else { continue };
                if !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    let title = title_of(expr);
                    name_item(item, &title);
                }
            }
            part_names(&mut select.projection);
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(statement, &mut Namer);
}

/// Names the items of a query that is read as a table as they were written; the planner's own names are
/// `Int64(1) + Int64(1)`. A cast of a column is called by the column, as the planner has it.
pub(super) fn as_written(query: &mut Query) {
    super::each_side(&mut query.body, true, &mut |side, names| {
        if let (SetExpr::Select(select), true) = (side, names) {
            select.projection.iter_mut().for_each(item_as_written);
        }
    });
}

/// Names what stands beside a wildcard as it was written.
pub(super) fn beside_wildcards(query: &mut Query) {
    let is_wild = |item: &SelectItem| {
        !matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
    };
    if let SetExpr::Select(select) = query.body.as_mut()
        && select.projection.iter().any(is_wild)
    {
        select.projection.iter_mut().for_each(item_as_written);
    }
}

fn item_as_written(item: &mut SelectItem) {
    let SelectItem::UnnamedExpr(expr) = &*item else { return };
    let mut inner = expr;
    while let Expr::Cast { expr, .. } | Expr::Nested(expr) = inner {
        inner = expr;
    }
    let is_own = matches!(
        inner,
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. }
    );
    if !is_own && !columns::names_columns(item) {
        let title = title_of(expr);
        name_item(item, &title);
    }
}

/// The unquoted names in an expression, but for those in its subqueries.
pub(super) fn names_in(expr: &Expr) -> Vec<String> {
    let mut names = Vec::new();
    has_own(expr, |expr| {
        if let Expr::Identifier(name) = expr {
            names.push(name.value.to_lowercase());
        }
        false
    });
    names
}

/// How many aliases an expression stands for, with those in them: each may double the one before.
fn size_with(expr: &Expr, sizes: &HashMap<String, usize>) -> Result<usize> {
    let of = |name: &String| sizes.get(name).copied().unwrap_or(0);
    let size = names_in(expr).iter().map(of).fold(1_usize, usize::saturating_add);
    if size > ALIASED_SIZE_MAX {
        return Err(Error::sql("aliases that use each other make an expression too large").hint(
            "compute the first ones in a query of their own: WITH a AS (SELECT ...) SELECT ...",
        ));
    }
    Ok(size)
}

/// Puts what names stand for in their place, but not in subqueries, which have columns of their own.
pub(super) fn put(part: &mut impl VisitMut, value_of: &dyn Fn(&str) -> Option<Expr>) {
    let _ = change_own(part, |expr| {
        if let Expr::Identifier(name) = &*expr
            && let Some(value) = value_of(&name.value)
        {
            *expr = value;
        }
        Ok::<(), ()>(())
    });
}

/// Replaces aliases in an expression.
fn put_aliases(expr: &mut Expr, aliases: &[(String, Expr)]) {
    let value_of = |name: &str| {
        let lower = name.to_lowercase();
        let (_, value) = aliases.iter().rev().find(|(alias, _)| *alias == lower)?;
        Some(Expr::Nested(Box::new(value.clone())))
    };
    if !aliases.is_empty() {
        put(expr, &value_of);
    }
}
