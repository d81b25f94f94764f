//! LATERAL queries that take or number so many rows for each row of the tables before them.
//!
//! ```text
//! t, LATERAL (SELECT u.x FROM u WHERE u.k = t.k ORDER BY u.x LIMIT 2) l
//!   t JOIN (SELECT u.x, c.k AS k, row_number() OVER (PARTITION BY c.k ORDER BY u.x) AS place
//!           FROM (SELECT DISTINCT k FROM t) AS c, u WHERE u.k = c.k) l
//!     ON t.k IS NOT DISTINCT FROM l.k AND l.place <= 2
//! ```

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, LimitClause, OrderBy, OrderByExpr,
    OrderByKind, Query, Select, SelectItem, SetExpr, TableAliasColumnDef, TableFactor,
    TableWithJoins, WindowType,
};

use super::correlated::{Outer, Scope, Table};
use super::joins::{self, HIDDEN};
use super::own::{change_own, has_own};
use super::{IsAggregate, Rewriter, both, derived, is_about_rows, is_grouped, names, parsed};
use crate::error::{Error, Result};

/// A table in the place of a LATERAL query, and what it is joined by.
struct Ranked {
    table: TableFactor,
    condition: Expr,
    hidden: Vec<String>,
}

impl Rewriter<'_> {
    /// Numbers the rows of LATERAL queries with a limit.
    pub(super) fn lateral_limits(&self, select: &mut Select) -> Result<()> {
        let mut count = 0;
        for chain in 0..select.from.len() {
            for place in 0..=select.from[chain].joins.len() {
                let mut before = select.from[..=chain].to_vec();
                let factor = match place {
                    0 => before.pop().map(|table| table.relation),
                    _ => before[chain].joins.drain(place - 1..).next().map(|join| join.relation),
                };
                let Some(factor) = factor else { continue };
                refuse_having(&factor)?;
                if !is_numbered(&factor) {
                    continue;
                }
                let Ok(Some(outside)) = self.tables(&before) else { continue };
                let Some(ranked) = self.ranked(&factor, &outside, &before, count)? else {
                    continue;
                };
                let table = &mut select.from[chain];
                if place == 0 {
                    if !table.joins.iter().all(|join| joins::keeps_left(&join.join_operator)) {
                        continue;
                    }
                    table.relation = ranked.table;
                    select.selection = Some(both(select.selection.take(), ranked.condition));
                } else {
                    let join = &mut table.joins[place - 1];
                    let Some(operator) = with_condition(&join.join_operator, ranked.condition)
                    else {
                        continue;
                    };
                    (join.relation, join.join_operator) = (ranked.table, operator);
                }
                joins::hide(select, &ranked.hidden, joins::name_of(&factor).as_ref());
                count += 1;
            }
        }
        Ok(())
    }

    /// The table that has the rows of a LATERAL query for all rows outside, if it can be made.
    fn ranked(
        &self,
        factor: &TableFactor,
        outside: &[Table],
        before: &[TableWithJoins],
        number: usize,
    ) -> Result<Option<Ranked>> {
        let TableFactor::Derived { subquery, alias: Some(alias), .. } = factor else {
            return Ok(None);
        };
        let SetExpr::Select(inner) = subquery.body.as_ref() else { return Ok(None) };
        let limit = match &subquery.limit_clause {
            Some(clause) => match bounds(clause) {
                Some(bounds) => Some(bounds),
                None => return Ok(None),
            },
            None => None,
        };
        let known = self.lookups.is_aggregate;
        let is_plain = subquery.with.is_none()
            && inner.distinct.is_none()
            && inner.qualify.is_none()
            && !inner.from.is_empty()
            && !has_own(inner.as_ref(), is_subquery)
            && (is_grouped(inner) || !has_own(&inner.projection, |expr| is_of_rows(expr, known)));
        if !is_plain {
            return Ok(None);
        }
        let Some(inside) = self.tables(&inner.from)? else { return Ok(None) };
        let scope = Scope { inside: &inside, outside };
        let mut inner = inner.clone();
        let mut order = order_of(subquery, &inner);
        let mut keys: Vec<Outer> = Vec::new();
        let is_known = scope.outer_in(inner.as_ref(), &mut keys)
            && order.iter().all(|key| scope.outer_in(key, &mut keys));
        if !is_known || keys.is_empty() || scope.has_outer(&inner.from) {
            return Ok(None);
        }
        let Some((_, source)) = self.source_of(&keys, outside, before) else { return Ok(None) };
        let (taken, place) = (format!("{HIDDEN}given{number}"), format!("{HIDDEN}place{number}"));
        let key = |at: usize| format!("{HIDDEN}given{number}_{at}");
        let taken_key =
            |at: usize| Expr::CompoundIdentifier(vec![Ident::new(&taken), Ident::new(key(at))]);
        scope.put(inner.as_mut(), &keys, &taken_key);
        order.iter_mut().for_each(|order| scope.put(order, &keys, &taken_key));
        let column = |(table, name): &Outer| format!("{}.{name}", outside[*table].name);
        let all: Vec<usize> = (0..keys.len()).collect();
        let each = |between: &str, write: &dyn Fn(usize) -> String| {
            all.iter().map(|at| write(*at)).collect::<Vec<_>>().join(between)
        };
        let given = each(", ", &|at| format!("{} AS {}", column(&keys[at]), key(at)));
        let given = derived(
            &format!("SELECT DISTINCT {given} FROM {source}"),
            Some(joins::alias(Ident::new(&taken))),
        )?;
        inner.from.insert(0, TableWithJoins { relation: given, joins: Vec::new() });
        if let GroupByExpr::Expressions(groups, _) = &mut inner.group_by
            && !groups.is_empty()
        {
            groups.extend(all.iter().map(|at| taken_key(*at)));
        }
        let mut is_named = false;
        change_own(&mut inner.projection, |expr| {
            if let Expr::Function(function) = expr {
                match &mut function.over {
                    Some(WindowType::WindowSpec(window)) => {
                        window.partition_by.extend(all.iter().map(|at| taken_key(*at)));
                    }
                    Some(WindowType::NamedWindow(_)) => is_named = true,
                    None => {}
                }
            }
            Ok::<(), Error>(())
        })?;
        if is_named {
            return Ok(None);
        }
        let of_keys = each(", ", &|at| taken_key(at).to_string());
        let order = match &order[..] {
            [] => String::new(),
            keys => format!(
                " ORDER BY {}",
                keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ),
        };
        let mut hidden: Vec<String> = all.iter().map(|at| key(*at)).collect();
        for name in &hidden {
            let expr = parsed(&format!("{taken}.{name}"))?;
            inner.projection.push(SelectItem::ExprWithAlias { expr, alias: Ident::new(name) });
        }
        joins::hide(&mut inner, &hidden, None);
        if limit.is_some() {
            let expr = parsed(&format!("row_number() OVER (PARTITION BY {of_keys}{order})"))?;
            let alias = Ident::new(&place);
            inner.projection.push(SelectItem::ExprWithAlias { expr, alias });
            hidden.push(place.clone());
        }
        let mut named = alias.clone();
        if !named.columns.is_empty() {
            let hidden = hidden.iter().map(Ident::new);
            named.columns.extend(hidden.map(|name| TableAliasColumnDef { name, data_type: None }));
        }
        let own = &alias.name;
        let same = each(" AND ", &|at| {
            format!("({} IS NOT DISTINCT FROM {own}.{})", column(&keys[at]), key(at))
        });
        let cut = limit.map_or(String::new(), |(first, last)| {
            format!(" AND {own}.{place} > {first} AND {own}.{place} <= {last}")
        });
        let condition = parsed(&format!("{same}{cut}"))?;
        Ok(Some(Ranked { table: derived(&inner.to_string(), Some(named))?, condition, hidden }))
    }
}

/// Whether the planner would number or cut all rows at once.
fn is_numbered(table: &TableFactor) -> bool {
    let TableFactor::Derived { lateral: true, subquery, .. } = table else { return false };
    subquery.limit_clause.is_some()
        || matches!(subquery.body.as_ref(), SetExpr::Select(select)
            if has_own(&select.projection, is_window))
}

fn is_window(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function.over.is_some())
}

/// Of no rows at all, the planner makes one that HAVING never sees.
fn refuse_having(table: &TableFactor) -> Result<()> {
    if let TableFactor::Derived { lateral: true, subquery, .. } = table
        && let SetExpr::Select(select) = subquery.body.as_ref()
        && let (Some(having), false) = (&select.having, is_grouped(select))
    {
        let error = format!("HAVING {having} without GROUP BY is not supported in LATERAL");
        let hint = "give the aggregate a name, and put the condition into the WHERE around it";
        return Err(Error::sql(error).hint(hint));
    }
    Ok(())
}

/// Whether an expression is about several rows, but no window.
fn is_of_rows(expr: &Expr, known: IsAggregate<'_>) -> bool {
    !is_window(expr) && is_about_rows(expr, known)
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
}

/// How many rows are passed by, and how many there are with those that are taken.
fn bounds(clause: &LimitClause) -> Option<(u64, u64)> {
    let LimitClause::LimitOffset { limit, offset, limit_by } = clause else { return None };
    let number = |expr: &Expr| expr.to_string().parse::<u64>().ok();
    let first = offset.as_ref().map_or(Some(0), |offset| number(&offset.value))?;
    let count = limit.as_ref().map_or(Some(u64::MAX), number)?;
    limit_by.is_empty().then(|| (first, first.saturating_add(count).min(i64::MAX as u64)))
}

/// The keys that a query is ordered by, spelled without its aliases and positions.
fn order_of(query: &Query, inner: &Select) -> Vec<OrderByExpr> {
    let Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) = &query.order_by else {
        return Vec::new();
    };
    let mut by_name: HashMap<String, Expr> = HashMap::new();
    let mut by_position = Vec::new();
    for item in &inner.projection {
        by_position.push(match item {
            SelectItem::UnnamedExpr(expr) => Some(expr.clone()),
            SelectItem::ExprWithAlias { expr, alias } => {
                by_name.insert(alias.value.to_lowercase(), Expr::Nested(Box::new(expr.clone())));
                Some(expr.clone())
            }
            _ => None,
        });
    }
    let mut keys = keys.clone();
    for key in &mut keys {
        match &key.expr {
            Expr::Value(value) => {
                let position = value.value.to_string().parse::<usize>().ok();
                let found = position.and_then(|position| by_position.get(position.checked_sub(1)?));
                if let Some(Some(expr)) = found {
                    key.expr = expr.clone();
                }
            }
            _ => names::put(&mut key.expr, &|name| by_name.get(&name.to_lowercase()).cloned()),
        }
    }
    keys
}

/// A join that also asks for a condition.
fn with_condition(operator: &JoinOperator, condition: Expr) -> Option<JoinOperator> {
    let given = |constraint: &JoinConstraint| match constraint {
        JoinConstraint::On(on) => Some(Some(on.clone())),
        JoinConstraint::None => Some(None),
        _ => None,
    };
    let on = |before| JoinConstraint::On(both(before, condition.clone()));
    Some(match operator {
        JoinOperator::CrossJoin(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Join(constraint) => JoinOperator::Inner(on(given(constraint)?)),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
            JoinOperator::LeftOuter(on(given(constraint)?))
        }
        _ => return None,
    })
}
