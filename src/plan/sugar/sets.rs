//! EXCEPT ALL and INTERSECT ALL, which DataFusion takes for joins that do not count rows: with equal
//! rows numbered they are EXCEPT and INTERSECT.
//!
//! ```text
//! SELECT x FROM t EXCEPT ALL SELECT y FROM u
//!   SELECT x FROM (SELECT x, row_number() OVER (PARTITION BY x) AS n FROM t
//!                  EXCEPT SELECT y, row_number() OVER (PARTITION BY y) FROM u)
//! ```

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{SetExpr, SetOperator, SetQuantifier};

use super::names::{new_name, quoted};
use super::{Rewriter, bare_query, joins::HIDDEN, query};
use crate::error::Result;

impl Rewriter<'_> {
    /// Rewrites all set operations of a query that count equal rows.
    pub(super) fn counted_sets(&self, body: &mut SetExpr) -> Result<()> {
        let SetExpr::SetOperation { op, set_quantifier, left, right } = body else {
            return Ok(());
        };
        self.counted_sets(left)?;
        self.counted_sets(right)?;
        let counts =
            matches!(op, SetOperator::Except | SetOperator::Intersect | SetOperator::Minus)
                && *set_quantifier == SetQuantifier::All;
        if !counts {
            return Ok(());
        }
        let names = (self.lookups.columns)(self.in_context(bare_query(left.as_ref().clone())))?;
        let columns: Vec<String> =
            (0..names.len()).map(|number| format!("{HIDDEN}column{number}")).collect();
        let all = columns.join(", ");
        let numbered = |side: &SetExpr, number: usize| {
            format!(
                "SELECT {all}, row_number() OVER (PARTITION BY {all}) AS {HIDDEN}row \
                 FROM ({side}) AS {HIDDEN}side{number} ({all})"
            )
        };
        let mut seen = HashSet::new();
        let items = names.iter().zip(&columns).map(|(name, column)| {
            let alias = new_name(name, &mut seen).unwrap_or_else(|| quoted(name));
            format!("{column} AS {alias}")
        });
        let items: Vec<String> = items.collect();
        let (left, right) = (numbered(left, 1), numbered(right, 2));
        let op = if *op == SetOperator::Intersect { "INTERSECT" } else { "EXCEPT" };
        let sql = format!("SELECT {} FROM ({left} {op} {right}) AS {HIDDEN}rows", items.join(", "));
        *body = *query(&sql)?.body;
        Ok(())
    }
}
