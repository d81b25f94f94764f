//! USING and NATURAL: the column is that of the side which has the row, and its name is not ambiguous.
//!
//! ```text
//! SELECT id, * FROM t FULL JOIN u USING (id)
//!   SELECT coalesce(t.id, u.id) AS id, ... FROM t FULL JOIN u ON t.id = u.id
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, Join, JoinConstraint, JoinOperator, Query, Select, SelectItem,
    SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
    visit_expressions,
};

use super::{Rewriter, call, columns, factors, joins, parsed};
use crate::error::{Error, Result};
use crate::plan::names::constraint_of;

/// A column that stands for those of several tables.
pub(super) struct Merged {
    name: String,
    expr: Expr,
    /// The tables whose columns it stands for.
    tables: Vec<Ident>,
}

/// A table and its columns.
struct Side {
    name: Ident,
    columns: Vec<String>,
}

impl Side {
    fn column(&self, name: &str) -> Option<Expr> {
        let own = self.columns.iter().find(|column| column.eq_ignore_ascii_case(name))?;
        Some(Expr::CompoundIdentifier(vec![self.name.clone(), Ident::with_quote('"', own)]))
    }
}

impl Rewriter<'_> {
    /// Writes such joins with conditions, and what their columns stand for in the place of these.
    pub(super) fn merged(&self, select: &mut Select) -> Result<Vec<Merged>> {
        let merges = |join: &Join| {
            let constraint = constraint_of(&mut join.clone()).cloned();
            matches!(constraint, Some(JoinConstraint::Using(_) | JoinConstraint::Natural))
        };
        let mut merging =
            select.from.iter().flat_map(|table| &table.joins).filter(|join| merges(join));
        // What the planner merges itself goes with all forms of `*`.
        let is_spelled = select.projection.iter().all(|item| match item {
            SelectItem::Wildcard(options) => {
                options.opt_replace.is_none()
                    && options.opt_rename.is_none()
                    && options.opt_ilike.is_none()
            }
            item => !columns::names_columns(item),
        });
        let is_ours = match is_spelled {
            true => merging.next().is_some(),
            false => merging.any(fills_left),
        };
        if !is_ours || select.from.iter().any(|table| !has_names(table)) {
            return Ok(Vec::new());
        }
        let (mut merged, mut all) = (Vec::new(), Vec::new());
        for table in &mut select.from {
            let (mut own, sides) = self.chain(table)?;
            // A merged column stands where the first table has it.
            let mut shown: Vec<String> = Vec::new();
            for (side, column) in
                sides.iter().flat_map(|side| side.columns.iter().map(move |column| (side, column)))
            {
                match find(&own, column).filter(|found| found.tables.contains(&side.name)) {
                    Some(found) if !shown.contains(&found.name) => {
                        shown.push(found.name.clone());
                        all.push((found.name.clone(), found.expr.clone()));
                    }
                    Some(_) => {}
                    None => all.extend(side.column(column).map(|expr| (column.clone(), expr))),
                }
            }
            merged.append(&mut own);
        }
        let mut items = Vec::new();
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::Wildcard(options) => items.extend(spelled(&all, &options)?),
                SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                    items.push(match find(&merged, &name.value) {
                        Some(found) => {
                            SelectItem::ExprWithAlias { expr: found.expr.clone(), alias: name }
                        }
                        None => SelectItem::UnnamedExpr(Expr::Identifier(name)),
                    });
                }
                other => items.push(other),
            }
        }
        select.projection = items;
        self.put_merged(select, &merged);
        Ok(merged)
    }

    /// The columns that the joins of a table merge, and the tables.
    fn chain(&self, table: &mut TableWithJoins) -> Result<(Vec<Merged>, Vec<Side>)> {
        let mut merged: Vec<Merged> = Vec::new();
        let mut sides = vec![self.side(&table.relation)?];
        for join in &mut table.joins {
            let right = self.side(&join.relation)?;
            use JoinOperator::{
                FullOuter, LeftAnti, LeftSemi, Right, RightAnti, RightOuter, RightSemi,
            };
            let hides_left = matches!(join.join_operator, RightSemi(_) | RightAnti(_));
            let hides_right = matches!(join.join_operator, LeftSemi(_) | LeftAnti(_));
            let is_right = hides_left || matches!(join.join_operator, Right(_) | RightOuter(_));
            let is_full = matches!(join.join_operator, FullOuter(_));
            let Some(constraint) = constraint_of(join) else {
                sides.push(right);
                continue;
            };
            let names: Vec<String> = match constraint {
                JoinConstraint::Using(names) => names
                    .iter()
                    .filter_map(|name| Some(name.0.last()?.as_ident()?.value.clone()))
                    .collect(),
                JoinConstraint::Natural => {
                    let mut names: Vec<String> = Vec::new();
                    for column in sides.iter().flat_map(|side| &side.columns) {
                        let is_new = !names.iter().any(|name| name.eq_ignore_ascii_case(column));
                        if is_new && right.column(column).is_some() {
                            names.push(column.clone());
                        }
                    }
                    names
                }
                _ => Vec::new(),
            };
            let mut conditions = Vec::new();
            for name in &names {
                let known = find(&merged, name);
                let own = known.map(|found| found.expr.clone());
                let own = own.or_else(|| sides.iter().find_map(|side| side.column(name)));
                let mut tables = known.map(|found| found.tables.clone()).unwrap_or_else(|| {
                    let first = sides.iter().find(|side| side.column(name).is_some());
                    first.map(|side| side.name.clone()).into_iter().collect()
                });
                tables.push(right.name.clone());
                let (Some(own), Some(other)) = (own, right.column(name)) else {
                    let error = format!("USING ({name}): not a column of both sides");
                    return Err(
                        Error::sql(error).hint("ON a.x = b.y joins by columns of two names")
                    );
                };
                conditions.push(format!("{own} = {other}"));
                let expr = match (is_right, is_full) {
                    (true, _) => other,
                    (_, true) => call("coalesce", &[&own, &other]).unwrap_or(own),
                    _ => own,
                };
                match merged.iter_mut().find(|merged| merged.name.eq_ignore_ascii_case(name)) {
                    Some(found) => (found.expr, found.tables) = (expr, tables),
                    None => merged.push(Merged { name: name.clone(), expr, tables }),
                }
            }
            if !conditions.is_empty() {
                *constraint = JoinConstraint::On(parsed(&conditions.join(" AND "))?);
            } else if matches!(constraint, JoinConstraint::Natural) {
                *constraint = JoinConstraint::On(parsed("true")?);
            }
            if hides_left {
                sides.clear();
            }
            if !hides_right {
                sides.push(right);
            }
        }
        Ok((merged, sides))
    }

    /// Puts what merged columns stand for in their place, also in subqueries without a column of the name.
    pub(super) fn put_merged(&self, part: &mut impl VisitMut, merged: &[Merged]) {
        if !merged.is_empty() {
            let _ = part.visit(&mut Putter { rewriter: self, merged, around: Vec::new() });
        }
    }

    fn side(&self, table: &TableFactor) -> Result<Side> {
        let name = joins::name_of(table).ok_or_else(|| {
            Error::sql("USING or NATURAL with a RIGHT or FULL JOIN needs names for its tables")
                .hint("give each an alias, or write ON a.id = b.id")
        })?;
        Ok(Side { name, columns: self.columns_of_table(table)? })
    }
}

/// The merged column of a name.
fn find<'a>(merged: &'a [Merged], name: &str) -> Option<&'a Merged> {
    merged.iter().find(|merged| merged.name.eq_ignore_ascii_case(name))
}

/// Whether a join keeps rows of its right side that have no partner.
fn fills_left(join: &Join) -> bool {
    use JoinOperator::{FullOuter, Right, RightOuter};
    matches!(join.join_operator, Right(_) | RightOuter(_) | FullOuter(_))
}

/// Whether all tables have names, or one of them must.
fn has_names(table: &TableWithJoins) -> bool {
    let mut factors = factors(std::slice::from_ref(table));
    factors.all(|table| joins::name_of(table).is_some()) || table.joins.iter().any(fills_left)
}

/// Puts what merged columns stand for in their place.
struct Putter<'a> {
    rewriter: &'a Rewriter<'a>,
    merged: &'a [Merged],
    /// The columns that queries around have of their own; `None` if that is not known.
    around: Vec<Option<Vec<String>>>,
}

impl VisitorMut for Putter<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let has_name = visit_expressions(query, |expr| match expr {
            Expr::Identifier(name) if find(self.merged, &name.value).is_some() => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        self.around.push(match (has_name.is_break(), query.body.as_ref()) {
            (true, SetExpr::Select(select)) if query.with.is_none() => {
                self.rewriter.columns_of(select).ok()
            }
            _ => None,
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.around.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = &*expr
            && let Some(found) = find(self.merged, &name.value)
        {
            let is_own = |columns: &Option<Vec<String>>| {
                let is_it = |column: &String| column.eq_ignore_ascii_case(&name.value);
                columns.as_ref().is_none_or(|columns| columns.iter().any(is_it))
            };
            if !self.around.iter().any(is_own) {
                *expr = found.expr.clone();
            }
        }
        ControlFlow::Continue(())
    }
}

/// The items that `*` stands for.
fn spelled(all: &[(String, Expr)], options: &WildcardAdditionalOptions) -> Result<Vec<SelectItem>> {
    if options.opt_replace.is_some() || options.opt_rename.is_some() || options.opt_ilike.is_some()
    {
        return Err(Error::sql(
            "* REPLACE, RENAME and ILIKE do not go with USING or NATURAL of a RIGHT or FULL JOIN",
        )
        .hint("write ON a.id = b.id, or do the join in a query of its own"));
    }
    let mut left_out: Vec<String> = match &options.opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => vec![name.to_string()],
        Some(ExcludeSelectItem::Multiple(names)) => names.iter().map(ToString::to_string).collect(),
        None => Vec::new(),
    };
    if let Some(except) = &options.opt_except {
        left_out.push(except.first_element.to_string());
        left_out.extend(except.additional_elements.iter().map(ToString::to_string));
    }
    let is_left_out = |name: &str| {
        left_out.iter().any(|other| other.trim_matches('"').eq_ignore_ascii_case(name))
    };
    let kept = all.iter().filter(|(name, _)| !is_left_out(name));
    let items = kept.map(|(name, expr)| SelectItem::ExprWithAlias {
        expr: expr.clone(),
        alias: Ident::with_quote('"', name),
    });
    Ok(items.collect())
}
