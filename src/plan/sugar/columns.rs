//! Items that stand for columns in ways that the planner does not know: `* ILIKE`, `* RENAME`, COLUMNS.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    RenameSelectItem, SelectItem, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::named;
use crate::error::{Error, Result};

/// Whether an item stands for columns in a way that the planner does not know.
pub(super) fn names_columns(item: &SelectItem) -> bool {
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

/// The items that one stands for.
pub(super) fn expanded(item: SelectItem, columns: &[String]) -> Result<Vec<SelectItem>> {
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
