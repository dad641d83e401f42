//! What the figures say: targets, where the product is slower than no proxy, and what its care for windows costs.

use std::fmt::Write;

use super::cell::{Cell, LEAST_MS};
use super::lane::Sample;
use super::paths::{LOSS, NARROW};
use super::plan::{Situation, Size};
use super::table::Report;
use crate::peer::{Kind, SYSTEM_WINDOW};

/// On this path, after this pause in seconds, prompts of so many bytes take at most so many milliseconds (p50).
const TARGETS: (&str, f64, [(usize, f64); 2]) = ("30ms", 1.0, [(40_000, 36.0), (400_000, 50.0)]);
/// At most so many times the segments sent again of the product that leaves windows alone, and so many more.
const AGAIN: f64 = 1.5;
const FEW: u64 = 5;

/// All verdicts, a line or some lines each.
pub(super) fn all(report: &Report) -> String {
    [
        ahead(report),
        targets(report),
        against_direct(report),
        against_system(report),
    ]
    .concat()
}

fn product() -> &'static str {
    "holysheep"
}

/// How old a connection is at its first request if it was not opened for that: the pause before is twice as long.
const AHEAD_MS: f64 = 500.0;

/// Whether the connections of cold requests were there before they were needed.
fn ahead(report: &Report) -> String {
    let mut text = "cold requests on connections that were opened ahead of them\n".to_owned();
    let cold = |sample: &&Sample| sample.situation == Situation::Cold;
    let cold: Vec<&Sample> = report.samples.iter().filter(cold).collect();
    for contender in &report.contenders {
        let own = cold.iter().filter(|sample| sample.contender == *contender);
        let ahead = own.clone().filter(|sample| sample.age_ms > AHEAD_MS);
        let (ahead, all) = (ahead.count(), own.count());
        if all > 0 {
            let _ = writeln!(text, "  {contender:<14} {ahead} of {all}");
        }
    }
    text
}

fn targets(report: &Report) -> String {
    let (path, pause, limits) = TARGETS;
    let mut text = format!("targets on {path} after {pause} s idle, p50 of holysheep\n");
    let situation = report.situations.iter().copied().find(
        |situation| matches!(situation, Situation::Idle(time) if time.as_secs_f64() == pause),
    );
    for (bytes, limit) in limits {
        let size = Size(bytes);
        let cell = situation.and_then(|now| report.cell(path, product(), size, now));
        let said = match cell {
            Some(cell) if cell.p50 <= limit => format!("{:.1} ms: MET", cell.p50),
            Some(cell) => format!("{:.1} ms: MISSED", cell.p50),
            None => "not measured".to_owned(),
        };
        let _ = writeln!(text, "  {size}: at most {limit} ms: {said}");
    }
    text
}

/// Two cells that are compared, and which.
struct Pair<'a> {
    path: &'a str,
    size: Size,
    situation: Situation,
    own: Cell,
    other: Cell,
}

impl Pair<'_> {
    fn named(&self) -> String {
        format!("{}, {}, {}", self.path, self.situation, self.size)
    }
}

/// The product's cells beside another's; its cold ones beside `cold` of the other's.
fn pairs<'a>(report: &'a Report, paths: &[&str], other: &str, cold: Situation) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    for path in report.paths.iter().map(|path| path.name) {
        if !paths.is_empty() && !paths.contains(&path) {
            continue;
        }
        for &situation in &report.situations {
            let theirs = match situation {
                Situation::Cold => cold,
                other => other,
            };
            for &size in &report.sizes {
                let own = report.cell(path, product(), size, situation);
                let other = report.cell(path, other, size, theirs);
                if let (Some(own), Some(other)) = (own, other) {
                    pairs.push(Pair {
                        path,
                        size,
                        situation,
                        own,
                        other,
                    });
                }
            }
        }
    }
    pairs
}

fn against_direct(report: &Report) -> String {
    let direct = Kind::Direct;
    let pairs = pairs(report, &[], direct.name(), Situation::Fresh);
    let mut text = format!(
        "holysheep against direct: slower where its p50 is above by more than {LEAST_MS} ms and by more than the spread (the\n\
         greater of both cells' median distances from their medians); cold against fresh of direct\n"
    );
    if pairs.is_empty() {
        text += "  not measured\n";
        return text;
    }
    let slower: Vec<_> = pairs
        .iter()
        .filter_map(|pair| Some((pair, pair.own.slower_than(&pair.other)?)))
        .collect();
    let _ = writeln!(
        text,
        "  slower in {} of {} cells",
        slower.len(),
        pairs.len()
    );
    for (pair, by) in &slower {
        let (own, other) = (pair.own.p50, pair.other.p50);
        let _ = writeln!(
            text,
            "    {}: {own:.1} ms, direct {other:.1} ms, {by:.1} more",
            pair.named()
        );
    }
    let difference = |pair: &&Pair<'_>| pair.own.p50 - pair.other.p50;
    let by = |one: &&Pair<'_>, other: &&Pair<'_>| difference(one).total_cmp(&difference(other));
    for (what, pair) in [
        ("most above direct", pairs.iter().max_by(by)),
        ("most below direct", pairs.iter().min_by(by)),
    ] {
        if let Some(pair) = pair {
            let _ = writeln!(
                text,
                "  {what}: {:+.1} ms ({})",
                difference(&pair),
                pair.named()
            );
        }
    }
    text
}

fn against_system(report: &Report) -> String {
    let mut text = format!("holysheep against {SYSTEM_WINDOW} where segments are lost\n");
    let pairs = pairs(report, &[LOSS, NARROW], SYSTEM_WINDOW, Situation::Cold);
    if pairs.is_empty() {
        text += "  not measured\n";
    }
    for path in report.paths.iter().map(|path| path.name) {
        let here: Vec<_> = pairs.iter().filter(|pair| pair.path == path).collect();
        if here.is_empty() {
            continue;
        }
        for (what, figure, compare) in COMPARISONS {
            let slower = here
                .iter()
                .filter(|pair| compare(&pair.own, &pair.other).is_some());
            let faster = here
                .iter()
                .filter(|pair| compare(&pair.other, &pair.own).is_some());
            let _ = writeln!(
                text,
                "  {path}, {what}: slower in {} and faster in {} of {} cells",
                slower.clone().count(),
                faster.count(),
                here.len()
            );
            for pair in slower {
                let _ = writeln!(
                    text,
                    "    {}: {:.1} ms, {SYSTEM_WINDOW} {:.1} ms",
                    pair.named(),
                    figure(&pair.own),
                    figure(&pair.other)
                );
            }
        }
        for &size in &report.sizes {
            let cells = here.iter().filter(|pair| pair.size == size);
            let own = cells.clone().map(|pair| pair.own.sent_again).sum();
            let other = cells.clone().map(|pair| pair.other.sent_again).sum();
            let _ = writeln!(text, "  {path}, {size}: {}", again(own, other));
        }
    }
    text
}

/// What is compared, its figure, and by how much the first cell is slower than the second.
type Comparison = (
    &'static str,
    fn(&Cell) -> f64,
    fn(&Cell, &Cell) -> Option<f64>,
);

const COMPARISONS: [Comparison; 2] = [
    ("p50", |cell| cell.p50, Cell::slower_than),
    ("p99", |cell| cell.p99, Cell::slower_at_p99),
];

/// Whether too many segments were sent again.
fn again(own: u64, other: u64) -> String {
    let limit = (other as f64 * AGAIN) as u64 + FEW;
    let verdict = match own <= limit {
        true => "MET",
        false => "MISSED",
    };
    format!(
        "{own} segments sent again, {SYSTEM_WINDOW} {other}; at most {AGAIN} times as many and {FEW}, {limit}: {verdict}"
    )
}

#[cfg(test)]
mod tests;
