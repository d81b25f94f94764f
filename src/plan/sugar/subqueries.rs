//! EXISTS and IN (subquery) outside of conditions, which the planner cannot do: as counts.
//!
//! ```text
//! sum(CASE WHEN EXISTS (..) ..)         sum(CASE WHEN t.c ..) FROM (SELECT *, EXISTS (..) AS c FROM t) AS t
//! (SELECT x FROM u WHERE u.k = t.k)     (SELECT only_value(first_value(x), count(*)) FROM u WHERE u.k = t.k)
//! (SELECT x .. ORDER BY y LIMIT 1)      (SELECT first_value(x ORDER BY y) ..)
//! EXISTS (SELECT ... FROM u WHERE ..)   (SELECT count(*) FROM u WHERE ..) > 0
//! x > ALL (SELECT y FROM u)             x > the greatest y, with SQL's three values
//! x IN (SELECT y FROM u)                true if a y is x; else NULL if x or any y is NULL; else false
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Distinct, Expr, Ident, LimitClause, OrderByKind, Query, Select, SelectItem,
    SetExpr, TableWithJoins, Value, VisitMut, VisitorMut,
};

use super::joins::{self, HIDDEN};
use super::names::name_item;
use super::own::{change_own, has_own};
use super::{
    IsAggregate, Rewriter, derived, factors, has_rows, is_about_rows, is_aggregate, is_grouped,
    parsed,
};
use crate::error::{Error, Result};
use crate::plan::functions::only_value::ONLY_VALUE;

impl Rewriter<'_> {
    /// Rewrites the items of a SELECT.
    ///
    /// # Errors
    /// When one stands within an aggregate over joins, where the planner can do neither form.
    pub(super) fn in_items(&self, select: &mut Select) -> Result<()> {
        let known = self.lookups.is_aggregate;
        let mut counted = Counted { known, depth: 0, aggregates: 0, columns: Vec::new() };
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let written = expr.to_string();
                let column_count = counted.columns.len();
                let _ = expr.visit(&mut counted);
                let mut is_wrapped = false;
                change_own(expr, |expr| {
                    if let Expr::Subquery(subquery) = &*expr
                        && !is_one_row(subquery, known)
                    {
                        *expr = parsed(&format!("{ONLY_VALUE}({expr}, 1)"))?;
                        is_wrapped = true;
                    }
                    Ok::<(), Error>(())
                })?;
                // A column is still called as it was written.
                if is_wrapped || counted.columns.len() > column_count {
                    name_item(item, &written);
                }
            }
        }
        if counted.columns.is_empty() {
            return Ok(());
        }
        // They are computed for each row, before the aggregate.
        let [TableWithJoins { relation, joins }] = &mut select.from[..] else {
            return Err(in_aggregate());
        };
        let name =
            joins::name_of(relation).filter(|_| joins.is_empty()).ok_or_else(in_aggregate)?;
        let items = counted.columns.iter().enumerate();
        let items = items.map(|(number, expr)| format!("{expr} AS {}", column(number)));
        let items = items.collect::<Vec<_>>().join(", ");
        *relation =
            derived(&format!("SELECT *, {items} FROM {relation}"), Some(joins::alias(name)))?;
        Ok(())
    }
}

fn in_aggregate() -> Error {
    Error::sql("EXISTS or IN (subquery) within an aggregate over joins is not supported yet")
        .hint("compute it first: SELECT sum(..) FROM (SELECT *, x IN (SELECT ..) AS is_in FROM ..)")
}

/// The name of a column for what stands within an aggregate.
fn column(number: usize) -> String {
    format!("{HIDDEN}found{number}")
}

struct Counted<'a> {
    known: IsAggregate<'a>,
    /// Queries around: what stands in a condition of theirs is left to the planner.
    depth: usize,
    /// Aggregates around.
    aggregates: usize,
    /// What stood within aggregates.
    columns: Vec<Expr>,
}

impl Counted<'_> {
    /// Counts an aggregate that is entered or left.
    fn pass(&mut self, expr: &Expr, step: isize) {
        if self.depth == 0 && is_about_rows(expr, self.known) {
            self.aggregates = self.aggregates.saturating_add_signed(step);
        }
    }
}

impl VisitorMut for Counted<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.pass(expr, 1);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.pass(expr, -1);
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let new = match &*expr {
            Expr::Exists { subquery, negated } => counted(subquery, self.known).and_then(|count| {
                let operator = if *negated { "=" } else { ">" };
                parsed(&format!("(({count}) {operator} 0)")).ok()
            }),
            Expr::InSubquery { expr, subquery, negated } => is_in(expr, subquery, *negated),
            _ => None,
        };
        match new {
            Some(new) if self.aggregates > 0 => {
                *expr = Expr::Identifier(Ident::new(column(self.columns.len())));
                self.columns.push(new);
            }
            Some(new) => *expr = new,
            None => {}
        }
        ControlFlow::Continue(())
    }
}

/// The only or the first value of a query with columns from outside it, as an aggregate: the planner takes
/// nothing else in such a query, and no limit.
pub(super) fn one_value(subquery: &Query, known: IsAggregate<'_>) -> Option<Query> {
    let is_limited = match &subquery.limit_clause {
        None => false,
        Some(LimitClause::LimitOffset {
            limit: Some(Expr::Value(limit)),
            offset: None,
            limit_by,
        }) if limit_by.is_empty()
            && matches!(&limit.value, Value::Number(one, _) if one == "1") =>
        {
            true
        }
        _ => return None,
    };
    let mut query = subquery.clone();
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let own: Vec<String> = factors(&select.from)
        .filter_map(|table| Some(joins::name_of(table)?.value.to_lowercase()))
        .collect();
    let is_outer = |expr: &Expr| {
        matches!(expr, Expr::CompoundIdentifier(parts)
            if !own.contains(&parts[0].value.to_lowercase()))
    };
    let is_plain = select.distinct.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && !is_grouped(select);
    let is_outer = select.selection.as_ref().is_some_and(|condition| has_own(condition, is_outer));
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        &mut select.projection[..]
    else {
        return None;
    };
    if !is_plain || !is_outer || has_rows(value, known) {
        return None;
    }
    let order = match query.order_by.as_ref().map(|order_by| &order_by.kind) {
        Some(OrderByKind::Expressions(keys)) => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            format!(" ORDER BY {}", keys.join(", "))
        }
        Some(OrderByKind::All(_)) => return None,
        None => String::new(),
    };
    let first = format!("first_value({value}{order})");
    let one = if is_limited { first } else { format!("{ONLY_VALUE}({first}, count(*))") };
    *value = parsed(&one).ok()?;
    (query.order_by, query.limit_clause) = (None, None);
    Some(query)
}

/// A value of all rows with its HAVING as a CASE: the planner forgets it where there are no rows.
pub(super) fn with_having(subquery: &Query, known: IsAggregate<'_>) -> Option<Query> {
    let mut query = subquery.clone();
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let having = select.having.take()?;
    if !is_one_row(&query, known) {
        return None;
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        &mut select.projection[..]
    else {
        return None;
    };
    *value = parsed(&format!("CASE WHEN {having} THEN {value} END")).ok()?;
    Some(query)
}

/// Whether a query has one row whatever those of its tables are: an aggregate of all of them. Of others the planner
/// does not know that they may have none, and takes 1 for no NULL.
pub(super) fn is_one_row(query: &Query, known: IsAggregate<'_>) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    !is_grouped(select)
        && select.having.is_none()
        && query.limit_clause.is_none()
        && has_own(&select.projection, |expr| is_aggregate(expr, known))
}

/// The query that counts the rows of a plain one.
fn counted(subquery: &Query, known: IsAggregate<'_>) -> Option<Query> {
    let is_bare = subquery.limit_clause.is_none() && subquery.fetch.is_none();
    let mut query = subquery.clone();
    query.order_by = None;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let is_distinct = matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_)));
    let has_aggregate = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            has_rows(expr, known)
        }
        _ => false,
    });
    if !is_bare || is_grouped(select) || is_distinct || has_aggregate || select.having.is_some() {
        return None;
    }
    select.projection = vec![SelectItem::UnnamedExpr(parsed("count(*)").ok()?)];
    Some(query)
}

/// Membership by counting, with SQL's three values.
fn is_in(expr: &Expr, subquery: &Query, negated: bool) -> Option<Expr> {
    if super::is_volatile(expr) {
        return None;
    }
    let members = format!("({subquery}) AS members(member)");
    let count = |condition: &str| format!("(SELECT count(*) FROM {members}{condition})");
    let same = count(&format!(" WHERE member = ({expr})"));
    let nulls = count(" WHERE member IS NULL");
    let (all, not) = (count(""), if negated { "NOT " } else { "" });
    parsed(&format!(
        "({not}CASE WHEN {same} > 0 THEN true WHEN {nulls} > 0 THEN NULL \
         WHEN ({expr}) IS NULL AND {all} > 0 THEN NULL ELSE false END)"
    ))
    .ok()
}

/// `x > ALL (subquery)` and `x > ANY (subquery)` by the greatest or the least of its values.
pub(super) fn compared(
    left: &Expr,
    operator: &BinaryOperator,
    right: &Expr,
    is_all: bool,
) -> Option<Expr> {
    let Expr::Subquery(subquery) = right else { return None };
    if super::is_volatile(left) {
        return None;
    }
    let members = format!("({subquery}) AS members(member)");
    let of = |what: &str| format!("(SELECT {what} FROM {members})");
    let is_up = match operator {
        BinaryOperator::Gt | BinaryOperator::GtEq => true,
        BinaryOperator::Lt | BinaryOperator::LtEq => false,
        _ => return None,
    };
    let bound = of(if is_up == is_all { "max(member)" } else { "min(member)" });
    let holds = format!("({left}) {operator} {bound}");
    let nulls =
        format!("(({left}) IS NULL OR {} > 0)", of("count(*) FILTER (WHERE member IS NULL)"));
    let none = format!("{} = 0", of("count(*)"));
    parsed(&if is_all {
        format!(
            "(CASE WHEN {none} THEN true WHEN NOT ({holds}) THEN false \
             WHEN {nulls} THEN NULL ELSE true END)"
        )
    } else {
        format!(
            "(CASE WHEN {none} THEN false WHEN {holds} THEN true \
             WHEN {nulls} THEN NULL ELSE false END)"
        )
    })
    .ok()
}
