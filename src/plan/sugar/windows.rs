//! Windows that are made of named ones, of which the planner takes the name and forgets the rest:
//! `OVER (w ORDER BY x)`, and `WINDOW w2 AS (w1 ORDER BY x)`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Query, Select, VisitMut, VisitorMut,
    WindowSpec, WindowType,
};

use crate::error::{Error, Result};

/// Spells out what windows inherit.
///
/// # Errors
/// When a window is not there, or would be ordered or partitioned twice.
pub(super) fn spelled(select: &mut Select) -> Result<()> {
    let mut known: Vec<(Ident, WindowSpec)> = Vec::new();
    for NamedWindowDefinition(name, window) in &mut select.named_window {
        let spec = match window {
            NamedWindowExpr::WindowSpec(spec) => {
                inherit(spec, &known)?;
                spec.clone()
            }
            NamedWindowExpr::NamedWindow(other) => {
                let spec = find(other, &known)?.clone();
                *window = NamedWindowExpr::WindowSpec(spec.clone());
                spec
            }
        };
        known.push((name.clone(), spec));
    }
    let mut speller = Speller { known: &known, depth: 0 };
    for part in [
        VisitMut::visit(&mut select.projection, &mut speller),
        VisitMut::visit(&mut select.qualify, &mut speller),
    ] {
        if let ControlFlow::Break(error) = part {
            return Err(error);
        }
    }
    Ok(())
}

fn find<'a>(name: &Ident, known: &'a [(Ident, WindowSpec)]) -> Result<&'a WindowSpec> {
    let found = known.iter().find(|(known, _)| known.value.eq_ignore_ascii_case(&name.value));
    found.map(|(_, spec)| spec).ok_or_else(|| {
        Error::sql(format!("no window named {name}"))
            .hint(format!("WINDOW {name} AS (PARTITION BY ... ORDER BY ...)"))
    })
}

/// Gives a window what the one that it names has.
fn inherit(spec: &mut WindowSpec, known: &[(Ident, WindowSpec)]) -> Result<()> {
    let Some(name) = spec.window_name.take() else { return Ok(()) };
    let base = find(&name, known)?;
    let is_twice = !spec.partition_by.is_empty()
        || !spec.order_by.is_empty() && !base.order_by.is_empty()
        || base.window_frame.is_some();
    if is_twice {
        return Err(Error::sql(format!("a window made of {name} cannot override what that has"))
            .hint("it adds an ORDER BY or a frame, each only where there is none"));
    }
    spec.partition_by.clone_from(&base.partition_by);
    if spec.order_by.is_empty() {
        spec.order_by.clone_from(&base.order_by);
    }
    Ok(())
}

struct Speller<'a> {
    known: &'a [(Ident, WindowSpec)],
    /// Subqueries around, which have windows of their own.
    depth: usize,
}

impl VisitorMut for Speller<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let (Expr::Function(function), 0) = (expr, self.depth)
            && let Some(WindowType::WindowSpec(spec)) = &mut function.over
            && let Err(error) = inherit(spec, self.known)
        {
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }
}
