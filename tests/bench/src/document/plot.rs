//! One plot as SVG: logarithmic to the right, so that decades are equally wide.

use anyhow::{Result, anyhow};
use plotters::chart::ChartBuilder;
use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::{Circle, IntoDrawingArea, LineSeries, PathElement, SVGBackend};
use plotters::style::{BLACK, Color, Palette, Palette99, WHITE};

use crate::figure::Line;

const SIZE: (u32, u32) = (640, 360);
const FONT: (&str, u32) = ("sans-serif", 14);

/// Draws it.
///
/// # Errors
/// If there is nothing to draw.
pub(super) fn draw(title: &str, x: &str, lines: &[Line]) -> Result<String> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::NEG_INFINITY, f64::max);
    let least = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    if points().next().is_none() {
        return Err(anyhow!("`{title}` has no points"));
    }
    // A little room on every side; a single point has room, too.
    let width = least * 0.9..most(|(x, _)| *x) * 1.1;
    let height = 0.0..most(|(_, y)| *y).max(f64::MIN_POSITIVE) * 1.1;

    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let problem = |error: &dyn std::fmt::Display| anyhow!("plot `{title}`: {error}");
    area.fill(&WHITE).map_err(|error| problem(&error))?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .caption(title, FONT)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(width.log_scale(), height)
        .map_err(|error| problem(&error))?;
    chart
        .configure_mesh()
        .x_desc(x)
        .label_style(FONT)
        .light_line_style(WHITE)
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .draw()
        .map_err(|error| problem(&error))?;
    for (index, line) in lines.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        let points = line.points.iter().copied();
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))
            .map_err(|error| problem(&error))?
            .label(&line.name)
            .legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2))
            });
        chart
            .draw_series(points.map(|point| Circle::new(point, 3, colour.filled())))
            .map_err(|error| problem(&error))?;
    }
    chart
        .configure_series_labels()
        .label_font(FONT)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(|error| problem(&error))?;
    area.present().map_err(|error| problem(&error))?;
    drop(chart);
    drop(area);
    Ok(svg)
}

/// A number on an axis.
fn short(value: f64) -> String {
    let (scale, name) = match value.abs() {
        v if v >= 1e9 => (1e9, "G"),
        v if v >= 1e6 => (1e6, "M"),
        v if v >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    // Without the noughts that steps of an axis do not need.
    let text = format!("{:.2}", value / scale);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_marked_in_few_letters() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (20.0, "20"),
            (1_500.0, "1.5k"),
            (16e6, "16M"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn a_plot_of_nothing_is_an_error() {
        assert!(draw("empty", "x", &[]).is_err());
    }
}
