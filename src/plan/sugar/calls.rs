//! Operators and calls that are written in another way.

use std::sync::LazyLock;

use chrono::Utc;
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, DuplicateTreatment, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident, OrderByExpr,
    Subscript, TimezoneInfo, UnaryOperator, Value, ValueWithSpan, WindowFrameBound, WindowType,
};
use regex::Regex;

use super::{IsAggregate, call, is_volatile, only_arg, parsed, rows, subqueries};
use crate::units::show_literal;

/// Operators and calls that are written in another way.
pub(super) fn expression(expr: &mut Expr, known: IsAggregate<'_>) {
    let is_ilike = matches!(expr, Expr::ILike { .. });
    let new = match &*expr {
        // It stands there twice.
        Expr::BinaryOp { left, op: BinaryOperator::DuckIntegerDivide, right }
            if !is_volatile(left) && !is_volatile(right) =>
        {
            parsed(&format!("(({left}) - ({left}) % ({right})) / ({right})")).ok()
        }
        Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, right } => {
            call("power", &[left, right])
        }
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("try") => {
            match only_arg(&function.args) {
                Some(Expr::Cast { expr, data_type, format, array, .. }) => Some(Expr::Cast {
                    kind: CastKind::TryCast,
                    expr: expr.clone(),
                    data_type: data_type.clone(),
                    format: format.clone(),
                    array: *array,
                }),
                _ => None,
            }
        }
        Expr::Cast { kind, expr, data_type, .. } => {
            cast_to(data_type, expr, matches!(kind, CastKind::TryCast | CastKind::SafeCast))
        }
        Expr::TypedString(typed) => {
            cast_to(&typed.data_type, &Expr::Value(typed.value.clone()), false)
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            in_subquery(left, right, false)
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
            in_subquery(left, right, true)
        }
        Expr::AnyOp { left, compare_op, right, .. } => {
            subqueries::compared(left, compare_op, right, false)
        }
        Expr::AllOp { left, compare_op, right } => {
            subqueries::compared(left, compare_op, right, true)
        }
        Expr::Function(function)
            if function.name.to_string().eq_ignore_ascii_case("struct_pack") =>
        {
            struct_of(&function.args)
        }
        // ('x').upper() is upper('x').
        Expr::CompoundFieldAccess { root, access_chain }
            if access_chain.iter().any(is_half_open) =>
        {
            let mut access_chain = access_chain.clone();
            access_chain.iter_mut().for_each(close);
            Some(Expr::CompoundFieldAccess { root: root.clone(), access_chain })
        }
        Expr::CompoundFieldAccess { root, access_chain } => match &access_chain[..] {
            [AccessExpr::Dot(Expr::Identifier(field))] => {
                let field = Expr::Value(Value::SingleQuotedString(field.value.clone()).into());
                call("get_field", &[root, &field])
            }
            [AccessExpr::Dot(Expr::Function(function))] => {
                let mut function = function.clone();
                if let FunctionArguments::List(list) = &mut function.args {
                    let root = FunctionArg::Unnamed(FunctionArgExpr::Expr(root.as_ref().clone()));
                    list.args.insert(0, root);
                }
                Some(Expr::Function(function))
            }
            _ => None,
        },
        Expr::Subquery(subquery) => {
            let query = subqueries::one_value(subquery, known);
            let query = query.or_else(|| subqueries::with_having(subquery, known));
            query.map(|query| Expr::Subquery(Box::new(query)))
        }
        Expr::Exists { subquery, negated } if subqueries::is_one_row(subquery, known) => {
            parsed(if *negated { "false" } else { "true" }).ok()
        }
        Expr::Like { negated, any: false, expr, pattern, escape_char: Some(escape) }
        | Expr::ILike { negated, any: false, expr, pattern, escape_char: Some(escape) } => {
            escaped(pattern, escape).map(|pattern| {
                let (negated, any, expr, escape_char) = (*negated, false, expr.clone(), None);
                match is_ilike {
                    true => Expr::ILike { negated, any, expr, pattern, escape_char },
                    false => Expr::Like { negated, any, expr, pattern, escape_char },
                }
            })
        }
        Expr::Function(function) if is_called(function, "regexp_replace") => {
            with_arg(function, 2, |replacement| {
                parsed(&format!("replace({replacement}, '$', '$$')")).ok()
            })
        }
        Expr::Function(function) if is_called(function, "to_char") => {
            with_arg(function, 1, |format| {
                let Expr::Value(format) = format else { return None };
                let Value::SingleQuotedString(format) = &format.value else { return None };
                parsed(&show_literal(&of_template(format)?)).ok()
            })
        }
        Expr::AtTimeZone { timestamp, time_zone } => call("at_time_zone", &[timestamp, time_zone]),
        Expr::SimilarTo { negated, expr, pattern, escape_char } => {
            similar(expr, pattern, escape_char.as_ref(), *negated)
        }
        Expr::BinaryOp { .. } | Expr::InList { .. } | Expr::InSubquery { .. } => {
            rows::compared(expr)
        }
        Expr::Function(function)
            if function.name.to_string().eq_ignore_ascii_case("json_object") =>
        {
            parsed(&format!("to_json(named_struct{})", function.args)).ok()
        }
        Expr::Function(function) => {
            any_of_moving_frame(function).or_else(|| sorted_distinct(function))
        }
        Expr::Interval(interval) => match interval.value.as_ref() {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) if interval.leading_field.is_none() => {
                    clock_in(text).map(|text| {
                        let mut interval = interval.clone();
                        let text = Value::SingleQuotedString(text);
                        interval.value = Box::new(Expr::Value(text.into()));
                        Expr::Interval(interval)
                    })
                }
                Value::Number(number, _) => {
                    let mut interval = interval.clone();
                    let text = Value::SingleQuotedString(number.clone());
                    interval.value = Box::new(Expr::Value(text.into()));
                    Some(Expr::Interval(interval))
                }
                _ => None,
            },
            value => interval
                .leading_field
                .as_ref()
                .and_then(|unit| parsed(&format!("(INTERVAL '1 {unit}' * ({value}))")).ok()),
        },
        _ => None,
    };
    if let Some(new) = new {
        *expr = new;
    }
}

/// A cast to a type that the planner has under another name, or checks too little.
fn cast_to(data_type: &DataType, value: &Expr, is_try: bool) -> Option<Expr> {
    let attempt = if is_try { "try_" } else { "" };
    match data_type {
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            far_timestamp(value)
        }
        DataType::JSON | DataType::JSONB => call(&format!("swath_{attempt}json"), &[value]),
        DataType::Uuid => call(&format!("swath_{attempt}uuid"), &[value]),
        _ => None,
    }
}

/// `-x ^ 2` is `(-x) ^ 2`: a sign binds before a power.
pub(super) fn negate_base(expr: &mut Expr) {
    let is_power =
        |expr: &Expr| matches!(expr, Expr::BinaryOp { op: BinaryOperator::BitwiseXor, .. });
    let Expr::UnaryOp { op: op @ UnaryOperator::Minus, expr: inner } = expr else { return };
    if !is_power(inner) {
        return;
    }
    let (op, mut power) = (*op, inner.as_ref().clone());
    let mut base = &mut power;
    while let Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, .. } = base {
        base = left;
    }
    let own = std::mem::replace(base, Expr::Identifier(Ident::new("")));
    *base = Expr::Nested(Box::new(Expr::UnaryOp { op, expr: Box::new(own) }));
    *expr = power;
}

/// A timestamp that nanoseconds do not reach, in microseconds.
fn far_timestamp(text: &Expr) -> Option<Expr> {
    let Expr::Value(value) = text else { return None };
    let Value::SingleQuotedString(literal) = &value.value else { return None };
    let time = string_to_datetime(&Utc, literal).ok()?;
    let is_far = time.timestamp_nanos_opt().is_none();
    is_far.then(|| parsed(&format!("CAST({text} AS TIMESTAMP_US)")).ok()).flatten()
}

fn is_called(function: &Function, name: &str) -> bool {
    function.name.to_string().eq_ignore_ascii_case(name)
}

/// A call with an argument changed.
fn with_arg(
    function: &Function,
    at: usize,
    change: impl FnOnce(&Expr) -> Option<Expr>,
) -> Option<Expr> {
    let mut function = function.clone();
    let FunctionArguments::List(list) = &mut function.args else { return None };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = list.args.get_mut(at)? else {
        return None;
    };
    *arg = change(arg)?;
    Some(Expr::Function(function))
}

/// A pattern of LIKE whose escape is a backslash, the only one that the planner takes.
fn escaped(pattern: &Expr, escape: &ValueWithSpan) -> Option<Box<Expr>> {
    let text = |value: &Value| match value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    };
    let Expr::Value(pattern) = pattern else { return None };
    let (pattern, escape) = (text(&pattern.value)?, text(&escape.value)?);
    let mut spelled = String::new();
    let mut rest = pattern.chars();
    while let Some(part) = rest.next() {
        let next = escape.starts_with(part).then(|| rest.next()).flatten();
        match next {
            Some(next) => spelled.extend(['\\', next]),
            None if part == '\\' => spelled.push_str("\\\\"),
            None => spelled.push(part),
        }
    }
    parsed(&show_literal(&spelled)).ok().map(Box::new)
}

/// A template of PostgreSQL's `to_char`, such as `YYYY-MM-DD`, as a format such as `%Y-%m-%d`.
fn of_template(template: &str) -> Option<String> {
    const PARTS: [(&str, &str); 21] = [
        ("YYYY", "%Y"),
        ("YY", "%y"),
        ("Month", "%B"),
        ("Mon", "%b"),
        ("MM", "%m"),
        ("DDD", "%j"),
        ("DD", "%d"),
        ("Day", "%A"),
        ("Dy", "%a"),
        ("HH24", "%H"),
        ("HH12", "%I"),
        ("HH", "%I"),
        ("MI", "%M"),
        ("SS", "%S"),
        ("MS", "%3f"),
        ("US", "%6f"),
        ("AM", "%p"),
        ("PM", "%p"),
        ("IW", "%V"),
        ("IYYY", "%G"),
        ("ID", "%u"),
    ];
    if template.contains('%') {
        return None;
    }
    let (mut format, mut rest, mut is_template) = (String::new(), template, false);
    while let Some(first) = rest.chars().next() {
        let longest = PARTS.iter().filter(|(part, _)| rest.starts_with(part));
        match longest.max_by_key(|(part, _)| part.len()) {
            Some((part, own)) => {
                is_template = true;
                format.push_str(own);
                rest = &rest[part.len()..];
            }
            None => {
                format.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    is_template.then_some(format)
}

/// `bool_or` and `bool_and` over frames whose start moves, by the greatest or the least of 1 and 0.
fn any_of_moving_frame(function: &Function) -> Option<Expr> {
    let bound = match function.name.to_string().to_lowercase().as_str() {
        "bool_or" => "max",
        "bool_and" => "min",
        _ => return None,
    };
    let Some(WindowType::WindowSpec(window)) = &function.over else { return None };
    let frame = window.window_frame.as_ref()?;
    if matches!(frame.start_bound, WindowFrameBound::Preceding(None)) {
        return None;
    }
    let condition = only_arg(&function.args)?;
    let filter = function.filter.as_ref();
    let filter = filter.map_or(String::new(), |filter| format!(" FILTER (WHERE {filter})"));
    parsed(&format!("({bound}(CAST({condition} AS INT)){filter} OVER ({window}) = 1)")).ok()
}

/// `array_agg(DISTINCT x ORDER BY x)` and `string_agg` of the kind, sorted when they are there: the planner gives two
/// of them with different orders the same one.
fn sorted_distinct(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArgumentClause::OrderBy(keys)] = &list.clauses[..] else { return None };
    let (
        [OrderByExpr { expr: key, options, with_fill: None }],
        Some(DuplicateTreatment::Distinct),
        None,
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(value)), rest @ ..],
    ) = (&keys[..], list.duplicate_treatment, &function.over, &list.args[..])
    else {
        return None;
    };
    if key.to_string() != value.to_string() {
        return None;
    }
    let is_up = options.asc != Some(false);
    let direction = if is_up { "ASC" } else { "DESC" };
    let nulls = if options.nulls_first.unwrap_or(!is_up) { "FIRST" } else { "LAST" };
    let filter = function.filter.as_ref().map(|filter| format!("({filter})"));
    let sorted = |filter: Option<String>| {
        let filter = filter.map_or(String::new(), |filter| format!(" FILTER (WHERE {filter})"));
        format!("array_sort(array_agg(DISTINCT {value}){filter}, '{direction}', 'NULLS {nulls}')")
    };
    match (function.name.to_string().to_lowercase().as_str(), rest) {
        ("array_agg", []) => parsed(&sorted(filter)).ok(),
        ("string_agg", [FunctionArg::Unnamed(FunctionArgExpr::Expr(separator))]) => {
            let there = format!("({value}) IS NOT NULL");
            let filter = filter.map_or(there.clone(), |filter| format!("{filter} AND {there}"));
            parsed(&format!("array_to_string({}, {separator})", sorted(Some(filter)))).ok()
        }
        _ => None,
    }
}

/// `ARRAY(SELECT x FROM t)` as an aggregate, which is rewritten in turn.
pub(super) fn array_of_rows(expr: &Expr) -> Option<Expr> {
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::Subquery(subquery) = &function.args else { return None };
    let items = format!("({subquery}) AS items (item)");
    let is_array = function.name.to_string().eq_ignore_ascii_case("array");
    is_array
        .then(|| parsed(&format!("(SELECT coalesce(array_agg(item), []) FROM {items})")).ok())
        .flatten()
}

/// Whether a slice leaves out where it begins or ends.
fn is_half_open(access: &AccessExpr) -> bool {
    matches!(access, AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. })
        if lower_bound.is_none() || upper_bound.is_none())
}

/// Says where a slice begins and ends.
fn close(access: &mut AccessExpr) {
    if let AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) = access {
        let number = |number: i64| Expr::Value(Value::Number(number.to_string(), false).into());
        lower_bound.get_or_insert_with(|| number(1));
        upper_bound.get_or_insert_with(|| number(-1));
    }
}

/// `struct_pack(a := 1)` as `named_struct('a', 1)`.
fn struct_of(args: &FunctionArguments) -> Option<Expr> {
    let FunctionArguments::List(list) = args else { return None };
    let fields = list.args.iter().map(|arg| match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
            Some(format!("{}, {value}", show_literal(&name.value)))
        }
        _ => None,
    });
    let fields: Vec<String> = fields.collect::<Option<_>>()?;
    parsed(&format!("named_struct({})", fields.join(", "))).ok()
}

/// `x = ANY (subquery)` and `x <> ALL (subquery)`.
fn in_subquery(left: &Expr, right: &Expr, negated: bool) -> Option<Expr> {
    let Expr::Subquery(subquery) = right else { return None };
    Some(Expr::InSubquery { expr: Box::new(left.clone()), subquery: subquery.clone(), negated })
}

/// `1 day 04:05:06` as `1 day 4 hours 5 minutes 6 seconds`.
fn clock_in(text: &str) -> Option<String> {
    static CLOCK: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^(.*?)(-?)(\d+):(\d+)(?::(\d+(?:\.\d+)?))?\s*$").ok());
    let found = CLOCK.as_ref()?.captures(text)?;
    let (before, sign) = (found[1].trim(), &found[2]);
    let seconds = found.get(5).map_or("0", |seconds| seconds.as_str());
    let (hours, minutes) = (&found[3], &found[4]);
    let clock = format!("{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds");
    Some(if before.is_empty() { clock } else { format!("{before} {clock}") })
}

/// SIMILAR TO: SQL's patterns of whole texts, as a regular expression.
fn similar(
    expr: &Expr,
    pattern: &Expr,
    escape: Option<&ValueWithSpan>,
    negated: bool,
) -> Option<Expr> {
    let text = |value: &Value| match value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    };
    let Expr::Value(pattern) = pattern else { return None };
    let pattern = text(&pattern.value)?;
    let escape = match escape {
        Some(escape) => text(&escape.value)?.chars().next(),
        None => Some('\\'),
    };
    let mut regex = String::from("(?s)^(?:");
    let (mut rest, mut in_class) = (pattern.chars(), false);
    while let Some(part) = rest.next() {
        match part {
            part if Some(part) == escape => {
                regex.push_str(&regex::escape(&rest.next()?.to_string()));
            }
            '[' | ']' => {
                in_class = part == '[';
                regex.push(part);
            }
            part if in_class => regex.push(part),
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '.' | '^' | '$' | '\\' => regex.push_str(&regex::escape(&part.to_string())),
            part => regex.push(part),
        }
    }
    regex.push_str(")$");
    let not = if negated { "NOT " } else { "" };
    parsed(&format!("({not}regexp_like({expr}, {}))", show_literal(&regex))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_may_end_with_a_time() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(clock_in(text).as_deref(), expected, "{text}");
        };
        check("1 day 04:05:06.5", Some("1 day 04 hours 05 minutes 06.5 seconds"));
        check("-4:05", Some("-4 hours -05 minutes -0 seconds"));
        check("1 day", None);
    }

    #[test]
    fn templates_are_formats() {
        let check = |template: &str, expected: Option<&str>| {
            assert_eq!(of_template(template).as_deref(), expected, "{template}");
        };
        check("YYYY-MM-DD HH24:MI:SS.MS", Some("%Y-%m-%d %H:%M:%S.%3f"));
        check("Dy, DD Mon YY", Some("%a, %d %b %y"));
        check("%Y-%m-%d", None);
        check("-", None);
    }
}
