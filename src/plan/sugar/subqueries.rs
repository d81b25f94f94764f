//! EXISTS and IN (subquery) outside of conditions, which the planner cannot do: as counts.
//!
//! ```text
//! EXISTS (SELECT ... FROM u WHERE ..)   (SELECT count(*) FROM u WHERE ..) > 0
//! x > ALL (SELECT y FROM u)             x > the greatest y, with SQL's three values
//! x IN (SELECT y FROM u)                true if a y is x; else NULL if x or any y is NULL; else false
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Distinct, Expr, GroupByExpr, Query, Select, SelectItem, SetExpr, VisitMut,
    VisitorMut,
};

use super::joins::{has_aggregate, is_aggregate};
use super::parsed;
use crate::error::{Error, Result};

/// Rewrites the items of a SELECT.
///
/// # Errors
/// When one stands within an aggregate, where the planner can do neither form.
pub(super) fn in_items(select: &mut Select) -> Result<()> {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
            && let ControlFlow::Break(error) = expr.visit(&mut Counted { depth: 0, aggregates: 0 })
        {
            return Err(error);
        }
    }
    Ok(())
}

struct Counted {
    /// Queries around: what stands in a condition of theirs is left to the planner.
    depth: usize,
    /// Aggregates around.
    aggregates: usize,
}

impl Counted {
    /// Counts an aggregate that is entered or left.
    fn pass(&mut self, expr: &Expr, step: isize) {
        if let (0, Expr::Function(_)) = (self.depth, expr)
            && is_aggregate(expr)
        {
            self.aggregates = self.aggregates.saturating_add_signed(step);
        }
    }
}

impl VisitorMut for Counted {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.pass(expr, 1);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.pass(expr, -1);
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        if self.aggregates > 0 && matches!(expr, Expr::Exists { .. } | Expr::InSubquery { .. }) {
            let error = Error::sql("EXISTS or IN (subquery) within an aggregate is not supported yet")
                .hint("compute it first: SELECT sum(..) FROM (SELECT *, x IN (SELECT ..) AS is_in FROM ..)");
            return ControlFlow::Break(error);
        }
        let new = match &*expr {
            Expr::Exists { subquery, negated } => counted(subquery).and_then(|count| {
                let operator = if *negated { "=" } else { ">" };
                parsed(&format!("(({count}) {operator} 0)")).ok()
            }),
            Expr::InSubquery { expr, subquery, negated } => is_in(expr, subquery, *negated),
            _ => None,
        };
        if let Some(new) = new {
            *expr = new;
        }
        ControlFlow::Continue(())
    }
}

/// The query that counts the rows of a plain one.
fn counted(subquery: &Query) -> Option<Query> {
    let is_bare = subquery.limit_clause.is_none() && subquery.fetch.is_none();
    let mut query = subquery.clone();
    query.order_by = None;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let is_grouped = match &select.group_by {
        GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
        GroupByExpr::All(_) => true,
    };
    let is_distinct = matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_)));
    let has_aggregate = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            has_aggregate(expr)
        }
        _ => false,
    });
    if !is_bare || is_grouped || is_distinct || has_aggregate || select.having.is_some() {
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
