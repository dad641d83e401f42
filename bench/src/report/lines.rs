//! A picture of lines: a figure of each contender by what grows along the axis, with the spread over rounds.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::{
    ChartBuilder, Circle, Color, IntoDrawingArea, IntoFont, LineSeries, PathElement, RGBColor,
    Ranged, SVGBackend, SeriesLabelPosition, WHITE,
};

use crate::statistics::Spread;

/// Width and height, in pixels.
const SIZE: (u32, u32) = (960, 520);
/// A contender's colour, the same in all pictures; most of Okabe's and Ito's, which people who see few colours tell apart.
pub(crate) fn colour(name: &str) -> RGBColor {
    let starts = |start| name.starts_with(start);
    match name {
        "direct" => RGBColor(0, 0, 0),
        "hyper-bare" => RGBColor(120, 120, 120),
        "holysheep-ingress" => RGBColor(230, 159, 0),
        _ if starts("holysheep") => RGBColor(213, 94, 0),
        "nginx-article" => RGBColor(204, 121, 167),
        _ if starts("nginx") => RGBColor(0, 114, 178),
        _ if starts("haproxy") => RGBColor(0, 158, 115),
        "litellm" => RGBColor(110, 70, 30),
        // Portkey, and whatever was named by hand.
        _ => RGBColor(86, 180, 233),
    }
}

const GRID: RGBColor = RGBColor(215, 215, 215);
const TEXT: RGBColor = RGBColor(60, 60, 60);

/// What is drawn: straight lines between medians, over an axis of powers of two.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) title: String,
    /// What the axes say.
    pub(crate) across: &'static str,
    pub(crate) up: &'static str,
    /// Each contender with its figures, by what grows.
    pub(crate) lines: Vec<(String, Vec<(usize, Spread)>)>,
}

impl Lines {
    /// Writes it to a file, as SVG.
    ///
    /// # Errors
    /// When there is nothing to draw, or the file cannot be written.
    pub(crate) fn draw(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.svg()?).with_context(|| path.display().to_string())
    }

    fn svg(&self) -> Result<String> {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let most = points().map(|(_, spread)| spread.max).fold(0.0, f64::max);
        let mut steps: Vec<usize> = points().map(|(step, _)| *step).collect();
        steps.sort_unstable();
        steps.dedup();
        ensure!(steps.len() > 1 && most > 0.0, "too little to draw");
        let mut text = String::new();
        self.render(&mut text, &steps, most)
            .map_err(|error| anyhow!("cannot draw: {error}"))?;
        Ok(text)
    }

    fn render(
        &self,
        text: &mut String,
        steps: &[usize],
        most: f64,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let marks: Vec<f64> = steps.iter().map(|step| place(*step)).collect();
        let ends = marks.first().zip(marks.last());
        let (left, right) = ends.ok_or("no steps")?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .margin_right(28)
            .caption(&self.title, ("sans-serif", 20).into_font().color(&TEXT))
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(
                // On the right there has to be room for the names.
                Axis(left - 0.2..right + (right - left) / 4.0, marks.clone()),
                0.0..most * 1.08,
            )?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(WHITE.mix(0.0))
            .label_style(("sans-serif", 14).into_font().color(&TEXT))
            .x_labels(steps.len())
            .y_labels(8)
            .x_label_formatter(&|x| format!("{:.0}", 2_f64.powf(*x)))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .x_desc(self.across)
            .y_desc(self.up)
            .draw()?;
        for (name, points) in &self.lines {
            let colour = colour(name);
            let style = colour.stroke_width(2);
            let medians = points
                .iter()
                .map(|(step, spread)| (place(*step), spread.median));
            chart
                .draw_series(LineSeries::new(medians.clone(), style))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
            chart.draw_series(medians.map(|point| Circle::new(point, 3, colour.filled())))?;
            chart.draw_series(points.iter().map(|(step, spread)| {
                let x = place(*step);
                PathElement::new([(x, spread.min), (x, spread.max)], colour.stroke_width(1))
            }))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .margin(12)
            .legend_area_size(32)
            .label_font(("sans-serif", 14).into_font().color(&TEXT))
            .background_style(WHITE.mix(0.85))
            .border_style(GRID)
            .draw()?;
        area.present()?;
        drop(chart);
        Ok(())
    }
}

/// Where a number is on the axis.
fn place(step: usize) -> f64 {
    (step as f64).log2()
}

/// A straight axis with marks at these places; plotters' own have them where they like.
pub(crate) struct Axis(pub(crate) Range<f64>, pub(crate) Vec<f64>);

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let Self(Range { start, end }, _) = self;
        let share = (value - start) / (end - start);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        let Self(range, marks) = self;
        let end = range.end + 1e-9;
        let marks = marks.iter().copied();
        marks
            .filter(|mark| (range.start..=end).contains(mark))
            .collect()
    }

    fn range(&self) -> Range<f64> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_has_a_line_with_a_point_for_each_step() {
        let spread = |median: f64| Spread {
            min: median * 0.9,
            median,
            max: median * 1.1,
        };
        let points = |factor: f64| {
            let steps = [1, 4, 16];
            steps
                .map(|step| (step, spread(step as f64 * factor)))
                .to_vec()
        };
        let lines = Lines {
            title: "requests".to_owned(),
            across: "connections",
            up: "requests/s",
            lines: vec![
                ("nginx".to_owned(), points(100.0)),
                ("holysheep".to_owned(), points(200.0)),
            ],
        };
        let text = lines.svg().unwrap();
        assert_eq!(text.matches("<circle").count(), 6);
        for word in ["nginx", "holysheep", "connections", "#D55E00"] {
            assert!(text.contains(word), "{word}");
        }
        let empty = Lines {
            lines: Vec::new(),
            ..lines
        };
        assert!(empty.svg().is_err());
    }
}
