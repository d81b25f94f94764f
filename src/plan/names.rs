//! Names: columns match without regard to case, keep their spelling, and need no quotes.
//!
//! DataFusion folds unquoted names to lower case and then looks for an exact match. Once the
//! columns of all tables are known, every unquoted name that is one of them but for its case is
//! replaced by the column's own spelling, in quotes. Aliases keep the spelling that the user gave.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    ExceptSelectItem, ExcludeSelectItem, Expr, Ident, Join, JoinConstraint, JoinOperator,
    ObjectName, ObjectNamePart, Query, Select, SelectItem, Statement as SqlStatement, TableAlias,
    TableFactor, VisitMut, VisitorMut, WildcardAdditionalOptions, visit_expressions,
};

/// Spellings by lower-case name.
pub type Spelling = HashMap<String, String>;

/// The last parts of all names that a statement mentions in its expressions, in lower case.
pub fn mentioned(statement: &Statement) -> HashSet<String> {
    let mut names = HashSet::new();
    if let Some(statement) = sql_of(statement) {
        let _ = visit_expressions(statement, |expr| {
            let name = match expr {
                Expr::Identifier(ident) => Some(ident),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            names.extend(name.map(|name| name.value.to_lowercase()));
            ControlFlow::<()>::Continue(())
        });
    }
    names
}

/// Whether a subquery of a plan names columns of the query around it.
///
/// # Errors
/// None of its own.
pub fn looks_outside(plan: &LogicalPlan) -> datafusion::common::Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        found |= plan.contains_outer_reference();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn sql_of(statement: &Statement) -> Option<&SqlStatement> {
    match statement {
        Statement::Statement(statement) => Some(statement),
        Statement::Explain(explain) => sql_of(&explain.statement),
        _ => None,
    }
}

/// The SQL of a statement, also below EXPLAIN.
pub fn sql_of_mut(statement: &mut Statement) -> Option<&mut SqlStatement> {
    match statement {
        Statement::Statement(statement) => Some(statement),
        Statement::Explain(explain) => sql_of_mut(&mut explain.statement),
        _ => None,
    }
}

/// Gives every name in the statement its spelling.
///
/// `columns` are the names of all columns of all tables; `hidden` those that `*` must not show, in
/// the tables named `hidden_in`.
pub fn spell<'a>(
    statement: &mut Statement,
    columns: impl Iterator<Item = &'a str>,
    hidden: &HashMap<String, Vec<String>>,
) {
    let Some(statement) = sql_of_mut(statement) else { return };
    let mut spelling = Spelling::new();
    let mut lower_case = HashSet::new();
    for column in columns {
        let lower = column.to_lowercase();
        if lower == column {
            lower_case.insert(lower);
        } else {
            spelling.entry(lower).or_insert_with(|| column.to_string());
        }
    }
    let mut aliases = Aliases::default();
    let _ = statement.visit(&mut aliases);
    for alias in aliases.columns {
        let lower = alias.to_lowercase();
        if lower != alias && !lower_case.contains(&lower) {
            spelling.entry(lower).or_insert(alias);
        }
    }
    // A name that some table has in lower case as well is left to the user's quotes.
    spelling.retain(|lower, _| !lower_case.contains(lower));
    let mut speller = Speller { spelling, tables: aliases.tables, hidden };
    let _ = statement.visit(&mut speller);
}

/// Collects the aliases of a statement.
#[derive(Default)]
struct Aliases {
    columns: Vec<String>,
    tables: HashSet<String>,
}

impl VisitorMut for Aliases {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item
                && alias.quote_style.is_none()
            {
                self.columns.push(alias.value.clone());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } = table
        {
            self.tables.insert(alias.name.value.to_lowercase());
        } else if let TableFactor::Table { name, .. } = table {
            self.tables.extend(
                name.0
                    .iter()
                    .filter_map(|part| part.as_ident().map(|ident| ident.value.to_lowercase())),
            );
        }
        ControlFlow::Continue(())
    }
}

struct Speller<'a> {
    spelling: Spelling,
    tables: HashSet<String>,
    hidden: &'a HashMap<String, Vec<String>>,
}

impl Speller<'_> {
    fn ident(&self, ident: &mut Ident) {
        if ident.quote_style.is_some() {
            return;
        }
        if let Some(spelled) = self.spelling.get(&ident.value.to_lowercase()) {
            ident.value.clone_from(spelled);
            ident.quote_style = Some('"');
        }
    }

    fn name(&self, name: &mut ObjectName) {
        if let Some(ObjectNamePart::Identifier(ident)) = name.0.last_mut() {
            self.ident(ident);
        }
    }

    fn table_alias(&self, alias: &mut TableAlias) {
        alias.columns.iter_mut().for_each(|column| self.ident(&mut column.name));
    }

    fn wildcard(&self, options: &mut WildcardAdditionalOptions) {
        match &mut options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => self.name(name),
            Some(ExcludeSelectItem::Multiple(names)) => {
                names.iter_mut().for_each(|name| self.name(name));
            }
            None => {}
        }
        if let Some(ExceptSelectItem { first_element, additional_elements }) =
            &mut options.opt_except
        {
            self.ident(first_element);
            additional_elements.iter_mut().for_each(|ident| self.ident(ident));
        }
        if let Some(replace) = &mut options.opt_replace {
            replace.items.iter_mut().for_each(|item| self.ident(&mut item.column_name));
        }
    }

    /// Columns that exist only because they are mentioned stay out of `*`.
    fn hide(&self, select: &mut Select) {
        let tables = select.from.iter().flat_map(|from| {
            std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
        });
        let hidden: Vec<ObjectName> = tables
            .filter_map(|table| match table {
                TableFactor::Table { name, .. } => {
                    name.0.first().and_then(ObjectNamePart::as_ident)
                }
                _ => None,
            })
            .filter_map(|ident| self.hidden.get(&ident.value))
            .flatten()
            .collect::<HashSet<_>>()
            .into_iter()
            .map(|column| ObjectName::from(vec![Ident::with_quote('"', column.clone())]))
            .collect();
        if hidden.is_empty() {
            return;
        }
        for item in &mut select.projection {
            if let SelectItem::Wildcard(options) = item {
                let mut names = hidden.clone();
                match options.opt_exclude.take() {
                    Some(ExcludeSelectItem::Single(name)) => names.push(name),
                    Some(ExcludeSelectItem::Multiple(more)) => names.extend(more),
                    None => {}
                }
                options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
            }
        }
    }
}

impl VisitorMut for Speller<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(with) = &mut query.with {
            with.cte_tables.iter_mut().for_each(|cte| self.table_alias(&mut cte.alias));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.hide(select);
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => self.ident(alias),
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                    self.wildcard(options);
                }
                _ => {}
            }
        }
        for join in select.from.iter_mut().flat_map(|from| &mut from.joins) {
            if let Some(JoinConstraint::Using(columns)) = constraint_of(join) {
                columns.iter_mut().for_each(|column| self.name(column));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } = table
        {
            self.table_alias(alias);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.ident(ident),
            Expr::CompoundIdentifier(parts) => {
                let is_table = parts
                    .first()
                    .is_some_and(|first| self.tables.contains(&first.value.to_lowercase()));
                parts.iter_mut().skip(usize::from(is_table)).for_each(|part| self.ident(part));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// What a join joins by, if it may say so.
pub(super) fn constraint_of(join: &mut Join) -> Option<&mut JoinConstraint> {
    match &mut join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, columns: &[&str], expected: &str) {
        let mut statement = crate::plan::parse::parse(sql).expect("parses").remove(0).statement;
        spell(&mut statement, columns.iter().copied(), &HashMap::new());
        assert_eq!(statement.to_string(), expected);
    }

    #[test]
    fn columns_keep_their_spelling() {
        check(
            "SELECT amount, t.amount, \"amount\" FROM t WHERE AMOUNT > 1",
            &["Amount"],
            "SELECT \"Amount\", t.\"Amount\", \"amount\" FROM t WHERE \"Amount\" > 1",
        );
        check(
            "SELECT sum(x) AS Total FROM t ORDER BY total",
            &["x"],
            "SELECT sum(x) AS \"Total\" FROM t ORDER BY \"Total\"",
        );
        check("SELECT sum(total) AS Total FROM t", &["total"], "SELECT sum(total) AS Total FROM t");
        check("SELECT region.a FROM region", &["Region"], "SELECT region.a FROM region");
    }
}
