//! The table for people: first and last rows, types under the names, fitted to the width.
//!
//! Invariant: whatever is left out (rows, columns, ends of values) shows as left out.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};

use comfy_table::{
    Attribute, Cell, CellAlignment, ContentArrangement, ContentLineStyle, LineStyle,
    TableStyle as Lines,
};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::sink::RowWriter;
use super::value::{Values, is_number};
use crate::units::{show_count, show_counted};

/// No column is made narrower than this to fit.
const COLUMN_WIDTH_MIN: usize = 10;
const ELLIPSIS: &str = "…";
/// More lines than this are no easier to read than columns left out.
const UPRIGHT_LINES_MAX: usize = 200;

const LIGHT: Lines = Lines::new()
    .header_lines(ContentLineStyle::none().junction('│'))
    .header_separator(LineStyle::none().fill('─').junction('┼'))
    .content_lines(ContentLineStyle::none().junction('│'));
const BOXED: Lines = Lines::new()
    .top_border(LineStyle::new('┌', '─', '┬', '┐'))
    .header_lines(ContentLineStyle::new('│', '│', '│'))
    .header_separator(LineStyle::new('├', '─', '┼', '┤'))
    .content_lines(ContentLineStyle::new('│', '│', '│'))
    .bottom_border(LineStyle::new('└', '─', '┴', '┘'));

/// How a table is drawn.
#[derive(Debug, Clone)]
pub struct TableOptions {
    /// Rows shown at most: half from the front, half from the back.
    pub rows_max: usize,
    /// The terminal's width; `None` lets the table be as wide as it is.
    pub width: Option<usize>,
    /// Whether NULL is dimmed.
    pub color: bool,
    /// Lines or boxes.
    pub style: TableStyle,
    /// Whether a few rows with more columns than fit are shown one value a line.
    pub upright: bool,
}

/// The lines of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableStyle {
    /// A line under the header.
    Light,
    /// A border all around.
    Box,
}

impl TableOptions {
    /// The same for all rows and columns, however wide.
    pub fn whole(&self) -> Self {
        TableOptions { rows_max: usize::MAX, width: None, upright: false, ..self.clone() }
    }
}

impl Default for TableOptions {
    fn default() -> Self {
        let style = TableStyle::Light;
        TableOptions { rows_max: 40, width: None, color: false, style, upright: false }
    }
}

type Row = Vec<Option<String>>;

/// A table of the rows that are shown.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    head: Vec<Row>,
    tail: VecDeque<Row>,
    row_count: usize,
    options: TableOptions,
}

#[derive(Debug)]
struct Column {
    name: String,
    type_name: String,
    right: bool,
}

impl Table {
    fn new(schema: &SchemaRef, options: TableOptions) -> Self {
        let columns = schema
            .fields()
            .iter()
            .map(|field| Column {
                name: printable(field.name()),
                type_name: crate::sql_type::sql_type_name(field.data_type()).to_lowercase(),
                right: is_number(field.data_type()),
            })
            .collect();
        Table { columns, head: Vec::new(), tail: VecDeque::new(), row_count: 0, options }
    }

    /// A table of batches that share a schema.
    pub fn of(schema: &SchemaRef, batches: &[RecordBatch], options: &TableOptions) -> Self {
        let mut table = Table::new(schema, options.clone());
        for batch in batches {
            // A value that cannot be shown is shown as an error by its own text.
            let _ = table.add(batch);
        }
        table
    }

    fn add(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let columns = Values::of(batch)?;
        let tail_max = self.options.rows_max / 2;
        let head_max = self.options.rows_max - tail_max;
        let row_count = batch.num_rows();
        for row in 0..row_count {
            self.row_count += 1;
            let to_head = self.head.len() < head_max;
            // Rows in the middle of a large batch are never shown: do not format them.
            if !to_head && row_count - row > tail_max {
                continue;
            }
            let cells = columns
                .iter()
                .map(|column| Ok(column.get(row)?.map(|text| printable(&text))))
                .collect::<io::Result<Row>>()?;
            if to_head {
                self.head.push(cells);
            } else {
                if self.tail.len() == tail_max {
                    self.tail.pop_front();
                }
                self.tail.push_back(cells);
            }
        }
        Ok(())
    }

    fn hidden_rows(&self) -> usize {
        self.row_count - self.head.len() - self.tail.len()
    }

    /// The natural width of each column.
    fn widths(&self) -> Vec<usize> {
        (0..self.columns.len())
            .map(|idx| {
                let column = &self.columns[idx];
                self.head
                    .iter()
                    .chain(&self.tail)
                    .map(|row| row[idx].as_deref().unwrap_or("NULL").width())
                    .chain([column.name.width(), column.type_name.width()])
                    .max()
                    .unwrap_or(0)
            })
            .collect()
    }

    /// Which columns are shown, and how wide; `None` is the mark for those left out.
    fn layout(&self) -> Vec<Option<(usize, usize)>> {
        let mut widths = self.widths();
        let all = |widths: &[usize]| widths.iter().copied().enumerate().map(Some).collect();
        let Some(available) = self.options.width else { return all(&widths) };
        // Two blanks and a line for each column, and the border.
        let total = |widths: &[usize]| widths.iter().map(|width| width + 3).sum::<usize>() + 1;
        while total(&widths) > available {
            let Some(widest) = widths.iter_mut().max().filter(|width| **width > COLUMN_WIDTH_MIN)
            else {
                break;
            };
            let excess = total_excess(*widest, available);
            *widest = (*widest - excess.max(1)).max(COLUMN_WIDTH_MIN);
        }
        if total(&widths) <= available {
            return all(&widths);
        }
        // Columns are left out from the middle.
        let mut keep = widths.len();
        while keep > 1 {
            keep -= 1;
            let front = keep.div_ceil(2);
            let back = widths.len() - (keep - front);
            let mut kept: Vec<usize> = widths[..front].to_vec();
            kept.extend(&widths[back..]);
            if total(&kept) + 4 <= available || keep == 1 {
                let mut layout: Vec<_> = (0..front).map(|idx| Some((idx, widths[idx]))).collect();
                layout.push(None);
                layout.extend((back..widths.len()).map(|idx| Some((idx, widths[idx]))));
                return layout;
            }
        }
        all(&widths)
    }

    fn footer(&self, layout: &[Option<(usize, usize)>]) -> String {
        let mut text = show_counted(self.row_count as u64, "row");
        let shown = self.head.len() + self.tail.len();
        if self.hidden_rows() > 0 {
            text.push_str(&format!(" ({} shown)", show_count(shown as u64)));
        }
        let column_count = layout.iter().flatten().count();
        if column_count < self.columns.len() {
            let total = show_counted(self.columns.len() as u64, "column");
            text.push_str(&format!(", {total} ({column_count} shown)"));
        }
        text
    }

    /// One value a line under its name, for rows that are too wide.
    fn write_upright(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.columns.iter().map(|column| column.name.width()).max().unwrap_or(0);
        for (idx, row) in self.head.iter().chain(&self.tail).enumerate() {
            writeln!(f, "── row {} ──", idx + 1)?;
            for (column, value) in self.columns.iter().zip(row) {
                let padding = " ".repeat(width - column.name.width());
                let value = match value {
                    Some(value) => value,
                    None if self.options.color => "\x1b[2mNULL\x1b[0m",
                    None => "NULL",
                };
                writeln!(f, "{padding}{} │ {value}", column.name)?;
            }
        }
        let all: Vec<_> = (0..self.columns.len()).map(|idx| Some((idx, 0))).collect();
        writeln!(f, "{}", self.footer(&all))
    }

    fn cell(&self, text: Option<&str>, idx: usize, width: usize) -> Cell {
        let alignment =
            if self.columns[idx].right { CellAlignment::Right } else { CellAlignment::Left };
        match text {
            Some(text) => Cell::new(fit(text, width)).set_alignment(alignment),
            None if self.options.color => {
                Cell::new("NULL").set_alignment(alignment).add_attribute(Attribute::Dim)
            }
            None => Cell::new("NULL").set_alignment(alignment),
        }
    }
}

/// How much to take off the widest column at a time: large steps first.
fn total_excess(widest: usize, available: usize) -> usize {
    widest.saturating_sub(available) / 2
}

/// Cuts a text to a width, with a mark.
pub fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let mut shown = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        shown.push(c);
    }
    shown + ELLIPSIS
}

/// Control characters as escapes, so that a value cannot move the cursor or break a line.
fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_string();
    }
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.columns.is_empty() {
            return writeln!(f, "{}", self.footer(&[]));
        }
        let layout = self.layout();
        let line_count = self.row_count * self.columns.len();
        if self.options.upright
            && layout.contains(&None)
            && self.hidden_rows() == 0
            && line_count <= UPRIGHT_LINES_MAX
        {
            return self.write_upright(f);
        }
        let mut table = comfy_table::Table::new();
        table.set_content_arrangement(ContentArrangement::Disabled);
        match self.options.style {
            TableStyle::Light => table.load_style(LIGHT),
            TableStyle::Box => table.load_style(BOXED),
        };
        if self.options.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(layout.iter().map(|slot| match slot {
            Some((idx, width)) => {
                let column = &self.columns[*idx];
                let text =
                    format!("{}\n{}", fit(&column.name, *width), fit(&column.type_name, *width));
                let alignment =
                    if column.right { CellAlignment::Right } else { CellAlignment::Left };
                Cell::new(text).set_alignment(alignment)
            }
            None => Cell::new(ELLIPSIS),
        }));
        let row = |cells: &Row| -> Vec<Cell> {
            layout
                .iter()
                .map(|slot| match slot {
                    Some((idx, width)) => self.cell(cells[*idx].as_deref(), *idx, *width),
                    None => Cell::new(ELLIPSIS),
                })
                .collect()
        };
        for cells in &self.head {
            table.add_row(row(cells));
        }
        if self.hidden_rows() > 0 {
            let dots = layout.iter().map(|slot| {
                let right = slot.is_some_and(|(idx, _)| self.columns[idx].right);
                let alignment = if right { CellAlignment::Right } else { CellAlignment::Left };
                Cell::new("·").set_alignment(alignment)
            });
            table.add_row(dots.collect::<Vec<_>>());
        }
        for cells in &self.tail {
            table.add_row(row(cells));
        }
        for line in table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "{}", self.footer(&layout))
    }
}

/// Collects rows and writes the table at the end.
pub(super) struct TableWriter<W> {
    out: W,
    table: Table,
}

impl<W: Write> TableWriter<W> {
    pub(super) fn new(out: W, schema: &SchemaRef, options: TableOptions) -> Self {
        TableWriter { out, table: Table::new(schema, options) }
    }
}

impl<W: Write + Send> RowWriter for TableWriter<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.table.add(batch)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        write!(self.out, "{}", self.table)?;
        self.out.flush()
    }
}
