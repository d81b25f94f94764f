//! ROLLUP and CUBE with several columns at a time, and within GROUPING SETS: as the sets that they mean.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
};

/// The groups of a CUBE whose sets are spelled out; more are left to the planner to refuse.
const CUBED_MAX: usize = 12;

/// Spells out the sets that the planner does not know.
pub(super) fn spelled(group_by: &mut GroupByExpr) {
    let GroupByExpr::Expressions(keys, _) = group_by else { return };
    for key in keys {
        let has_several = |groups: &[Vec<Expr>]| groups.iter().any(|group| group.len() > 1);
        let sets = match &*key {
            Expr::Rollup(groups) if has_several(groups) => rolled_up(groups),
            Expr::Cube(groups) if has_several(groups) && groups.len() <= CUBED_MAX => cubed(groups),
            Expr::GroupingSets(sets) => sets.iter().flat_map(|set| within(set)).collect(),
            _ => continue,
        };
        *key = Expr::GroupingSets(sets);
    }
}

/// The sets of `ROLLUP(a, b)`: from all groups to none.
fn rolled_up(groups: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    (0..=groups.len()).rev().map(|count| groups[..count].concat()).collect()
}

/// The sets of `CUBE(a, b)`: each choice of groups.
fn cubed(groups: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    let chosen = |choice: usize| {
        let chosen = groups.iter().enumerate().filter(|(at, _)| choice >> at & 1 == 1);
        chosen.flat_map(|(_, group)| group.clone()).collect()
    };
    (0..1_usize << groups.len()).rev().map(chosen).collect()
}

/// The sets that one of GROUPING SETS stands for.
fn within(set: &[Expr]) -> Vec<Vec<Expr>> {
    let spelled = match set {
        [Expr::Rollup(groups)] => Some(rolled_up(groups)),
        [Expr::Cube(groups)] if groups.len() <= CUBED_MAX => Some(cubed(groups)),
        [Expr::Function(Function { name, args: FunctionArguments::List(list), .. })] => {
            let groups: Option<Vec<Vec<Expr>>> = list
                .args
                .iter()
                .map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Tuple(group))) => {
                        Some(group.clone())
                    }
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(key)) => Some(vec![key.clone()]),
                    _ => None,
                })
                .collect();
            match (name.to_string().to_lowercase().as_str(), groups) {
                ("rollup", Some(groups)) => Some(rolled_up(&groups)),
                ("cube", Some(groups)) if groups.len() <= CUBED_MAX => Some(cubed(&groups)),
                _ => None,
            }
        }
        _ => None,
    };
    spelled.unwrap_or_else(|| vec![set.to_vec()])
}
