//! Lists of one expression are not merged where that changes what they mean.
//!
//! DataFusion (55) simplifies `x IN (1) AND x IN (2)` to false and `x NOT IN (1) OR x NOT IN (2)` to true,
//! which they are not where x is NULL, and cuts lists of columns as if other names were other values:
//! `x IN (y, 1) AND x IN (z, 1)` became `x IN (1)`. So while it simplifies, each list but the first is of
//! another expression, by a function that gives its argument. What becomes one list by OR is left alone.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The name of the function; it stands in no plan that is run.
const NAME: &str = "swath_apart";
/// Stack that is left when more is taken, and how much more.
const STACK_LEFT_BYTES: usize = 128 * 1024;
const STACK_MORE_BYTES: usize = 2 * 1024 * 1024;

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(2, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Apart { signature }))
});

/// DataFusion's rule, which sees lists apart.
#[derive(Debug)]
pub struct ListsApart(pub Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for ListsApart {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if !has_lists(&plan)? {
            return self.0.rewrite(plan, config);
        }
        let (preserver, mut names) = (NamePreserver::new(&plan), Vec::new());
        let sealed = plan.map_expressions(|expr| {
            names.push(preserver.save(&expr));
            Lists::default().sealed(expr)
        })?;
        if !sealed.transformed {
            return self.0.rewrite(sealed.data, config);
        }
        let simplified = self.0.rewrite(sealed.data, config)?;
        let is_changed = simplified.transformed;
        let mut names = names.into_iter();
        let plan = simplified.data.map_expressions(|expr| {
            let opened = unnamed(expr).transform_up(|expr| Ok(open(expr)))?;
            Ok(match names.next() {
                Some(name) => opened.update_data(|expr| name.restore(expr)),
                None => opened,
            })
        })?;
        Ok(Transformed { transformed: is_changed, ..plan })
    }
}

/// Whether there is a list, or something that may become one.
fn has_lists(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found = expr.exists(|part| {
            let is_or = matches!(part, Expr::BinaryExpr(binary) if binary.op == Operator::Or);
            Ok(is_or || matches!(part, Expr::InList(_)))
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// An expression without a name that the function has got into.
fn unnamed(expr: Expr) -> Expr {
    match expr {
        Expr::Alias(alias) if alias.name.contains(NAME) => *alias.expr,
        other => other,
    }
}

/// The lists of an expression so far, by what is looked for in them.
#[derive(Default)]
struct Lists(HashMap<Expr, i64>);

impl Lists {
    /// How many lists of an expression came before.
    fn next(&mut self, of: &Expr) -> i64 {
        let count = self.0.entry(of.clone()).or_default();
        *count += 1;
        *count - 1
    }

    fn sealed(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        stacker::maybe_grow(STACK_LEFT_BYTES, STACK_MORE_BYTES, || match expr {
            Expr::InList(list) => {
                let nth = self.next(&list.expr);
                Ok(sealed_list(list, nth))
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
                let mut counts = HashMap::new();
                count_sides(&expr, &mut counts);
                counts.retain(|_, count| *count > 1);
                let merged: HashMap<Expr, i64> =
                    counts.into_keys().map(|of| (of.clone(), self.next(&of))).collect();
                self.sealed_sides(expr, &merged)
            }
            other => other.map_children(|child| self.sealed(child)),
        })
    }

    /// Seals what stands between ORs; what becomes one list has one number.
    fn sealed_sides(
        &mut self,
        expr: Expr,
        merged: &HashMap<Expr, i64>,
    ) -> Result<Transformed<Expr>> {
        stacker::maybe_grow(STACK_LEFT_BYTES, STACK_MORE_BYTES, || {
            if let Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) = &expr {
                return expr.map_children(|side| self.sealed_sides(side, merged));
            }
            let Some(nth) = listed(&expr).and_then(|of| merged.get(of)).copied() else {
                return self.sealed(expr);
            };
            Ok(match expr {
                Expr::InList(list) => sealed_list(list, nth),
                Expr::BinaryExpr(BinaryExpr { left, op, right }) if nth > 0 => {
                    let (left, right) = match left.as_ref() {
                        Expr::Column(_) => (Box::new(sealed_by(*left, nth)), right),
                        _ => (left, Box::new(sealed_by(*right, nth))),
                    };
                    Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
                }
                other => Transformed::no(other),
            })
        })
    }
}

fn sealed_list(list: InList, nth: i64) -> Transformed<Expr> {
    if nth == 0 {
        return Transformed::no(Expr::InList(list));
    }
    let expr = Box::new(sealed_by(*list.expr, nth));
    Transformed::yes(Expr::InList(InList { expr, ..list }))
}

fn sealed_by(expr: Expr, nth: i64) -> Expr {
    let args = vec![expr, lit(nth)];
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&FUNCTION), args))
}

/// What is looked for in a list, or compared as if in one; DataFusion makes one of those with OR.
fn listed(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::InList(InList { expr, negated: false, .. }) => Some(expr),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            match (left.as_ref(), right.as_ref()) {
                (Expr::Column(_), Expr::Literal(..)) => Some(left),
                (Expr::Literal(..), Expr::Column(_)) => Some(right),
                _ => None,
            }
        }
        _ => None,
    }
}

/// How often each expression is looked for between ORs.
fn count_sides(expr: &Expr, counts: &mut HashMap<Expr, usize>) {
    stacker::maybe_grow(STACK_LEFT_BYTES, STACK_MORE_BYTES, || {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) = expr {
            count_sides(left, counts);
            count_sides(right, counts);
        } else if let Some(of) = listed(expr) {
            *counts.entry(of.clone()).or_default() += 1;
        }
    });
}

/// The argument of the function.
fn open(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::ScalarFunction(mut call) if call.func.name() == NAME && call.args.len() == 2 => {
            Transformed::yes(call.args.swap_remove(0))
        }
        other => Transformed::no(other),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Apart {
    signature: Signature,
}

impl ScalarUDFImpl for Apart {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    // Columns keep the names that they have without it.
    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.first().map(ToString::to_string).unwrap_or_default())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.first().map(|arg| arg.schema_name().to_string()).unwrap_or_default())
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [data_type, _] => Ok(data_type.clone()),
            _ => internal_err!("{NAME} takes two arguments"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [field, _] => Ok(Arc::clone(field)),
            _ => internal_err!("{NAME} takes two arguments"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [value, _] => Ok(value.clone()),
            _ => internal_err!("{NAME} takes two arguments"),
        }
    }
}
