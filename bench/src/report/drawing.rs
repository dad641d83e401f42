//! What all pictures of the benches share: a contender's colour, those of grid and text, axes, and the box with the names.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::{
    Cartesian2d, ChartContext, Color, DrawingBackend, IntoFont, RGBColor, Ranged,
    SeriesLabelPosition, WHITE,
};

/// Lines of a grid, and of boxes.
pub(crate) const GRID: RGBColor = RGBColor(215, 215, 215);
/// Text.
pub(crate) const TEXT: RGBColor = RGBColor(60, 60, 60);

/// The product.
pub(crate) const OWN: RGBColor = RGBColor(213, 94, 0);

/// A contender's colour, the same in all pictures; most of Okabe's and Ito's, which people who see few colours tell apart.
pub(crate) fn colour(name: &str) -> RGBColor {
    let starts = |start| name.starts_with(start);
    match name {
        "direct" => RGBColor(0, 0, 0),
        "hyper-bare" => RGBColor(120, 120, 120),
        "holysheep-ingress" => RGBColor(230, 159, 0),
        _ if starts("holysheep") => OWN,
        "nginx-article" => RGBColor(204, 121, 167),
        _ if starts("nginx") => RGBColor(0, 114, 178),
        _ if starts("haproxy") => RGBColor(0, 158, 115),
        "litellm" => RGBColor(110, 70, 30),
        // Portkey, and whatever was named by hand.
        _ => RGBColor(86, 180, 233),
    }
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

/// Puts the names of a chart's lines into a box.
///
/// # Errors
/// When they cannot be drawn.
pub(crate) fn legend<'a, DB: DrawingBackend + 'a, X: Ranged, Y: Ranged>(
    chart: &mut ChartContext<'a, DB, Cartesian2d<X, Y>>,
    position: SeriesLabelPosition,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    chart
        .configure_series_labels()
        .position(position)
        .margin(12)
        .legend_area_size(32)
        .label_font(("sans-serif", 14).into_font().color(&TEXT))
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .draw()
}
