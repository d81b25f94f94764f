//! Binding: every location in a FROM becomes the name of a table that the session then opens.
//!
//! ```text
//! FROM 'sales/**/*.csv'              ->  FROM "__swath_1" AS "sales"
//! FROM read_csv('a.csv', skip => 2)  ->  FROM "__swath_2" AS "a"
//! ```
//!
//! Plain text in, plain text out: nothing is opened here.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Array, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart,
    Query, TableAlias, TableFactor, UnaryOperator, Value, VisitMut, VisitorMut,
};

use crate::dataset::options::{OptionValue, ReadOptions};
use crate::error::{Error, Result};
use crate::formats::Format;

/// A dataset that a statement reads.
#[derive(Debug, Clone)]
pub struct Source {
    /// The number that stands for it.
    pub id: u64,
    /// The name that replaces it in the statement.
    pub table: String,
    /// The locations.
    pub locations: Vec<String>,
    /// The options.
    pub options: ReadOptions,
    /// What the statement wants of it.
    pub purpose: Purpose,
}

/// The functions that stand where a table does: those that read, and those about files.
pub const TABLE_FUNCTIONS: [&str; 11] = [
    "check",
    "files",
    "generate_series",
    "parquet_metadata",
    "partitions",
    "read_arrow",
    "read_csv",
    "read_json",
    "read_parquet",
    "rejects",
    "sniff",
];

/// What a statement wants of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Its rows.
    Read,
    /// How its files are written: `sniff('path')`.
    Sniff,
    /// What cannot be read: `rejects('path')`.
    Rejects,
    /// All that is wrong with it: `check('path')`.
    Check,
    /// Its files: `files('path')`.
    Files,
    /// Its partitions: `partitions('path')`.
    Partitions,
    /// What the footers of its Parquet files say: `parquet_metadata('path')`.
    Parquet,
}

impl Purpose {
    /// The purpose of a function that is about files and not their rows.
    fn of_function(name: &str) -> Option<Self> {
        match name {
            "sniff" => Some(Purpose::Sniff),
            "rejects" => Some(Purpose::Rejects),
            "check" => Some(Purpose::Check),
            "files" => Some(Purpose::Files),
            "partitions" => Some(Purpose::Partitions),
            "parquet_metadata" => Some(Purpose::Parquet),
            _ => None,
        }
    }
}

/// What binding needs to know.
pub struct Context<'a> {
    /// Whether a table or view of that name exists.
    pub table_exists: &'a dyn Fn(&str) -> bool,
    /// The query of a view, by lower-case name.
    pub view: &'a dyn Fn(&str) -> Option<Query>,
    /// Options that are set for all locations, by name.
    pub defaults: &'a [(String, OptionValue)],
    /// Reads a type's name as SQL does.
    pub parse_type: &'a dyn Fn(&str) -> Result<DataType>,
    /// Gives out numbers for datasets.
    pub next_id: &'a mut dyn FnMut() -> u64,
}

/// Replaces the locations in a statement and returns them.
///
/// # Errors
/// When a reading function is called wrongly.
pub fn bind(statement: &mut Statement, context: Context<'_>) -> Result<Vec<Source>> {
    let mut binder = Binder { context, sources: Vec::new(), ctes: HashSet::new(), views: 0 };
    let mut inner = statement;
    while let Statement::Explain(explain) = inner {
        inner = explain.statement.as_mut();
    }
    if let Statement::Statement(statement) = inner
        && let ControlFlow::Break(error) = statement.visit(&mut binder)
    {
        return Err(error);
    }
    Ok(binder.sources)
}

struct Binder<'a> {
    context: Context<'a>,
    sources: Vec<Source>,
    ctes: HashSet<String>,
    /// Views put in so far.
    views: usize,
}

/// More views than this in one statement are views that name each other.
const VIEWS_MAX: usize = 1000;

impl VisitorMut for Binder<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if let Some(with) = &query.with {
            self.ctes.extend(with.cte_tables.iter().map(|cte| cte.alias.name.value.to_lowercase()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        match self.replace(table) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Binder<'_> {
    /// Puts the query of a view in the place of its name.
    fn expand_view(&mut self, table: &mut TableFactor) -> Result<bool> {
        let TableFactor::Table { name, alias, args: None, .. } = table else { return Ok(false) };
        let [ObjectNamePart::Identifier(ident)] = &name.0[..] else { return Ok(false) };
        let lower = ident.value.to_lowercase();
        if ident.quote_style == Some('\'') || self.ctes.contains(&lower) {
            return Ok(false);
        }
        let Some(query) = (self.context.view)(&lower) else { return Ok(false) };
        self.views += 1;
        if self.views > VIEWS_MAX {
            return Err(Error::sql(format!("the view {lower} is made of itself")));
        }
        let alias = alias.clone().unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::with_quote('"', lower),
            columns: Vec::new(),
            at: None,
        });
        *table = TableFactor::Derived {
            lateral: false,
            subquery: Box::new(query),
            alias: Some(alias),
            sample: None,
        };
        Ok(true)
    }

    fn replace(&mut self, table: &mut TableFactor) -> Result<()> {
        if self.expand_view(table)? {
            return Ok(());
        }
        let TableFactor::Table { name, alias, args, .. } = table else { return Ok(()) };
        let mut purpose = Purpose::Read;
        let (locations, options) = match args {
            Some(args) => {
                let function = name.to_string().to_lowercase();
                let options = if let Some(found) = Purpose::of_function(&function) {
                    purpose = found;
                    self.defaults(ReadOptions::default())?
                } else if let Some(options) = ReadOptions::for_function(&function) {
                    match options.format.format {
                        Some(Format::Csv) => self.defaults(options)?,
                        _ => options,
                    }
                } else {
                    return Ok(());
                };
                self.call(&function, &args.args, options)?
            }
            None => match self.location_of(name)? {
                Some(location) => (vec![location], self.defaults(ReadOptions::default())?),
                None => return Ok(()),
            },
        };
        if alias.is_none() {
            *alias = Some(TableAlias {
                explicit: true,
                name: Ident::with_quote('"', stem(&locations[0])),
                columns: Vec::new(),
                at: None,
            });
        }
        *name =
            ObjectName::from(vec![Ident::with_quote('"', self.add(locations, options, purpose))]);
        *args = None;
        Ok(())
    }

    fn defaults(&self, mut options: ReadOptions) -> Result<ReadOptions> {
        for (name, value) in self.context.defaults {
            options.set(name, value, self.context.parse_type)?;
        }
        Ok(options)
    }

    /// The table that stands for a location; the same location twice is one table.
    fn add(&mut self, locations: Vec<String>, options: ReadOptions, purpose: Purpose) -> String {
        let same = |source: &&Source| {
            (&source.locations, source.purpose) == (&locations, purpose)
                && format!("{:?}", source.options) == format!("{options:?}")
        };
        if let Some(known) = self.sources.iter().find(same) {
            return known.table.clone();
        }
        let id = (self.context.next_id)();
        let table = format!("__swath_{id}");
        self.sources.push(Source { id, table: table.clone(), locations, options, purpose });
        table
    }

    /// The location that a name stands for, if it is no table.
    fn location_of(&self, name: &ObjectName) -> Result<Option<String>> {
        let parts: Vec<&Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
        if let [only] = parts[..] {
            let known = || {
                let lower = only.value.to_lowercase();
                self.ctes.contains(&lower)
                    || (self.context.table_exists)(&lower)
                    || (self.context.table_exists)(&only.value)
            };
            return Ok(match only.quote_style {
                Some('\'') => Some(only.value.clone()),
                Some(_) if only.value.contains(['/', '.', '*']) && !known() => {
                    Some(only.value.clone())
                }
                None if only.value.eq_ignore_ascii_case("stdin") && !known() => {
                    Some("stdin".to_string())
                }
                _ => None,
            });
        }
        // `FROM data.csv`: a schema called data is unlikely.
        let text = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
        let extension = parts.last().map_or("", |part| part.value.as_str()).to_lowercase();
        let is_file = ["csv", "tsv", "parquet", "json", "jsonl", "ndjson", "arrow", "gz", "zst"]
            .contains(&extension.as_str());
        if is_file && !(self.context.table_exists)(&text) {
            return Err(Error::sql(format!("no table named {text}"))
                .hint(format!("a file is written in quotes: FROM '{text}'")));
        }
        Ok(None)
    }

    /// Reads the arguments of `read_csv(...)` and its kin.
    fn call(
        &self,
        function: &str,
        args: &[FunctionArg],
        mut options: ReadOptions,
    ) -> Result<(Vec<String>, ReadOptions)> {
        let mut locations = Vec::new();
        for (idx, arg) in args.iter().enumerate() {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp {
                    left,
                    op: BinaryOperator::Eq,
                    right,
                })) if idx > 0 => {
                    options.set(&left.to_string(), &value(right)?, self.context.parse_type)?;
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if idx == 0 => {
                    locations = match value(expr)? {
                        OptionValue::Text(location) => vec![location],
                        OptionValue::List(locations) => locations,
                        _ => return Err(needs_path(function)),
                    };
                }
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                    options.set(&name.value, &value(expr)?, self.context.parse_type)?;
                }
                FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                    options.set(&name.to_string(), &value(expr)?, self.context.parse_type)?;
                }
                other => {
                    return Err(Error::sql(format!("{function}: cannot use {other} here")).hint(
                        format!("write options by name: {function}('path', header => true)"),
                    ));
                }
            }
        }
        if locations.is_empty() {
            return Err(needs_path(function));
        }
        Ok((locations, options))
    }
}

fn needs_path(function: &str) -> Error {
    Error::sql(format!("{function} needs a path, or a list of paths, as its first argument"))
        .hint(format!("{function}('data/*.csv') or {function}(['a', 'b'])"))
}

/// A literal as the value of an option.
fn value(expr: &Expr) -> Result<OptionValue> {
    let fail = || Error::sql(format!("an option must be a literal, found {expr}"));
    Ok(match expr {
        Expr::Value(literal) => match &literal.value {
            Value::SingleQuotedString(text)
            | Value::DoubleQuotedString(text)
            | Value::EscapedStringLiteral(text) => OptionValue::Text(text.clone()),
            Value::Number(text, _) => OptionValue::Number(text.parse().map_err(|_| fail())?),
            Value::Boolean(flag) => OptionValue::Flag(*flag),
            Value::Null => OptionValue::Null,
            _ => return Err(fail()),
        },
        // A double-quoted text is an identifier to the parser.
        Expr::Identifier(ident) if ident.quote_style == Some('"') => {
            OptionValue::Text(ident.value.clone())
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match value(expr)? {
            OptionValue::Number(number) => OptionValue::Number(-number),
            _ => return Err(fail()),
        },
        Expr::Array(Array { elem, .. }) => {
            let items = elem.iter().map(|item| text_of(item).ok_or_else(fail));
            OptionValue::List(items.collect::<Result<_>>()?)
        }
        Expr::Dictionary(entries) => {
            let pairs = entries.iter().map(|entry| {
                Ok((entry.key.value.clone(), text_of(&entry.value).ok_or_else(fail)?))
            });
            OptionValue::Map(pairs.collect::<Result<_>>()?)
        }
        _ => return Err(fail()),
    })
}

fn text_of(expr: &Expr) -> Option<String> {
    match value(expr) {
        Ok(OptionValue::Text(text)) => Some(text),
        _ => None,
    }
}

/// The name that a location gets without an alias: `data/sales.csv` is `sales`.
fn stem(location: &str) -> String {
    let names: Vec<&str> = location.split('/').filter(|part| !part.is_empty()).collect();
    let plain = names
        .iter()
        .rev()
        .find(|name| !name.contains(['*', '?', '[', '{', '=']))
        .copied()
        .unwrap_or("data");
    let stem = plain.split('.').find(|part| !part.is_empty()).unwrap_or(plain);
    stem.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let mut statement = crate::plan::parse::parse(sql).expect("parses").remove(0).statement;
        let mut id = 0;
        let context = Context {
            table_exists: &|name| name == "known",
            view: &|_| None,
            defaults: &[],
            parse_type: &|_| Ok(DataType::Int64),
            next_id: &mut || {
                id += 1;
                id
            },
        };
        let found = match bind(&mut statement, context) {
            Ok(sources) => {
                let locations: Vec<_> =
                    sources.iter().map(|source| source.locations.join("+")).collect();
                format!("{statement} [{}]", locations.join(", "))
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn locations_become_tables() {
        check(
            "SELECT * FROM 'a/sales.csv'",
            "SELECT * FROM \"__swath_1\" AS \"sales\" [a/sales.csv]",
        );
        check(
            "SELECT * FROM read_csv(['a.csv', 'b.csv'], delim => ';', skip = 2) t",
            "SELECT * FROM \"__swath_1\" t [a.csv+b.csv]",
        );
        check("SELECT * FROM known", "SELECT * FROM known []");
        check(
            "WITH c AS (SELECT * FROM 'x/*.csv') SELECT * FROM c, 'x/*.csv' y",
            "WITH c AS (SELECT * FROM \"__swath_1\" AS \"x\") SELECT * FROM c, \"__swath_1\" y [x/*.csv]",
        );
        check(
            "SELECT * FROM data.csv",
            "no table named data.csv\nhint: a file is written in quotes: FROM 'data.csv'",
        );
        check(
            "SELECT * FROM read_csv('a.csv', hedder => true)",
            "no option named hedder\nhint: did you mean header?",
        );
    }
}
