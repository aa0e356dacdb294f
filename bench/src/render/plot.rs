//! Plots in SVG.
//!
//! The background is transparent and the text is a medium grey, so that they can be read on white
//! and on black.

use anyhow::{Result, anyhow};
use plotters::{
    coord::{Shift, combinators::IntoLogRange},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::subject::{Mode, Subject, Tool};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// GitHub shows a README at about this width.
const WIDTH: u32 = 840;
const LINES_HEIGHT: u32 = 330;
const LEGEND_HEIGHT: u32 = 66;
const BAR_HEIGHT: u32 = 22;
/// More labels than powers of ten would be numbers in between, which overlap.
const POWERS_OF_TEN: usize = 5;
const GREY: RGBColor = RGBColor(125, 133, 144);
const FONT: &str = "sans-serif";

/// Lines in one coordinate system. Both axes are logarithmic.
pub struct Lines {
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    pub series: Vec<(Subject, Vec<(f64, f64)>)>,
}

/// A bar for each subject.
pub struct Bars {
    pub title: String,
    pub x: &'static str,
    pub values: Vec<(Subject, f64)>,
}

/// The colour is the same in every plot.
fn colour(tool: Tool) -> RGBColor {
    match tool {
        Tool::Onerow => RGBColor(226, 75, 48),
        Tool::SeaOrmMigration => RGBColor(58, 134, 228),
        Tool::Sqlx => RGBColor(38, 158, 132),
        Tool::Refinery => RGBColor(166, 108, 204),
        Tool::Diesel => RGBColor(204, 148, 10),
        Tool::Limit => GREY,
    }
}

/// The ways of using one tool differ in strength.
fn style(subject: Subject) -> RGBAColor {
    let strength = if matches!(subject.mode, Mode::Grouped | Mode::One) { 0.5 } else { 1.0 };
    colour(subject.tool).mix(strength)
}

/// Panels of lines side by side, and the legend below them.
pub fn lines(panels: &[Lines]) -> Result<String> {
    let height = LINES_HEIGHT + LEGEND_HEIGHT;
    draw(height, |root| {
        let (plots, below) = root.split_vertically(LINES_HEIGHT);
        for (panel, area) in panels.iter().zip(plots.split_evenly((1, panels.len()))) {
            draw_lines(panel, &area)?;
        }
        let mut subjects: Vec<Subject> = Vec::new();
        for (subject, _) in panels.iter().flat_map(|panel| &panel.series) {
            if !subjects.contains(subject) {
                subjects.push(*subject);
            }
        }
        draw_legend(&subjects, &below)
    })
}

/// Panels of bars, one below the other.
pub fn bars(panels: &[Bars]) -> Result<String> {
    let heights: Vec<u32> = panels.iter().map(Bars::height).collect();
    draw(heights.iter().sum(), |root| {
        let mut rest = root.clone();
        for (panel, height) in panels.iter().zip(heights) {
            let (area, below) = rest.split_vertically(height);
            draw_bars(panel, &area)?;
            rest = below;
        }
        Ok(())
    })
}

fn draw(height: u32, content: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        content(&root)?;
        root.present().map_err(|error| failed(&error))?;
    }
    Ok(svg)
}

/// The errors of plotters borrow from the drawing.
fn failed(error: &dyn std::error::Error) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&GREY)
}

fn draw_lines(lines: &Lines, area: &Area<'_>) -> Result<()> {
    let points = || lines.series.iter().flat_map(|(_, points)| points);
    let (x, y) = (around(points().map(|(x, _)| *x)), around(points().map(|(_, y)| *y)));
    let mut chart = ChartBuilder::on(area)
        .caption(&lines.title, text(16))
        .margin(8)
        .x_label_area_size(40)
        .y_label_area_size(58)
        .build_cartesian_2d((x.0..x.1).log_scale(), (y.0..y.1).log_scale())
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .x_desc(lines.x)
        .y_desc(lines.y)
        .axis_style(GREY)
        .bold_line_style(GREY.mix(0.25))
        .light_line_style(TRANSPARENT)
        .x_labels(POWERS_OF_TEN)
        .y_labels(POWERS_OF_TEN * 3)
        .axis_desc_style(text(13))
        .label_style(text(12))
        .x_label_formatter(&|value| axis_label(*value))
        .y_label_formatter(&|value| axis_label(*value))
        .draw()
        .map_err(|error| failed(&error))?;
    for (subject, points) in &lines.series {
        let style = ShapeStyle { color: style(*subject), filled: true, stroke_width: 2 };
        let line = LineSeries::new(points.iter().copied(), style).point_size(3);
        chart.draw_series(line).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// A range that holds all values, with some room.
fn around(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if low.is_finite() { (low / 1.3, high * 1.3) } else { (1.0, 10.0) }
}

fn axis_label(value: f64) -> String {
    if value >= 1000.0 { format!("{}k", value / 1000.0) } else { format!("{value}") }
}

impl Bars {
    fn height(&self) -> u32 {
        let bars = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        bars * BAR_HEIGHT + 70
    }
}

fn draw_bars(bars: &Bars, area: &Area<'_>) -> Result<()> {
    let last = bars.values.len().saturating_sub(1);
    let most =
        bars.values.iter().map(|(_, value)| *value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let name_of = |place: Option<usize>| {
        place
            .and_then(|place| bars.values.get(place))
            .map_or_else(String::new, |(subject, _)| subject.to_string())
    };
    // The first bar is the uppermost.
    let name = |place: &SegmentValue<usize>| match place {
        SegmentValue::CenterOf(place) => name_of(last.checked_sub(*place)),
        _ => String::new(),
    };
    let mut chart = ChartBuilder::on(area)
        .caption(&bars.title, text(16))
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(170)
        .build_cartesian_2d(0.0..most * 1.05, (0..last).into_segmented())
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_desc(bars.x)
        .axis_style(GREY)
        .bold_line_style(GREY.mix(0.25))
        .light_line_style(TRANSPARENT)
        .axis_desc_style(text(13))
        .label_style(text(12))
        .y_labels(bars.values.len())
        .y_label_formatter(&name)
        .draw()
        .map_err(|error| failed(&error))?;
    let boxes = bars.values.iter().enumerate().map(|(place, (subject, value))| {
        let place = last - place;
        let corners = [(0.0, SegmentValue::Exact(place)), (*value, SegmentValue::Exact(place + 1))];
        let mut bar = Rectangle::new(corners, style(*subject).filled());
        bar.set_margin(3, 3, 0, 0);
        bar
    });
    chart.draw_series(boxes).map(drop).map_err(|error| failed(&error))
}

fn draw_legend(subjects: &[Subject], area: &Area<'_>) -> Result<()> {
    const PER_LINE: usize = 4;
    const STEP: i32 = 206;
    let style_of_text = text(13).pos(Pos::new(HPos::Left, VPos::Center));
    for (place, subject) in subjects.iter().enumerate() {
        let x = 12 + STEP * i32::try_from(place % PER_LINE)?;
        let y = 12 + 20 * i32::try_from(place / PER_LINE)?;
        let mark = Rectangle::new([(x, y - 5), (x + 14, y + 5)], style(*subject).filled());
        area.draw(&mark).map_err(|error| failed(&error))?;
        let label = Text::new(subject.to_string(), (x + 20, y), style_of_text.clone());
        area.draw(&label).map_err(|error| failed(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_named_and_has_a_colour_of_its_own() {
        let bars = Bars {
            title: "How long".into(),
            x: "seconds",
            values: Tool::ALL.map(|tool| (tool.usual(), 1.0)).into(),
        };
        let svg = super::bars(&[bars]).unwrap();
        for tool in Tool::ALL {
            let RGBColor(red, green, blue) = colour(tool);
            assert!(svg.contains(tool.name()), "{svg}");
            assert!(svg.contains(&format!("#{red:02X}{green:02X}{blue:02X}")), "{svg}");
        }
    }

    #[test]
    fn nothing_to_draw_is_drawn() {
        let empty = Lines { title: String::new(), x: "", y: "", series: Vec::new() };
        assert!(lines(&[empty]).is_ok());
        assert!(bars(&[Bars { title: String::new(), x: "", values: Vec::new() }]).is_ok());
    }
}
