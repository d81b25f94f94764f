//! What is computed from each row of the tables before it in a FROM.
//!
//! ```text
//! t, LATERAL (SELECT t.x + 1 AS y) l
//!   t, and (t.x + 1) in the place of l.y
//! t, unnest(t.list) AS u(x)
//!   (SELECT *, unnest(t.list) AS item FROM t) AS t, and t.item in the place of u.x
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, Value, VisitMut,
    VisitorMut, visit_expressions,
};

use super::{IsAggregate, Rewriter, call, derived, has_rows, joins};
use crate::error::Result;

impl Rewriter<'_> {
    /// Puts what a LATERAL query without a FROM computes in the place of its columns.
    pub(super) fn laterals(&self, select: &mut Select) -> Result<Vec<Made>> {
        let mut made: Vec<Made> = Vec::new();
        self.unnested(select, &mut made)?;
        let known = self.lookups.is_aggregate;
        select.from.retain(|table| match (&table.relation, &table.joins[..]) {
            (relation, []) => !takes(relation, &mut made, known),
            _ => true,
        });
        for table in &mut select.from {
            table.joins.retain(|join| {
                !(is_cross(&join.join_operator).is_some()
                    && takes(&join.relation, &mut made, known))
            });
        }
        if made.is_empty() {
            return Ok(made);
        }
        for made in &made {
            if let (Some(hidden), Expr::CompoundIdentifier(parts)) = (&made.hidden, &made.expr) {
                joins::hide(select, std::slice::from_ref(hidden), parts.first());
            }
        }
        let columns = self.columns_of(select)?;
        let mut items = Vec::new();
        for item in std::mem::take(&mut select.projection) {
            match &item {
                SelectItem::Wildcard(_) => {
                    items.push(item);
                    items.extend(made.iter().map(Made::item));
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) if made.iter().any(|made| made.is_of(&name.to_string())) => {
                    let of = made.iter().filter(|made| made.is_of(&name.to_string()));
                    items.extend(of.map(Made::item));
                }
                SelectItem::UnnamedExpr(expr) => match find(&made, &columns, expr) {
                    Some(found) => items.push(found.item()),
                    None => items.push(with_field_name(item, &made)),
                },
                _ => items.push(item),
            }
        }
        select.projection = items;
        let _ = select.visit(&mut Putter { made: &made, columns: &columns, depth: 0 });
        Ok(made)
    }

    /// Takes unnest(list) out of a FROM where the list is of a table before it: into the table, which
    /// gets a hidden column for the items.
    fn unnested(&self, select: &mut Select, made: &mut Vec<Made>) -> Result<()> {
        // Each is of a table that stands before it.
        let mut tables = std::mem::take(&mut select.from);
        let mut kept: Vec<TableWithJoins> = Vec::new();
        for mut table in tables.drain(..) {
            let joins = std::mem::take(&mut table.joins);
            let is_taken = match Unnest::of(&table.relation, false) {
                Some(unnest) if joins.is_empty() => self.put_in(&unnest, &mut kept, made)?,
                _ => false,
            };
            if is_taken {
                continue;
            }
            kept.push(table);
            for join in joins {
                let unnest = match is_cross(&join.join_operator) {
                    Some(is_outer) => Unnest::of(&join.relation, is_outer),
                    None => None,
                };
                let is_taken = match unnest {
                    Some(unnest) => self.put_in(&unnest, &mut kept, made)?,
                    None => false,
                };
                if let (false, Some(table)) = (is_taken, kept.last_mut()) {
                    table.joins.push(join);
                }
            }
        }
        select.from = kept;
        Ok(())
    }

    /// Puts the items of a list into the table that has it; false if the list is of none.
    fn put_in(
        &self,
        unnest: &Unnest,
        tables: &mut [TableWithJoins],
        made: &mut Vec<Made>,
    ) -> Result<bool> {
        let mut list = unnest.list.clone();
        let _ = list.visit(&mut Putter { made, columns: &[], depth: 0 });
        let names = columns_in(&list);
        if names.is_empty() {
            return Ok(false);
        }
        // Tables that a join may fill up with NULLs would lose those rows.
        let may_take = |join: &Join| joins::is_inner(&join.join_operator);
        let mut factors: Vec<&mut TableFactor> = Vec::new();
        for table in tables {
            let fills = table.joins.iter().any(|join| !joins::keeps_left(&join.join_operator));
            if !fills {
                factors.push(&mut table.relation);
            }
            let joins = table.joins.iter_mut().filter(|join| may_take(join));
            factors.extend(joins.map(|join| &mut join.relation));
        }
        for factor in factors {
            let Some(own) = joins::name_of(factor) else { continue };
            let columns = self.columns_of_table(factor)?;
            let is_own = |names: &Vec<Ident>| {
                let is = |name: &Ident| names[0].value.eq_ignore_ascii_case(&name.value);
                let is_column = |column: &String| column.eq_ignore_ascii_case(&names[0].value);
                names.len() > 1 && is(&own)
                    || names[0].value.starts_with(joins::HIDDEN)
                    || columns.iter().any(is_column)
            };
            if !names.iter().all(is_own) {
                continue;
            }
            let hidden = format!("{}item{}", joins::HIDDEN, made.len());
            let items = if unnest.is_outer {
                format!("unnest(CASE WHEN cardinality({list}) > 0 THEN {list} ELSE [NULL] END)")
            } else {
                format!("unnest({list})")
            };
            let sql = format!("SELECT *, {items} AS {hidden} FROM {factor}");
            *factor = derived(&sql, Some(joins::alias(own.clone())))?;
            made.push(Made {
                table: unnest.table.clone(),
                name: unnest.column.clone(),
                expr: Expr::CompoundIdentifier(vec![own, Ident::new(&hidden)]),
                hidden: Some(hidden),
            });
            return Ok(true);
        }
        Ok(false)
    }
}

/// A column of a LATERAL query.
pub(super) struct Made {
    table: String,
    name: Ident,
    expr: Expr,
    /// The column that was added to a table for it.
    hidden: Option<String>,
}

impl Made {
    fn is_of(&self, table: &str) -> bool {
        self.table.eq_ignore_ascii_case(table.trim_matches('"'))
    }

    /// Whether it is all that a table of its own name has.
    fn is_whole(&self, name: &str) -> bool {
        self.hidden.is_some() && self.name.value.eq_ignore_ascii_case(name)
    }

    fn item(&self) -> SelectItem {
        let expr = Expr::Nested(Box::new(self.expr.clone()));
        SelectItem::ExprWithAlias { expr, alias: self.name.clone() }
    }
}

/// Takes the columns out of a LATERAL query that has no FROM; whether it is one.
fn takes(table: &TableFactor, made: &mut Vec<Made>, known: IsAggregate<'_>) -> bool {
    let TableFactor::Derived { lateral: true, subquery, alias: Some(alias), .. } = table else {
        return false;
    };
    let SetExpr::Select(select) = subquery.body.as_ref() else { return false };
    let is_bare = select.from.is_empty()
        && select.selection.is_none()
        && subquery.limit_clause.is_none()
        && subquery.with.is_none();
    let mut found = Vec::new();
    for (idx, item) in select.projection.iter().enumerate() {
        let given = alias.columns.get(idx).map(|column| column.name.clone());
        let (expr, own) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.clone())),
            SelectItem::UnnamedExpr(expr) => (expr, None),
            _ => return false,
        };
        // What is put in several places must be the same in each.
        let is_fixed = !has_rows(expr, known) && !super::is_volatile(expr);
        let (Some(name), true) = (given.or(own), is_fixed) else { return false };
        found.push(Made {
            table: alias.name.value.clone(),
            name,
            expr: expr.clone(),
            hidden: None,
        });
    }
    if is_bare {
        made.extend(found);
    }
    is_bare
}

/// What a name stands for, if it is a column of a LATERAL query.
fn find<'a>(made: &'a [Made], columns: &[String], expr: &Expr) -> Option<&'a Made> {
    match expr {
        Expr::Identifier(name) => {
            // A column of a table comes first.
            let is_column = columns.iter().any(|column| column.eq_ignore_ascii_case(&name.value));
            let found = made.iter().find(|made| made.name.value.eq_ignore_ascii_case(&name.value));
            found.filter(|_| !is_column)
        }
        Expr::CompoundIdentifier(parts) => match &parts[..] {
            [table, name] => made.iter().find(|made| {
                made.is_of(&table.value) && made.name.value.eq_ignore_ascii_case(&name.value)
            }),
            _ => None,
        },
        _ => None,
    }
}

struct Putter<'a> {
    made: &'a [Made],
    columns: &'a [String],
    /// Subqueries around: a bare name in one may be a column of its own tables.
    depth: usize,
}

impl VisitorMut for Putter<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > 0 && matches!(expr, Expr::Identifier(_)) {
            return ControlFlow::Continue(());
        }
        if let Some(found) = find(self.made, self.columns, expr) {
            *expr = Expr::Nested(Box::new(found.expr.clone()));
        } else if let Expr::CompoundIdentifier(parts) = expr
            && let [name, field] = &parts[..]
            && let Some(found) = self.made.iter().find(|made| made.is_whole(&name.value))
        {
            // A field of what a list is made of.
            let field = Expr::Value(Value::SingleQuotedString(field.value.clone()).into());
            if let Some(got) = call("get_field", &[&found.expr, &field]) {
                *expr = got;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Calls a field of what a list is made of by its name.
fn with_field_name(item: SelectItem, made: &[Made]) -> SelectItem {
    match item {
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts))
            if parts.len() == 2 && made.iter().any(|made| made.is_whole(&parts[0].value)) =>
        {
            let alias = parts[1].clone();
            SelectItem::ExprWithAlias { expr: Expr::CompoundIdentifier(parts), alias }
        }
        other => other,
    }
}

/// Puts what the columns of LATERAL queries stand for in their place.
pub(super) fn put(part: &mut Expr, made: &[Made]) {
    let _ = part.visit(&mut Putter { made, columns: &[], depth: 0 });
}

/// `unnest(list)` in a FROM.
struct Unnest {
    list: Expr,
    table: String,
    column: Ident,
    /// Whether rows with no items stay.
    is_outer: bool,
}

impl Unnest {
    fn of(table: &TableFactor, is_outer: bool) -> Option<Self> {
        let TableFactor::UNNEST { alias, array_exprs, with_offset, with_ordinality, .. } = table
        else {
            return None;
        };
        let [list] = &array_exprs[..] else { return None };
        if *with_offset || *with_ordinality {
            return None;
        }
        let name = alias.as_ref().map_or_else(|| Ident::new("unnest"), |alias| alias.name.clone());
        let first = alias.as_ref().and_then(|alias| alias.columns.first());
        let column = first.map_or_else(|| name.clone(), |column| column.name.clone());
        Some(Unnest { list: list.clone(), table: name.value, column, is_outer })
    }
}

/// Whether a join takes all pairs, and if so whether rows without a partner stay.
fn is_cross(operator: &JoinOperator) -> Option<bool> {
    let is_true =
        |on: &Expr| matches!(on, Expr::Value(value) if value.value == Value::Boolean(true));
    match operator {
        JoinOperator::CrossJoin(_) => Some(false),
        JoinOperator::Inner(JoinConstraint::On(on))
        | JoinOperator::Join(JoinConstraint::On(on))
            if is_true(on) =>
        {
            Some(false)
        }
        JoinOperator::LeftOuter(JoinConstraint::On(on))
        | JoinOperator::Left(JoinConstraint::On(on))
            if is_true(on) =>
        {
            Some(true)
        }
        _ => None,
    }
}

/// The names of columns in an expression, with those of their tables.
fn columns_in(expr: &Expr) -> Vec<Vec<Ident>> {
    let mut names = Vec::new();
    let _ = visit_expressions(expr, |expr| {
        match expr {
            Expr::Identifier(name) => names.push(vec![name.clone()]),
            Expr::CompoundIdentifier(parts) => names.push(parts.clone()),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    names
}
