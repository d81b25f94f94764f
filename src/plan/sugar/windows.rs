//! Windows that are made of named ones, of which the planner takes the name and forgets the rest:
//! `OVER (w ORDER BY x)`, and `WINDOW w2 AS (w1 ORDER BY x)`.

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Select, WindowSpec, WindowType,
};

use super::own::change_own;
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
    let mut spell = |expr: &mut Expr| match expr {
        Expr::Function(function) => match &mut function.over {
            Some(WindowType::WindowSpec(spec)) => inherit(spec, &known),
            _ => Ok(()),
        },
        _ => Ok(()),
    };
    change_own(&mut select.projection, &mut spell)?;
    change_own(&mut select.qualify, &mut spell)
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
