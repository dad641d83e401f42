//! What the bench of streams prints.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::turn::{Level, Turn};
use super::verdict;
use crate::facts::Facts;
use crate::report::{Bars, print_disturbed, print_facts, print_wrapped};
use crate::statistics::Spread;

/// Everything one run measured; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) facts: Facts,
    /// In the order of the table.
    pub(super) contenders: Vec<String>,
    /// What could not be measured, and why.
    pub(super) missing: Vec<String>,
    pub(super) rounds: usize,
    /// Events of a stream, and milliseconds between two.
    pub(super) events: u32,
    pub(super) pace_ms: f64,
    pub(super) levels: Vec<Level>,
    pub(super) turns: Vec<Turn>,
}

/// From here on events are held back and not late, in µs.
const HELD_BACK: f64 = 50_000.0;

/// What the columns mean.
const NOTES: [&str; 5] = [
    "Times in µs. p50, p99: medians of rounds, each over all events of a round; the greatest where a round has fewer than \
     100. min–max: of that p99 over rounds. max: the greatest of all rounds.",
    "first token: how long the request was on its way to upstream and the first event back; upstream thinks in between, \
     which is left out.",
    "other events: from before upstream wrote one until its last byte had been read. It bounds what is added to the gap \
     between two, and shows a constant delay, which gaps do not.",
    "together: events that came in the same read as the one before, of all but the first.",
    "The client of direct speaks TLS, the others' do not; the proxy runs on the other CPU, so its two wake-ups count as \
     added by it.",
];

impl Report {
    /// Prints it for people.
    pub(super) fn print(&self) {
        print_facts(&self.facts);
        println!(
            "{} rounds; streams of {} events, one every {} ms; all peers write access logs",
            self.rounds, self.events, self.pace_ms
        );
        println!();
        print!("{}", figures(self));
        println!();
        for note in NOTES {
            print_wrapped("", note);
        }
        println!();
        print!("{}", verdict::added(self));
        println!();
        print!("{}", verdict::target(self));
        self.print_doubts();
    }

    fn print_doubts(&self) {
        for what in &self.missing {
            print_wrapped("NOT MEASURED ", what);
        }
        for turn in self.turns.iter().filter(|turn| !turn.valid()) {
            let first = turn.first_error.as_deref().unwrap_or("no stream at all");
            let place = format!(
                "{}, {}, round {}",
                turn.contender,
                at(turn.streams),
                turn.round + 1
            );
            let what = format!("{place}: {} errors, first: {first}", turn.errors);
            print_wrapped("INVALID ", &what);
        }
        let shares = |turn: &Turn| (turn.foreign, turn.steal);
        print_disturbed(&self.turns.iter().map(shares).collect::<Vec<_>>());
    }

    /// How late events are, as a picture. Contenders that hold them back for many times as long would hide all others.
    ///
    /// # Errors
    /// When there is nothing to draw, or the file cannot be written.
    pub(super) fn draw(&self, path: &Path) -> Result<()> {
        let groups = self.levels.iter().map(|level| {
            let bars = self.contenders.iter().filter_map(|contender| {
                let turns = self.turns(contender, level.streams);
                let spread = Spread::of(turns.map(|turn| turn.later_us.p99))?;
                (spread.median < HELD_BACK).then(|| (contender.clone(), spread))
            });
            (at(level.streams), bars.collect())
        });
        Bars {
            title: "How late events of a stream arrive, p99".to_owned(),
            unit: "µs",
            groups: groups.collect(),
            note: "Medians of rounds, with the least and the most; contenders that hold events back for 50 ms and more are left out.",
        }
        .draw(path)
    }

    /// The valid turns of one contender at a number of streams.
    pub(super) fn turns(&self, contender: &str, streams: usize) -> impl Iterator<Item = &Turn> {
        let fits = move |turn: &&Turn| {
            turn.valid() && turn.contender == contender && turn.streams == streams
        };
        self.turns.iter().filter(fits)
    }
}

/// A number of streams at a time, in words.
pub(super) fn at(streams: usize) -> String {
    match streams {
        1 => "1 stream".to_owned(),
        many => format!("{many} streams"),
    }
}

/// One turn in one line, for progress.
pub(super) fn line(turn: &Turn, rounds: usize) -> String {
    format!(
        "{:>10}, round {}/{rounds}: {:<16} first p50 {:>7.0} µs; others p50 {:>7.0}, p99 {:>7.0} µs; {} of {} together{}",
        at(turn.streams),
        turn.round + 1,
        turn.contender,
        turn.first_us.p50,
        turn.later_us.p50,
        turn.later_us.p99,
        turn.together,
        turn.later,
        if turn.valid() { "" } else { ", INVALID" },
    )
}

/// Every contender at every number of streams.
fn figures(report: &Report) -> String {
    let mut text = format!(
        "{:18}{:>27}{:>42}\n{:18}{:>9}{:>9}{:>9}{:>9}{:>9}{:>15}{:>9}{:>13}\n",
        "",
        "first token",
        "other events",
        "",
        "p50",
        "p99",
        "max",
        "p50",
        "p99",
        "min–max",
        "max",
        "together"
    );
    for level in &report.levels {
        let streams = level.streams;
        let _ = writeln!(text, "{} at a time", at(streams));
        for contender in &report.contenders {
            let _ = writeln!(text, "{}", row(report, contender, streams));
        }
    }
    text
}

fn row(report: &Report, contender: &str, streams: usize) -> String {
    let spread =
        |figure: fn(&Turn) -> f64| Spread::of(report.turns(contender, streams).map(figure));
    let median = |figure| spread(figure).map(|spread| spread.median);
    let most = |figure| spread(figure).map(|spread| spread.max);
    let cell =
        |figure: Option<f64>| figure.map_or("–".to_owned(), |figure| format!("{figure:.0}"));
    let range = spread(|turn| turn.later_us.p99).map_or("–".to_owned(), |spread| {
        format!("{:.0}–{:.0}", spread.min, spread.max)
    });
    let together: usize = report
        .turns(contender, streams)
        .map(|turn| turn.together)
        .sum();
    let later: usize = report
        .turns(contender, streams)
        .map(|turn| turn.later)
        .sum();
    format!(
        "  {contender:<16}{:>9}{:>9}{:>9}{:>9}{:>9}{range:>15}{:>9}{:>13}",
        cell(median(|turn| turn.first_us.p50)),
        cell(median(|turn| turn.first_us.p99)),
        cell(most(|turn| turn.first_us.max)),
        cell(median(|turn| turn.later_us.p50)),
        cell(median(|turn| turn.later_us.p99)),
        cell(most(|turn| turn.later_us.max)),
        format!("{together}/{later}"),
    )
}
