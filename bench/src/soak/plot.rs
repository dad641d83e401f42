//! The plot of a soak: one picture for each figure over time, below each other, as SVG.
//!
//! It is written by hand: some lines and texts need no library.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::NAMES;
use super::sample::Sample;
use super::table::Report;

/// Of one panel, pixels; and what is left of it and above it.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 110.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 30.0;
const HEAD: f64 = 50.0;
const COLOURS: [&str; 2] = ["#1f5fa8", "#d4761c"];

/// A panel's title, and its figure.
type Panel = (&'static str, fn(&Sample) -> Option<f64>);

const PANELS: [Panel; 6] = [
    ("memory, MiB (RSS)", |sample| {
        Some(sample.held.rss_kib / 1024.0)
    }),
    ("sockets", |sample| Some(sample.held.sockets)),
    ("other descriptors", |sample| {
        Some(sample.held.other_descriptors)
    }),
    ("BPF objects", |sample| Some(sample.held.bpf_objects)),
    ("threads", |sample| Some(sample.held.threads)),
    ("requests in flight", |sample| {
        Some(sample.said.as_ref()?.in_flight)
    }),
];

/// Writes it.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(path: &Path, report: &Report) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, draw(report)).with_context(|| path.display().to_string())
}

fn draw(report: &Report) -> String {
    let end = report
        .samples
        .last()
        .map_or(1.0, |sample| sample.at_s)
        .max(1.0);
    let x = |at: f64| LEFT + at / end * WIDTH;
    let height = HEAD + PANELS.len() as f64 * (HEIGHT + TOP) + 30.0;
    let width = LEFT + WIDTH + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">Soak of {:.0} minutes: {} requests, {} unexpected answers</text>\n",
        report.course.minutes, report.requests, report.unexpected_count
    );
    legend(&mut svg);
    for (number, (title, figure)) in PANELS.iter().enumerate() {
        let top = HEAD + number as f64 * (HEIGHT + TOP) + TOP;
        let most = report.samples.iter().filter_map(figure).fold(1.0, f64::max) * 1.1;
        let y = |value: f64| top + HEIGHT - value / most * HEIGHT;
        shade(&mut svg, report, &x, top);
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{}\">{title}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#999\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0}</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">0</text>",
            top - 6.0,
            LEFT - 6.0,
            top + 10.0,
            most,
            LEFT - 6.0,
            top + HEIGHT,
        );
        for (line, colour) in COLOURS.iter().enumerate() {
            lines(&mut svg, report, line, colour, &|sample| {
                Some((x(sample.at_s), y(figure(sample)?)))
            });
        }
    }
    let bottom = height - 12.0;
    for tick in 0..=6 {
        let at = end * f64::from(tick) / 6.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{bottom}\" text-anchor=\"middle\">{:.1} min</text>",
            x(at),
            at / 60.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String) {
    let mut at = LEFT;
    let items = NAMES.iter().zip(COLOURS).chain([
        (&"trouble upstream", "#f6d5d5"),
        (&"replacement", "#dddddd"),
    ]);
    for (name, colour) in items {
        let _ = writeln!(
            svg,
            "<rect x=\"{at}\" y=\"32\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"42\">{name}</text>",
            at + 17.0
        );
        at += 150.0;
    }
}

/// What happened meanwhile, and the middle of the load, from which on it is judged.
fn shade(svg: &mut String, report: &Report, x: &dyn Fn(f64) -> f64, top: f64) {
    for mark in &report.marks {
        let colour = if mark.line.is_some() {
            "#dddddd"
        } else {
            "#f6d5d5"
        };
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{HEIGHT}\" fill=\"{colour}\" fill-opacity=\"0.6\"/>",
            x(mark.at_s),
            (x(mark.until_s) - x(mark.at_s)).max(1.0),
        );
    }
    let [from, until] = report.course.window_s;
    for at in [from, f64::midpoint(from, until), until] {
        let _ = writeln!(
            svg,
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{top}\" y2=\"{1:.1}\" stroke=\"#666\" stroke-dasharray=\"3 3\"/>",
            x(at),
            top + HEIGHT
        );
    }
}

/// A line for each process.
fn lines(
    svg: &mut String,
    report: &Report,
    line: usize,
    colour: &str,
    point: &dyn Fn(&Sample) -> Option<(f64, f64)>,
) {
    let own = || report.samples.iter().filter(|sample| sample.line == line);
    let last = own()
        .map(|sample| sample.generation)
        .max()
        .unwrap_or_default();
    for generation in 1..=last {
        let of_it = own().filter(|sample| sample.generation == generation);
        let points: Vec<String> = of_it
            .filter_map(point)
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\"/>",
            points.join(" ")
        );
    }
}
