//! The distributions as a picture: latency by percentile, one line for each contender.
//!
//! The axis of percentiles counts nines, so that the slow tail, which users remember, has as much room as the rest.
//! Latencies are on a logarithmic axis, too: a line that keeps its distance to another is slower by a constant share.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::{
    ChartBuilder, Color, DashedLineSeries, IntoDrawingArea, IntoFont, LineSeries, PathElement,
    SVGBackend, SeriesLabelPosition, WHITE,
};

use super::Bench;
use super::report::Report;
use crate::report::drawing::{Axis, GRID, TEXT, colour, legend};

/// Width and height, in pixels.
const SIZE: (u32, u32) = (960, 560);
/// Percentiles that have a mark.
const PERCENTILES: [f64; 8] = [0.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];
/// Latencies that have one, each times powers of ten: where the axis is short, and where it is long.
const SHORT: [f64; 9] = [1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
const LONG: [f64; 3] = [1.0, 2.0, 5.0];
/// What the article promises to stay below, in milliseconds.
const PROMISE_MS: f64 = 50.0;

/// A line: its name, and points by nines and by the logarithm of milliseconds.
type Line<'a> = (&'a str, Vec<(f64, f64)>);

/// Draws it to this file, as SVG.
///
/// # Errors
/// When there is nothing to draw, or the file cannot be written.
pub(super) fn draw(path: &Path, report: &Report) -> Result<()> {
    let text = svg(report)?;
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

fn svg(report: &Report) -> Result<String> {
    let lines: Vec<Line<'_>> = report
        .contenders
        .iter()
        .filter_map(|name| {
            let points = report.distributions.get(name)?.iter();
            let point = |(share, latency): &(f64, f64)| (nines(*share), latency.log10());
            Some((name.as_str(), points.map(point).collect()))
        })
        .collect();
    let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let right = points().map(|(x, _)| x).fold(0.0, f64::max);
    let low = points().map(|(_, y)| y).fold(f64::INFINITY, f64::min);
    let high = points().map(|(_, y)| y).fold(f64::NEG_INFINITY, f64::max);
    anyhow::ensure!(high.is_finite() && right > 0.0, "too little to draw");
    let mut text = String::new();
    render(&mut text, report, &lines, (right, low, high))
        .map_err(|error| anyhow!("cannot draw: {error}"))?;
    Ok(text)
}

/// Draws all lines up to `right`, between `low` and `high`.
fn render(
    text: &mut String,
    report: &Report,
    lines: &[Line<'_>],
    (right, low, high): (f64, f64, f64),
) -> Result<(), Box<dyn std::error::Error>> {
    let (title, unit) = match report.bench {
        Bench::Table => (
            "Latency over a path of 30 ms, by percentile of requests",
            "ms",
        ),
        Bench::Latency if report.awake => (
            "Latency on loopback by percentile of requests, CPUs kept awake",
            "µs",
        ),
        Bench::Latency => ("Latency on loopback, by percentile of requests", "µs"),
    };
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let room = (high - low) * 0.04;
    let (low, high) = (low - room, high + room);
    let percentiles = PERCENTILES.map(|percentile| nines(percentile / 100.0));
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .margin_right(28)
        .caption(title, ("sans-serif", 20).into_font().color(&TEXT))
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(
            Axis(0.0..right, percentiles.into()),
            Axis(low..high, marks(low, high)),
        )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(WHITE.mix(0.0))
        .label_style(("sans-serif", 14).into_font().color(&TEXT))
        .x_labels(PERCENTILES.len())
        .y_labels(12)
        .x_label_formatter(&|x| percent(*x))
        .y_label_formatter(&|y| latency(*y, unit))
        .x_desc("percentile of requests, by nines")
        .draw()?;
    if report.bench == Bench::Table && (low..high).contains(&PROMISE_MS.log10()) {
        let promise = [0.0, right].map(|x| (x, PROMISE_MS.log10()));
        chart.draw_series(DashedLineSeries::new(promise, 6, 5, TEXT.stroke_width(1)))?;
    }
    for (name, points) in lines {
        let style = colour(name).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    legend(&mut chart, SeriesLabelPosition::LowerRight)?;
    area.present()?;
    drop(chart);
    Ok(())
}

/// How many nines a share has: 0.99 has two.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn percent(nines: f64) -> String {
    let percent = (1.0 - 10_f64.powf(-nines)) * 100.0;
    // Two decimals are enough for four nines, and 1 - 0.999 is not exact.
    let text = format!("{percent:.2}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A logarithm of milliseconds in words.
fn latency(logarithm: f64, unit: &str) -> String {
    let milliseconds = 10_f64.powf(logarithm);
    match unit {
        "µs" => format!("{:.0} µs", milliseconds * 1000.0),
        _ => format!("{milliseconds:.0} {unit}"),
    }
}

/// Logarithms of round numbers between two logarithms.
fn marks(low: f64, high: f64) -> Vec<f64> {
    let digits: &[f64] = if high - low > 1.5 { &LONG } else { &SHORT };
    let decades = low.floor() as i32..=high.ceil() as i32;
    let all = decades.flat_map(|decade| {
        let digits = digits.iter();
        digits.map(move |digit| (digit * 10_f64.powi(decade)).log10())
    });
    all.filter(|mark| (low..=high).contains(mark)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nines() {
        for (share, said) in [
            (0.0, "0 %"),
            (0.5, "50 %"),
            (0.99, "99 %"),
            (0.999, "99.9 %"),
        ] {
            assert_eq!(percent(nines(share)), said);
        }
        assert!((nines(0.9999) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn axes_have_round_numbers() {
        let said = |low: f64, high: f64, unit| -> Vec<String> {
            let marks = marks(low.log10(), high.log10());
            marks.into_iter().map(|mark| latency(mark, unit)).collect()
        };
        assert_eq!(said(33.0, 99.0, "ms"), ["40 ms", "50 ms", "60 ms", "80 ms"]);
        assert_eq!(
            said(0.09, 4.9, "µs"),
            ["100 µs", "200 µs", "500 µs", "1000 µs", "2000 µs"]
        );
    }

    #[test]
    fn every_contender_has_a_line_and_a_name() {
        let report = crate::latency::report::filled(Bench::Table);
        let text = svg(&report).unwrap();
        assert_eq!(text.matches("<svg").count(), 1);
        for contender in &report.contenders {
            assert!(text.contains(contender.as_str()), "{contender}");
        }
        for colour in ["#000000", "#D55E00"] {
            assert!(text.contains(colour), "{colour}");
        }
        let empty = Report {
            distributions: [].into(),
            ..report
        };
        assert!(svg(&empty).is_err());
    }
}
