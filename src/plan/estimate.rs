//! How many rows a plan may give: guesses from file footers, good enough to choose between plans.
//!
//! What is known are row counts and bounds of columns. A column of whole numbers or dates has at most
//! as many values as lie between its bounds; one with as many possible values as rows may be a key.
//! Filters whose share cannot be told are given the customary ones (Selinger et al., SIGMOD 1979).
//! Nothing here may decide what an answer is.

use std::collections::HashMap;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, FetchType, JoinType, LogicalPlan, Operator, Projection,
    SkipType, TableScan,
};

/// The share of rows that an equality with a value keeps, when nothing is known of the column.
const EQUAL_SHARE: f64 = 0.1;
/// The share that a comparison by order keeps.
const RANGE_SHARE: f64 = 1.0 / 3.0;
/// The share that a pattern keeps.
const PATTERN_SHARE: f64 = 0.1;
/// The share that any other condition keeps.
const OTHER_SHARE: f64 = 0.3;
/// The share of groups that a condition on an aggregate keeps.
const HAVING_SHARE: f64 = 0.1;

/// What is known of the values of a column.
#[derive(Debug, Clone, Copy)]
pub struct Domain {
    /// At most so many distinct values, of all rows of the table.
    pub distinct_max: f64,
    /// The least and the greatest, on a scale that keeps their order and distances.
    pub bounds: Option<(f64, f64)>,
}

/// What a plan may give.
#[derive(Debug, Clone, Default)]
pub struct Estimate {
    /// Rows.
    pub row_count: f64,
    /// Rows before any filter: what domains refer to.
    pub unfiltered: f64,
    /// Its columns; those of which nothing is known are left out.
    pub domains: HashMap<Column, Domain>,
    /// Columns of which no two rows have the same values.
    pub key: Option<Vec<Column>>,
}

impl Estimate {
    /// Distinct values of a column at most, before any filter.
    pub fn distinct_max(&self, column: &Column) -> f64 {
        let known = self.domains.get(column).map_or(self.unfiltered, |domain| domain.distinct_max);
        known.min(self.unfiltered).max(1.0)
    }

    /// Whether each row may have values of its own in these columns.
    pub fn may_be_key(&self, columns: &[&Column]) -> bool {
        let known = self.key.as_ref();
        known.is_some_and(|key| key.iter().all(|column| columns.contains(&column)))
            || columns
                .iter()
                .map(|column| {
                    self.domains.get(column).map_or(f64::INFINITY, |domain| domain.distinct_max)
                })
                .product::<f64>()
                >= self.unfiltered
    }

    fn filtered(mut self, share: f64) -> Self {
        self.row_count = (self.row_count * share).max(1.0);
        self
    }
}

/// What a plan may give; None where a table says nothing of itself.
pub fn estimate(plan: &LogicalPlan) -> Option<Estimate> {
    match plan {
        LogicalPlan::TableScan(scan) => table(scan),
        LogicalPlan::Filter(filter) => {
            // Filters that a scan knows of stay above it as well.
            let known = match filter.input.as_ref() {
                LogicalPlan::TableScan(scan) => scan.filters.as_slice(),
                _ => &[],
            };
            let input = estimate(&filter.input)?;
            let having = is_of_aggregate(&filter.input);
            let share = split_conjunction(&filter.predicate)
                .into_iter()
                .filter(|condition| !known.contains(condition))
                .map(|condition| if having { HAVING_SHARE } else { share(condition, &input) })
                .product();
            Some(input.filtered(share))
        }
        LogicalPlan::Projection(projection) => {
            Some(renamed(projection, estimate(&projection.input)?))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let input = estimate(&alias.input)?;
            let name =
                |column: &Column| Column::new(Some(alias.alias.clone()), column.name.clone());
            Some(Estimate {
                domains: input
                    .domains
                    .iter()
                    .map(|(column, domain)| (name(column), *domain))
                    .collect(),
                key: input.key.as_ref().map(|key| key.iter().map(name).collect()),
                ..input
            })
        }
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate),
        LogicalPlan::Distinct(Distinct::All(input))
        | LogicalPlan::Sort(datafusion::logical_expr::Sort { input, .. }) => estimate(input),
        LogicalPlan::Limit(limit) => {
            let mut input = estimate(&limit.input)?;
            if let (Ok(FetchType::Literal(Some(fetch))), Ok(SkipType::Literal(_))) =
                (limit.get_fetch_type(), limit.get_skip_type())
            {
                input.row_count = input.row_count.min(fetch as f64);
            }
            Some(input)
        }
        LogicalPlan::Join(join) => {
            let (left, right) = (estimate(&join.left)?, estimate(&join.right)?);
            let pairs: Vec<(&Column, &Column)> = join
                .on
                .iter()
                .filter_map(|(left, right)| Some((left.try_as_col()?, right.try_as_col()?)))
                .collect();
            let row_count = match join.join_type {
                JoinType::LeftSemi | JoinType::LeftMark => left.row_count,
                JoinType::LeftAnti => left.row_count / 2.0,
                JoinType::RightSemi | JoinType::RightMark => right.row_count,
                JoinType::RightAnti => right.row_count / 2.0,
                _ => joined(&left, &right, &pairs),
            };
            let at_least = match join.join_type {
                JoinType::Left => left.row_count,
                JoinType::Right => right.row_count,
                JoinType::Full => left.row_count.max(right.row_count),
                _ => 1.0,
            };
            let mut domains = left.domains;
            domains.extend(right.domains);
            let unfiltered = left.unfiltered.max(right.unfiltered);
            Some(Estimate { row_count: row_count.max(at_least), unfiltered, domains, key: None })
        }
        LogicalPlan::EmptyRelation(_) => {
            Some(Estimate { row_count: 1.0, unfiltered: 1.0, ..Estimate::default() })
        }
        LogicalPlan::Values(values) => {
            let row_count = values.values.len() as f64;
            Some(Estimate { row_count, unfiltered: row_count, ..Estimate::default() })
        }
        LogicalPlan::Union(union) => {
            let inputs: Option<Vec<Estimate>> =
                union.inputs.iter().map(|input| estimate(input)).collect();
            let row_count = inputs?.iter().map(|input| input.row_count).sum();
            Some(Estimate { row_count, unfiltered: row_count, ..Estimate::default() })
        }
        _ => None,
    }
}

/// Rows of an inner join by equality of these columns.
///
/// Every row of a side finds those with its values among the rows of the other. If one side has
/// each combination of values once, that is its share of that side; what is a key is guessed.
pub fn joined(left: &Estimate, right: &Estimate, pairs: &[(&Column, &Column)]) -> f64 {
    let all = left.row_count * right.row_count;
    if pairs.is_empty() {
        return all;
    }
    let (of_left, of_right): (Vec<&Column>, Vec<&Column>) = pairs.iter().copied().unzip();
    all / combinations(left, &of_left, right, &of_right)
}

/// How many combinations of values two sides share by these columns, before any filter.
fn combinations(
    left: &Estimate,
    of_left: &[&Column],
    right: &Estimate,
    of_right: &[&Column],
) -> f64 {
    let count = |side: &Estimate, columns: &[&Column]| {
        columns
            .iter()
            .map(|column| side.distinct_max(column))
            .product::<f64>()
            .min(side.unfiltered)
            .max(1.0)
    };
    let (lefts, rights) = (count(left, of_left), count(right, of_right));
    let knows = |side: &Estimate, columns: &[&Column]| {
        columns.iter().any(|column| side.domains.contains_key(*column))
    };
    let is_unknown = !knows(left, of_left) && !knows(right, of_right);
    match (left.may_be_key(of_left), right.may_be_key(of_right)) {
        (true, false) => lefts,
        (false, true) => rights,
        // Of two sparse keys, or two of which nothing is known, the smaller is the one referred to.
        (true, true) if of_left.len() > 1 || is_unknown => lefts.min(rights),
        _ => lefts.max(rights),
    }
}

/// The share of a side's rows that find a partner.
pub fn matched(side: &Estimate, other: &Estimate, pairs: &[(&Column, &Column)]) -> f64 {
    if pairs.is_empty() {
        return 1.0;
    }
    let (of_side, of_other): (Vec<&Column>, Vec<&Column>) = pairs.iter().copied().unzip();
    let there = of_other
        .iter()
        .map(|column| other.distinct_max(column))
        .product::<f64>()
        .min(other.row_count);
    (there / combinations(side, &of_side, other, &of_other)).min(1.0)
}

fn is_of_aggregate(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) => true,
        LogicalPlan::Projection(projection) => is_of_aggregate(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_of_aggregate(&alias.input),
        _ => false,
    }
}

fn table(scan: &TableScan) -> Option<Estimate> {
    let provider = source_as_provider(&scan.source).ok()?;
    let statistics = provider.statistics()?;
    let row_count = *statistics.num_rows.get_value()? as f64;
    let schema = provider.schema();
    let domains = schema
        .fields()
        .iter()
        .zip(&statistics.column_statistics)
        .filter_map(|(field, column)| {
            let name = Column::new(Some(scan.table_name.clone()), field.name().clone());
            Some((name, domain(field.data_type(), column, row_count)?))
        })
        .collect();
    let all = Estimate { row_count, unfiltered: row_count, domains, key: None };
    let share = scan.filters.iter().map(|filter| share(filter, &all)).product();
    Some(all.filtered(share))
}

fn domain(data_type: &DataType, column: &ColumnStatistics, row_count: f64) -> Option<Domain> {
    let bound = |value: &Precision<ScalarValue>| scaled(value.get_value()?);
    let bounds = bound(&column.min_value).zip(bound(&column.max_value));
    let distinct = match (column.distinct_count, bounds) {
        (Precision::Exact(count) | Precision::Inexact(count), _) => Some(count as f64),
        (_, Some((low, high))) if is_counted(data_type) => Some(high - low + 1.0),
        _ => None,
    };
    match (distinct, bounds) {
        (None, None) => None,
        _ => Some(Domain { distinct_max: distinct.unwrap_or(row_count), bounds }),
    }
}

/// Whether values between two bounds can be counted.
fn is_counted(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Date32 | DataType::Boolean)
}

/// A value on a scale that keeps order and distances.
fn scaled(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::Boolean(value) => f64::from(u8::from((*value)?)),
        ScalarValue::Decimal128(value, _, scale) => {
            (*value)? as f64 / 10f64.powi(i32::from(*scale))
        }
        ScalarValue::Date32(value) => f64::from((*value)?),
        ScalarValue::TimestampSecond(value, _)
        | ScalarValue::TimestampMillisecond(value, _)
        | ScalarValue::TimestampMicrosecond(value, _)
        | ScalarValue::TimestampNanosecond(value, _) => (*value)? as f64,
        value if value.data_type().is_integer() || value.data_type().is_floating() => {
            match value.cast_to(&DataType::Float64).ok()? {
                ScalarValue::Float64(value) => value?,
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn renamed(projection: &Projection, input: Estimate) -> Estimate {
    let pairs = || {
        projection
            .schema
            .columns()
            .into_iter()
            .zip(&projection.expr)
            .filter_map(|(name, expr)| Some((name, unaliased(expr).try_as_col()?)))
    };
    let domains =
        pairs().filter_map(|(name, column)| Some((name, *input.domains.get(column)?))).collect();
    let key = input.key.as_ref().and_then(|key| {
        key.iter()
            .map(|column| pairs().find(|(_, of)| *of == column).map(|(name, _)| name))
            .collect()
    });
    Estimate { domains, key, ..input }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

fn grouped(aggregate: &Aggregate) -> Option<Estimate> {
    let input = estimate(&aggregate.input)?;
    let names = aggregate.schema.columns();
    let keys: Vec<(Column, Option<&Column>)> = names
        .into_iter()
        .zip(&aggregate.group_expr)
        .map(|(name, expr)| (name, expr.try_as_col()))
        .collect();
    let groups = keys
        .iter()
        .map(|(_, column)| column.map_or(input.unfiltered, |column| input.distinct_max(column)))
        .product::<f64>()
        .min(input.row_count)
        .max(1.0);
    let domains = keys
        .iter()
        .filter_map(|(name, column)| Some((name.clone(), *input.domains.get((*column)?)?)))
        .collect();
    let key = Some(keys.into_iter().map(|(name, _)| name).collect());
    Some(Estimate { row_count: groups, unfiltered: groups, domains, key })
}

/// The share of rows for which a condition may hold.
pub fn share(condition: &Expr, input: &Estimate) -> f64 {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            share(left, input) * share(right, input)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (left, right) = (share(left, input), share(right, input));
            left + right - left * right
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            match (column_of(left), literal_of(right), column_of(right), literal_of(left)) {
                (Some(column), Some(value), _, _) => compared(column, *op, value, input),
                (_, _, Some(column), Some(value)) => {
                    compared(column, op.swap().unwrap_or(*op), value, input)
                }
                _ if *op == Operator::Eq => EQUAL_SHARE,
                _ if is_order(*op) => RANGE_SHARE,
                _ => OTHER_SHARE,
            }
        }
        Expr::Not(inner) => 1.0 - share(inner, input),
        Expr::InList(list) => {
            let each = match column_of(&list.expr).and_then(|column| input.domains.get(column)) {
                Some(domain) => 1.0 / domain.distinct_max.max(1.0),
                None => EQUAL_SHARE,
            };
            let share = (each * list.list.len() as f64).min(1.0);
            if list.negated { 1.0 - share } else { share }
        }
        Expr::Between(between) => {
            let (low, high) = (literal_of(&between.low), literal_of(&between.high));
            let share = match (column_of(&between.expr), low, high) {
                (Some(column), Some(low), Some(high)) => {
                    let above = compared(column, Operator::GtEq, low, input);
                    let below = compared(column, Operator::LtEq, high, input);
                    (above + below - 1.0).max(0.001)
                }
                _ => RANGE_SHARE * RANGE_SHARE,
            };
            if between.negated { 1.0 - share } else { share }
        }
        Expr::Like(like) if like.negated => 1.0 - PATTERN_SHARE,
        Expr::Like(_) => PATTERN_SHARE,
        Expr::IsNull(_) => EQUAL_SHARE,
        Expr::IsNotNull(_) => 1.0,
        _ => OTHER_SHARE,
    }
}

fn column_of(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Cast(cast) => column_of(&cast.expr),
        _ => None,
    }
}

fn literal_of(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Cast(cast) => literal_of(&cast.expr),
        _ => None,
    }
}

fn is_order(op: Operator) -> bool {
    matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
}

fn compared(column: &Column, op: Operator, value: &ScalarValue, input: &Estimate) -> f64 {
    let domain = input.domains.get(column);
    match op {
        Operator::Eq => domain.map_or(EQUAL_SHARE, |domain| 1.0 / domain.distinct_max.max(1.0)),
        Operator::NotEq => {
            1.0 - domain.map_or(EQUAL_SHARE, |domain| 1.0 / domain.distinct_max.max(1.0))
        }
        op if is_order(op) => {
            let bounds = domain.and_then(|domain| domain.bounds).zip(scaled(value));
            let Some(((low, high), value)) = bounds.filter(|((low, high), _)| high > low) else {
                return RANGE_SHARE;
            };
            let below = ((value - low) / (high - low)).clamp(0.0, 1.0);
            let share =
                if matches!(op, Operator::Lt | Operator::LtEq) { below } else { 1.0 - below };
            share.max(0.001)
        }
        Operator::LikeMatch | Operator::ILikeMatch | Operator::RegexMatch => PATTERN_SHARE,
        _ => OTHER_SHARE,
    }
}
