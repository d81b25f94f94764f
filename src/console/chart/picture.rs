//! Charts as pictures: SVG, PNG, or a page with the SVG in it.

use std::ops::Range;
use std::path::Path;
use std::sync::Once;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::{Chart, Series, Shape, bounds, show, show_time};
use crate::error::{Error, ErrorKind, Result};

const SIZE: (u32, u32) = (960, 540);
const LABELS: usize = 8;

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// Scalable Vector Graphics.
    Svg,
    /// Portable Network Graphics.
    Png,
    /// A page that needs nothing else.
    Html,
}

impl Picture {
    /// The picture that a file's extension asks for.
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "svg" => Some(Picture::Svg),
            "png" => Some(Picture::Png),
            "html" | "htm" => Some(Picture::Html),
            _ => None,
        }
    }
}

pub(super) fn draw(chart: &Chart, picture: Picture) -> Result<Vec<u8>> {
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        let font = epaint_default_fonts::UBUNTU_LIGHT;
        // A font that cannot be read shows as an error of the drawing.
        let _ = register_font("sans-serif", FontStyle::Normal, font);
    });
    match picture {
        Picture::Svg => svg(chart).map(String::into_bytes),
        Picture::Png => png(chart),
        Picture::Html => {
            let title = escaped(&chart.title);
            let svg = svg(chart)?;
            Ok(format!(
                "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
                 <title>{title}</title></head>\n<body>\n{svg}\n</body>\n</html>\n"
            )
            .into_bytes())
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn svg(chart: &Chart) -> Result<String> {
    let mut text = String::new();
    paint(chart, &SVGBackend::with_string(&mut text, SIZE).into_drawing_area())?;
    Ok(text)
}

fn png(chart: &Chart) -> Result<Vec<u8>> {
    let mut pixels = vec![0; SIZE.0 as usize * SIZE.1 as usize * 3];
    paint(chart, &BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area())?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("the picture could not be drawn: {error}"))
}

fn paint<B: DrawingBackend>(
    chart: &Chart,
    area: &DrawingArea<B, plotters::coord::Shift>,
) -> Result<()> {
    area.fill(&WHITE).map_err(failed)?;
    let area = area.margin(12, 0, 0, 0).titled(&chart.title, ("sans-serif", 22)).map_err(failed)?;
    let (area, below) = match &chart.caption {
        Some(_) => area.split_vertically(area.dim_in_pixel().1 as i32 - 24),
        None => (area.clone(), area.clone()),
    };
    if let Some(caption) = &chart.caption {
        let style = ("sans-serif", 14).into_text_style(&below);
        below.draw_text(caption, &style, (12, 2)).map_err(failed)?;
    }
    match &chart.shape {
        Shape::Bars { bars } => paint_bars(bars, &area),
        Shape::Points { x_name, is_time, is_joined, series } => {
            paint_points(x_name, *is_time, *is_joined, series, &area)
        }
    }?;
    area.present().map_err(failed)
}

fn paint_bars<B: DrawingBackend>(
    bars: &[(String, f64)],
    area: &DrawingArea<B, plotters::coord::Shift>,
) -> Result<()> {
    let values = bars.iter().map(|(_, value)| *value).chain([0.0]);
    let (low, high) = bounds(values);
    let last = bars.len() - 1;
    let mut context = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(84)
        .build_cartesian_2d((0..last.max(1)).into_segmented(), widened(low, high, low < 0.0))
        .map_err(failed)?;
    let label = |at: &SegmentValue<usize>| match at {
        SegmentValue::CenterOf(idx) => bars.get(*idx).map_or_else(String::new, |bar| bar.0.clone()),
        _ => String::new(),
    };
    context
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(bars.len().min(LABELS * 2))
        .y_labels(LABELS)
        .x_label_formatter(&label)
        .y_label_formatter(&|y| show(*y))
        .label_style(("sans-serif", 14))
        .draw()
        .map_err(failed)?;
    let bars = bars.iter().enumerate().map(|(idx, (_, value))| {
        let corners = [(SegmentValue::Exact(idx), 0.0), (SegmentValue::Exact(idx + 1), *value)];
        let mut bar = Rectangle::new(corners, Palette99::pick(0).filled());
        bar.set_margin(0, 0, 3, 3);
        bar
    });
    context.draw_series(bars).map_err(failed)?;
    Ok(())
}

fn paint_points<B: DrawingBackend>(
    x_name: &str,
    is_time: bool,
    is_joined: bool,
    series: &[Series],
    area: &DrawingArea<B, plotters::coord::Shift>,
) -> Result<()> {
    let points = || series.iter().flat_map(|series| series.points.iter());
    let (x_low, x_high) = bounds(points().map(|point| point.0));
    let (y_low, y_high) = bounds(points().map(|point| point.1));
    let mut context = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(84)
        .build_cartesian_2d(x_low..x_high, widened(y_low, y_high, true))
        .map_err(failed)?;
    let x_label = |x: &f64| if is_time { show_time(*x, x_high - x_low) } else { show(*x) };
    context
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(x_name)
        .x_labels(LABELS)
        .y_labels(LABELS)
        .x_label_formatter(&x_label)
        .y_label_formatter(&|y| show(*y))
        .label_style(("sans-serif", 14))
        .draw()
        .map_err(failed)?;
    for (idx, one) in series.iter().enumerate() {
        let color = Palette99::pick(idx);
        let drawn = if is_joined {
            // One by one: joined, thick lines grow spikes at sharp turns.
            let style = color.stroke_width(2);
            let lines = one.points.windows(2).map(|ends| PathElement::new(ends.to_vec(), style));
            context.draw_series(lines)
        } else {
            let dots = one.points.iter().map(|point| Circle::new(*point, 2, color.filled()));
            context.draw_series(dots)
        };
        drawn
            .map_err(failed)?
            .label(one.name.clone())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
    }
    if series.len() > 1 {
        context
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.4))
            .label_font(("sans-serif", 14))
            .draw()
            .map_err(failed)?;
    }
    Ok(())
}

/// A range with a little room above, and below if asked for.
fn widened(low: f64, high: f64, below: bool) -> Range<f64> {
    let room = (high - low) * 0.05;
    (if below { low - room } else { low })..high + room
}
