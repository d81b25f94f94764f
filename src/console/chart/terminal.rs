//! Charts as text: bars of blocks, points and lines of braille dots.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Color;
use ratatui_core::symbols::Marker;
use ratatui_core::widgets::Widget;
use ratatui_widgets::chart::{Axis, Chart as Widgets, Dataset, GraphType};
use unicode_width::UnicodeWidthStr;

use super::{Chart, Series, Shape, bounds, show, show_time};
use crate::output::fit;

/// Eighths of a block, from none to seven.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const COLORS: [Color; 6] =
    [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta, Color::Blue, Color::Red];
/// What tells series apart without colours.
const MARKERS: [(&str, Marker); 4] =
    [("⠿", Marker::Braille), ("•", Marker::Dot), ("█", Marker::Block), ("▄", Marker::Bar)];
const LABEL_WIDTH_MAX: usize = 32;
const BAR_WIDTH_MIN: usize = 8;

pub(super) fn draw(chart: &Chart, width: usize, height: usize, color: bool) -> String {
    let width = width.max(40);
    let body = match &chart.shape {
        Shape::Bars { bars } => draw_bars(bars, width, color),
        Shape::Points { x_name, is_time, is_joined, series } => {
            let area = Rect::new(0, 0, width.min(400) as u16, height.clamp(8, 100) as u16);
            draw_points(x_name, *is_time, *is_joined, series, area, color)
        }
    };
    let caption = chart.caption.as_ref().map_or_else(String::new, |text| format!("({text})\n"));
    format!("{}\n{body}{caption}", chart.title)
}

fn draw_bars(bars: &[(String, f64)], width: usize, color: bool) -> String {
    let labels: Vec<String> = bars.iter().map(|(label, _)| fit(label, LABEL_WIDTH_MAX)).collect();
    let label_width = labels.iter().map(|label| label.width()).max().unwrap_or(0);
    let values: Vec<String> = bars.iter().map(|(_, value)| show(*value)).collect();
    let value_width = values.iter().map(String::len).max().unwrap_or(0);
    let room = width.saturating_sub(label_width + value_width + 4).max(BAR_WIDTH_MIN);
    // Bars begin at zero, or their lengths would lie.
    let low = bars.iter().map(|(_, value)| *value).fold(0.0, f64::min);
    let high = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let scale = if high > low { room as f64 / (high - low) } else { 0.0 };
    let zero = (-low * scale).round() as usize;
    let mut text = String::new();
    for ((label, value), (_, number)) in labels.iter().zip(&values).zip(bars) {
        let padding = " ".repeat(label_width - label.width());
        let bar = if *number < 0.0 {
            let len = (-number * scale).round() as usize;
            format!("{}{}", " ".repeat(zero - len.min(zero)), "█".repeat(len.min(zero)))
        } else {
            let eighths = (number * scale * 8.0).round() as usize;
            let rest = EIGHTHS[eighths % 8];
            format!("{}{}{rest}", " ".repeat(zero), "█".repeat(eighths / 8))
        };
        let bar = if color { format!("\x1b[36m{bar}\x1b[0m") } else { bar };
        text.push_str(&format!("{label}{padding} {value:>value_width$} {bar}"));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn draw_points(
    x_name: &str,
    is_time: bool,
    is_joined: bool,
    series: &[Series],
    area: Rect,
    color: bool,
) -> String {
    let points = || series.iter().flat_map(|series| series.points.iter());
    let (x_low, x_high) = bounds(points().map(|point| point.0));
    let (y_low, y_high) = bounds(points().map(|point| point.1));
    let x_range = x_high - x_low;
    let x_label = |x: f64| if is_time { show_time(x, x_range) } else { show(x) };
    let look = |idx: usize| {
        let (sign, marker) = MARKERS[if color { 0 } else { idx % MARKERS.len() }];
        (sign, marker, COLORS[idx % COLORS.len()])
    };
    let datasets = series.iter().enumerate().map(|(idx, series)| {
        let (_, marker, color) = look(idx);
        Dataset::default()
            .marker(marker)
            .graph_type(if is_joined { GraphType::Line } else { GraphType::Scatter })
            .style(color)
            .data(&series.points)
    });
    let chart = Widgets::new(datasets.collect())
        .x_axis(
            Axis::default()
                .title(x_name.to_string())
                .bounds([x_low, x_high])
                .labels([x_low, x_low + x_range / 2.0, x_high].map(x_label)),
        )
        .y_axis(
            Axis::default()
                .bounds([y_low, y_high])
                .labels([y_low, (y_low + y_high) / 2.0, y_high].map(show)),
        )
        // A legend of its own stands above and hides nothing.
        .legend_position(None);
    let mut buffer = Buffer::empty(area);
    chart.render(area, &mut buffer);
    let mut text = String::new();
    // One series needs no legend: the title names it.
    if series.len() > 1 {
        let named = series.iter().enumerate().map(|(idx, series)| {
            let (sign, _, of) = look(idx);
            let sign = if color {
                format!("{}{sign}{}", code(of), code(Color::Reset))
            } else {
                sign.into()
            };
            format!("{sign} {}", series.name)
        });
        text = named.collect::<Vec<_>>().join("   ") + "\n";
    }
    for y in 0..area.height {
        let mut current = Color::Reset;
        for x in 0..area.width {
            let cell = &buffer[(x, y)];
            if color && cell.fg != current {
                text.push_str(code(cell.fg));
                current = cell.fg;
            }
            text.push_str(cell.symbol());
        }
        text.truncate(text.trim_end_matches(' ').len());
        if current != Color::Reset {
            text.push_str(code(Color::Reset));
        }
        text.push('\n');
    }
    text
}

fn code(color: Color) -> &'static str {
    match color {
        Color::Cyan => "\x1b[36m",
        Color::Yellow => "\x1b[33m",
        Color::Green => "\x1b[32m",
        Color::Magenta => "\x1b[35m",
        Color::Blue => "\x1b[34m",
        Color::Red => "\x1b[31m",
        _ => "\x1b[0m",
    }
}
