//! Each contender against direct, and whether the project's targets are met.

use std::fmt::Write;

use super::Bench;
use super::report::Report;
use super::turn::Turn;
use crate::peer::Kind;
use crate::report::judgement;
use crate::statistics::{Spread, paired_difference, paired_ratio};

/// Through the emulated path, in milliseconds, and so many times direct's figures at most.
const P95_MS: f64 = 50.0;
const AGAINST_DIRECT: f64 = 1.01;
/// On loopback, what is added at most, in microseconds.
const P50_ADDED_US: f64 = 60.0;
const P99_ADDED_US: f64 = 250.0;

/// What is compared, in words, and its figure in milliseconds.
pub(super) type Figure = (&'static str, fn(&Turn) -> f64);

/// All figures of the table.
pub(super) const FIGURES: [Figure; 5] = [
    ("mean", |turn| turn.figures.mean),
    ("p50", |turn| turn.figures.p50),
    ("p95", |turn| turn.figures.p95),
    ("p99", |turn| turn.figures.p99),
    ("p99.9", |turn| turn.figures.p999),
];

/// Every contender's figures, less those of direct and divided by them.
pub(super) fn against_direct(report: &Report) -> String {
    let mut text = format!(
        "{:<26}{:<28}{}\n",
        "against direct, paired:", "added in µs, min–med.–max", "ratio, min – median – max"
    );
    for contender in report.proxies() {
        for (index, (what, figure)) in FIGURES.into_iter().enumerate() {
            let name = if index == 0 { contender } else { "" };
            let added = difference(report, contender, figure);
            let ratio = ratio(report, contender, figure);
            let (Some(added), Some(ratio)) = (added, ratio) else {
                let _ = writeln!(text, "  {name:<18}{what:<6}not measured");
                continue;
            };
            let doubt = match ratio.covers(1.0) {
                true => "  no difference seen",
                false => "",
            };
            let _ = writeln!(
                text,
                "  {name:<18}{what:<6}{:<28}{}{doubt}",
                range(added, 0),
                range(ratio, 4)
            );
        }
    }
    text
}

/// A line or some lines for each target.
pub(super) fn targets(report: &Report) -> String {
    let mut text = "targets, by the median of rounds\n".to_owned();
    match report.bench {
        Bench::Table => {
            for contender in report.proxies().filter(|name| is_product(name)) {
                within_direct(&mut text, report, contender);
            }
            for contender in report.proxies() {
                let p95 = Spread::of(report.turns(contender).map(|turn| turn.figures.p95));
                let what = format!("≤ {P95_MS} ms");
                line(&mut text, [contender, "p95", &what], p95, 2, P95_MS);
            }
        }
        Bench::Latency => {
            let [_, p50, _, p99, _] = FIGURES;
            for ((what, figure), limit) in [(p50, P50_ADDED_US), (p99, P99_ADDED_US)] {
                let product = Kind::HolySheep;
                let added = difference(report, product.name(), figure);
                let words = [product.name(), what, &format!("adds ≤ {limit} µs")];
                line(&mut text, words, added, 0, limit);
            }
            below_nginx(&mut text, report);
        }
    }
    text
}

/// One target: whose figure, which, what it should be, and how far it is met.
fn line(
    text: &mut String,
    [contender, what, limit_said]: [&str; 3],
    figure: Option<Spread>,
    decimals: usize,
    limit: f64,
) {
    let said = figure.map_or("not measured".to_owned(), |figure| {
        format!("{}: {}", range(figure, decimals), judgement(figure, limit))
    });
    let _ = writeln!(text, "  {contender:<18}{what:<6}{limit_said:<16}{said}");
}

/// The product and the product behind an ingress, but not its variants.
fn is_product(name: &str) -> bool {
    [Kind::HolySheep, Kind::HolySheepIngress]
        .iter()
        .any(|kind| kind.name() == name)
}

/// Within one per cent of direct at each figure.
fn within_direct(text: &mut String, report: &Report, contender: &str) {
    let limit = format!("≤ {AGAINST_DIRECT} × direct");
    for (what, figure) in FIGURES {
        let ratio = ratio(report, contender, figure);
        line(text, [contender, what, &limit], ratio, 4, AGAINST_DIRECT);
    }
}

/// Never above nginx's, by which a ratio whose spread covers 1 is no difference.
fn below_nginx(text: &mut String, report: &Report) {
    let (product, nginx) = (Kind::HolySheep, Kind::Nginx);
    for (what, figure) in FIGURES {
        let series = |name: &str| report.series(name, figure);
        let ratio = paired_ratio(&series(product.name()), &series(nginx.name()));
        let words = [product.name(), what, "≤ 1 × nginx"];
        match ratio {
            Some(ratio) if ratio.covers(1.0) => {
                let [name, what, limit] = words;
                let range = range(ratio, 4);
                let _ = writeln!(
                    text,
                    "  {name:<18}{what:<6}{limit:<16}{range}: no difference seen"
                );
            }
            ratio => line(text, words, ratio, 4, 1.0),
        }
    }
}

/// In microseconds; `None` where either side has no valid round.
fn difference(report: &Report, contender: &str, figure: fn(&Turn) -> f64) -> Option<Spread> {
    let direct = Kind::Direct;
    let microseconds = |name: &str| -> Vec<(usize, f64)> {
        let series = report.series(name, figure).into_iter();
        series
            .map(|(round, figure)| (round, figure * 1e3))
            .collect()
    };
    paired_difference(&microseconds(contender), &microseconds(direct.name()))
}

/// Likewise, one divided by the other.
fn ratio(report: &Report, contender: &str, figure: fn(&Turn) -> f64) -> Option<Spread> {
    let direct = Kind::Direct;
    paired_ratio(
        &report.series(contender, figure),
        &report.series(direct.name(), figure),
    )
}

fn range(spread: Spread, decimals: usize) -> String {
    let Spread { min, median, max } = spread;
    format!("{min:.decimals$} – {median:.decimals$} – {max:.decimals$}")
}

#[cfg(test)]
mod tests;
