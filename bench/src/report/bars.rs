//! A picture of medians: one bar for each contender, with a line from the least to the most of all rounds.
//!
//! Where one is so much more than another that the shorter bar could not be seen, bars are on a logarithmic scale, with its
//! powers of ten drawn, and the picture says so.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use plotters::prelude::{
    Color, IntoDrawingArea, IntoFont, PathElement, RGBColor, Rectangle, SVGBackend, Text, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{ShapeStyle, TextStyle};

use super::drawing::{GRID, OWN, TEXT};
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

const OTHER: RGBColor = RGBColor(150, 170, 190);
const WHISKER: RGBColor = RGBColor(40, 40, 40);

/// From this many times the least median on, the scale is logarithmic.
const FAR_APART: f64 = 40.0;
/// What is said then.
const LOGARITHMIC: &str = "Logarithmic scale: each line is ten times the one before.";

/// Where figures lie between the left and the right end of all bars.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    /// From zero to this.
    Linear(f64),
    /// From one power of ten to this.
    Logarithmic { from: f64, to: f64 },
}

impl Scale {
    /// For these; figures are not negative.
    fn of(all: &[Spread]) -> Self {
        let most = all.iter().map(|spread| spread.max).fold(0.0, f64::max);
        let medians = all.iter().map(|spread| spread.median);
        let least = all
            .iter()
            .map(|spread| spread.min)
            .fold(f64::INFINITY, f64::min);
        let shortest = medians.fold(f64::INFINITY, f64::min);
        if least > 0.0 && most > FAR_APART * shortest {
            // A tenth of the room at the left, so that the shortest bar is one.
            let from = 10_f64.powf((least / 2.0).log10().floor());
            return Self::Logarithmic { from, to: most };
        }
        // Of zeros there is nothing to see but that they are.
        Self::Linear(if most > 0.0 { most } else { 1.0 })
    }

    /// From 0 at the left to 1 at the right.
    fn at(self, figure: f64) -> f64 {
        match self {
            Self::Linear(most) => figure / most,
            Self::Logarithmic { from, to } => (figure / from).ln() / (to / from).ln(),
        }
    }

    /// Powers of ten within a logarithmic one.
    fn marks(self) -> Vec<f64> {
        let Self::Logarithmic { from, to } = self else {
            return Vec::new();
        };
        let powers = std::iter::successors(Some(from), |mark| Some(mark * 10.0));
        powers.take_while(|mark| *mark <= to).collect()
    }
}

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
        let all = self.groups.iter().flat_map(|(_, bars)| bars);
        let all: Vec<Spread> = all.map(|(_, spread)| *spread).collect();
        ensure!(
            !all.is_empty() && all.iter().all(|spread| spread.max.is_finite()),
            "nothing to draw"
        );
        let mut text = String::new();
        self.render(&mut text, Scale::of(&all))
            .map_err(|error| anyhow!("cannot draw: {error}"))?;
        Ok(text)
    }

    fn height(&self) -> i32 {
        let rows = |bars: &Vec<_>| i32::try_from(bars.len()).unwrap_or_default() * ROW;
        let groups = self.groups.iter().map(|(_, bars)| GROUP + rows(bars));
        TITLE + groups.sum::<i32>() + FOOT
    }

    fn render(&self, text: &mut String, scale: Scale) -> Result<(), Box<dyn std::error::Error>> {
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
        let at = |figure: f64| LEFT + (scale.at(figure) * f64::from(RIGHT - LEFT)).round() as i32;
        for mark in scale.marks() {
            let ends = [(at(mark), TITLE), (at(mark), self.height() - FOOT)];
            area.draw(&PathElement::new(ends, GRID.stroke_width(1)))?;
        }
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
        let note = match scale {
            Scale::Linear(_) => self.note.to_owned(),
            Scale::Logarithmic { .. } => format!("{} {LOGARITHMIC}", self.note),
        };
        area.draw(&Text::new(note, (16, y + FOOT / 2), small))?;
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
        assert!(!text.contains(LOGARITHMIC));
        let empty = Bars {
            groups: Vec::new(),
            ..bars
        };
        assert!(empty.svg().is_err());
    }

    #[test]
    fn what_is_far_apart_is_on_a_logarithmic_scale() {
        let spread = |median: f64| Spread {
            min: median * 0.9,
            median,
            max: median,
        };
        let near = [spread(30.0), spread(250.0)];
        assert_eq!(Scale::of(&near), Scale::Linear(250.0));
        let far = [spread(30.0), spread(8_000.0)];
        let scale = Scale::of(&far);
        assert_eq!(scale.marks(), [10.0, 100.0, 1_000.0]);
        assert!(scale.at(10.0).abs() < 1e-9 && (scale.at(8_000.0) - 1.0).abs() < 1e-9);
        let each = scale.at(100.0);
        assert!((scale.at(1_000.0) - 2.0 * each).abs() < 1e-9);
        assert_eq!(Scale::of(&[spread(0.0), spread(9.0)]), Scale::Linear(9.0));
        let bars = Bars {
            title: "CPU".to_owned(),
            unit: "µs",
            groups: vec![(
                String::new(),
                vec![("a".to_owned(), far[0]), ("b".to_owned(), far[1])],
            )],
            note: "medians.",
        };
        assert!(bars.svg().unwrap().contains(LOGARITHMIC));
    }
}
