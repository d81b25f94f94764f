//! Sugar: clauses that DataFusion's planner does not know, written in those that it does.
//!
//! ```text
//! FROM t                          SELECT * FROM t
//! SELECT * RENAME, * LIKE,
//!        COLUMNS('re')            the columns by name
//! alias in WHERE or another item  what it stands for, unless a column has that name
//! SEMI JOIN, ANTI JOIN            LEFT SEMI JOIN, LEFT ANTI JOIN
//! TABLESAMPLE, PIVOT, UNPIVOT      subqueries
//! FETCH FIRST n, LIMIT n BY x     LIMIT n, QUALIFY row_number() OVER (PARTITION BY x) <= n
//! a // b, a ^ b, TRY(CAST(..)),
//! = ANY (..), <> ALL (..)         IN (..), NOT IN (..)
//! > ALL (..), < ANY (..)           comparisons with the greatest or least
//! sum(x), sum(x::INT)              the same with names of their own
//! j -> 'a', j ->> '$.a.b'         json_get_json(j, 'a'), json_as_text(j, 'a', 'b')
//! x.f(y), INTERVAL 4 DAY          div(a, b), power(a, b), TRY_CAST, f(x, y), INTERVAL '4' DAY
//! ```

mod casts;
mod joins;
pub(super) mod json;
mod pivot;
mod subqueries;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, Cte, DataType as SqlType, ExactNumberInfo,
    ExcludeSelectItem, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    JoinConstraint, JoinOperator, LimitClause, ObjectName, OrderByExpr, OrderByKind, Query,
    RenameSelectItem, Select, SelectFlavor, SelectItem, SetExpr, SetQuantifier, Statement,
    Subscript, TableAlias, TableFactor, TableSampleKind, TableSampleUnit, Value, Values, Visit,
    VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions, With, visit_expressions,
    visit_relations,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

use super::respell::{BY_NAME, PERCENT};
use crate::error::{Error, Result};
use crate::sql_type::sql_type_name;
use crate::units::show_literal;

/// Aliases in one expression, with all in those that they stand for.
const ALIASED_SIZE_MAX: usize = 200;
/// Begins the names of nameless expressions whose names are of no use.
const OF_UNION: &str = "column_of_union_";

/// What has to be asked of tables that are open.
#[derive(Clone, Copy)]
pub struct Lookups<'a> {
    /// Gives the names of the columns of a query's result.
    pub columns: &'a dyn Fn(Query) -> Result<Vec<String>>,
    /// Runs a query and gives the first column of its result as literals.
    pub values: &'a dyn Fn(Query) -> Result<Vec<Expr>>,
}

/// Rewrites a statement whose locations have become tables; says whether its answer depends on the
/// order in which rows stand in files.
///
/// # Errors
/// When a clause cannot be rewritten, or names a column that is not there.
pub fn rewrite(statement: &mut Statement, lookups: Lookups<'_>) -> Result<bool> {
    let mut rewriter = Rewriter::new(lookups);
    if let ControlFlow::Break(error) = VisitMut::visit(statement, &mut rewriter) {
        return Err(error);
    }
    let counts_rows = rewriter.counts_rows.get();
    // INSERT INTO t BY NAME: into the columns that the query names.
    if let Statement::Insert(insert) = statement
        && matches!(&insert.columns[..], [only] if only.to_string() == BY_NAME)
        && let Some(source) = &insert.source
    {
        let columns = (lookups.columns)(source.as_ref().clone())?;
        let quoted = |name: String| ObjectName::from(vec![Ident::with_quote('"', name)]);
        insert.columns = columns.into_iter().map(quoted).collect();
    }
    Ok(counts_rows)
}

struct Rewriter<'a> {
    lookups: Lookups<'a>,
    /// The queries around what is visited, from the outside in.
    around: Vec<Around>,
    /// Whether rows of a table are numbered as they come.
    counts_rows: Cell<bool>,
}

/// A query around what is visited.
struct Around {
    /// Its WITH; the first `done_count` tables of it are rewritten.
    with: Option<With>,
    done_count: usize,
}

impl Around {
    /// What can be named in its parts now; a recursive table also within itself.
    fn visible(&self) -> Option<With> {
        let mut with = self.with.clone()?;
        let names_itself = |table: &Cte| {
            let own = table.alias.name.value.to_lowercase();
            let found = visit_relations(&table.query, |name| {
                if name.to_string().to_lowercase() == own {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            found.is_break()
        };
        let is_recursive =
            with.recursive && with.cte_tables.get(self.done_count).is_some_and(names_itself);
        with.cte_tables.truncate(self.done_count + usize::from(is_recursive));
        (!with.cte_tables.is_empty()).then_some(with)
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.around.push(Around { with: query.with.clone(), done_count: 0 });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.around.pop();
        // Behind a set operation, ORDER BY names columns of its result.
        let is_select = matches!(query.body.as_ref(), SetExpr::Select(_));
        let mut order_by = query.order_by.as_mut().filter(|_| is_select);
        each_side(&mut query.body, true, &mut |side, names| match side {
            SetExpr::Select(select) => {
                if !names {
                    named_apart(select);
                }
                casts::told_apart(select, order_by.take());
            }
            SetExpr::Values(values) => {
                doubles_of_values(values);
                self.doubles_beside_calls(values);
            }
            _ => {}
        });
        if let Err(error) = self.percent(query).and_then(|()| limits(query)) {
            return ControlFlow::Break(error);
        }
        // The tables of a WITH are visited first and in order: this may be the next one of them.
        if let Some(Around { with: Some(with), done_count }) = self.around.last_mut()
            && let Some(table) = with.cte_tables.get_mut(*done_count)
        {
            *table.query = query.clone();
            *done_count += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match self.select(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        let written = match table {
            TableFactor::Table { sample: Some(_), .. } => sampled(table),
            TableFactor::Pivot { .. } => self.pivoted(table),
            TableFactor::Unpivot { .. } => self.unpivoted(table),
            TableFactor::UNNEST { with_ordinality: true, .. }
            | TableFactor::Table { with_ordinality: true, .. } => Ok(joins::with_ordinality(table)),
            _ => return ControlFlow::Continue(()),
        };
        match written.and_then(|(sql, alias)| derived(&sql, alias)) {
            Ok(derived) => {
                *table = derived;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Value(value) = &*expr
            && let Value::Number(text, _) = &value.value
            && text.contains(['e', 'E'])
        {
            // With an exponent it is an approximate number (SQL:2016, 5.3).
            if text.parse().is_ok_and(f64::is_infinite) {
                let error = Error::sql(format!("`{text}` is beyond the largest DOUBLE, 1.8e308"));
                return ControlFlow::Break(error.hint("'inf'::DOUBLE is infinity"));
            }
            *expr = double(text);
        }
        match json::getter(expr) {
            Ok(Some(getter)) => *expr = getter,
            Ok(None) => expression(expr),
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// Calls `act` with each side of set operations, and whether the names of the result are its own.
fn each_side(body: &mut SetExpr, names: bool, act: &mut impl FnMut(&mut SetExpr, bool)) {
    match body {
        SetExpr::SetOperation { left, right, set_quantifier, .. } => {
            let is_by_name = matches!(
                set_quantifier,
                SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName
            );
            each_side(left, names, act);
            each_side(right, names && is_by_name, act);
        }
        side => act(side, names),
    }
}

/// Names expressions beside columns in what is united with other rows. The names of the first side are
/// those of the result, and DataFusion would give them to expressions also where a column has that name.
fn named_apart(select: &mut Select) {
    let is_column = |item: &SelectItem| {
        let SelectItem::UnnamedExpr(expr) = item else { return true };
        matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
    };
    if !select.projection.iter().any(is_column) {
        return;
    }
    for (idx, item) in select.projection.iter_mut().enumerate() {
        if let (SelectItem::UnnamedExpr(expr), false) = (&*item, is_column(item)) {
            let alias = Ident::new(format!("{OF_UNION}{}", idx + 1));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// Decimal literals among the doubles of a column of VALUES are doubles as well: DataFusion makes all of
/// them a DECIMAL(30, 15), which holds no 1e-20 and no 1e30.
fn doubles_of_values(values: &mut Values) {
    let width = values.rows.first().map_or(0, |row| row.content.len());
    for column in 0..width {
        let mut cells: Vec<&mut Expr> =
            values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)).collect();
        if cells.iter().any(|cell| is_double(cell)) {
            cells.iter_mut().for_each(|cell| make_double(cell));
        }
    }
}

fn has_call(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Function(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether an expression is a literal with a point.
fn is_decimal(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(expr) | Expr::UnaryOp { expr, .. } => is_decimal(expr),
        Expr::Value(value) => matches!(&value.value, Value::Number(text, _) if text.contains('.')),
        _ => false,
    }
}

fn is_double(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(expr) | Expr::UnaryOp { expr, .. } => is_double(expr),
        Expr::Cast { data_type, .. } => matches!(
            data_type,
            SqlType::Double(_)
                | SqlType::DoublePrecision
                | SqlType::Float(_)
                | SqlType::Float4
                | SqlType::Float8
                | SqlType::Float32
                | SqlType::Float64
                | SqlType::Real
        ),
        _ => false,
    }
}

/// Makes a double of a decimal literal.
fn make_double(expr: &mut Expr) {
    match expr {
        Expr::Nested(expr) | Expr::UnaryOp { expr, .. } => make_double(expr),
        Expr::Value(value) => {
            if let Value::Number(text, _) = &value.value {
                *expr = double(text);
            }
        }
        _ => {}
    }
}

/// A number as a double.
pub fn double(text: &str) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(Value::SingleQuotedString(text.to_string()).into())),
        data_type: SqlType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    }
}

impl<'a> Rewriter<'a> {
    fn new(lookups: Lookups<'a>) -> Self {
        Rewriter { lookups, around: Vec::new(), counts_rows: Cell::new(false) }
    }
}

impl Rewriter<'_> {
    /// Decimal literals of VALUES in columns in which a call gives a double: asks what the calls give.
    fn doubles_beside_calls(&self, values: &mut Values) {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        for column in 0..width {
            let mut cells: Vec<&mut Expr> =
                values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)).collect();
            if !cells.iter().any(|cell| is_decimal(cell)) {
                continue;
            }
            let calls: HashSet<String> =
                cells.iter().filter(|cell| has_call(cell)).map(ToString::to_string).collect();
            let is_double = |call: &String| -> Result<bool> {
                let asked = query(&format!("SELECT typeof({call})"))?;
                let given = (self.lookups.values)(self.in_context(asked))?;
                let given = given.first().map(ToString::to_string).unwrap_or_default();
                Ok(["'DOUBLE'", "'REAL'"].contains(&given.as_str()))
            };
            // A call that cannot stand alone is left to the planner.
            if calls.iter().any(|call| is_double(call).unwrap_or(false)) {
                cells.iter_mut().for_each(|cell| make_double(cell));
            }
        }
    }

    /// LIMIT n %: the rows are counted first.
    fn percent(&self, query: &mut Query) -> Result<()> {
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
        let count = self::query(&format!("SELECT count(*) FROM ({all}) AS rows_of_limit"))?;
        let values = (self.lookups.values)(self.in_context(count))?;
        let count: f64 = values.first().and_then(|n| n.to_string().parse().ok()).unwrap_or(0.0);
        let rows = (count * share / 100.0).floor();
        if let Some(LimitClause::LimitOffset { limit, .. }) = &mut query.limit_clause {
            *limit = Some(Expr::Value(Value::Number(rows.to_string(), false).into()));
        }
        Ok(())
    }

    fn select(&self, select: &mut Select) -> Result<()> {
        if select.projection.is_empty() && select.flavor == SelectFlavor::FromFirstNoSelect {
            let all = WildcardAdditionalOptions::default();
            select.projection.push(SelectItem::Wildcard(all));
        }
        for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
            join.join_operator = match std::mem::replace(
                &mut join.join_operator,
                JoinOperator::CrossJoin(JoinConstraint::None),
            ) {
                JoinOperator::Semi(constraint) => JoinOperator::LeftSemi(constraint),
                JoinOperator::Anti(constraint) => JoinOperator::LeftAnti(constraint),
                other => other,
            };
        }
        self.joins(select)?;
        self.laterals(select)?;
        subqueries::in_items(select)?;
        let mut known: Option<Vec<String>> = None;
        if select.projection.iter().any(names_columns) {
            let columns = self.columns_of(select)?;
            select.projection = select
                .projection
                .drain(..)
                .map(|item| expanded(item, &columns))
                .collect::<Result<Vec<_>>>()?
                .concat();
            known = Some(columns);
        }
        self.wildcards(select, &mut known);
        self.aliases(select, known)?;
        part_names(&mut select.projection);
        Ok(())
    }

    /// Gives another name to what stands beside a wildcard that has a column of that name. The first
    /// keeps its own; behind joins, where columns of a wildcard may share names, the wildcard does.
    fn wildcards(&self, select: &mut Select, known: &mut Option<Vec<String>>) {
        let is_single = matches!(&select.from[..], [table] if table.joins.is_empty());
        let is_wild = |item: &SelectItem| match item {
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                let is_plain = options.opt_exclude.is_none()
                    && options.opt_except.is_none()
                    && options.opt_replace.is_none();
                is_plain && (is_single || matches!(item, SelectItem::Wildcard(_)))
            }
            _ => false,
        };
        let wild_count = select.projection.iter().filter(|item| is_wild(item)).count();
        let names: Vec<&str> = select.projection.iter().filter_map(name_of).collect();
        if wild_count == 0 || names.is_empty() && wild_count == 1 {
            return;
        }
        // What is wrong with the tables is for the planner to say.
        let Ok(columns) = known.take().map_or_else(|| self.columns_of(select), Ok) else { return };
        let is_twice = |name: &&str| columns.iter().any(|column| column == name);
        let clashes = wild_count > 1 || names.iter().any(is_twice);
        let distinct: HashSet<&String> = columns.iter().collect();
        let is_plain = distinct.len() == columns.len();
        if clashes {
            let mut seen = HashSet::new();
            if is_plain {
                let spelled = |item: SelectItem| match is_wild(&item) {
                    true => {
                        columns.iter().map(|name| SelectItem::UnnamedExpr(named(name))).collect()
                    }
                    false => vec![item],
                };
                select.projection = select.projection.drain(..).flat_map(spelled).collect();
            } else {
                seen.extend(columns.iter().map(|name| name_key(name)));
            }
            for item in &mut select.projection {
                let Some(alias) = name_of(item).and_then(|name| new_name(name, &mut seen)) else {
                    continue;
                };
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
        }
        *known = Some(columns);
    }

    /// The columns of a table.
    fn columns_of_table(&self, table: &TableFactor) -> Result<Vec<String>> {
        match query(&format!("SELECT * FROM {table}"))?.body.as_ref() {
            SetExpr::Select(select) => self.columns_of(select),
            _ => Ok(Vec::new()),
        }
    }

    /// The columns of all that stands in a FROM.
    fn columns_of(&self, select: &Select) -> Result<Vec<String>> {
        if select.from.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = select.clone();
        all.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        all.flavor = SelectFlavor::Standard;
        (all.selection, all.having, all.qualify, all.distinct) = (None, None, None, None);
        all.group_by = GroupByExpr::Expressions(vec![], vec![]);
        all.named_window.clear();
        let query = self.in_context(bare_query(SetExpr::Select(Box::new(all))));
        let mut columns = (self.lookups.columns)(query)?;
        columns.retain(|name| !name.starts_with(joins::HIDDEN));
        Ok(columns)
    }

    /// A query with the tables of the WITHs around it.
    fn in_context(&self, mut query: Query) -> Query {
        for around in self.around.iter().rev() {
            if let Some(with) = around.visible() {
                query = bare_query(SetExpr::Query(Box::new(query)));
                query.with = Some(with);
            }
        }
        query
    }

    /// Puts what aliases stand for in their place, in WHERE and in the items behind them.
    fn aliases(&self, select: &mut Select, known: Option<Vec<String>>) -> Result<()> {
        let mut aliases: Vec<(String, Expr)> = Vec::new();
        let mut is_used = select.selection.as_ref().map(names_in).unwrap_or_default();
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    is_used.extend(names_in(expr));
                    aliases.push((alias.value.to_lowercase(), expr.clone()));
                }
                SelectItem::UnnamedExpr(expr) => is_used.extend(names_in(expr)),
                _ => {}
            }
        }
        aliases.retain(|(alias, expr)| {
            let is_itself = matches!(expr, Expr::Identifier(name)
                if name.value.to_lowercase() == *alias);
            is_used.contains(alias) && !is_itself
        });
        if aliases.is_empty() {
            return Ok(());
        }
        let columns = match known {
            Some(columns) => columns,
            None => self.columns_of(select)?,
        };
        // A column comes first, as in SQL.
        aliases.retain(|(alias, _)| !columns.iter().any(|name| name.eq_ignore_ascii_case(alias)));
        if aliases.is_empty() {
            return Ok(());
        }
        if let Some((alias, _)) = aliases.iter().find(|(_, expr)| is_volatile(expr)) {
            return Err(Error::sql(format!("{alias} would be computed anew wherever it is used"))
                .hint("compute it in a query of its own: WITH a AS (SELECT ...) SELECT ..."));
        }
        let mut usable: Vec<(String, Expr)> = Vec::new();
        let mut sizes: HashMap<String, usize> = HashMap::new();
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    let size = size_with(expr, &sizes)?;
                    put(expr, &usable);
                    let lower = alias.value.to_lowercase();
                    if aliases.iter().any(|(name, _)| *name == lower) {
                        sizes.insert(lower.clone(), size);
                        usable.push((lower, expr.clone()));
                    }
                }
                SelectItem::UnnamedExpr(expr) => {
                    size_with(expr, &sizes)?;
                    put(expr, &usable);
                }
                _ => {}
            }
        }
        if let Some(selection) = &select.selection {
            size_with(selection, &sizes)?;
        }
        if let Some(selection) = &mut select.selection {
            put(selection, &usable);
        }
        Ok(())
    }
}

/// Gives items of one name different ones, because the planner takes no two of one name.
fn part_names(items: &mut [SelectItem]) {
    let mut seen: HashSet<String> = HashSet::new();
    for item in items {
        let (expr, title) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (&*expr, alias.value.clone()),
            SelectItem::UnnamedExpr(expr) => (&*expr, title_of(expr)),
            _ => continue,
        };
        if let Some(name) = new_name(&title, &mut seen) {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: name };
        }
    }
}

/// An item's name as it was written.
fn title_of(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    }
}

/// Another name, if this one was given before.
fn new_name(title: &str, seen: &mut HashSet<String>) -> Option<Ident> {
    if seen.insert(name_key(title)) {
        return None;
    }
    let name = (1..).map(|n| format!("{title}_{n}")).find(|name| seen.insert(name_key(name)))?;
    Some(Ident::with_quote('"', name.replace('"', "\"\"")))
}

/// What names are told apart by: the planner's have no parentheses but those of calls.
fn name_key(title: &str) -> String {
    title.replace(['(', ')'], "")
}

/// The name that an item gives, if it is an alias or that of a column.
fn name_of(item: &SelectItem) -> Option<&str> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(&alias.value),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(&name.value),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => {
            names.last().map(|name| name.value.as_str())
        }
        _ => None,
    }
}

/// Names all items that are no columns as they were written: the planner's own names may be one for
/// two of them, as for a cast and what it casts.
pub fn name_items(statement: &mut Statement) {
    struct Namer;
    impl VisitorMut for Namer {
        type Break = ();
        fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            for item in &mut select.projection {
                let SelectItem::UnnamedExpr(expr) = item else { continue };
                if !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    let title = title_of(expr).replace('"', "\"\"");
                    let alias = Ident::with_quote('"', title);
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
            part_names(&mut select.projection);
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(statement, &mut Namer);
}

fn bare_query(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// The unquoted names in an expression, but for those in its subqueries.
fn names_in(expr: &Expr) -> Vec<String> {
    struct Names(Vec<String>, usize);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.1 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.1 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let (Expr::Identifier(name), 0) = (expr, self.1) {
                self.0.push(name.value.to_lowercase());
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new(), 0);
    let _ = expr.visit(&mut names);
    names.0
}

/// Whether an expression gives another value each time.
fn is_volatile(expr: &Expr) -> bool {
    const FUNCTIONS: [&str; 3] = ["random", "rand", "uuid"];
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Function(function)
            if FUNCTIONS.contains(&function.name.to_string().to_lowercase().as_str()) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// How many aliases an expression stands for, with those in them: each may double the one before.
fn size_with(expr: &Expr, sizes: &HashMap<String, usize>) -> Result<usize> {
    let of = |name: &String| sizes.get(name).copied().unwrap_or(0);
    let size = names_in(expr).iter().map(of).fold(1_usize, usize::saturating_add);
    if size > ALIASED_SIZE_MAX {
        return Err(Error::sql("aliases that use each other make an expression too large").hint(
            "compute the first ones in a query of their own: WITH a AS (SELECT ...) SELECT ...",
        ));
    }
    Ok(size)
}

/// Replaces aliases in an expression.
fn put(expr: &mut Expr, aliases: &[(String, Expr)]) {
    struct Putter<'a>(&'a [(String, Expr)], usize);
    impl VisitorMut for Putter<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.1 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.1 -= 1;
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let (Expr::Identifier(name), 0) = (&*expr, self.1) {
                let lower = name.value.to_lowercase();
                if let Some((_, value)) = self.0.iter().rev().find(|(alias, _)| *alias == lower) {
                    *expr = Expr::Nested(Box::new(value.clone()));
                }
            }
            ControlFlow::Continue(())
        }
    }
    if !aliases.is_empty() {
        let _ = expr.visit(&mut Putter(aliases, 0));
    }
}

/// Whether an item stands for columns in a way that the planner does not know.
fn names_columns(item: &SelectItem) -> bool {
    match item {
        SelectItem::Wildcard(options) => {
            options.opt_ilike.is_some() || options.opt_rename.is_some()
        }
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            struct Finder;
            impl Visitor for Finder {
                type Break = ();
                fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
                    if is_columns(expr) {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                }
            }
            expr.visit(&mut Finder).is_break()
        }
        _ => false,
    }
}

fn is_columns(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function)
        if function.name.to_string().eq_ignore_ascii_case("columns"))
}

fn named(name: &str) -> Expr {
    Expr::Identifier(Ident::with_quote('"', name))
}

/// The items that one stands for.
fn expanded(item: SelectItem, columns: &[String]) -> Result<Vec<SelectItem>> {
    let none = |what: &str| {
        Error::sql(format!("no column matches {what}"))
            .hint(format!("the columns are {}", columns.join(", ")))
    };
    match item {
        SelectItem::Wildcard(options) if options.opt_ilike.is_some() => {
            let pattern = options.opt_ilike.map(|ilike| ilike.pattern).unwrap_or_default();
            let found: Vec<_> = columns.iter().filter(|name| is_like(name, &pattern)).collect();
            if found.is_empty() {
                return Err(none(&format!("ILIKE '{pattern}'")));
            }
            Ok(found.into_iter().map(|name| SelectItem::UnnamedExpr(named(name))).collect())
        }
        SelectItem::Wildcard(options) if options.opt_rename.is_some() => {
            let renames = match options.opt_rename.clone() {
                Some(RenameSelectItem::Multiple(renames)) => renames,
                Some(RenameSelectItem::Single(rename)) => vec![rename],
                None => Vec::new(),
            };
            for rename in &renames {
                if !columns.iter().any(|name| name.eq_ignore_ascii_case(&rename.ident.value)) {
                    return Err(none(&rename.ident.value));
                }
            }
            if options.opt_exclude.is_some() || options.opt_replace.is_some() {
                return Err(Error::sql("* RENAME does not go with EXCLUDE or REPLACE")
                    .hint("name the columns, with AS"));
            }
            let item = |name: &String| {
                let rename =
                    renames.iter().find(|rename| rename.ident.value.eq_ignore_ascii_case(name));
                match rename {
                    Some(rename) => {
                        SelectItem::ExprWithAlias { expr: named(name), alias: rename.alias.clone() }
                    }
                    None => SelectItem::UnnamedExpr(named(name)),
                }
            };
            Ok(columns.iter().map(item).collect())
        }
        SelectItem::UnnamedExpr(expr) if names_columns(&SelectItem::UnnamedExpr(expr.clone())) => {
            let mut items = Vec::new();
            for name in columns {
                let mut one = expr.clone();
                if fill_columns(&mut one, name)? {
                    let is_plain = matches!(one, Expr::Identifier(_));
                    items.push(if is_plain {
                        SelectItem::UnnamedExpr(one)
                    } else {
                        let title = one.to_string().replace('"', "");
                        SelectItem::ExprWithAlias {
                            expr: one,
                            alias: Ident::with_quote('"', title),
                        }
                    });
                }
            }
            if items.is_empty() { Err(none(&expr.to_string())) } else { Ok(items) }
        }
        SelectItem::ExprWithAlias { expr, alias }
            if names_columns(&SelectItem::UnnamedExpr(expr.clone())) =>
        {
            Err(Error::sql(format!("COLUMNS(...) is many columns, {alias} is one name"))
                .hint("leave the alias out"))
        }
        other => Ok(vec![other]),
    }
}

/// Puts one column in the place of COLUMNS(...); false if it is not one of those meant.
fn fill_columns(expr: &mut Expr, name: &str) -> Result<bool> {
    struct Fill<'a>(&'a str, bool);
    impl VisitorMut for Fill<'_> {
        type Break = Error;
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
            if !is_columns(expr) {
                return ControlFlow::Continue(());
            }
            match is_meant(expr, self.0) {
                Ok(is_meant) => self.1 &= is_meant,
                Err(error) => return ControlFlow::Break(error),
            }
            *expr = named(self.0);
            ControlFlow::Continue(())
        }
    }
    let mut fill = Fill(name, true);
    match expr.visit(&mut fill) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(fill.1),
    }
}

/// Whether COLUMNS('re') or COLUMNS(*) means a column.
fn is_meant(expr: &Expr, name: &str) -> Result<bool> {
    let wrong = || {
        Error::sql(format!("COLUMNS takes a regular expression or *, not {expr}"))
            .hint("COLUMNS('^price_') or COLUMNS(*)")
    };
    let Expr::Function(function) = expr else { return Err(wrong()) };
    let FunctionArguments::List(list) = &function.args else { return Err(wrong()) };
    match &list.args[..] {
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => Ok(true),
        [FunctionArg::Unnamed(FunctionArgExpr::WildcardWithOptions(options))] => {
            let left_out = match &options.opt_exclude {
                Some(ExcludeSelectItem::Single(name)) => vec![name.clone()],
                Some(ExcludeSelectItem::Multiple(names)) => names.clone(),
                None => return Err(wrong()),
            };
            let is_name = |left_out: &ObjectName| {
                left_out.to_string().trim_matches('"').eq_ignore_ascii_case(name)
            };
            Ok(!left_out.iter().any(is_name))
        }
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => match &value.value {
            Value::SingleQuotedString(pattern) => regex::RegexBuilder::new(pattern)
                .case_insensitive(true)
                .size_limit(1 << 20)
                .build()
                .map(|regex| regex.is_match(name))
                .map_err(|error| Error::sql(format!("COLUMNS: {error}"))),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// SQL's ILIKE.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut regex = String::from("(?is)^");
    for part in pattern.chars() {
        match part {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
    }
    regex.push('$');
    regex::Regex::new(&regex).is_ok_and(|regex| regex.is_match(name))
}

/// ORDER BY ALL as positions, which may be of any expressions; the planner knows the one over `*`.
fn order_by_all(query: &mut Query) {
    let (SetExpr::Select(select), Some(order_by)) = (query.body.as_ref(), &mut query.order_by)
    else {
        return;
    };
    let is_listed = |item: &SelectItem| {
        matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
    };
    let OrderByKind::All(options) = order_by.kind else { return };
    if select.projection.iter().all(is_listed) {
        let position = |idx: usize| OrderByExpr {
            expr: Expr::Value(Value::Number(idx.to_string(), false).into()),
            options,
            with_fill: None,
        };
        let positions = (1..=select.projection.len()).map(position);
        order_by.kind = OrderByKind::Expressions(positions.collect());
    }
}

/// Limits an ordered subquery instead of the query that does nothing but name its columns: the planner
/// drops an order that is not asked for at the end, and with it which rows are first.
fn limit_within(query: &mut Query) {
    let is_column = |item: &SelectItem| {
        matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
            || name_of(item).is_some() && !matches!(item, SelectItem::ExprWithAlias { .. })
    };
    let (SetExpr::Select(select), None) = (query.body.as_mut(), &query.order_by) else { return };
    let is_plain = (&select.distinct, &select.selection, &select.having, &select.qualify)
        == (&None, &None, &None, &None)
        && matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty())
        && select.projection.iter().all(is_column);
    let [table] = &mut select.from[..] else { return };
    let TableFactor::Derived { subquery, .. } = &mut table.relation else { return };
    let is_ordered = subquery.order_by.is_some()
        && subquery.limit_clause.is_none()
        && subquery.fetch.is_none()
        && table.joins.is_empty();
    if is_plain && is_ordered {
        subquery.limit_clause = query.limit_clause.take();
    }
}

/// FETCH FIRST and LIMIT n BY.
fn limits(query: &mut Query) -> Result<()> {
    order_by_all(query);
    if let Some(fetch) = query.fetch.take() {
        if fetch.with_ties || fetch.percent || query.limit_clause.is_some() {
            return Err(Error::sql(format!("{fetch} is not supported")).hint("use LIMIT"));
        }
        let one = Expr::Value(Value::Number("1".into(), false).into());
        query.limit_clause = Some(LimitClause::LimitOffset {
            limit: Some(fetch.quantity.unwrap_or(one)),
            offset: None,
            limit_by: Vec::new(),
        });
    }
    let Some(LimitClause::LimitOffset { limit, offset, limit_by }) = &mut query.limit_clause else {
        return Ok(());
    };
    if limit_by.is_empty() {
        limit_within(query);
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
    select.qualify = Some(match select.qualify.take() {
        Some(before) => Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(before))),
            op: BinaryOperator::And,
            right: Box::new(first),
        },
        None => first,
    });
    query.limit_clause = None;
    Ok(())
}

/// A table of which a random part is taken: of each row by chance, or so many rows.
fn sampled(table: &TableFactor) -> Result<(String, Option<TableAlias>)> {
    let mut whole = table.clone();
    let TableFactor::Table { name, sample, alias, .. } = &mut whole else {
        return Err(Error::sql("only a table can be sampled"));
    };
    let (
        Some(TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)),
        alias,
    ) = (sample.take(), alias.take())
    else {
        return Err(Error::sql("there is no sample"));
    };
    let alias = alias.or_else(|| {
        let name = name.0.last()?.as_ident()?.clone();
        Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None })
    });
    let wrong = || {
        Error::sql(format!("this form of TABLESAMPLE is not supported: {sample}"))
            .hint("TABLESAMPLE BERNOULLI (10), or TABLESAMPLE (100 ROWS)")
    };
    let (None, None, None) = (&sample.seed, &sample.bucket, &sample.offset) else {
        return Err(wrong());
    };
    let quantity = sample.quantity.as_ref().ok_or_else(wrong)?;
    let value: f64 = quantity.value.to_string().parse().map_err(|_| wrong())?;
    let by_count = matches!(quantity.unit, Some(TableSampleUnit::Rows));
    let sql = if by_count {
        // The order is a column: of rows without any, no first ones can be kept.
        format!(
            "SELECT * EXCLUDE (swath_order) FROM (SELECT *, random() AS swath_order FROM {whole})
             ORDER BY swath_order LIMIT {}",
            quantity.value
        )
    } else if (0.0..=100.0).contains(&value) {
        format!("SELECT * FROM {whole} WHERE random() < {}", value / 100.0)
    } else {
        return Err(wrong());
    };
    Ok((sql, alias))
}

fn derived(sql: &str, alias: Option<TableAlias>) -> Result<TableFactor> {
    Ok(TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query(sql)?),
        alias,
        sample: None,
    })
}

fn query(text: &str) -> Result<Query> {
    parsed_by(text, |parser| parser.parse_query().map(|query| *query))
}

fn parsed(text: &str) -> Result<Expr> {
    parsed_by(text, |parser| parser.parse_expr())
}

fn parsed_by<T>(
    text: &str,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T> {
    let dialect = super::dialect::SwathDialect;
    Parser::new(&dialect)
        .try_with_sql(text)
        .and_then(|mut parser| parse(&mut parser))
        .map_err(|error| Error::sql(error.to_string()))
}

/// A value as SQL writes it.
///
/// # Errors
/// When it is of a type that has no literals.
pub fn literal(value: &ScalarValue) -> Result<Expr> {
    let data_type = value.data_type();
    let text = value.to_string();
    let sql = match &data_type {
        _ if value.is_null() => "NULL".to_string(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => show_literal(&text),
        DataType::Date32 => format!("DATE {}", show_literal(&text)),
        DataType::Timestamp(..) => format!("TIMESTAMP {}", show_literal(&text)),
        data_type if data_type.is_numeric() || *data_type == DataType::Boolean => text,
        other => {
            return Err(Error::sql(format!("a {} cannot name a column", sql_type_name(other))));
        }
    };
    parsed(&sql)
}

fn call(name: &str, args: &[&Expr]) -> Option<Expr> {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    parsed(&format!("{name}({})", args.join(", "))).ok()
}

/// Operators and calls that are written in another way.
fn expression(expr: &mut Expr) {
    let new = match &*expr {
        // It stands there twice.
        Expr::BinaryOp { left, op: BinaryOperator::DuckIntegerDivide, right }
            if !is_volatile(left) && !is_volatile(right) =>
        {
            parsed(&format!("(({left}) - ({left}) % ({right})) / ({right})")).ok()
        }
        Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, right } => {
            call("power", &[left, right])
        }
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("try") => {
            match only_arg(&function.args) {
                Some(Expr::Cast { expr, data_type, format, array, .. }) => Some(Expr::Cast {
                    kind: CastKind::TryCast,
                    expr: expr.clone(),
                    data_type: data_type.clone(),
                    format: format.clone(),
                    array: *array,
                }),
                _ => None,
            }
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            in_subquery(left, right, false)
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
            in_subquery(left, right, true)
        }
        Expr::AnyOp { left, compare_op, right, .. } => {
            subqueries::compared(left, compare_op, right, false)
        }
        Expr::AllOp { left, compare_op, right } => {
            subqueries::compared(left, compare_op, right, true)
        }
        Expr::Function(function)
            if function.name.to_string().eq_ignore_ascii_case("struct_pack") =>
        {
            struct_of(&function.args)
        }
        // ('x').upper() is upper('x').
        Expr::CompoundFieldAccess { root, access_chain }
            if access_chain.iter().any(is_half_open) =>
        {
            let mut access_chain = access_chain.clone();
            access_chain.iter_mut().for_each(close);
            Some(Expr::CompoundFieldAccess { root: root.clone(), access_chain })
        }
        Expr::CompoundFieldAccess { root, access_chain } => match &access_chain[..] {
            [AccessExpr::Dot(Expr::Function(function))] => {
                let mut function = function.clone();
                if let FunctionArguments::List(list) = &mut function.args {
                    let root = FunctionArg::Unnamed(FunctionArgExpr::Expr(root.as_ref().clone()));
                    list.args.insert(0, root);
                }
                Some(Expr::Function(function))
            }
            _ => None,
        },
        Expr::Interval(interval) => match interval.value.as_ref() {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => {
                    let mut interval = interval.clone();
                    let text = Value::SingleQuotedString(number.clone());
                    interval.value = Box::new(Expr::Value(text.into()));
                    Some(Expr::Interval(interval))
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    if let Some(new) = new {
        *expr = new;
    }
}

/// Whether a slice leaves out where it begins or ends.
fn is_half_open(access: &AccessExpr) -> bool {
    matches!(access, AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. })
        if lower_bound.is_none() || upper_bound.is_none())
}

/// Says where a slice begins and ends.
fn close(access: &mut AccessExpr) {
    if let AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) = access {
        let number = |number: i64| Expr::Value(Value::Number(number.to_string(), false).into());
        lower_bound.get_or_insert_with(|| number(1));
        upper_bound.get_or_insert_with(|| number(-1));
    }
}

/// `struct_pack(a := 1)` as `named_struct('a', 1)`.
fn struct_of(args: &FunctionArguments) -> Option<Expr> {
    let FunctionArguments::List(list) = args else { return None };
    let fields = list.args.iter().map(|arg| match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
            Some(format!("{}, {value}", show_literal(&name.value)))
        }
        _ => None,
    });
    let fields: Vec<String> = fields.collect::<Option<_>>()?;
    parsed(&format!("named_struct({})", fields.join(", "))).ok()
}

/// `x = ANY (subquery)` and `x <> ALL (subquery)`.
fn in_subquery(left: &Expr, right: &Expr, negated: bool) -> Option<Expr> {
    let Expr::Subquery(subquery) = right else { return None };
    Some(Expr::InSubquery { expr: Box::new(left.clone()), subquery: subquery.clone(), negated })
}

fn only_arg(args: &FunctionArguments) -> Option<&Expr> {
    let FunctionArguments::List(list) = args else { return None };
    match &list.args[..] {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(only))] => Some(only),
        _ => None,
    }
}
