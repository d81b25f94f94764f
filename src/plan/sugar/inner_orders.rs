//! Orders of subqueries, which the planner drops: they become orders of what reads the subquery.
//!
//! ```text
//! SELECT x FROM (SELECT x FROM t ORDER BY y) WHERE x > 1    ... FROM (SELECT x, y AS k FROM t) ... ORDER BY k
//! SELECT list(x) FROM (SELECT x FROM t ORDER BY y)          SELECT list(x ORDER BY k) FROM ...
//! SELECT row_number() OVER () FROM (... ORDER BY y)         SELECT row_number() OVER (ORDER BY k) FROM ...
//! ```

use datafusion::sql::sqlparser::ast::{
    Distinct, DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments, Ident,
    OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query, Select, SelectItem, SetExpr,
    TableAliasColumnDef, TableFactor, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowType,
};

use super::joins::{self, HIDDEN};
use super::own::{change_own, has_own};
use super::{Rewriter, names, query};
use crate::error::Result;

/// Aggregates whose value depends on the order of their rows.
const ORDERED: [&str; 4] = ["array_agg", "first_value", "last_value", "string_agg"];
/// Window functions of the same kind.
const ORDERED_WINDOWS: [&str; 8] =
    ["first_value", "lag", "last_value", "lead", "nth_value", "ntile", "row_number", "array_agg"];

impl Rewriter<'_> {
    /// Gives a query the orders of the subqueries that it reads.
    pub(super) fn inner_orders(&self, query: &mut Query) -> Result<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            let is_searched = self.around.last().is_some_and(|around| around.is_searched);
            let may_take = query.order_by.is_none() && !is_searched;
            if let Some(order_by) = self.inner_order(select, may_take)? {
                query.order_by = Some(order_by);
            }
            return Ok(());
        }
        let mut result = Ok(());
        super::each_side(&mut query.body, true, &mut |side, _| {
            if let (SetExpr::Select(select), Ok(())) = (side, &result) {
                result = self.inner_order(select, false).map(drop);
            }
        });
        result
    }

    /// Gives calls the order of the subquery that a SELECT reads; returns it if the SELECT is to have it.
    fn inner_order(&self, select: &mut Select, may_take: bool) -> Result<Option<OrderBy>> {
        let [table] = &mut select.from[..] else { return Ok(None) };
        if !table.joins.is_empty() {
            return Ok(None);
        }
        self.inline(&mut table.relation);
        let is_ordered = matches!(&table.relation, TableFactor::Derived { subquery, .. }
            if has_keys(subquery));
        if !is_ordered {
            return Ok(None);
        }
        let on = match &select.distinct {
            Some(Distinct::On(on)) => on.clone(),
            _ => Vec::new(),
        };
        let takes_order = may_take && (!self.is_of_groups(select) || !on.is_empty());
        if !takes_order && !has_ordered_call(select) {
            return Ok(None);
        }
        let [table] = &mut select.from[..] else { return Ok(None) };
        let Some(keys) = self.keyed(&mut table.relation)? else { return Ok(None) };
        let hidden: Vec<String> = keys.iter().map(|key| key.expr.to_string()).collect();
        let own = joins::name_of(&table.relation);
        joins::hide(select, &hidden, own.as_ref());
        let mut ordered = |expr: &mut Expr| {
            order(expr, &keys);
            Ok::<(), ()>(())
        };
        let _ = change_own(&mut select.projection, &mut ordered);
        let _ = change_own(&mut select.qualify, &mut ordered);
        let options = OrderByOptions { asc: None, nulls_first: None };
        let first = on.into_iter().map(|expr| OrderByExpr { expr, options, with_fill: None });
        let kind = OrderByKind::Expressions(first.chain(keys).collect());
        Ok(takes_order.then_some(OrderBy { kind, interpolate: None }))
    }

    /// Puts the query of an ordered table of a WITH in the place of its name.
    fn inline(&self, table: &mut TableFactor) {
        let TableFactor::Table { name, alias, args: None, sample: None, .. } = table else {
            return;
        };
        let [part] = &name.0[..] else { return };
        let Some(name) = part.as_ident() else { return };
        for around in self.around.iter().rev() {
            let Some(with) = &around.with else { continue };
            let is_it = |alias: &Ident| alias.value.eq_ignore_ascii_case(&name.value);
            let Some(at) = with.cte_tables.iter().position(|table| is_it(&table.alias.name)) else {
                continue;
            };
            let found = &with.cte_tables[at];
            if at < around.done_count && has_keys(&found.query) && !with.recursive {
                let mut alias = alias.clone().unwrap_or_else(|| found.alias.clone());
                if alias.columns.is_empty() {
                    alias.columns.clone_from(&found.alias.columns);
                }
                *table = TableFactor::Derived {
                    lateral: false,
                    subquery: found.query.clone(),
                    alias: Some(alias),
                    sample: None,
                };
            }
            return;
        }
    }

    /// Gives a subquery hidden columns with the keys of its order; the keys by these names.
    fn keyed(&self, table: &mut TableFactor) -> Result<Option<Vec<OrderByExpr>>> {
        let TableFactor::Derived { subquery, alias, .. } = table else { return Ok(None) };
        let Some(OrderByKind::Expressions(own)) = subquery.order_by.as_ref().map(|by| &by.kind)
        else {
            return Ok(None);
        };
        let names = (self.lookups.columns)(self.in_context(subquery.as_ref().clone()))?;
        let is_only = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
        // The column of the result that a key is.
        let output = |key: &Expr| match key {
            Expr::Identifier(key) => {
                names.iter().find(|name| name.eq_ignore_ascii_case(&key.value))
            }
            Expr::Value(value) => {
                let position: usize = value.value.to_string().parse().ok()?;
                names.get(position.checked_sub(1)?)
            }
            _ => None,
        };
        let mut inner = subquery.as_ref().clone();
        let (mut keys, mut above, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for (number, key) in own.iter().enumerate() {
            let name = Ident::new(format!("{HIDDEN}order{number}"));
            keys.push(OrderByExpr { expr: Expr::Identifier(name.clone()), ..key.clone() });
            if let Some(output) = output(&key.expr) {
                if !is_only(output) {
                    return Ok(None);
                }
                above.push((output.clone(), name));
                continue;
            }
            let SetExpr::Select(select) = inner.body.as_mut() else { return Ok(None) };
            if select.distinct.is_some() || matches!(key.expr, Expr::Value(_)) {
                return Ok(None);
            }
            let mut expr = key.expr.clone();
            let aliased = |name: &str| {
                select.projection.iter().find_map(|item| match item {
                    SelectItem::ExprWithAlias { expr, alias }
                        if alias.value.eq_ignore_ascii_case(name) =>
                    {
                        Some(Expr::Nested(Box::new(expr.clone())))
                    }
                    _ => None,
                })
            };
            names::put(&mut expr, &aliased);
            select.projection.push(SelectItem::ExprWithAlias { expr, alias: name.clone() });
            added.push(name);
        }
        if let Some(alias) = alias
            && !alias.columns.is_empty()
        {
            if alias.columns.len() != names.len() {
                return Ok(None);
            }
            let hidden = added.into_iter().chain(above.iter().map(|(_, name)| name.clone()));
            let hidden = hidden.map(|name| TableAliasColumnDef { name, data_type: None });
            alias.columns.extend(hidden);
        }
        if !above.is_empty() {
            let items =
                above.iter().map(|(output, name)| format!("{} AS {name}", names::quoted(output)));
            let items = items.collect::<Vec<_>>().join(", ");
            inner = query(&format!("SELECT *, {items} FROM ({inner}) AS {HIDDEN}inner"))?;
        }
        **subquery = inner;
        Ok(Some(keys))
    }
}

fn has_keys(query: &Query) -> bool {
    matches!(query.order_by.as_ref().map(|order_by| &order_by.kind),
        Some(OrderByKind::Expressions(keys)) if !keys.is_empty())
}

fn has_ordered_call(select: &Select) -> bool {
    let is_ordered =
        |expr: &Expr| matches!(expr, Expr::Function(function) if order_of(function).is_some());
    has_own(&select.projection, is_ordered) || has_own(&select.qualify, is_ordered)
}

/// Where a call takes an order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Arguments,
    /// The window, and whether all of its rows stay in its frame.
    Window {
        is_whole: bool,
    },
}

/// Where a call takes the order of its rows, if it depends on one and has none.
fn order_of(function: &Function) -> Option<Place> {
    let name = function.name.to_string().to_lowercase();
    let FunctionArguments::List(list) = &function.args else { return None };
    match &function.over {
        None => {
            let is_bare = list.clauses.is_empty()
                && list.duplicate_treatment != Some(DuplicateTreatment::Distinct);
            (is_bare && ORDERED.contains(&name.as_str())).then_some(Place::Arguments)
        }
        Some(WindowType::WindowSpec(window)) if window.order_by.is_empty() => {
            let by_rows = window
                .window_frame
                .as_ref()
                .is_some_and(|frame| frame.units == WindowFrameUnits::Rows);
            let is_whole = window.window_frame.is_none();
            let depends = by_rows || ORDERED_WINDOWS.contains(&name.as_str());
            (depends && window.window_name.is_none()).then_some(Place::Window { is_whole })
        }
        _ => None,
    }
}

/// Gives a call that depends on an order this one.
fn order(expr: &mut Expr, keys: &[OrderByExpr]) {
    let Expr::Function(function) = expr else { return };
    let place = order_of(function);
    if let (Some(Place::Arguments), FunctionArguments::List(list)) = (place, &mut function.args) {
        list.clauses.push(FunctionArgumentClause::OrderBy(keys.to_vec()));
    }
    if let (Some(Place::Window { is_whole }), Some(WindowType::WindowSpec(window))) =
        (place, &mut function.over)
    {
        window.order_by = keys.to_vec();
        // Without an order a frame is the whole partition.
        if is_whole {
            window.window_frame = Some(WindowFrame {
                units: WindowFrameUnits::Rows,
                start_bound: WindowFrameBound::Preceding(None),
                end_bound: Some(WindowFrameBound::Following(None)),
            });
        }
    }
}
