//! What each contender adds over direct, and whether the project's target is met.

use std::fmt::Write;

use super::table::{Report, at};
use super::turn::Turn;
use crate::peer::Kind;
use crate::report::judgement;
use crate::statistics::{Spread, paired_difference};

/// What the product may add to the 99th percentile of events after the first, in microseconds.
const TARGET_US: f64 = 300.0;

/// What is compared, in words, and its figure.
type Figure = (&'static str, fn(&Turn) -> f64);

const FIGURES: [Figure; 4] = [
    ("first token p50", |turn| turn.first_us.p50),
    ("first token p99", |turn| turn.first_us.p99),
    ("other events p50", |turn| turn.later_us.p50),
    ("other events p99", |turn| turn.later_us.p99),
];

/// Every contender's quantiles less those of direct.
pub(super) fn added(report: &Report) -> String {
    let mut text =
        "added over direct in µs, by the quantile; min – median – max over paired rounds\n"
            .to_owned();
    let direct = Kind::Direct;
    let proxies = report.contenders.iter();
    for contender in proxies.filter(|name| *name != direct.name()) {
        for level in &report.levels {
            for (what, figure) in FIGURES {
                let added = difference(report, contender, level.streams, figure);
                let said = added.map_or("not measured".to_owned(), wording);
                let place = at(level.streams);
                let _ = writeln!(text, "  {contender:<16} {place:<11} {what:<17} {said}");
            }
        }
    }
    text
}

/// One line for each number of streams.
pub(super) fn target(report: &Report) -> String {
    let mut text = format!(
        "target: holysheep adds at most {TARGET_US} µs to the p99 of events after the first, by the median\n"
    );
    let product = Kind::HolySheep;
    for level in &report.levels {
        let [.., (_, figure)] = FIGURES;
        let added = difference(report, product.name(), level.streams, figure);
        let said = added.map_or("not measured".to_owned(), |added| {
            format!("{}: {}", range(added), judgement(added, TARGET_US))
        });
        let _ = writeln!(text, "  {:<11} {said}", at(level.streams));
    }
    text
}

/// `None` where either side has no valid round.
fn difference(
    report: &Report,
    contender: &str,
    streams: usize,
    figure: fn(&Turn) -> f64,
) -> Option<Spread> {
    let series = |name: &str| -> Vec<(usize, f64)> {
        let turns = report.turns(name, streams);
        turns.map(|turn| (turn.round, figure(turn))).collect()
    };
    let direct = Kind::Direct;
    paired_difference(&series(contender), &series(direct.name()))
}

/// A difference whose range reaches across zero is none.
fn wording(added: Spread) -> String {
    let doubt = match added.covers(0.0) {
        true => "   no difference seen",
        false => "",
    };
    format!("{}{doubt}", range(added))
}

fn range(added: Spread) -> String {
    format!("{:.0} – {:.0} – {:.0}", added.min, added.median, added.max)
}

#[cfg(test)]
mod tests;
