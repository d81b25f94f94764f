//! Limits and orders that the planner does not know: LIMIT n %, LIMIT n BY, FETCH FIRST, ORDER BY ALL.

use datafusion::sql::sqlparser::ast::{
    Expr, LimitClause, OrderByExpr, OrderByKind, Query, SelectItem, SetExpr, Value,
};

use super::{Rewriter, both, only_arg, parsed};
use crate::error::{Error, Result};
use crate::plan::respell::PERCENT;

impl Rewriter<'_> {
    /// ORDER BY ALL as positions, which may be of any expressions; the planner knows the one over `*` of
    /// a plain SELECT.
    pub(super) fn order_by_all(&self, query: &mut Query) -> Result<()> {
        let Some(OrderByKind::All(options)) = query.order_by.as_ref().map(|by| by.kind.clone())
        else {
            return Ok(());
        };
        let is_listed = |item: &SelectItem| {
            matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
        };
        let count = match query.body.as_ref() {
            SetExpr::Select(select) if select.projection.iter().all(is_listed) => {
                select.projection.len()
            }
            SetExpr::Select(_) => return Ok(()),
            _ => {
                let mut all = query.clone();
                (all.order_by, all.limit_clause, all.fetch) = (None, None, None);
                (self.lookups.columns)(self.in_context(all))?.len()
            }
        };
        let position = |idx: usize| OrderByExpr {
            expr: Expr::Value(Value::Number(idx.to_string(), false).into()),
            options,
            with_fill: None,
        };
        if let Some(order_by) = &mut query.order_by {
            order_by.kind = OrderByKind::Expressions((1..=count).map(position).collect());
        }
        Ok(())
    }

    /// LIMIT (subquery): its value is looked up first.
    pub(super) fn looked_up(&self, query: &mut Query) -> Result<()> {
        let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause else {
            return Ok(());
        };
        let limits = limit.iter_mut().chain(offset.iter_mut().map(|offset| &mut offset.value));
        for limit in limits {
            if let Expr::Subquery(subquery) = &*limit {
                let found = (self.lookups.values)(self.in_context(subquery.as_ref().clone()))?;
                let [found] = &found[..] else {
                    let message =
                        format!("LIMIT {limit}: {} rows, where one is wanted", found.len());
                    return Err(Error::sql(message).hint("(SELECT max(n) FROM ...) is one"));
                };
                *limit = found.clone();
            }
        }
        Ok(())
    }

    /// LIMIT n %: the rows are counted first.
    pub(super) fn percent(&self, query: &mut Query) -> Result<()> {
        let Some(LimitClause::LimitOffset { limit: Some(Expr::Function(call)), .. }) =
            &query.limit_clause
        else {
            return Ok(());
        };
        if call.name.to_string() != PERCENT {
            return Ok(());
        }
        let share = only_arg(&call.args).map(ToString::to_string).unwrap_or_default();
        let wrong = || Error::sql(format!("LIMIT {share} %: a percentage is between 0 and 100"));
        let share: f64 =
            share.parse().ok().filter(|n| (0.0..=100.0).contains(n)).ok_or_else(wrong)?;
        let mut all = query.clone();
        (all.limit_clause, all.order_by) = (None, None);
        let count = super::query(&format!("SELECT count(*) FROM ({all}) AS rows_of_limit"))?;
        let values = (self.lookups.values)(self.in_context(count))?;
        let count: f64 = values.first().and_then(|n| n.to_string().parse().ok()).unwrap_or(0.0);
        let rows = (count * share / 100.0).floor();
        if let Some(LimitClause::LimitOffset { limit, .. }) = &mut query.limit_clause {
            *limit = Some(Expr::Value(Value::Number(rows.to_string(), false).into()));
        }
        Ok(())
    }
}

/// FETCH FIRST and LIMIT n BY.
pub(super) fn limits(query: &mut Query) -> Result<()> {
    if let Some(fetch) = query.fetch.take() {
        let offset = match query.limit_clause.take() {
            None => None,
            Some(LimitClause::LimitOffset { limit: None, offset, limit_by })
                if limit_by.is_empty() =>
            {
                offset
            }
            Some(_) => {
                return Err(
                    Error::sql("LIMIT and FETCH say the same twice").hint("leave one of them out")
                );
            }
        };
        if fetch.with_ties || fetch.percent {
            return Err(Error::sql(format!("{fetch} is not supported")).hint("use LIMIT"));
        }
        let one = Expr::Value(Value::Number("1".into(), false).into());
        let limit = Some(fetch.quantity.unwrap_or(one));
        query.limit_clause = Some(LimitClause::LimitOffset { limit, offset, limit_by: Vec::new() });
    }
    let Some(LimitClause::LimitOffset { limit, offset, limit_by }) = &mut query.limit_clause else {
        return Ok(());
    };
    if limit_by.is_empty() {
        return Ok(());
    }
    let (SetExpr::Select(select), None, Some(count)) = (query.body.as_mut(), &offset, &limit)
    else {
        return Err(Error::sql("LIMIT ... BY goes with one SELECT and without OFFSET"));
    };
    let keys: Vec<String> = limit_by.iter().map(ToString::to_string).collect();
    let order = match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(exprs)) => {
            let exprs: Vec<String> = exprs.iter().map(ToString::to_string).collect();
            format!(" ORDER BY {}", exprs.join(", "))
        }
        _ => String::new(),
    };
    let first =
        parsed(&format!("row_number() OVER (PARTITION BY {}{order}) <= {count}", keys.join(", ")))?;
    select.qualify = Some(both(select.qualify.take(), first));
    query.limit_clause = None;
    Ok(())
}
