//! A picture of medians: one bar for each contender, with a line from the least to the most of all rounds.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use plotters::prelude::{
    Color, IntoDrawingArea, IntoFont, PathElement, RGBColor, Rectangle, SVGBackend, Text, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{ShapeStyle, TextStyle};

use crate::statistics::Spread;

const WIDTH: u32 = 960;
/// Where bars begin, and where they end at the latest, in pixels.
const LEFT: i32 = 190;
const RIGHT: i32 = 860;
/// Height of the title, of a group's, of a bar with its distance to the next, and of what is below.
const TITLE: i32 = 52;
const GROUP: i32 = 34;
const ROW: i32 = 26;
const FOOT: i32 = 36;
const BAR: i32 = 16;

const OWN: RGBColor = RGBColor(213, 94, 0);
const OTHER: RGBColor = RGBColor(150, 170, 190);
const WHISKER: RGBColor = RGBColor(40, 40, 40);
const TEXT: RGBColor = RGBColor(60, 60, 60);

/// What is drawn.
#[derive(Debug)]
pub(crate) struct Bars {
    pub(crate) title: String,
    /// What the numbers are.
    pub(crate) unit: &'static str,
    /// Each with its name and the contenders' names and figures.
    pub(crate) groups: Vec<(String, Vec<(String, Spread)>)>,
    /// What is said below.
    pub(crate) note: &'static str,
}

impl Bars {
    /// Writes it to a file, as SVG.
    ///
    /// # Errors
    /// When there is nothing to draw, or the file cannot be written.
    pub(crate) fn draw(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.svg()?).with_context(|| path.display().to_string())
    }

    fn svg(&self) -> Result<String> {
        let all = || self.groups.iter().flat_map(|(_, bars)| bars);
        let most = all().map(|(_, spread)| spread.max).fold(0.0, f64::max);
        ensure!(
            all().next().is_some() && most.is_finite(),
            "nothing to draw"
        );
        // Of zeros there is nothing to see but that they are.
        let most = if most > 0.0 { most } else { 1.0 };
        let mut text = String::new();
        self.render(&mut text, most)
            .map_err(|error| anyhow!("cannot draw: {error}"))?;
        Ok(text)
    }

    fn height(&self) -> i32 {
        let rows = |bars: &Vec<_>| i32::try_from(bars.len()).unwrap_or_default() * ROW;
        let groups = self.groups.iter().map(|(_, bars)| GROUP + rows(bars));
        TITLE + groups.sum::<i32>() + FOOT
    }

    fn render(&self, text: &mut String, most: f64) -> Result<(), Box<dyn std::error::Error>> {
        let height = u32::try_from(self.height())?;
        let area = SVGBackend::with_string(text, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let style = |size: u32, across, down| -> TextStyle<'static> {
            let font = ("sans-serif", size).into_font().color(&TEXT);
            font.pos(Pos::new(across, down))
        };
        let (big, small) = (
            style(20, HPos::Left, VPos::Center),
            style(14, HPos::Left, VPos::Center),
        );
        let right = style(14, HPos::Right, VPos::Center);
        area.draw(&Text::new(self.title.clone(), (16, TITLE / 2), big))?;
        let at = |figure: f64| LEFT + (figure / most * f64::from(RIGHT - LEFT)).round() as i32;
        let mut y = TITLE;
        for (name, bars) in &self.groups {
            area.draw(&Text::new(name.clone(), (16, y + GROUP / 2), small.clone()))?;
            y += GROUP;
            for (contender, spread) in bars {
                let middle = y + ROW / 2;
                let colour = match contender.starts_with("holysheep") {
                    true => OWN,
                    false => OTHER,
                };
                let place = (LEFT - 12, middle);
                area.draw(&Text::new(contender.clone(), place, right.clone()))?;
                let corners = [
                    (LEFT, middle - BAR / 2),
                    (at(spread.median), middle + BAR / 2),
                ];
                area.draw(&Rectangle::new(corners, colour.filled()))?;
                let line: ShapeStyle = WHISKER.stroke_width(2);
                let ends = [(at(spread.min), middle), (at(spread.max), middle)];
                area.draw(&PathElement::new(ends, line))?;
                let said = format!("{} {}", figure(spread.median), self.unit);
                let place = (at(spread.max.max(spread.median)) + 8, middle);
                area.draw(&Text::new(said, place, small.clone()))?;
                y += ROW;
            }
        }
        area.draw(&Text::new(self.note, (16, y + FOOT / 2), small))?;
        area.present()?;
        Ok(())
    }
}

/// Three digits are enough for a bar.
fn figure(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_contender_has_a_bar_as_long_as_its_median() {
        let spread = |median: f64| Spread {
            min: median * 0.9,
            median,
            max: median * 1.1,
        };
        let bars = Bars {
            title: "CPU".to_owned(),
            unit: "µs",
            groups: vec![(
                "4 connections".to_owned(),
                vec![
                    ("nginx".to_owned(), spread(100.0)),
                    ("holysheep".to_owned(), spread(50.0)),
                ],
            )],
            note: "medians",
        };
        let text = bars.svg().unwrap();
        let widths: Vec<i32> = text
            .lines()
            .filter(|line| line.contains("<rect") && !line.contains("#FFFFFF"))
            .map(|line| {
                let (_, rest) = line.split_once("width=\"").unwrap();
                rest.split_once('"').unwrap().0.parse().unwrap()
            })
            .collect();
        assert_eq!(widths.len(), 2);
        assert!((widths[0] - 2 * widths[1]).abs() <= 2, "{widths:?}");
        assert!(text.contains("100 µs") && text.contains("50.0 µs") && text.contains("nginx"));
        let empty = Bars {
            groups: Vec::new(),
            ..bars
        };
        assert!(empty.svg().is_err());
    }
}
