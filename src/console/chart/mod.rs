//! Charts: what a result looks like, guessed from its columns and drawn in a terminal or a picture.
//!
//! ```text
//! rows -> what is x, what is y, which kind (said in the title) -> shape -> terminal | SVG, PNG, HTML
//! ```
//!
//! Invariant: what is not drawn (NULL, bars beyond the last, columns) is counted in the caption.

mod picture;
mod terminal;

use std::io::Write;
use std::path::Path;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Float64Type, SchemaRef, TimeUnit};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

pub use self::picture::Picture;
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::output::OutputFile;
use crate::units::{show_count, show_counted};

/// More bars are no picture.
const BARS_MAX: usize = 40;
/// Lines in one chart at most, if none are named.
const SERIES_MAX: usize = 6;
/// More points than this are asked to be aggregated first.
const POINTS_MAX: usize = 2_000_000;
const BINS_MAX: usize = 24;

/// How rows are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One bar for each row, as long as its value.
    Bar,
    /// Points joined in the order of x.
    Line,
    /// Points.
    Scatter,
    /// How often the values of one column lie in ranges of equal width.
    Histogram,
}

impl Kind {
    const ALL: [(&'static str, Kind); 4] = [
        ("bar", Kind::Bar),
        ("line", Kind::Line),
        ("scatter", Kind::Scatter),
        ("histogram", Kind::Histogram),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// What to draw; what is left out is guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub kind: Option<Kind>,
    /// The column along the x axis, or that names the bars.
    pub x: Option<String>,
    /// The columns whose values are drawn.
    pub ys: Vec<String>,
}

impl Request {
    /// Reads `[bar|line|scatter|histogram] [x] [y...]`.
    pub fn parse(text: &str) -> Self {
        let mut words: Vec<String> = text
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty())
            .map(|word| word.trim_matches('"').to_string())
            .collect();
        let kind = words
            .first()
            .and_then(|word| Kind::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)))
            .map(|(_, kind)| *kind);
        if kind.is_some() {
            words.remove(0);
        }
        match kind {
            Some(Kind::Histogram) => Request { kind, x: None, ys: words },
            _ if words.is_empty() => Request { kind, x: None, ys: words },
            _ => Request { kind, x: Some(words.remove(0)), ys: words },
        }
    }
}

/// A chart, ready to be drawn.
#[derive(Debug)]
pub struct Chart {
    title: String,
    /// What is not in it.
    caption: Option<String>,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Bars { bars: Vec<(String, f64)> },
    Points { x_name: String, is_time: bool, is_joined: bool, series: Vec<Series> },
}

#[derive(Debug)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

/// What a column is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Number,
    Time,
    Label,
}

fn role(data_type: &DataType) -> Role {
    match data_type {
        data_type if data_type.is_numeric() => Role::Number,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Role::Time,
        _ => Role::Label,
    }
}

impl Chart {
    /// The chart of a result.
    ///
    /// # Errors
    /// When there is nothing in it to draw, or a column that was asked for is not there.
    pub fn of(schema: &SchemaRef, batches: &[RecordBatch], request: &Request) -> Result<Self> {
        let row_count: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if row_count == 0 {
            return Err(Error::usage("no rows to draw"));
        }
        if row_count > POINTS_MAX {
            return Err(Error::usage(format!(
                "{} rows are too many for a chart",
                show_count(row_count as u64)
            ))
            .hint("aggregate them first: SELECT time_bucket(...), avg(...) ... GROUP BY ALL"));
        }
        let rows = concat_batches(schema, batches)
            .map_err(|error| Error::usage(format!("cannot draw the result: {error}")))?;
        let plan = Plan::guess(&rows, request)?;
        plan.draw(&rows)
    }

    /// Writes a picture into a file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be drawn or written.
    pub fn write(&self, picture: Picture, path: &Path, objects: &Objects) -> Result<()> {
        let bytes = picture::draw(self, picture)?;
        let file = OutputFile::create(path, objects)?;
        file.handle().write_all(&bytes).map_err(|error| Error::cannot_write(path, &error))?;
        file.publish()
    }

    /// Lines of text for a terminal.
    pub fn text(&self, width: usize, height: usize, color: bool) -> String {
        terminal::draw(self, width, height, color)
    }
}

/// Which columns are drawn, and how.
struct Plan {
    kind: Kind,
    x: Option<usize>,
    ys: Vec<usize>,
}

impl Plan {
    fn guess(rows: &RecordBatch, request: &Request) -> Result<Self> {
        let schema = rows.schema();
        let position = |name: &String| {
            let found =
                schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
            found.ok_or_else(|| {
                let names: Vec<_> =
                    schema.fields().iter().map(|field| field.name().as_str()).collect();
                Error::usage(format!("the result has no column named {name}"))
                    .hint(format!("there are {}", names.join(", ")))
            })
        };
        let roles: Vec<Role> =
            schema.fields().iter().map(|field| role(field.data_type())).collect();
        let first = |wanted: Role| roles.iter().position(|role| *role == wanted);
        let mut x = request.x.as_ref().map(position).transpose()?;
        let mut ys = request.ys.iter().map(position).collect::<Result<Vec<_>>>()?;
        if let Some(wrong) = ys.iter().find(|idx| roles[**idx] != Role::Number) {
            return Err(Error::usage(format!(
                "{} is no column of numbers",
                schema.field(*wrong).name()
            )));
        }
        if request.kind != Some(Kind::Histogram) && x.is_none() {
            let number_count = roles.iter().filter(|role| **role == Role::Number).count();
            let number = first(Role::Number).filter(|_| number_count > 1);
            x = match request.kind {
                Some(Kind::Bar) => first(Role::Label).or(first(Role::Time)).or(number),
                _ => first(Role::Time).or(first(Role::Label)).or(number),
            };
        }
        let is_bar = request.kind == Some(Kind::Bar)
            || request.kind.is_none() && x.is_some_and(|x| roles[x] == Role::Label);
        if ys.is_empty() {
            let is_free = |idx: &usize| roles[*idx] == Role::Number && Some(*idx) != x;
            let numbers = || (0..roles.len()).filter(is_free);
            // Beside a label, whole numbers are often part of what is labelled: years, months.
            let whole = |idx: &usize| !schema.field(*idx).data_type().is_integer();
            ys = match numbers().find(whole).or_else(|| numbers().next()) {
                Some(measure) if is_bar => vec![measure],
                _ => numbers().take(SERIES_MAX).collect(),
            };
        }
        let x_role = x.map(|x| roles[x]);
        // One column alone is a distribution.
        if x_role == Some(Role::Number) && ys.is_empty() {
            ys.extend(x.take());
        }
        if ys.is_empty() {
            return Err(Error::usage("there is no column of numbers to draw")
                .hint("for example: SELECT region, count(*) FROM ... GROUP BY region"));
        }
        let kind = match (request.kind, x.map(|x| roles[x])) {
            (Some(kind), _) => kind,
            (None, None) if rows.num_rows() == 1 => Kind::Bar,
            (None, None) => Kind::Histogram,
            (None, Some(Role::Label)) => Kind::Bar,
            (None, Some(Role::Time)) => Kind::Line,
            (None, Some(Role::Number)) if x.is_some_and(|x| is_rising(rows.column(x))) => {
                Kind::Line
            }
            (None, Some(Role::Number)) => Kind::Scatter,
        };
        if matches!(kind, Kind::Line | Kind::Scatter) && x.is_none_or(|x| roles[x] == Role::Label) {
            return Err(Error::usage(format!(
                "a {} chart needs a number or a time along x",
                kind.name()
            ))
            .hint("name it: .chart line day amount"));
        }
        Ok(Plan { kind, x, ys })
    }

    fn draw(&self, rows: &RecordBatch) -> Result<Chart> {
        let schema = rows.schema();
        let name = |idx: usize| schema.field(idx).name().clone();
        let names: Vec<String> = self.ys.iter().map(|idx| name(*idx)).collect();
        let mut left_out = Vec::new();
        let shape = match self.kind {
            Kind::Bar => self.bars(rows, &mut left_out)?,
            Kind::Histogram => histogram(&numbers(rows.column(self.ys[0]))?, &mut left_out)?,
            Kind::Line | Kind::Scatter => self.points(rows, &mut left_out)?,
        };
        let drawn =
            if matches!(self.kind, Kind::Line | Kind::Scatter) { &names[..] } else { &names[..1] };
        if drawn.len() < names.len() {
            left_out.push(format!("not drawn: {}", names[drawn.len()..].join(", ")));
        }
        let title = match (self.kind, self.x) {
            (Kind::Histogram, _) => format!("rows by {}", drawn[0]),
            (_, Some(x)) => format!("{} by {}", drawn.join(", "), name(x)),
            (_, None) => drawn.join(", "),
        };
        let caption = (!left_out.is_empty()).then(|| left_out.join("; "));
        Ok(Chart { title, caption, shape })
    }

    fn bars(&self, rows: &RecordBatch, left_out: &mut Vec<String>) -> Result<Shape> {
        let values = numbers(rows.column(self.ys[0]))?;
        let mut labels = match self.x {
            Some(x) => texts(rows.column(x))?,
            None => vec![String::new(); rows.num_rows()],
        };
        let mut seen = std::collections::HashSet::new();
        if !labels.iter().all(|label| seen.insert(label.clone())) {
            // `east 2023` and `east 2024`: what stands before the value tells them apart.
            for other in (0..self.ys[0]).filter(|idx| Some(*idx) != self.x) {
                for (label, more) in labels.iter_mut().zip(texts(rows.column(other))?) {
                    label.push(' ');
                    label.push_str(&more);
                }
            }
        }
        let all = labels.into_iter().zip(values);
        let mut bars: Vec<(String, f64)> =
            all.filter_map(|(label, value)| Some((label, value?))).collect();
        say_nulls(rows.num_rows() - bars.len(), left_out);
        if bars.len() > BARS_MAX {
            left_out.push(format!("{} more", show_counted((bars.len() - BARS_MAX) as u64, "bar")));
            bars.truncate(BARS_MAX);
        }
        if bars.is_empty() {
            return Err(Error::usage("all values are NULL"));
        }
        Ok(Shape::Bars { bars })
    }

    fn points(&self, rows: &RecordBatch, left_out: &mut Vec<String>) -> Result<Shape> {
        let x = self.x.unwrap_or_default();
        let schema = rows.schema();
        let xs = numbers(rows.column(x))?;
        let mut null_count = 0;
        let mut series = Vec::new();
        for idx in &self.ys {
            let ys = numbers(rows.column(*idx))?;
            let mut points: Vec<(f64, f64)> =
                xs.iter().zip(&ys).filter_map(|(x, y)| Some(((*x)?, (*y)?))).collect();
            null_count += rows.num_rows() - points.len();
            if self.kind == Kind::Line {
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
            series.push(Series { name: schema.field(*idx).name().clone(), points });
        }
        say_nulls(null_count, left_out);
        if series.iter().all(|series| series.points.is_empty()) {
            return Err(Error::usage("all values are NULL"));
        }
        Ok(Shape::Points {
            x_name: schema.field(x).name().clone(),
            is_time: role(schema.field(x).data_type()) == Role::Time,
            is_joined: self.kind == Kind::Line,
            series,
        })
    }
}

fn say_nulls(count: usize, left_out: &mut Vec<String>) {
    if count > 0 {
        left_out.push(format!("{} without a value", show_counted(count as u64, "point")));
    }
}

/// Ranges of equal width, with round ends, and how many values lie in each.
fn histogram(values: &[Option<f64>], left_out: &mut Vec<String>) -> Result<Shape> {
    let found: Vec<f64> = values.iter().flatten().copied().collect();
    say_nulls(values.len() - found.len(), left_out);
    let low = found.iter().copied().fold(f64::INFINITY, f64::min);
    let high = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if found.is_empty() {
        return Err(Error::usage("all values are NULL"));
    }
    // Sturges' rule, with ends that people can read.
    let wanted = (found.len() as f64).log2().ceil() + 1.0;
    let step = round_step((high - low) / wanted.clamp(1.0, BINS_MAX as f64));
    let first = (low / step).floor();
    let bin_count = ((high / step).floor() - first) as usize + 1;
    let mut counts = vec![0_u64; bin_count];
    for value in &found {
        let bin = ((value / step).floor() - first) as usize;
        counts[bin.min(bin_count - 1)] += 1;
    }
    let bars = counts.iter().enumerate().map(|(bin, count)| {
        let from = (first + bin as f64) * step;
        (format!("{} ..", show(from)), *count as f64)
    });
    Ok(Shape::Bars { bars: bars.collect() })
}

/// The next larger of 1, 2, 5, 10, 20, 50, ...; 1 if there is no width.
fn round_step(width: f64) -> f64 {
    if !(width.is_finite() && width > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(width.log10().floor());
    let factor =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= width * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// The values of a column as numbers, times in seconds; what is not finite is no value.
fn numbers(column: &ArrayRef) -> Result<Vec<Option<f64>>> {
    let fail = |error| Error::usage(format!("cannot draw a column: {error}"));
    let (column, divisor) = if role(column.data_type()) == Role::Time {
        let zone = match column.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let micros =
            cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone)).map_err(fail)?;
        (cast(&micros, &DataType::Int64).map_err(fail)?, 1e6)
    } else {
        (std::sync::Arc::clone(column), 1.0)
    };
    let floats = cast(&column, &DataType::Float64).map_err(fail)?;
    let floats = floats.as_primitive::<Float64Type>();
    Ok(floats
        .iter()
        .map(|value| value.filter(|value| value.is_finite()).map(|value| value / divisor))
        .collect())
}

fn texts(column: &ArrayRef) -> Result<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let format = ArrayFormatter::try_new(column, &options)
        .map_err(|error| Error::usage(format!("cannot draw a column: {error}")))?;
    let plain = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Ok((0..column.len()).map(|row| plain(format.value(row).to_string())).collect())
}

fn is_rising(column: &ArrayRef) -> bool {
    numbers(column).is_ok_and(|values| {
        values.windows(2).all(|pair| matches!(pair, [Some(a), Some(b)] if a < b))
    })
}

/// A number with six digits at most.
fn show(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = if size >= 1.0 { 5_usize.saturating_sub(size.log10() as usize) } else { 6 };
    let text = format!("{value:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    match digits.split_once('.') {
        Some((whole, fraction)) => format!("{sign}{}.{fraction}", grouped(whole)),
        None => format!("{sign}{}", grouped(digits)),
    }
}

fn grouped(digits: &str) -> String {
    digits.parse().map_or_else(|_| digits.to_string(), show_count)
}

/// A time in seconds, as exact as a range of this many seconds needs it.
fn show_time(seconds: f64, range: f64) -> String {
    let Some(time) = chrono::DateTime::from_timestamp(seconds.round() as i64, 0) else {
        return String::new();
    };
    let format = if range > 2.0 * 86_400.0 {
        "%Y-%m-%d"
    } else if range > 3600.0 {
        "%m-%d %H:%M"
    } else {
        "%H:%M:%S"
    };
    time.format(format).to_string()
}

/// The least and the greatest of some numbers, a little apart if they are one.
fn bounds(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    if low < high { (low, high) } else { (low - 0.5, high + 0.5) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    fn chart(sql: &str, request: &str) -> Result<String> {
        let answer = Engine::open().expect("opens").query(sql).expect("answers");
        let chart = Chart::of(answer.schema(), answer.batches(), &Request::parse(request))?;
        Ok(chart.text(60, 12, false))
    }

    #[test]
    fn a_label_and_a_number_are_bars() {
        let text = chart("SELECT * FROM (VALUES ('a', 2), ('bc', -1), ('d', NULL)) t(x, y)", "");
        insta::assert_snapshot!(text.expect("drawn"));
    }

    #[test]
    fn a_time_and_numbers_are_lines() {
        let sql = "SELECT DATE '2024-01-01' + v AS day, v * v AS square, 40 - v AS rest
                   FROM (SELECT CAST(value AS INT) AS v FROM generate_series(0, 9))";
        insta::assert_snapshot!(chart(sql, "").expect("drawn"));
    }

    #[test]
    fn one_column_is_a_distribution() {
        let text = chart("SELECT value % 7 AS v FROM generate_series(1, 100)", "");
        insta::assert_snapshot!(text.expect("drawn"));
    }

    #[test]
    fn what_cannot_be_drawn_is_said() {
        let error = chart("SELECT 'x' AS a", "").expect_err("no number").to_string();
        assert!(error.contains("no column of numbers"), "{error}");
        let error = chart("SELECT 1 AS a", "bar b").expect_err("no column").to_string();
        assert!(error.contains("there are a"), "{error}");
        let error = chart("SELECT 1 AS a WHERE false", "").expect_err("no rows").to_string();
        assert!(error.contains("no rows"), "{error}");
    }

    #[test]
    fn numbers_and_steps_are_round() {
        assert_eq!(
            [0.0, 1234567.0, -0.5, 12.345678, 1e-9].map(show),
            ["0", "1,234,567", "-0.5", "12.3457", "1.000e-9"]
        );
        assert_eq!([0.3, 1.0, 11.0, 0.0].map(round_step), [0.5, 1.0, 20.0, 1.0]);
    }
}
