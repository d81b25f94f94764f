//! Calls and group keys that differ only by a cast: DataFusion names them alike, and refuses two of a name.
//!
//! ```text
//! sum(x), sum(x::DOUBLE)      the cast within a CASE that is always true, and gone after planning
//! GROUP BY x, x::DOUBLE       the same
//! ```

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, OrderBy,
    OrderByKind, Select, SelectItem, VisitMut, VisitorMut, visit_expressions,
    visit_expressions_mut,
};

use super::parsed;
use crate::units::show_literal;

/// Tells apart what a SELECT and its ORDER BY call and group by.
pub(super) fn told_apart(select: &mut Select, order_by: Option<&mut OrderBy>) {
    let is_cast = |expr: &Expr| match expr {
        Expr::Cast { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let has_cast = visit_expressions(select, is_cast).is_break()
        || order_by.as_ref().is_some_and(|keys| visit_expressions(*keys, is_cast).is_break());
    if !has_cast {
        return;
    }
    let mut found = Found::default();
    let mut call = |expr: &Expr| {
        if matches!(expr, Expr::Function(_)) {
            found.add(expr);
        }
        ControlFlow::<()>::Continue(())
    };
    let _ = visit_expressions(select, &mut call);
    if let Some(order_by) = &order_by {
        let _ = visit_expressions(*order_by, &mut call);
    }
    let is_grouped =
        !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let keys = if is_grouped { keys(select, order_by.as_deref()) } else { Vec::new() };
    keys.iter().for_each(|key| found.add(key));
    let alike = found.alike();
    if alike.is_empty() {
        return;
    }
    let casts = keys.iter().filter(|key| matches!(key, Expr::Cast { .. }));
    let casts = casts.filter(|key| alike.contains(&name(key))).map(text).collect();
    let mut apart = Apart { alike, casts, marks: Vec::new() };
    let written: Vec<String> = select.projection.iter().map(ToString::to_string).collect();
    let _ = VisitMut::visit(select, &mut apart);
    for (item, written) in select.projection.iter_mut().zip(written) {
        if let SelectItem::UnnamedExpr(expr) = item
            && expr.to_string() != written
        {
            // Columns are still called as they were written.
            let alias = Ident::with_quote('"', written);
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
    if let Some(order_by) = order_by {
        let _ = VisitMut::visit(order_by, &mut apart);
    }
}

/// What can be a key of groups.
fn keys(select: &Select, order_by: Option<&OrderBy>) -> Vec<Expr> {
    let items = select.projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    });
    let mut keys: Vec<Expr> = items.cloned().collect();
    if let GroupByExpr::Expressions(exprs, _) = &select.group_by {
        keys.extend(exprs.iter().cloned());
    }
    if let Some(OrderBy { kind: OrderByKind::Expressions(exprs), .. }) = order_by {
        keys.extend(exprs.iter().map(|key| key.expr.clone()));
    }
    keys
}

/// Expressions by what they are called without casts.
#[derive(Default)]
struct Found {
    by_name: HashMap<String, BTreeSet<String>>,
}

impl Found {
    fn add(&mut self, expr: &Expr) {
        self.by_name.entry(name(expr)).or_default().insert(text(expr));
    }

    fn alike(self) -> HashSet<String> {
        let alike = self.by_name.into_iter().filter(|(_, texts)| texts.len() > 1);
        alike.map(|(name, _)| name).collect()
    }
}

/// An expression without its casts and parentheses.
fn name(expr: &Expr) -> String {
    let mut bare = expr.clone();
    let _ = visit_expressions_mut(&mut bare, |expr| {
        while let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
            *expr = inner.as_ref().clone();
        }
        ControlFlow::<()>::Continue(())
    });
    bare.to_string().to_lowercase()
}

/// An expression with its casts spelled alike.
fn text(expr: &Expr) -> String {
    let mut spelled = expr.clone();
    let _ = visit_expressions_mut(&mut spelled, |expr| {
        if let Expr::Cast { kind: kind @ CastKind::DoubleColon, .. } = expr {
            *kind = CastKind::Cast;
        }
        ControlFlow::<()>::Continue(())
    });
    spelled.to_string().to_lowercase()
}

struct Apart {
    /// What calls and keys are called that are not to be confused.
    alike: HashSet<String>,
    /// Casts that are keys among them.
    casts: HashSet<String>,
    /// The mark that each of the expressions around is to get.
    marks: Vec<Option<String>>,
}

impl VisitorMut for Apart {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_key = matches!(expr, Expr::Cast { .. }) && self.casts.contains(&text(expr));
        self.marks.push(is_key.then(|| text(expr)));
        if matches!(expr, Expr::Function(_))
            && self.alike.contains(&name(expr))
            && let Expr::Function(function) = expr
            && let FunctionArguments::List(list) = &mut function.args
        {
            for arg in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg
                    && name(arg) != text(arg)
                {
                    mark(arg, &text(arg));
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(Some(text)) = self.marks.pop() {
            mark(expr, &text);
        }
        ControlFlow::Continue(())
    }
}

/// Gives an expression a name of its own.
fn mark(expr: &mut Expr, text: &str) {
    let mark = show_literal(text);
    if let Ok(new) = parsed(&format!("CASE WHEN {mark} IS NOT NULL THEN {expr} END")) {
        *expr = new;
    }
}
