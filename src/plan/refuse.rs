//! Refusals: clauses that the parser takes and the planner would drop without a word.
//!
//! Each entry is a wrong answer that does not happen. An entry goes away when the clause works.

use std::ops::ControlFlow;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Expr as LogicalExpr, ExprSchemable, LogicalPlan, Operator, WindowFrameBound, WindowFrameUnits,
    WriteOp,
};
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ColumnOption, Cte, DataType as SqlType, Expr, GroupByExpr, ObjectName,
    OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier,
    Statement as SqlStatement, TableAlias, TableFactor, Visit, Visitor, WildcardAdditionalOptions,
    visit_relations,
};

use super::rules::{compares, schema_within};
use crate::error::{Error, Result};

mod correlated;

/// Checks a statement.
///
/// # Errors
/// When it uses a clause that would be ignored.
pub fn check(statement: &Statement) -> Result<()> {
    match statement {
        Statement::Statement(statement) => check_sql(statement),
        Statement::Explain(explain) if matches!(*explain.statement, Statement::CopyTo(_)) => {
            Err(refused("EXPLAIN COPY", "explain the query that is copied"))
        }
        Statement::Explain(explain) => check(&explain.statement),
        Statement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => match query.visit(&mut Refusals) {
                ControlFlow::Break(error) => Err(error),
                ControlFlow::Continue(()) => Ok(()),
            },
            CopyToSource::Relation(_) => Ok(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => Ok(()),
    }
}

fn check_sql(statement: &SqlStatement) -> Result<()> {
    if let SqlStatement::Insert(insert) = statement
        && insert.overwrite
    {
        return Err(refused("INSERT OVERWRITE", "create the table anew"));
    }
    if matches!(statement, SqlStatement::Merge(_)) {
        return Err(refused(
            "MERGE INTO",
            "UPDATE the rows that are there, then INSERT ... WHERE NOT EXISTS (...)",
        ));
    }
    if let SqlStatement::CreateTable(table) = statement {
        let is_key = |option: &ColumnOption| {
            matches!(
                option,
                ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_) | ColumnOption::ForeignKey(_)
            )
        };
        let mut options = table.columns.iter().flat_map(|column| &column.options);
        if !table.constraints.is_empty() || options.any(|option| is_key(&option.option)) {
            let instead = "leave it out; SELECT key, count(*) ... HAVING count(*) > 1 finds what is there twice";
            return Err(refused("a key or constraint of a table", instead));
        }
    }
    match statement.visit(&mut Refusals) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Checks a plan for conditions that DataFusion would decide as if NULL were false.
///
/// It makes joins of IN (subquery). They are right where NULL and false are the same: in a condition
/// of its own, and for IN also below AND and OR. NOT IN is right without outer columns only.
///
/// # Errors
/// When a condition is of another form.
pub fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let checked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Filter(filter) = node {
            for condition in split_conjunction(&filter.predicate) {
                check_condition(condition)?;
            }
        }
        correlated::check_node(node)?;
        check_change(node)?;
        let schema = schema_within(node)?;
        if let LogicalPlan::Sort(sort) = node
            && sort
                .expr
                .iter()
                .any(|key| matches!(key.expr.get_type(&schema), Ok(DataType::Interval(_))))
        {
            return Err(unordered().into());
        }
        let mut error = None;
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                error =
                    check_types(part, &schema).and_then(|()| correlated::check_expr(part)).err();
                Ok(if error.is_some() {
                    TreeNodeRecursion::Stop
                } else {
                    TreeNodeRecursion::Continue
                })
            })
        })?;
        error.map_or(Ok(TreeNodeRecursion::Continue), |error| Err(error.into()))
    });
    checked.map(|_| ()).map_err(Error::from)
}

/// Checks what DataFusion takes by its bits or as a text, where it means something else.
fn check_types(expr: &LogicalExpr, schema: &DFSchema) -> Result<()> {
    let type_of = |expr: &LogicalExpr| expr.get_type(schema).ok();
    let is_interval = |expr| matches!(type_of(expr), Some(DataType::Interval(_)));
    let is_span = |expr| is_interval(expr) || matches!(type_of(expr), Some(DataType::Duration(_)));
    let are_intervals =
        |left, right| is_span(left) && is_span(right) && (is_interval(left) || is_interval(right));
    match expr {
        LogicalExpr::BinaryExpr(both)
            if compares(both.op) && are_intervals(&both.left, &both.right) =>
        {
            return Err(unordered());
        }
        // By its bits, a day is longer than any number of hours.
        LogicalExpr::Between(between)
            if [&between.expr, &between.low, &between.high].into_iter().any(|e| is_interval(e)) =>
        {
            return Err(unordered());
        }
        LogicalExpr::Cast(Cast { expr: inner, field })
        | LogicalExpr::TryCast(TryCast { expr: inner, field })
            if field.data_type().is_list()
                && type_of(inner).is_some_and(|given| given.is_string()) =>
        {
            let instead = "string_to_array('1,2', ',')::INT[] makes one of what a comma parts";
            return Err(refused("a cast of a text to a list", instead));
        }
        LogicalExpr::WindowFunction(call)
            if call.params.window_frame.units == WindowFrameUnits::Range =>
        {
            let frame = &call.params.window_frame;
            for bound in [&frame.start_bound, &frame.end_bound] {
                let (WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset)) =
                    bound
                else {
                    continue;
                };
                let text = offset.try_as_str().flatten();
                let key = call.params.order_by.first().and_then(|key| type_of(&key.expr));
                if let (Some(text), Some(key)) = (text, key) {
                    check_offset(text, &key)?;
                }
            }
        }
        LogicalExpr::AggregateFunction(call)
            if ["min", "max"].contains(&call.func.name())
                && call.params.args.first().is_some_and(is_interval) =>
        {
            return Err(unordered());
        }
        _ => {}
    }
    Ok(())
}

/// Checks how far a RANGE reaches: a number over times would be taken for months.
fn check_offset(offset: &str, key: &DataType) -> Result<()> {
    let is_number = offset.trim().parse::<f64>().is_ok();
    match key {
        key if key.is_temporal() && is_number => Err(refused(
            &format!("RANGE {offset} PRECEDING or FOLLOWING over dates or times"),
            "say how long: RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW",
        )),
        key if key.is_string() => Err(refused(
            &format!("RANGE {offset} PRECEDING or FOLLOWING over texts"),
            "ROWS counts rows, GROUPS counts different texts",
        )),
        _ => Ok(()),
    }
}

/// Checks a DELETE or UPDATE: a table that is changed learns of filters only, and would change all rows that
/// anything else leaves out.
fn check_change(node: &LogicalPlan) -> Result<()> {
    let LogicalPlan::Dml(change) = node else { return Ok(()) };
    if !matches!(change.op, WriteOp::Delete | WriteOp::Update) {
        return Ok(());
    }
    let mut is_plain = true;
    change
        .input
        .apply(|node| {
            is_plain &= matches!(
                node,
                LogicalPlan::Projection(_)
                    | LogicalPlan::Filter(_)
                    | LogicalPlan::TableScan(_)
                    | LogicalPlan::SubqueryAlias(_)
            );
            node.apply_expressions(|expr| {
                is_plain &= !expr.exists(|part| Ok(has_plan(part)))?;
                Ok(TreeNodeRecursion::Continue)
            })
        })
        .map_err(Error::from)?;
    if is_plain {
        return Ok(());
    }
    let instead = "CREATE OR REPLACE TABLE t AS SELECT ... makes the table anew";
    Err(refused("DELETE or UPDATE with more than a table and a condition", instead))
}

fn has_plan(expr: &LogicalExpr) -> bool {
    matches!(
        expr,
        LogicalExpr::Exists(_)
            | LogicalExpr::InSubquery(_)
            | LogicalExpr::ScalarSubquery(_)
            | LogicalExpr::SetComparison(_)
    )
}

fn unordered() -> Error {
    refused(
        "comparing intervals, whose months, days and hours have no one length,",
        "compare numbers: date_diff('second', from, to) > 3600",
    )
}

fn check_condition(condition: &LogicalExpr) -> Result<()> {
    let negated = match condition {
        LogicalExpr::InSubquery(within) => within.negated.then_some(within),
        LogicalExpr::Not(inner) => match inner.as_ref() {
            LogicalExpr::InSubquery(within) if !within.negated => Some(within),
            other => return check_below(other, false),
        },
        other => return check_below(other, true),
    };
    match negated {
        Some(within) if !within.subquery.outer_ref_columns.is_empty() => {
            Err(not_decided("NOT IN (subquery) with columns from outside it"))
        }
        _ => Ok(()),
    }
}

/// Checks what is part of a condition; `is_plain` as long as only AND and OR stand above.
fn check_below(expr: &LogicalExpr, is_plain: bool) -> Result<()> {
    match expr {
        LogicalExpr::InSubquery(within) if is_plain && !within.negated => Ok(()),
        LogicalExpr::InSubquery(_) => Err(not_decided("[NOT] IN (subquery) within an expression")),
        LogicalExpr::BinaryExpr(both) if matches!(both.op, Operator::And | Operator::Or) => {
            check_below(&both.left, is_plain)?;
            check_below(&both.right, is_plain)
        }
        other => {
            let mut result = Ok(());
            let _ = other.apply_children(|child| {
                result = check_below(child, false);
                let next = if result.is_ok() {
                    TreeNodeRecursion::Continue
                } else {
                    TreeNodeRecursion::Stop
                };
                Ok(next)
            });
            result
        }
    }
}

fn not_decided(what: &str) -> Error {
    refused(what, "write it as [NOT] EXISTS (SELECT 1 FROM ... WHERE y = x), which knows no NULL")
}

fn refused(what: &str, instead: &str) -> Error {
    Error::sql(format!("{what} is not supported yet")).hint(instead.to_string())
}

struct Refusals;

type Verdict = ControlFlow<Error>;

fn refuse_if(condition: bool, what: &str, instead: &str) -> Verdict {
    if condition { ControlFlow::Break(refused(what, instead)) } else { ControlFlow::Continue(()) }
}

impl Visitor for Refusals {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> Verdict {
        check_sides(&query.body)?;
        refuse_if(!query.locks.is_empty(), "FOR UPDATE", "leave it out: files are never locked")?;
        let with = query.with.iter().filter(|with| with.recursive);
        refuse_if(
            with.flat_map(|with| &with.cte_tables).any(is_limited_within_itself),
            "LIMIT within a recursive query",
            "put it where the query is read: SELECT * FROM r LIMIT 5",
        )?;
        refuse_if(query.for_clause.is_some(), "FOR XML / FOR JSON", "use --format json")?;
        refuse_if(query.settings.is_some(), "SETTINGS", "use SET name = value")?;
        refuse_if(query.format_clause.is_some(), "FORMAT", "use --format")?;
        if let Some(order_by) = &query.order_by {
            refuse_if(order_by.interpolate.is_some(), "INTERPOLATE", "leave it out")?;
            if let OrderByKind::Expressions(exprs) = &order_by.kind {
                let fills = exprs.iter().any(|expr| expr.with_fill.is_some());
                refuse_if(fills, "WITH FILL", "join with generate_series")?;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Verdict {
        refuse_if(select.top.is_some(), "TOP", "use LIMIT")?;
        refuse_if(select.select_modifiers.is_some(), "this modifier of SELECT", "leave it out")?;
        refuse_if(select.exclude.is_some(), "EXCLUDE here", "write SELECT * EXCLUDE (column)")?;
        refuse_if(select.prewhere.is_some(), "PREWHERE", "use WHERE")?;
        refuse_if(!select.connect_by.is_empty(), "CONNECT BY", "use WITH RECURSIVE")?;
        refuse_if(
            select.value_table_mode.is_some(),
            "SELECT AS STRUCT / VALUE",
            "use struct(...)",
        )?;
        refuse_if(!select.lateral_views.is_empty(), "LATERAL VIEW", "use unnest(...)")?;
        refuse_if(!select.distribute_by.is_empty(), "DISTRIBUTE BY", "leave it out")?;
        let (GroupByExpr::Expressions(_, modifiers) | GroupByExpr::All(modifiers)) =
            &select.group_by;
        refuse_if(
            !modifiers.is_empty(),
            "WITH ROLLUP / CUBE / TOTALS",
            "write GROUP BY ROLLUP(a, b)",
        )?;
        for item in &select.projection {
            if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item
            {
                check_wildcard(options)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> Verdict {
        let use_limit = "use LIMIT, or WHERE random() < 0.1";
        match table {
            TableFactor::Table {
                alias,
                with_hints,
                version,
                partitions,
                json_path,
                index_hints,
                ..
            } => {
                refuse_if(version.is_some(), "a table version", "leave it out")?;
                refuse_if(!with_hints.is_empty(), "WITH (hints)", "leave it out")?;
                refuse_if(!index_hints.is_empty(), "an index hint", "leave it out")?;
                refuse_if(!partitions.is_empty(), "PARTITION (...)", "use WHERE key = value")?;
                refuse_if(json_path.is_some(), "a JSON path after a table", "use get_field")?;
                check_alias(alias.as_ref())
            }
            TableFactor::Derived { alias, sample, .. } => {
                refuse_if(sample.is_some(), "TABLESAMPLE", use_limit)?;
                check_alias(alias.as_ref())
            }
            TableFactor::UNNEST { with_offset, .. } => {
                refuse_if(*with_offset, "WITH OFFSET", "use WITH ORDINALITY")
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Verdict {
        match expr {
            // These two are IN and NOT IN, and are written so (`plan/sugar.rs`).
            Expr::AnyOp { compare_op: BinaryOperator::Eq, .. }
            | Expr::AllOp { compare_op: BinaryOperator::NotEq, .. } => ControlFlow::Continue(()),
            Expr::AnyOp { compare_op, right, .. } | Expr::AllOp { compare_op, right, .. } => {
                let is_ordered = matches!(
                    compare_op,
                    BinaryOperator::Lt
                        | BinaryOperator::LtEq
                        | BinaryOperator::Gt
                        | BinaryOperator::GtEq
                );
                let is_subquery = matches!(right.as_ref(), Expr::Subquery(_));
                refuse_if(
                    is_subquery && !is_ordered,
                    "<> ANY or = ALL (subquery)",
                    "compare with (SELECT min(...)) and (SELECT max(...))",
                )
            }
            // They would be months in one place, and nanoseconds in another.
            Expr::Interval(interval) if interval.leading_field.is_none() => {
                refuse_if(has_no_unit(&interval.value), NO_UNIT, "write INTERVAL '1 second'")
            }
            Expr::Cast { expr, data_type: SqlType::Interval { .. }, .. } => {
                refuse_if(has_no_unit(expr), NO_UNIT, "write INTERVAL '1 second'")
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Whether a table of WITH RECURSIVE would cut its rows on their way to itself: it never ends.
fn is_limited_within_itself(table: &Cte) -> bool {
    let names_itself = |name: &ObjectName| match name.to_string() {
        name if name.eq_ignore_ascii_case(&table.alias.name.value) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    (table.query.limit_clause.is_some() || table.query.fetch.is_some())
        && matches!(table.query.body.as_ref(), SetExpr::SetOperation { .. })
        && visit_relations(&table.query, names_itself).is_break()
}

const NO_UNIT: &str = "an interval without a unit";

fn has_no_unit(value: &Expr) -> bool {
    let Expr::Value(value) = value else { return false };
    let text = value.value.clone().into_string();
    text.is_some_and(|text| text.trim().parse::<f64>().is_ok())
}

/// DataFusion takes these for joins that do not count rows.
fn check_sides(body: &SetExpr) -> Verdict {
    let SetExpr::SetOperation { op, left, right, set_quantifier } = body else {
        return ControlFlow::Continue(());
    };
    let counts = *set_quantifier == SetQuantifier::AllByName
        && matches!(op, SetOperator::Except | SetOperator::Intersect | SetOperator::Minus);
    refuse_if(counts, &format!("{op} ALL BY NAME"), "name the columns, without BY NAME")?;
    check_sides(left)?;
    check_sides(right)
}

fn check_wildcard(options: &WildcardAdditionalOptions) -> Verdict {
    refuse_if(options.opt_alias.is_some(), "an alias for *", "name the columns")
}

/// Words that other engines know as joins, and this parser reads as a table's alias.
fn check_alias(alias: Option<&TableAlias>) -> Verdict {
    let Some(alias) = alias else { return ControlFlow::Continue(()) };
    let word = alias.name.value.to_uppercase();
    let is_join = alias.name.quote_style.is_none()
        && !alias.explicit
        && ["POSITIONAL", "ASOF", "SEMI", "ANTI", "ANY", "SAMPLE", "USING"]
            .contains(&word.as_str());
    refuse_if(is_join, &format!("{word} JOIN"), "if it is meant as an alias, write AS before it")
}
