//! Subqueries of one value that are correlated by more than equal columns, which the planner refuses: joined,
//! grouped by what they take from outside.
//!
//! ```text
//! SELECT (SELECT max(u.x) FROM u WHERE u.at < t.at) FROM t
//!   SELECT s.x FROM t LEFT JOIN (SELECT k.at, max(u.x) AS x FROM (SELECT DISTINCT at FROM t) AS k, u
//!                                WHERE u.at < k.at GROUP BY k.at) AS s ON t.at IS NOT DISTINCT FROM s.at
//! ```
//!
//! As in Neumann and Kemper, "Unnesting Arbitrary Queries" (BTW 2015).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, Query, Select, SelectItem,
    SetExpr, TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut,
};

use super::joins::{self, HIDDEN, split};
use super::names::name_item;
use super::own::{change_own, has_own};
use super::{
    IsAggregate, Rewriter, derived, factors, is_aggregate, is_grouped, is_volatile, parsed,
};
use crate::error::{Error, Result};

/// Aggregates that are 0 over no rows; all others are NULL.
const COUNTS: [&str; 3] = ["approx_distinct", "count", "regr_count"];

/// A table of a FROM.
pub(super) struct Table {
    /// Which of the tables that a comma parts it belongs to.
    pub(super) chain: usize,
    pub(super) name: Ident,
    factor: TableFactor,
    columns: Vec<String>,
}

impl Table {
    fn is(&self, name: &Ident) -> bool {
        self.name.value.eq_ignore_ascii_case(&name.value)
    }

    fn has(&self, name: &Ident) -> bool {
        self.columns.iter().any(|column| column.eq_ignore_ascii_case(&name.value))
    }
}

/// A column from outside a subquery: the place of its table among those outside, and its name.
pub(super) type Outer = (usize, Ident);

/// What gives the value of a subquery.
struct Joined {
    chain: usize,
    join: Join,
    hidden: Vec<String>,
}

impl Rewriter<'_> {
    /// Joins the subqueries in the items and the WHERE of a SELECT that need it.
    pub(super) fn correlated(&self, select: &mut Select) -> Result<()> {
        let is_subquery = |expr: &Expr| matches!(expr, Expr::Subquery(_));
        let in_items = has_own(&select.projection, is_subquery) && !self.is_of_groups(select);
        if !in_items && !has_own(&select.selection, is_subquery) {
            return Ok(());
        }
        let Some(outside) = self.tables(&select.from)? else { return Ok(()) };
        let from = select.from.clone();
        let mut all = Vec::new();
        let mut join = |expr: &mut Expr| {
            let Expr::Subquery(subquery) = &*expr else { return Ok(()) };
            if let Some((value, joined)) = self.joined(subquery, &outside, &from, all.len())? {
                *expr = value;
                all.push(joined);
            }
            Ok::<(), Error>(())
        };
        change_own(&mut select.selection, &mut join)?;
        for item in select.projection.iter_mut().filter(|_| in_items) {
            let written = item.to_string();
            change_own(item, &mut join)?;
            // A column is still called as it was written.
            if item.to_string() != written {
                name_item(item, &written);
            }
        }
        for joined in all {
            select.from[joined.chain].joins.push(joined.join);
            joins::hide(select, &joined.hidden, None);
        }
        Ok(())
    }

    /// The tables of a FROM, if each has a name.
    pub(super) fn tables(&self, from: &[TableWithJoins]) -> Result<Option<Vec<Table>>> {
        let mut tables = Vec::new();
        for (chain, table) in from.iter().enumerate() {
            for factor in factors(std::slice::from_ref(table)) {
                let Some(name) = joins::name_of(factor) else { return Ok(None) };
                let columns = self.columns_of_table(factor)?;
                tables.push(Table { chain, name, factor: factor.clone(), columns });
            }
        }
        Ok(Some(tables))
    }

    /// What gives the columns from outside, if it is one and may be read again: which of the tables that a
    /// comma parts, and what to read.
    pub(super) fn source_of(
        &self,
        keys: &[Outer],
        outside: &[Table],
        from: &[TableWithJoins],
    ) -> Option<(usize, String)> {
        let first = keys[0].0;
        let chain = outside[first].chain;
        if keys.iter().any(|(table, _)| outside[*table].chain != chain)
            || !self.is_repeatable(&from[chain])
        {
            return None;
        }
        // A join that fills up with NULLs has more values than its tables.
        let is_plain = from[chain].joins.iter().all(|join| joins::is_inner(&join.join_operator));
        let is_one = is_plain && keys.iter().all(|(table, _)| *table == first);
        let source = match is_one {
            true => outside[first].factor.to_string(),
            false => from[chain].to_string(),
        };
        Some((chain, source))
    }

    /// Whether a table gives the same rows each time that it is read.
    fn is_repeatable(&self, from: &impl Visit) -> bool {
        let withs = self.around.iter().filter_map(|around| around.with.as_ref());
        !is_random(from) && withs.flat_map(|with| &with.cte_tables).all(|table| !is_random(table))
    }

    /// The join that gives the value of a subquery, if it needs one.
    fn joined(
        &self,
        subquery: &Query,
        outside: &[Table],
        from: &[TableWithJoins],
        number: usize,
    ) -> Result<Option<(Expr, Joined)>> {
        let known = self.lookups.is_aggregate;
        let is_bare = subquery.with.is_none()
            && subquery.order_by.is_none()
            && subquery.limit_clause.is_none()
            && subquery.fetch.is_none();
        let SetExpr::Select(inner) = subquery.body.as_ref() else { return Ok(None) };
        if inner.from.iter().any(|table| reaches_out(table, outside)) {
            let error = "a table in FROM of a subquery that uses columns from outside the subquery";
            return Err(Error::sql(format!("{error} is not supported yet"))
                .hint("put its condition into the WHERE of the subquery"));
        }
        let mut inner = inner.clone();
        let is_plain = is_bare
            && inner.distinct.is_none()
            && inner.having.is_none()
            && inner.qualify.is_none()
            && !is_grouped(&inner);
        let has_subquery = |expr: &Expr| {
            matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
        };
        let is_nested =
            has_own(&inner.projection, has_subquery) || has_own(&inner.selection, has_subquery);
        let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
            &mut inner.projection[..]
        else {
            return Ok(None);
        };
        if !is_plain || is_nested || !has_own(value, |expr| is_aggregate(expr, known)) {
            return Ok(None);
        }
        let Some(inside) = self.tables(&inner.from)? else { return Ok(None) };
        // What of it comes from outside.
        let scope = Scope { inside: &inside, outside };
        let mut keys: Vec<Outer> = Vec::new();
        let Some(condition) = &mut inner.selection else { return Ok(None) };
        let mut conditions = Vec::new();
        split(condition, &mut conditions);
        let is_known = scope.outer_in(condition, &mut keys) && scope.outer_in(value, &mut keys);
        let in_value = scope.has_outer(value);
        let is_equal = conditions.iter().all(|part| !scope.has_outer(part) || scope.is_equal(part));
        // Of a count over no rows the planner knows too little for that.
        let is_tested = has_own(value, |expr| matches!(expr, Expr::IsNull(_) | Expr::IsNotNull(_)));
        if !is_known || keys.is_empty() || is_equal && !in_value && !is_tested {
            return Ok(None);
        }
        if inner.from.iter().flat_map(|table| &table.joins).any(|join| scope.has_outer(join)) {
            return Ok(None);
        }
        let Some((chain, source)) = self.source_of(&keys, outside, from) else { return Ok(None) };
        let (taken, result) = (format!("{HIDDEN}taken{number}"), format!("{HIDDEN}result{number}"));
        let key = |place: usize| format!("{HIDDEN}key{number}_{place}");
        let column = |(table, name): &Outer| format!("{}.{name}", outside[*table].name);
        let each = |write: &dyn Fn(usize, &Outer) -> String, between: &str| {
            let written = keys.iter().enumerate().map(|(place, outer)| write(place, outer));
            written.collect::<Vec<_>>().join(between)
        };
        // The aggregates are columns of what is joined; the rest of the value stays outside.
        let mut aggregates = Aggregates { known, found: Vec::new(), number };
        let _ = VisitMut::visit(value, &mut aggregates);
        let value = value.clone();
        let within = |expr: &mut Expr| {
            let taken_key =
                |place| Expr::CompoundIdentifier(vec![Ident::new(&taken), Ident::new(key(place))]);
            scope.put(expr, &keys, &taken_key);
        };
        within(condition);
        let mut columns: Vec<String> =
            (0..keys.len()).map(|place| format!("{taken}.{0} AS {0}", key(place))).collect();
        for (place, mut aggregate) in aggregates.found.into_iter().enumerate() {
            within(&mut aggregate);
            columns.push(format!("{aggregate} AS {}", value_name(number, place)));
        }
        let sql = format!(
            "SELECT {} FROM (SELECT DISTINCT {} FROM {source}) AS {taken}, {} WHERE {condition} GROUP BY {}",
            columns.join(", "),
            each(&|place, outer| format!("{} AS {}", column(outer), key(place)), ", "),
            inner.from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            each(&|place, _| format!("{taken}.{}", key(place)), ", "),
        );
        let same = |place: usize, outer: &Outer| {
            format!("({} IS NOT DISTINCT FROM {result}.{})", column(outer), key(place))
        };
        let on = parsed(&each(&same, " AND "))?;
        let alias = joins::alias(Ident::new(&result));
        let hidden = columns.iter().filter_map(|column| column.rsplit(' ').next());
        let joined = Joined {
            chain,
            hidden: hidden.map(str::to_string).collect(),
            join: Join {
                relation: derived(&sql, Some(alias))?,
                global: false,
                join_operator: JoinOperator::LeftOuter(JoinConstraint::On(on)),
            },
        };
        Ok(Some((Expr::Nested(Box::new(value)), joined)))
    }
}

/// Whether a subquery within a FROM names a table outside. The planner takes its count of no rows for NULL.
fn reaches_out(table: &TableWithJoins, outside: &[Table]) -> bool {
    #[derive(Default)]
    struct Names {
        declared: Vec<String>,
        used: Vec<String>,
        depth: usize,
    }
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
            self.declared.extend(joins::name_of(table).map(|name| name.value.to_lowercase()));
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let (Expr::CompoundIdentifier(parts), true) = (expr, self.depth > 0) {
                self.used.push(parts[0].value.to_lowercase());
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names::default();
    let _ = table.visit(&mut names);
    let is_outside = |used: &String| {
        !names.declared.contains(used) && outside.iter().any(|table| table.is(&Ident::new(used)))
    };
    names.used.iter().any(is_outside)
}

fn value_name(number: usize, place: usize) -> String {
    format!("{HIDDEN}value{number}_{place}")
}

/// Whether a part of a statement could give other rows when it is read again.
fn is_random(part: &impl Visit) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            match query.limit_clause.is_some() || query.fetch.is_some() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let is_numbered = matches!(expr, Expr::Function(function) if function.over.is_some());
            match is_numbered || is_volatile(expr) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    part.visit(&mut Finder).is_break()
}

/// What names mean in a subquery.
pub(super) struct Scope<'a> {
    pub(super) inside: &'a [Table],
    pub(super) outside: &'a [Table],
}

impl Scope<'_> {
    /// The column from outside that a name is. `Err` is a name that nobody knows.
    fn outer(&self, expr: &Expr) -> Result<Option<Outer>, ()> {
        let of = |found: Option<usize>, name: &Ident| Ok(found.map(|table| (table, name.clone())));
        match expr {
            Expr::Identifier(name) => {
                if self.inside.iter().any(|table| table.has(name)) {
                    return Ok(None);
                }
                of(self.outside.iter().position(|table| table.has(name)), name)
            }
            Expr::CompoundIdentifier(parts) => {
                let is_inside = |table: &Table| table.is(&parts[0]) || table.has(&parts[0]);
                if self.inside.iter().any(is_inside) {
                    return Ok(None);
                }
                match (self.outside.iter().position(|table| table.is(&parts[0])), &parts[..]) {
                    (Some(table), [_, name]) => of(Some(table), name),
                    _ => Err(()),
                }
            }
            _ => Ok(None),
        }
    }

    /// Adds the columns from outside in a part of a statement; false if there is a name that nobody knows.
    pub(super) fn outer_in(&self, part: &impl Visit, keys: &mut Vec<Outer>) -> bool {
        let is_unknown = |expr: &Expr| match self.outer(expr) {
            Ok(Some(outer)) if place_of(keys, &outer).is_none() => {
                keys.push(outer);
                false
            }
            found => found.is_err(),
        };
        !has_own(part, is_unknown)
    }

    pub(super) fn has_outer(&self, part: &impl Visit) -> bool {
        has_own(part, |expr| !matches!(self.outer(expr), Ok(None)))
    }

    /// Whether a condition says that a column inside is one from outside, which the planner knows.
    fn is_equal(&self, condition: &Expr) -> bool {
        let is_column =
            |expr: &Expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        matches!(condition, Expr::BinaryOp { left, op: BinaryOperator::Eq, right }
            if is_column(left) && is_column(right) && self.has_outer(left.as_ref()) != self.has_outer(right.as_ref()))
    }

    /// Puts something else in the place of columns from outside.
    pub(super) fn put(
        &self,
        part: &mut impl VisitMut,
        keys: &[Outer],
        key: &dyn Fn(usize) -> Expr,
    ) {
        let _ = change_own(part, |expr| {
            if let Ok(Some(outer)) = self.outer(expr)
                && let Some(place) = place_of(keys, &outer)
            {
                *expr = key(place);
            }
            Ok::<(), ()>(())
        });
    }
}

fn place_of(keys: &[Outer], (table, name): &Outer) -> Option<usize> {
    keys.iter().position(|key| key.0 == *table && key.1.value.eq_ignore_ascii_case(&name.value))
}

/// Takes the aggregates out of a value.
struct Aggregates<'a> {
    known: IsAggregate<'a>,
    found: Vec<Expr>,
    number: usize,
}

impl VisitorMut for Aggregates<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if !is_aggregate(expr, self.known) {
            return ControlFlow::Continue(());
        }
        let name = match &*expr {
            Expr::Function(function) => function.name.to_string().to_lowercase(),
            _ => String::new(),
        };
        let column = value_name(self.number, self.found.len());
        let column = if COUNTS.contains(&name.as_str()) {
            parsed(&format!("coalesce({column}, 0)")).ok()
        } else {
            Some(Expr::Identifier(Ident::new(column)))
        };
        if let Some(column) = column {
            self.found.push(std::mem::replace(expr, column));
        }
        ControlFlow::Continue(())
    }
}
