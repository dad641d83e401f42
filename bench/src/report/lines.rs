//! A picture of lines: a figure of each contender by what grows along the axis, with the spread over rounds.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use plotters::prelude::{
    ChartBuilder, Circle, Color, IntoDrawingArea, IntoFont, LineSeries, PathElement, SVGBackend,
    SeriesLabelPosition, WHITE,
};

use super::drawing::{Axis, GRID, TEXT, colour, legend};
use crate::statistics::Spread;

/// Width and height, in pixels.
const SIZE: (u32, u32) = (960, 520);

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
        legend(&mut chart, SeriesLabelPosition::MiddleRight)?;
        area.present()?;
        drop(chart);
        Ok(())
    }
}

/// Where a number is on the axis.
fn place(step: usize) -> f64 {
    (step as f64).log2()
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
