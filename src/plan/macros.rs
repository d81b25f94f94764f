//! Macros: names for expressions and queries, put in their place before planning.
//!
//! Those that come with swath are functions that users of other tools expect, written as SQL.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Array, CastKind, CreateFunctionBody, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, FunctionReturnType, Ident, MacroArg, MacroDefinition, NullTreatment,
    ObjectName, ObjectNamePart, Query, Statement as SqlStatement, TableAlias, TableFactor,
    VisitMut, VisitorMut,
};

use crate::error::{Error, Result};

/// More macros than this within each other name themselves.
const EXPANSIONS_MAX: usize = 10_000;

/// The macros that come with swath.
const BUILT_IN: &str = "
    CREATE MACRO year(x) AS CAST(date_part('year', x) AS BIGINT);
    CREATE MACRO quarter(x) AS CAST(date_part('quarter', x) AS BIGINT);
    CREATE MACRO month(x) AS CAST(date_part('month', x) AS BIGINT);
    CREATE MACRO week(x) AS CAST(date_part('week', x) AS BIGINT);
    CREATE MACRO day(x) AS CAST(date_part('day', x) AS BIGINT);
    CREATE MACRO dayofmonth(x) AS CAST(date_part('day', x) AS BIGINT);
    CREATE MACRO dayofweek(x) AS CAST(date_part('dow', x) AS BIGINT);
    CREATE MACRO dayofyear(x) AS CAST(date_part('doy', x) AS BIGINT);
    CREATE MACRO hour(x) AS CAST(date_part('hour', x) AS BIGINT);
    CREATE MACRO minute(x) AS CAST(date_part('minute', x) AS BIGINT);
    CREATE MACRO second(x) AS CAST(floor(date_part('second', x)) AS BIGINT);
    CREATE MACRO epoch(x) AS date_part('epoch', x);
    CREATE MACRO monthname(x) AS to_char(x, '%B');
    CREATE MACRO dayname(x) AS to_char(x, '%A');
    CREATE MACRO strftime(x, format) AS to_char(x, replace(replace(format, '%f', '%6f'), '%g', '%3f'));
    CREATE MACRO strptime(x, format) AS CAST(to_timestamp(x, replace(format, '.%f', '%.f')) AS TIMESTAMP);
    CREATE MACRO time_bucket(width, x) AS date_bin(width, x, CASE WHEN date_part('month', width) = 0 AND date_part('year', width) = 0 THEN TIMESTAMP '2000-01-03' ELSE TIMESTAMP '2000-01-01' END);
    CREATE MACRO time_bucket(width, x, origin) AS date_bin(width, x, CAST(origin AS TIMESTAMP));
    CREATE MACRO last_day(x) AS CAST(date_trunc('month', x) + INTERVAL '1 month' - INTERVAL '1 day' AS DATE);
    CREATE MACRO if(condition, a, b) AS CASE WHEN condition THEN a ELSE b END;
    CREATE MACRO iff(condition, a, b) AS CASE WHEN condition THEN a ELSE b END;
    CREATE MACRO ifnull(a, b) AS coalesce(a, b);
    CREATE MACRO any_value(x) AS first_value(x) FILTER (WHERE x IS NOT NULL);
    CREATE MACRO arg_max(a, b) AS first_value(a ORDER BY b DESC) FILTER (WHERE b IS NOT NULL AND a IS NOT NULL);
    CREATE MACRO max_by(a, b) AS first_value(a ORDER BY b DESC) FILTER (WHERE b IS NOT NULL AND a IS NOT NULL);
    CREATE MACRO arg_min(a, b) AS first_value(a ORDER BY b) FILTER (WHERE b IS NOT NULL AND a IS NOT NULL);
    CREATE MACRO min_by(a, b) AS first_value(a ORDER BY b) FILTER (WHERE b IS NOT NULL AND a IS NOT NULL);
    CREATE MACRO list(x) AS array_agg(x);
    CREATE MACRO string_agg(x) AS string_agg(x, ',');
    CREATE MACRO group_concat(x) AS string_agg(x, ',');
    CREATE MACRO listagg(x) AS string_agg(x, '');
    CREATE MACRO listagg(x, separator) AS string_agg(x, separator);
    CREATE MACRO first(x) AS first_value(x);
    CREATE MACRO last(x) AS last_value(x);
    CREATE MACRO group_concat(x, separator) AS string_agg(x, separator);
    CREATE MACRO quantile_disc(x, q) AS array_element(array_sort(array_agg(x) FILTER (WHERE x IS NOT NULL)), greatest(1, CAST(ceil(count(x) * q) AS BIGINT)));
    CREATE MACRO quantile(x, q) AS quantile_disc(x, q);
    CREATE MACRO count_if(x) AS count(*) FILTER (WHERE x);
    CREATE MACRO approx_count_distinct(x) AS approx_distinct(x);
    CREATE MACRO approx_quantile(x, q) AS approx_percentile_cont(q) WITHIN GROUP (ORDER BY x);
    CREATE MACRO quantile_cont(x, q) AS percentile_cont(x, q);
    CREATE MACRO regexp_extract(x, pattern) AS coalesce(regexp_match(x, concat('(', pattern, ')'))[1], '');
    CREATE MACRO regexp_extract(x, pattern, part) AS coalesce(regexp_match(x, concat('(', pattern, ')'))[part + 1], '');
    CREATE MACRO regexp_matches(x, pattern) AS regexp_like(x, pattern);
    CREATE MACRO regexp_matches(x, pattern, flags) AS regexp_like(x, pattern, flags);
    CREATE MACRO str_split_regex(x, pattern) AS regexp_split_to_array(x, pattern);
    CREATE MACRO unicode(x) AS ascii(x);
    CREATE MACRO ord(x) AS ascii(x);
    CREATE MACRO list_count(x) AS cardinality(array_filter(x, v -> v IS NOT NULL));
    CREATE MACRO string_split(x, separator) AS string_to_array(x, separator);
    CREATE MACRO str_split(x, separator) AS string_to_array(x, separator);
    CREATE MACRO split(x, separator) AS string_to_array(x, separator);
    CREATE MACRO strlen(x) AS octet_length(x);
    CREATE MACRO mod(a, b) AS a % b;
    CREATE MACRO sign(x) AS CAST(signum(CAST(x AS DOUBLE)) AS BIGINT);
    CREATE MACRO isinf(x) AS abs(x) = CAST('inf' AS DOUBLE);
    CREATE MACRO isfinite(x) AS NOT (isnan(x) OR abs(x) = CAST('inf' AS DOUBLE));
    CREATE MACRO gen_random_uuid() AS uuid();
    CREATE MACRO today() AS current_date();
    CREATE MACRO weekofyear(x) AS CAST(date_part('week', x) AS BIGINT);
    CREATE MACRO isoyear(x) AS CAST(date_part('isoyear', x) AS BIGINT);
    CREATE MACRO isodow(x) AS CAST(date_part('dow', x) + 6 AS BIGINT) % 7 + 1;
    CREATE MACRO age(x) AS age(CAST(current_date() AS TIMESTAMP), x);
    CREATE MACRO date_add(x, width) AS x + width;
    CREATE MACRO date_sub(x, width) AS x - width;
    CREATE MACRO make_timestamp(micros) AS epoch_us(CAST(micros AS BIGINT));
    CREATE MACRO struct_extract(x, field) AS get_field(x, field);
    CREATE MACRO json_array_length(x) AS json_length(x);
    CREATE MACRO variance(x) AS var_samp(x);
    CREATE MACRO countif(x) AS count(*) FILTER (WHERE x);
    CREATE MACRO regexp_full_match(x, pattern) AS regexp_like(x, concat('^(?:', pattern, ')$'));
    CREATE MACRO string_split_regex(x, pattern) AS regexp_split_to_array(x, pattern);
    CREATE MACRO list_first(x) AS x[1];
    CREATE MACRO list_last(x) AS x[-1];
    CREATE MACRO list_min(x) AS array_min(x);
    CREATE MACRO list_distinct(x) AS array_filter(array_distinct(x), v -> v IS NOT NULL);
    CREATE MACRO list_unique(x) AS cardinality(array_filter(array_distinct(x), v -> v IS NOT NULL));
    CREATE MACRO list_sort(x) AS array_sort(x, 'ASC', 'NULLS LAST');
    CREATE MACRO array_sort(x) AS array_sort(x, 'ASC', 'NULLS LAST');
    CREATE MACRO list_reverse_sort(x) AS array_sort(x, 'DESC', 'NULLS LAST');
    CREATE MACRO pg_typeof(x) AS typeof(x);
    CREATE MACRO weekday(x) AS CAST(date_part('dow', x) AS BIGINT);
    CREATE MACRO yearweek(x) AS CAST(date_part('isoyear', x) * 100 + date_part('week', x) AS BIGINT);
    CREATE MACRO to_years(n) AS INTERVAL '1 year' * n;
    CREATE MACRO to_months(n) AS INTERVAL '1 month' * n;
    CREATE MACRO to_weeks(n) AS INTERVAL '7 days' * n;
    CREATE MACRO to_days(n) AS INTERVAL '1 day' * n;
    CREATE MACRO to_hours(n) AS INTERVAL '1 hour' * n;
    CREATE MACRO to_minutes(n) AS INTERVAL '1 minute' * n;
    CREATE MACRO to_seconds(n) AS INTERVAL '1 second' * n;
    CREATE MACRO to_milliseconds(n) AS INTERVAL '1 millisecond' * n;
    CREATE MACRO to_base64(x) AS encode(x, 'base64');
    CREATE MACRO from_base64(x) AS decode(x, 'base64');
    CREATE MACRO hex(x) AS upper(encode(x, 'hex'));
    CREATE MACRO unhex(x) AS decode(x, 'hex');
    CREATE MACRO list_sum(x) AS array_sum(x);
    CREATE MACRO list_filter(x, f) AS array_filter(x, f);
    CREATE MACRO prefix(x, y) AS starts_with(x, y);
    CREATE MACRO suffix(x, y) AS ends_with(x, y);
    CREATE MACRO bar(x, low, high, width) AS rpad(repeat('█', CAST(round(width * greatest(0.0, least(1.0, (CAST(x AS DOUBLE) - low) / (high - low)))) AS BIGINT)), width, ' ');
    CREATE MACRO max(x, n) AS array_slice(array_agg(x ORDER BY x DESC) FILTER (WHERE x IS NOT NULL), 1, n);
    CREATE MACRO min(x, n) AS array_slice(array_agg(x ORDER BY x) FILTER (WHERE x IS NOT NULL), 1, n);
    CREATE MACRO date_diff_year(a, b) AS CAST(date_part('year', b) - date_part('year', a) AS BIGINT);
    CREATE MACRO date_diff_quarter(a, b) AS CAST((date_part('year', b) - date_part('year', a)) * 4 + date_part('quarter', b) - date_part('quarter', a) AS BIGINT);
    CREATE MACRO date_diff_month(a, b) AS CAST((date_part('year', b) - date_part('year', a)) * 12 + date_part('month', b) - date_part('month', a) AS BIGINT);
    CREATE MACRO date_diff_week(a, b) AS CAST((date_part('epoch', date_trunc('week', b)) - date_part('epoch', date_trunc('week', a))) / 604800 AS BIGINT);
    CREATE MACRO date_diff_day(a, b) AS CAST((date_part('epoch', date_trunc('day', b)) - date_part('epoch', date_trunc('day', a))) / 86400 AS BIGINT);
    CREATE MACRO date_diff_hour(a, b) AS CAST((date_part('epoch', date_trunc('hour', b)) - date_part('epoch', date_trunc('hour', a))) / 3600 AS BIGINT);
    CREATE MACRO date_diff_minute(a, b) AS CAST((date_part('epoch', date_trunc('minute', b)) - date_part('epoch', date_trunc('minute', a))) / 60 AS BIGINT);
    CREATE MACRO date_diff_second(a, b) AS CAST(date_part('epoch', date_trunc('second', b)) - date_part('epoch', date_trunc('second', a)) AS BIGINT);
";

/// One macro.
#[derive(Debug, Clone)]
pub struct Macro {
    args: Vec<MacroArg>,
    definition: MacroDefinition,
}

/// Macros by lower-case name and number of arguments.
pub type Macros = BTreeMap<(String, usize), Macro>;

static KNOWN: LazyLock<Macros> = LazyLock::new(|| {
    let statements = super::parse::parse(BUILT_IN).unwrap_or_default();
    let made = statements.iter().filter_map(|parsed| match &parsed.statement {
        Statement::Statement(statement) => of_statement(statement),
        _ => None,
    });
    made.collect()
});

/// The names of the macros that come with swath, and their calls.
pub fn built_in_signatures() -> impl Iterator<Item = (String, String)> {
    let public = KNOWN.iter().filter(|((name, _), _)| !name.starts_with("date_diff_"));
    public.map(|((name, _), of)| {
        let args: Vec<_> = of.args.iter().map(|arg| arg.name.value.as_str()).collect();
        (name.clone(), format!("{name}({})", args.join(", ")))
    })
}

/// The macro that holds a variable.
///
/// # Errors
/// When the value is no literal: it would be another one each time.
pub fn variable(name: &str, value: Expr) -> Result<SqlStatement> {
    let literal = match &value {
        Expr::UnaryOp { expr, .. } => expr.as_ref(),
        other => other,
    };
    let is_literal = matches!(
        literal,
        Expr::Value(_) | Expr::TypedString(_) | Expr::Interval(_) | Expr::Array(_)
    );
    if !is_literal {
        return Err(Error::sql(format!("SET VARIABLE {name} takes a literal, not {value}"))
            .hint("for example SET VARIABLE day = DATE '2024-01-31'"));
    }
    Ok(SqlStatement::CreateMacro {
        or_replace: true,
        temporary: false,
        name: ObjectName::from(vec![Ident::new(variable_key(name))]),
        args: None,
        definition: MacroDefinition::Expr(value),
    })
}

/// A name that no macro has.
fn variable_key(name: &str) -> String {
    format!("${}", name.to_lowercase())
}

/// The macro that a CREATE MACRO makes, or a CREATE FUNCTION ... RETURN expression.
pub fn of_statement(statement: &SqlStatement) -> Option<((String, usize), Macro)> {
    let (name, args, definition) = match statement {
        SqlStatement::CreateMacro { name, args, definition, .. } => {
            (name, args.clone().unwrap_or_default(), definition.clone())
        }
        SqlStatement::CreateFunction(function) => {
            let Some(CreateFunctionBody::Return(body)) = &function.function_body else {
                return None;
            };
            let cast = |expr: Expr, data_type| Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(expr),
                data_type,
                array: false,
                format: None,
            };
            let mut body = body.clone();
            let mut names = Vec::new();
            for arg in function.args.iter().flatten() {
                let name =
                    MacroArg { name: arg.name.clone()?, default_expr: arg.default_expr.clone() };
                // Inside, an argument has its type.
                let typed = cast(Expr::Identifier(name.name.clone()), arg.data_type.clone());
                fill(&mut body, std::slice::from_ref(&name), &[typed], &[]);
                names.push(name);
            }
            if let Some(FunctionReturnType::DataType(data_type)) = &function.return_type {
                body = cast(body, data_type.clone());
            }
            (&function.name, names, MacroDefinition::Expr(body))
        }
        _ => return None,
    };
    let key = (name.to_string().to_lowercase(), args.len());
    Some((key, Macro { args, definition }))
}

/// Puts the definitions of macros in the place of calls.
///
/// # Errors
/// When macros name each other without end.
pub fn expand(statement: &mut SqlStatement, own: &Macros) -> Result<()> {
    let mut expander = Expander { own, expansion_count: 0 };
    match statement.visit(&mut expander) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Expander<'a> {
    own: &'a Macros,
    expansion_count: usize,
}

impl Expander<'_> {
    fn find(&self, name: &ObjectName, arg_count: usize) -> Option<&Macro> {
        let [ObjectNamePart::Identifier(name)] = &name.0[..] else { return None };
        let key = (name.value.to_lowercase(), arg_count);
        self.own.get(&key).or_else(|| KNOWN.get(&key)).or_else(|| {
            // The arguments at the end may have values of their own.
            self.own
                .iter()
                .find(|((name, _), made)| {
                    *name == key.0
                        && made.args.len() > arg_count
                        && made.args[arg_count..].iter().all(|arg| arg.default_expr.is_some())
                })
                .map(|(_, made)| made)
        })
    }

    fn count(&mut self, name: &ObjectName) -> Result<()> {
        self.expansion_count += 1;
        if self.expansion_count > EXPANSIONS_MAX {
            return Err(Error::sql(format!("the macro {name} is made of itself, or of too many")));
        }
        Ok(())
    }

    fn expand_call(&mut self, expr: &mut Expr) -> Result<()> {
        let Expr::Function(function) = expr else { return Ok(()) };
        of_ordered(function);
        if let Some(list) = of_list(function) {
            *expr = list;
            return Ok(());
        }
        let Expr::Function(function) = expr else { return Ok(()) };
        let Some((mut args, named)) = plain_args(function) else { return Ok(()) };
        let mut name = function.name.clone();
        if matches!(name.to_string().to_lowercase().as_str(), "date_diff" | "datediff")
            && args.len() == 3
        {
            // The part of the date chooses the function.
            let part = args.remove(0);
            let text = match &part {
                Expr::Value(value) => value.value.clone().into_string(),
                _ => None,
            };
            let text = text.unwrap_or_default().to_lowercase();
            name = ObjectName::from(vec![Ident::new(format!("date_diff_{text}"))]);
            if self.find(&name, 2).is_none() {
                return Err(Error::sql(format!("date_diff: no part of a date called {part}"))
                    .hint(
                        "'year', 'quarter', 'month', 'week', 'day', 'hour', 'minute', 'second'",
                    ));
            }
        }
        if let ("getvariable", [Expr::Value(name)]) =
            (function.name.to_string().to_lowercase().as_str(), &args[..])
        {
            let name = name.value.clone().into_string().unwrap_or_default();
            let found = self.own.get(&(variable_key(&name), 0));
            let Some(Macro { definition: MacroDefinition::Expr(value), .. }) = found else {
                return Err(Error::sql(format!("no variable named {name}"))
                    .hint(format!("SET VARIABLE {name} = ...")));
            };
            *expr = value.clone();
            return Ok(());
        }
        let Some(Macro { args: names, definition: MacroDefinition::Expr(body) }) =
            self.find(&name, args.len() + named.len())
        else {
            return Ok(());
        };
        let mut body = body.clone();
        for (wanted, _) in &named {
            if !names.iter().any(|arg| arg.name.value.eq_ignore_ascii_case(wanted)) {
                let all: Vec<_> = names.iter().map(|arg| arg.name.value.as_str()).collect();
                return Err(Error::sql(format!("{name} has no argument named {wanted}"))
                    .hint(format!("its arguments are {}", all.join(", "))));
            }
        }
        fill(&mut body, names, &args, &named);
        let (distinct, clauses) = match &function.args {
            FunctionArguments::List(list) => (list.duplicate_treatment, list.clauses.clone()),
            _ => (None, Vec::new()),
        };
        let is_aggregate = distinct.is_some() || !clauses.is_empty();
        // A window, a filter, DISTINCT or an order belongs to the aggregate inside.
        if function.over.is_some() || function.filter.is_some() || is_aggregate {
            let Expr::Function(inner) = &mut body else {
                return Err(Error::sql(format!("{} is no aggregate", function.name))
                    .hint("OVER, FILTER, DISTINCT and ORDER BY go with aggregates"));
            };
            if let (FunctionArguments::List(list), true) = (&mut inner.args, is_aggregate) {
                if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                    return Err(Error::sql(format!("{} has an order of its own", function.name)));
                }
                list.duplicate_treatment = distinct;
                list.clauses = clauses;
            }
            inner.over.clone_from(&function.over);
            if inner.over.is_some() && is_any_value(&function.name) {
                // A window takes no filter for this one.
                (inner.filter, inner.null_treatment) = (None, Some(NullTreatment::IgnoreNulls));
            }
            if let Some(filter) = function.filter.clone() {
                inner.filter = Some(match inner.filter.take() {
                    Some(own) => Box::new(Expr::BinaryOp {
                        left: Box::new(Expr::Nested(own)),
                        op: datafusion::sql::sqlparser::ast::BinaryOperator::And,
                        right: Box::new(Expr::Nested(filter)),
                    }),
                    None => filter,
                });
            }
        }
        let is_whole = matches!(body, Expr::Function(_) | Expr::Case { .. } | Expr::Cast { .. });
        *expr = if is_whole { body } else { Expr::Nested(Box::new(body)) };
        self.count(&name)
    }

    fn expand_table(&mut self, table: &mut TableFactor) -> Result<()> {
        let TableFactor::Table { name, alias, args: Some(args), .. } = table else { return Ok(()) };
        let values: Vec<Expr> = args.args.iter().filter_map(value_of).collect();
        let Some(Macro { args: names, definition: MacroDefinition::Table(query) }) =
            self.find(name, args.args.len())
        else {
            return Ok(());
        };
        let mut query: Box<Query> = query.clone();
        fill(query.as_mut(), names, &values, &[]);
        let alias = alias.clone().or_else(|| {
            let name = name.0.first()?.as_ident()?.clone();
            Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None })
        });
        let name = name.clone();
        *table = TableFactor::Derived { lateral: false, subquery: query, alias, sample: None };
        self.count(&name)
    }
}

impl VisitorMut for Expander<'_> {
    type Break = Error;

    // Before the arguments are visited: what a macro puts in is visited as well.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        loop {
            let before = self.expansion_count;
            if let Err(error) = self.expand_call(expr) {
                return ControlFlow::Break(error);
            }
            // A macro may be nothing but a call of another one.
            if self.expansion_count == before {
                return ControlFlow::Continue(());
            }
        }
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        match self.expand_table(table) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn is_any_value(name: &ObjectName) -> bool {
    name.to_string().eq_ignore_ascii_case("any_value")
}

/// Calls of ordered sets that the planner knows in another form only: `percentile_disc(q) WITHIN GROUP
/// (ORDER BY x)`, and `percentile_cont` of a window.
fn of_ordered(function: &mut Function) {
    let name = function.name.to_string().to_lowercase();
    if let ("mode", [ordered], FunctionArguments::List(list)) =
        (name.as_str(), &function.within_group[..], &mut function.args)
        && list.args.is_empty()
    {
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(ordered.expr.clone())));
        function.within_group.clear();
        return;
    }
    let new = match (name.as_str(), &function.over) {
        ("percentile_disc", _) => "quantile_disc",
        ("percentile_cont", Some(_)) => "percentile_cont",
        _ => return,
    };
    if let ([ordered], FunctionArguments::List(list)) =
        (&function.within_group[..], &mut function.args)
        && list.args.len() == 1
        && ordered.options.asc != Some(false)
    {
        let values = FunctionArg::Unnamed(FunctionArgExpr::Expr(ordered.expr.clone()));
        list.args.insert(0, values);
        function.name = ObjectName::from(vec![Ident::new(new)]);
        function.within_group.clear();
    }
}

/// `quantile_cont(x, [0.1, 0.9])` as a list of calls.
fn of_list(function: &Function) -> Option<Expr> {
    const QUANTILES: [&str; 4] = ["approx_quantile", "quantile", "quantile_cont", "quantile_disc"];
    let FunctionArguments::List(list) = &function.args else { return None };
    let [_, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Array(parts)))] = &list.args[..]
    else {
        return None;
    };
    if !QUANTILES.contains(&function.name.to_string().to_lowercase().as_str()) {
        return None;
    }
    let calls = parts.elem.iter().map(|part| {
        let mut call = function.clone();
        if let FunctionArguments::List(list) = &mut call.args {
            list.args[1] = FunctionArg::Unnamed(FunctionArgExpr::Expr(part.clone()));
        }
        Expr::Function(call)
    });
    Some(Expr::Array(Array { elem: calls.collect(), named: false }))
}

/// Arguments in order, and those that are given by name.
type Args = (Vec<Expr>, Vec<(String, Expr)>);

/// The arguments of a call, if all are expressions.
fn plain_args(function: &Function) -> Option<Args> {
    let FunctionArguments::List(list) = &function.args else { return None };
    if !function.within_group.is_empty() || function.null_treatment.is_some() {
        return None;
    }
    let (mut args, mut named) = (Vec::new(), Vec::new());
    for arg in &list.args {
        match arg {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                named.push((name.value.to_lowercase(), value.clone()));
            }
            other => args.push(value_of(other)?),
        }
    }
    Some((args, named))
}

fn value_of(arg: &FunctionArg) -> Option<Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    }
}

/// Puts arguments in the place of their names.
fn fill(body: &mut impl VisitMut, names: &[MacroArg], values: &[Expr], named: &[(String, Expr)]) {
    let values = names.iter().enumerate().filter_map(|(idx, arg)| {
        let lower = arg.name.value.to_lowercase();
        let by_name = named.iter().find(|(name, _)| *name == lower).map(|(_, value)| value);
        let value = values.get(idx).or(by_name).or(arg.default_expr.as_ref())?.clone();
        Some((lower, value))
    });
    let _ = body.visit(&mut Filler { values: values.collect() });
}

struct Filler {
    values: HashMap<String, Expr>,
}

impl VisitorMut for Filler {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && let Some(value) = self.values.get(&name.value.to_lowercase())
        {
            let is_whole = matches!(
                value,
                Expr::Identifier(_)
                    | Expr::CompoundIdentifier(_)
                    | Expr::Value(_)
                    | Expr::Function(_)
                    | Expr::Lambda(_)
                    | Expr::Interval(_)
                    | Expr::TypedString(_)
                    | Expr::Nested(_)
            );
            *expr = if is_whole { value.clone() } else { Expr::Nested(Box::new(value.clone())) };
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let mut own = Macros::new();
        let mut last = String::new();
        for parsed in super::super::parse::parse(sql).expect("parses") {
            let Statement::Statement(mut statement) = parsed.statement else { panic!("{sql}") };
            if let Some((key, made)) = of_statement(&statement) {
                own.insert(key, made);
                continue;
            }
            last = match expand(&mut statement, &own) {
                Ok(()) => statement.to_string(),
                Err(error) => error.message().to_string(),
            };
        }
        assert_eq!(last, expected, "{sql}");
    }

    #[test]
    fn definitions_take_the_place_of_calls() {
        assert!(KNOWN.len() > 40, "{}", KNOWN.len());
        check("CREATE MACRO f(a, b := 2) AS a * b; SELECT f(x + 1)", "SELECT ((x + 1) * 2)");
        check("CREATE MACRO f(a) AS g(a); CREATE MACRO g(a) AS -a; SELECT f(1)", "SELECT (-1)");
        check(
            "CREATE MACRO f(a) AS f(a); SELECT f(1)",
            "the macro f is made of itself, or of too many",
        );
        check(
            "CREATE MACRO t(k) AS TABLE SELECT * FROM 'a.csv' WHERE id = k; SELECT * FROM t(3) x",
            "SELECT * FROM (SELECT * FROM 'a.csv' WHERE id = 3) x",
        );
        check("SET VARIABLE n = 4; SELECT getvariable('n') + 1", "SELECT 4 + 1");
        check("SELECT getvariable('n')", "no variable named n");
        check(
            "CREATE FUNCTION f(a INT) RETURNS BIGINT RETURN a + 1; SELECT f(x)",
            "SELECT CAST((CAST(x AS INT)) + 1 AS BIGINT)",
        );
        check("SELECT date_diff('epoch', a, b)", "date_diff: no part of a date called 'epoch'");
        check("SELECT year(d)", "SELECT CAST(date_part('year', d) AS BIGINT)");
        check("SELECT max(x)", "SELECT max(x)");
    }
}
