//! Sugar: clauses that DataFusion's planner does not know, written in those that it does.
//!
//! ```text
//! FROM t                          SELECT * FROM t
//! SELECT * RENAME, * LIKE,
//!        COLUMNS('re')            the columns by name
//! alias in WHERE or another item  what it stands for, unless a column has that name
//! SEMI JOIN, ANTI JOIN            LEFT SEMI JOIN, LEFT ANTI JOIN
//! FULL JOIN u USING (id)          FULL JOIN u ON t.id = u.id, coalesce(t.id, u.id) for id
//! EXCEPT ALL, INTERSECT ALL       EXCEPT, INTERSECT of numbered rows
//! TABLESAMPLE, PIVOT, UNPIVOT      subqueries
//! FETCH FIRST n, LIMIT n BY x     LIMIT n, QUALIFY row_number() OVER (PARTITION BY x) <= n
//! a // b, a ^ b, TRY(CAST(..)),
//! = ANY (..), <> ALL (..)         IN (..), NOT IN (..)
//! > ALL (..), < ANY (..)           comparisons with the greatest or least
//! sum(x), sum(x::INT)              the same with names of their own
//! j -> 'a', j ->> '$.a.b'         json_get_json(j, 'a'), json_as_text(j, 'a', 'b')
//! x.f(y), INTERVAL 4 DAY          div(a, b), power(a, b), TRY_CAST, f(x, y), INTERVAL '4' DAY
//! OVER (w ORDER BY x)             OVER (PARTITION BY .. ORDER BY x)
//! SIMILAR TO, AT TIME ZONE        regexp_like, at_time_zone
//! ARRAY(SELECT x), LIMIT (SELECT) (SELECT array_agg(x)), LIMIT n
//! (a, b) IN ((1, 2))              a = 1 AND b = 2
//! t, unnest(t.list) AS u(x)       (SELECT *, unnest(list) AS x FROM t) AS t
//! (SELECT max(x) .. WHERE u.a < t.a)   a join with what is grouped by t.a
//! FROM (SELECT .. ORDER BY k)     the order of what reads it
//! ```

mod calls;
mod casts;
mod changes;
mod columns;
mod correlated;
mod doubles;
mod groupings;
mod inner_orders;
mod joins;
pub(super) mod json;
mod lateral_limits;
mod laterals;
mod limits;
mod names;
mod orders;
mod own;
mod pivot;
mod rows;
mod sets;
mod subqueries;
mod using;
mod windows;

use std::cell::Cell;
use std::ops::ControlFlow;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CreateView, Cte, Expr, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectFlavor,
    SelectItem, SetExpr, SetQuantifier, Statement, TableAlias, TableFactor, TableSampleKind,
    TableSampleUnit, TableWithJoins, Value, VisitMut, VisitorMut, WildcardAdditionalOptions, With,
    visit_expressions, visit_relations,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

pub use self::doubles::double;
pub use self::names::name_items;
use self::own::has_own;
use super::respell::BY_NAME;
use crate::error::{Error, Result};
use crate::sql_type::sql_type_name;
use crate::units::show_literal;

/// What has to be asked of tables that are open.
#[derive(Clone, Copy)]
pub struct Lookups<'a> {
    /// Gives the names of the columns of a query's result.
    pub columns: &'a dyn Fn(Query) -> Result<Vec<String>>,
    /// Says whether a function of a lower-case name is an aggregate.
    pub is_aggregate: IsAggregate<'a>,
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
    changes::looked_up(statement, lookups)?;
    // All tables that are made are gone with the session.
    if let Statement::CreateTable(table) = statement {
        table.temporary = false;
        // Its columns have names as they were written.
        name_items(statement);
    }
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
    /// Whether the query that is visited next is only searched, in whatever order.
    is_searched: bool,
}

/// A query around what is visited.
struct Around {
    /// Whether it is only searched, in whatever order.
    is_searched: bool,
    /// Its WITH; the first `done_count` tables of it are rewritten.
    with: Option<With>,
    done_count: usize,
    /// Columns of its SELECT that stand for those of several tables.
    merged: Vec<using::Merged>,
    /// Columns that are computed from those of its tables.
    made: Vec<laterals::Made>,
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
        for table in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            names::as_written(&mut table.query);
        }
        if self.around.is_empty() {
            names::beside_wildcards(query);
        }
        let with = query.with.clone();
        let is_searched = std::mem::take(&mut self.is_searched);
        let (merged, made) = (Vec::new(), Vec::new());
        self.around.push(Around { is_searched, with, done_count: 0, merged, made });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let rewritten = self
            .order_by_all(query)
            .and_then(|()| self.looked_up(query))
            .and_then(|()| self.counted_sets(&mut query.body))
            .and_then(|()| self.inner_orders(query))
            .and_then(|()| self.orders(query));
        if let Err(error) = rewritten {
            return ControlFlow::Break(error);
        }
        self.around.pop();
        // Behind a set operation, ORDER BY names columns of its result.
        let is_select = matches!(query.body.as_ref(), SetExpr::Select(_));
        let mut order_by = query.order_by.as_mut().filter(|_| is_select);
        each_side(&mut query.body, true, &mut |side, names| match side {
            SetExpr::Select(select) => {
                if !names {
                    names::named_apart(select);
                }
                casts::told_apart(select, order_by.take());
            }
            SetExpr::Values(values) => {
                doubles::doubles_of_values(values);
                self.doubles_beside_calls(values);
            }
            _ => {}
        });
        if let Err(error) = self.percent(query).and_then(|()| limits::limits(query)) {
            return ControlFlow::Break(error);
        }
        if let Err(error) = computed_once(query) {
            return ControlFlow::Break(error);
        }
        // The tables of a WITH are visited first and in order: this may be the next one of them.
        if let Some(Around { with: Some(with), done_count, .. }) = self.around.last_mut()
            && let Some(table) = with.cte_tables.get_mut(*done_count)
        {
            *table.query = query.clone();
            *done_count += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match self.select(select) {
            Ok((merged, made)) => {
                if let Some(around) = self.around.last_mut() {
                    (around.merged, around.made) = (merged, made);
                }
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        if let TableFactor::Derived { subquery, .. } = table {
            names::as_written(subquery);
        }
        ControlFlow::Continue(())
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

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Some(new) = calls::array_of_rows(expr) {
            *expr = new;
        }
        calls::negate_base(expr);
        self.is_searched |= match expr {
            Expr::Exists { .. } => true,
            // What stands before IN is visited first.
            Expr::InSubquery { expr, .. } => {
                !has_own(expr.as_ref(), |expr| matches!(expr, Expr::Subquery(_)))
            }
            _ => false,
        };
        ControlFlow::Continue(())
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
            Ok(None) => calls::expression(expr, self.lookups.is_aggregate),
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

/// Says whether a function of a lower-case name is an aggregate.
pub type IsAggregate<'a> = &'a dyn Fn(&str) -> bool;

/// Whether an expression is a call of an aggregate.
fn is_aggregate(expr: &Expr, known: IsAggregate<'_>) -> bool {
    matches!(expr, Expr::Function(function)
        if function.over.is_none() && known(&function.name.to_string().to_lowercase()))
}

/// Whether an expression is about several rows, or makes some.
fn is_about_rows(expr: &Expr, known: IsAggregate<'_>) -> bool {
    is_aggregate(expr, known)
        || matches!(expr, Expr::Function(function) if function.over.is_some()
            || function.filter.is_some()
            || function.name.to_string().eq_ignore_ascii_case("unnest"))
}

fn has_rows(expr: &Expr, known: IsAggregate<'_>) -> bool {
    let found = visit_expressions(expr, |expr| match is_about_rows(expr, known) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether a SELECT has a GROUP BY.
fn is_grouped(select: &Select) -> bool {
    match &select.group_by {
        GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
        GroupByExpr::All(_) => true,
    }
}

/// The tables of a FROM, one by one.
fn factors(from: &[TableWithJoins]) -> impl Iterator<Item = &TableFactor> {
    from.iter().flat_map(|table| {
        let joined = table.joins.iter().map(|join| &join.relation);
        std::iter::once(&table.relation).chain(joined)
    })
}

impl<'a> Rewriter<'a> {
    fn new(lookups: Lookups<'a>) -> Self {
        Rewriter { lookups, around: Vec::new(), counts_rows: Cell::new(false), is_searched: false }
    }
}

impl Rewriter<'_> {
    /// Rewrites a SELECT; returns its columns that stand for something else.
    fn select(&self, select: &mut Select) -> Result<(Vec<using::Merged>, Vec<laterals::Made>)> {
        if select.projection.is_empty() && select.flavor == SelectFlavor::FromFirstNoSelect {
            let all = WildcardAdditionalOptions::default();
            select.projection.push(SelectItem::Wildcard(all));
            select.flavor = SelectFlavor::Standard;
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
        windows::spelled(select)?;
        self.joins(select)?;
        self.lateral_limits(select)?;
        let merged = self.merged(select)?;
        let made = self.laterals(select)?;
        self.in_items(select)?;
        self.correlated(select)?;
        let mut known: Option<Vec<String>> = None;
        if select.projection.iter().any(columns::names_columns) {
            let columns = self.columns_of(select)?;
            select.projection = select
                .projection
                .drain(..)
                .map(|item| columns::expanded(item, &columns))
                .collect::<Result<Vec<_>>>()?
                .concat();
            known = Some(columns);
        }
        groupings::spelled(&mut select.group_by);
        self.wildcards(select, &mut known);
        self.aliases(select, known)?;
        names::part_names(&mut select.projection);
        Ok((merged, made))
    }

    /// The columns of a table.
    fn columns_of_table(&self, table: &TableFactor) -> Result<Vec<String>> {
        let mut all = query("SELECT * FROM t")?;
        if let SetExpr::Select(select) = all.body.as_mut() {
            select.from[0].relation = table.clone();
            return self.columns_of(select);
        }
        Ok(Vec::new())
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

/// Refuses tables of a WITH that are named twice and would give other rows each time.
fn computed_once(query: &Query) -> Result<()> {
    for table in query.with.iter().flat_map(|with| &with.cte_tables) {
        let own = table.alias.name.value.to_lowercase();
        let mut name_count = 0;
        let _ = visit_relations(query, |name| {
            name_count += usize::from(name.to_string().to_lowercase() == own);
            ControlFlow::<()>::Continue(())
        });
        let is_volatile = |expr: &Expr| match is_volatile(expr) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        if name_count > 1 && visit_expressions(&table.query, is_volatile).is_break() {
            let error = format!("{own} is random, and would be computed anew wherever it is named");
            return Err(Error::sql(error).hint(format!("CREATE TABLE {own} AS ... keeps it")));
        }
    }
    Ok(())
}

/// Whether an expression gives another value each time.
fn is_volatile(expr: &Expr) -> bool {
    const FUNCTIONS: [&str; 4] = ["gen_random_uuid", "random", "rand", "uuid"];
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

/// A condition beside one that may be there already.
fn both(before: Option<Expr>, condition: Expr) -> Expr {
    match before {
        None => condition,
        Some(before) => Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(before))),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(Box::new(condition))),
        },
    }
}

fn named(name: &str) -> Expr {
    Expr::Identifier(Ident::with_quote('"', name))
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

/// The query of a view, with the names that it gives to columns.
///
/// # Errors
/// When it cannot be put together.
pub fn view_query(view: &CreateView) -> Result<Query> {
    if view.columns.is_empty() {
        return Ok((*view.query).clone());
    }
    let names: Vec<String> = view.columns.iter().map(|column| column.name.to_string()).collect();
    query(&format!("SELECT * FROM ({}) AS renamed ({})", view.query, names.join(", ")))
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
        DataType::Float32 | DataType::Float64 => return Ok(double(&text)),
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

fn only_arg(args: &FunctionArguments) -> Option<&Expr> {
    let FunctionArguments::List(list) = args else { return None };
    match &list.args[..] {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(only))] => Some(only),
        _ => None,
    }
}
