//! Joins that the planner does not know.
//!
//! ```text
//! t ASOF JOIN u ON t.k = u.k AND t.at >= u.at
//!   t JOIN (SELECT *, lead(at) OVER (PARTITION BY k ORDER BY at) AS next FROM u WHERE at IS NOT NULL) u
//!     ON t.k = u.k AND t.at >= u.at AND (u.next IS NULL OR t.at < u.next)
//! t POSITIONAL JOIN u
//!   (SELECT *, row_number() OVER () AS p FROM t) t FULL JOIN (SELECT *, ... AS q FROM u) u ON t.p = u.q
//! ```

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName,
    Select, SelectItem, SelectItemQualifiedWildcardKind, TableAlias, TableFactor,
    WildcardAdditionalOptions,
};

use super::{Rewriter, derived, parsed};
use crate::error::{Error, Result};
use crate::plan::respell::{ASOF_INNER, POSITIONAL};

pub(super) use crate::units::HIDDEN;

impl Rewriter<'_> {
    /// Writes ASOF and POSITIONAL joins in joins that the planner knows.
    pub(super) fn joins(&self, select: &mut Select) -> Result<()> {
        let mut hidden = Vec::new();
        for table in &mut select.from {
            for idx in 0..table.joins.len() {
                let JoinOperator::AsOf { match_condition, constraint } =
                    table.joins[idx].join_operator.clone()
                else {
                    continue;
                };
                let marker = match &match_condition {
                    Expr::Value(value) => value.value.clone().into_string(),
                    _ => None,
                };
                let number = hidden.len();
                if marker.as_deref() == Some(POSITIONAL) {
                    if idx > 0 {
                        return Err(Error::sql("POSITIONAL JOIN goes with two tables")
                            .hint("join the first two in a query of their own"));
                    }
                    self.counts_rows.set(true);
                    let names = [format!("{HIDDEN}{number}"), format!("{HIDDEN}{}", number + 1)];
                    table.relation = numbered(&table.relation, &names[0])?;
                    let right = &mut table.joins[0];
                    right.relation = numbered(&right.relation, &names[1])?;
                    let same = parsed(&format!("{} = {}", names[0], names[1]))?;
                    right.join_operator = JoinOperator::FullOuter(JoinConstraint::On(same));
                    hidden.extend(names);
                    continue;
                }
                let mut conditions = Vec::new();
                match constraint {
                    JoinConstraint::On(on) => split(&on, &mut conditions),
                    JoinConstraint::Using(names) => {
                        // The last one is the time; `*` shows those of the left table only.
                        let right = &mut table.joins[idx].relation;
                        let taken = renamed(right, &names, hidden.len())?;
                        for (at, (name, other)) in names.iter().zip(&taken).enumerate() {
                            let operator = if at + 1 == names.len() { ">=" } else { "=" };
                            conditions.push(parsed(&format!("{name} {operator} {other}"))?);
                        }
                        hidden.extend(taken);
                    }
                    JoinConstraint::None => {}
                    JoinConstraint::Natural => {
                        return Err(Error::sql(
                            "NATURAL ASOF JOIN does not say which column is the time",
                        )
                        .hint("ASOF JOIN u ON t.key = u.key AND t.time >= u.time"));
                    }
                }
                // As in the tools that have MATCH_CONDITION, rows without a partner stay.
                let is_inner = marker.as_deref() == Some(ASOF_INNER);
                if marker.is_none() {
                    split(&match_condition, &mut conditions);
                }
                let name = format!("{HIDDEN}end{number}");
                let join = &mut table.joins[idx];
                let on = self.as_of(&mut join.relation, &conditions, &name)?;
                let on = JoinConstraint::On(on);
                join.join_operator =
                    if is_inner { JoinOperator::Inner(on) } else { JoinOperator::LeftOuter(on) };
                hidden.push(name);
            }
        }
        if !hidden.is_empty() {
            hide(select, &hidden, None);
        }
        Ok(())
    }

    /// Gives the right table of an ASOF JOIN the end of each row's time; returns the join's condition.
    fn as_of(&self, right: &mut TableFactor, conditions: &[Expr], end: &str) -> Result<Expr> {
        let wrong = || {
            Error::sql(
                "ASOF JOIN needs equalities and one inequality between a column of each table",
            )
            .hint("ASOF JOIN u ON t.key = u.key AND t.time >= u.time")
        };
        let own = name_of(right).ok_or_else(wrong)?;
        let columns = self.columns_of_table(right)?;
        let is_own = |expr: &Expr| match expr {
            Expr::CompoundIdentifier(parts) => {
                parts.first().is_some_and(|part| part.value.eq_ignore_ascii_case(&own.value))
            }
            Expr::Identifier(name) => {
                name.value.starts_with(HIDDEN)
                    || columns.iter().any(|column| column.eq_ignore_ascii_case(&name.value))
            }
            _ => false,
        };
        let (mut keys, mut order, mut others) = (Vec::new(), None, Vec::new());
        for condition in conditions {
            let Expr::BinaryOp { left, op, right } = condition else { return Err(wrong()) };
            let (mine, theirs, is_turned) = match (is_own(left), is_own(right)) {
                (false, true) => (right.as_ref(), left.as_ref(), false),
                (true, false) => (left.as_ref(), right.as_ref(), true),
                _ => return Err(wrong()),
            };
            match op {
                BinaryOperator::Eq => keys.push(plain(mine)),
                BinaryOperator::Gt
                | BinaryOperator::GtEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                    if order.is_none() =>
                {
                    let is_later = matches!(op, BinaryOperator::Gt | BinaryOperator::GtEq);
                    let is_strict = matches!(op, BinaryOperator::Gt | BinaryOperator::Lt);
                    // Whether the partner is the last one before.
                    order = Some((mine, theirs, is_later != is_turned, is_strict));
                }
                _ => return Err(wrong()),
            }
            others.push(condition.to_string());
        }
        let (mine, theirs, is_before, is_strict) = order.ok_or_else(wrong)?;
        let partition = match keys.len() {
            0 => String::new(),
            _ => format!("PARTITION BY {} ", keys.join(", ")),
        };
        let column = plain(mine);
        let (function, beyond) = match (is_before, is_strict) {
            (true, false) => ("lead", "<"),
            (true, true) => ("lead", "<="),
            (false, false) => ("lag", ">"),
            (false, true) => ("lag", ">="),
        };
        let bare = without_alias(right);
        let sql = format!(
            "SELECT *, {function}({column}) OVER ({partition}ORDER BY {column}) AS {end} \
             FROM {bare} WHERE {column} IS NOT NULL"
        );
        *right = derived(&sql, Some(alias(own)))?;
        parsed(&format!("{} AND ({end} IS NULL OR {theirs} {beyond} {end})", others.join(" AND ")))
    }
}

/// The parts of a condition that are joined by AND.
pub(super) fn split(condition: &Expr, parts: &mut Vec<Expr>) {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            split(left, parts);
            split(right, parts);
        }
        Expr::Nested(inner) => split(inner, parts),
        other => parts.push(other.clone()),
    }
}

/// A column without the name of its table.
fn plain(expr: &Expr) -> String {
    match expr {
        Expr::CompoundIdentifier(parts) => {
            parts.last().map_or_else(String::new, ToString::to_string)
        }
        other => other.to_string(),
    }
}

/// The name that a table goes by.
pub(super) fn name_of(table: &TableFactor) -> Option<Ident> {
    match table {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

pub(super) fn alias(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: Vec::new(), at: None }
}

fn without_alias(table: &TableFactor) -> TableFactor {
    let mut bare = table.clone();
    if let TableFactor::Table { alias, .. } = &mut bare {
        *alias = None;
    }
    bare
}

pub(super) fn is_inner(operator: &JoinOperator) -> bool {
    matches!(operator, JoinOperator::Inner(_) | JoinOperator::Join(_) | JoinOperator::CrossJoin(_))
}

/// Whether the rows of the tables before a join are not filled up with NULLs.
pub(super) fn keeps_left(operator: &JoinOperator) -> bool {
    is_inner(operator) || matches!(operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_))
}

/// A table with the number of each row.
fn numbered(table: &TableFactor, column: &str) -> Result<TableFactor> {
    let name = name_of(table);
    let bare = without_alias(table);
    let sql = format!("SELECT *, row_number() OVER () AS {column} FROM {bare}");
    derived(&sql, name.map(alias))
}

/// Gives columns of a table hidden names; returns those.
fn renamed(table: &mut TableFactor, names: &[ObjectName], from: usize) -> Result<Vec<String>> {
    let own = name_of(table);
    let taken: Vec<String> =
        (0..names.len()).map(|number| format!("{HIDDEN}{}", from + number)).collect();
    let list = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let items: Vec<String> =
        names.iter().zip(&taken).map(|(name, other)| format!("{name} AS {other}")).collect();
    let bare = without_alias(table);
    let sql = format!("SELECT * EXCLUDE ({list}), {} FROM {bare}", items.join(", "));
    *table = derived(&sql, own.map(alias))?;
    Ok(taken)
}

/// Leaves hidden columns out of `*`, and of `t.*` for the table that has them.
pub(super) fn hide(select: &mut Select, hidden: &[String], table: Option<&Ident>) {
    for item in &mut select.projection {
        match item {
            SelectItem::Wildcard(options) => exclude(options, hidden),
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) if table
                .is_some_and(|table| name.to_string().eq_ignore_ascii_case(&table.to_string())) =>
            {
                exclude(options, hidden);
            }
            _ => {}
        }
    }
}

fn exclude(options: &mut WildcardAdditionalOptions, hidden: &[String]) {
    let mut names = match options.opt_exclude.take() {
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
        None => Vec::new(),
    };
    names.extend(hidden.iter().map(|name| ObjectName::from(vec![Ident::new(name.clone())])));
    options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
}

/// `unnest(...) WITH ORDINALITY`: its rows with their numbers, from 1.
pub(super) fn with_ordinality(table: &TableFactor) -> (String, Option<TableAlias>) {
    let mut bare = table.clone();
    let alias = match &mut bare {
        TableFactor::UNNEST { alias, with_ordinality, .. }
        | TableFactor::Table { alias, with_ordinality, .. } => {
            *with_ordinality = false;
            alias.take()
        }
        _ => None,
    };
    (format!("SELECT *, row_number() OVER () AS ordinality FROM {bare}"), alias)
}
