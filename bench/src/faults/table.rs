//! What the bench of faults prints.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::fmt::Write;

use serde::Serialize;

use super::fault::Fault;
use super::figures::{Figures, Times};
use crate::facts::Facts;
use crate::peer::{Kind, NO_EBPF};
use crate::report::{print_facts, print_wrapped};
use crate::statistics::{Spread, paired_ratio, quantile};

/// One turn.
#[derive(Debug, Serialize)]
pub(super) struct Turn {
    pub(super) fault: Fault,
    pub(super) contender: String,
    pub(super) round: usize,
    pub(super) figures: Figures,
}

/// Everything one run measured; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) facts: Facts,
    /// Runnable tasks, over a minute, when it began and ended: what else ran.
    pub(super) load_average: [String; 2],
    pub(super) rate: u32,
    /// Seconds before, during and after a fault.
    pub(super) seconds: [f64; 3],
    pub(super) rounds: usize,
    pub(super) faults: Vec<Fault>,
    pub(super) contenders: Vec<String>,
    /// What could not be measured, and why.
    pub(super) missing: Vec<String>,
    pub(super) turns: Vec<Turn>,
}

/// What the columns mean.
const NOTES: [&str; 5] = [
    "failed: requests without a good and whole answer within 15 s. free: of these, those no endpoint has billed, which could \
     have been sent again. twice: requests with more than one bill. again: requests sent again, by the proxy's account. All \
     rounds together.",
    "p50, p99: milliseconds to the first byte of good answers to requests that begin before, during or after the fault; all \
     rounds together.",
    "ejected: from the fault until the contender says that it has ejected the bad endpoint (asked every 20 ms); <5%: until it gets less than a twentieth of the requests of half a second; >25%: from the \
     end of the fault until it gets a quarter. Milliseconds, median of the rounds (least to most); – where a round did not \
     get there before its end.",
    "share: percent of the requests that went to the bad endpoint, for each 250 ms from half a second before the fault, by what \
     the endpoints noted, and in the blackhole by what was lost on the way; mean of the rounds. | is the fault, and its end.",
    "Health checks and connections without a request count nowhere.",
];

impl Report {
    /// Prints it for people.
    pub(super) fn print(&self) {
        print_facts(&self.facts);
        let [before, during, after] = self.seconds;
        println!(
            "{} requests/s, half of them streams; {before} s before, {during} s during, {after} s after; {} rounds",
            self.rate, self.rounds
        );
        let [begin, end] = &self.load_average;
        println!(
            "load average {begin} at the beginning, {end} at the end, the paths' threads included"
        );
        for &fault in &self.faults {
            println!();
            self.print_section(fault);
        }
        println!();
        for note in NOTES {
            print_wrapped("", note);
        }
        println!();
        print!("{}", self.signals());
        for what in &self.missing {
            print_wrapped("NOT MEASURED ", what);
        }
        let overruns: u64 = self.turns.iter().map(|turn| turn.figures.overruns).sum();
        if overruns > 0 {
            println!("DOUBTFUL {overruns} packets were dropped because the emulation was too slow");
        }
    }

    fn of(&self, fault: Fault, contender: &str) -> Vec<&Turn> {
        let turns = self.turns.iter();
        let fits = |turn: &&Turn| turn.fault == fault && turn.contender == contender;
        turns.filter(fits).collect()
    }

    fn print_section(&self, fault: Fault) {
        println!("{fault}: {}", fault.described());
        println!(
            "{:18}{:>7}{:>6}{:>7}{:>7}{:>14}{:>14}{:>14}",
            "", "failed", "free", "twice", "again", "before", "during", "after"
        );
        println!(
            "{:45}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}",
            "", "p50", "p99", "p50", "p99", "p50", "p99"
        );
        let measured = self.contenders.iter().filter_map(|contender| {
            let turns = self.of(fault, contender);
            (!turns.is_empty()).then_some((contender, turns))
        });
        let measured: Vec<_> = measured.collect();
        for (contender, turns) in &measured {
            println!("{contender:<18}{}", counts(turns));
        }
        println!("{:18}{:>22}{:>22}{:>22}", "", "ejected", "<5%", ">25%");
        for (contender, turns) in &measured {
            println!("{contender:<18}{}", times(turns));
        }
        for (contender, turns) in &measured {
            let shares = shares(turns);
            print_wrapped(&format!("  share {contender:<18}"), shares.trim_start());
        }
        for (contender, turns) in &measured {
            for (reason, count) in reasons(turns) {
                println!("  failed {contender:<17}{count} × {reason}");
            }
        }
    }

    /// How much sooner the kernel's signals tell of a blackhole.
    fn signals(&self) -> String {
        let series = |contender: &str| -> Vec<(usize, f64)> {
            let turns = self.of(Fault::Blackhole, contender).into_iter();
            let known = turns.filter_map(|turn| Some((turn.round, turn.figures.ejected_ms?)));
            known.collect()
        };
        let with = series(Kind::HolySheep.name());
        let mut text = String::new();
        for other in [NO_EBPF, Kind::HaProxy.name()] {
            let Some(ratio) = paired_ratio(&with, &series(other)) else {
                continue;
            };
            let Spread { min, median, max } = ratio;
            let _ = writeln!(
                text,
                "blackhole, time until ejected, holysheep / {other}: {min:.2} – {median:.2} – {max:.2}"
            );
        }
        text
    }
}

fn counts(turns: &[&Turn]) -> String {
    let sum = |of: fn(&Figures) -> usize| turns.iter().map(|turn| of(&turn.figures)).sum::<usize>();
    let repeats: u64 = turns.iter().map(|turn| turn.figures.repeats).sum();
    let mut text = format!(
        "{:>7}{:>6}{:>7}{repeats:>7}",
        sum(|figures| figures.failed),
        sum(|figures| figures.unbilled),
        sum(|figures| figures.billed_twice),
    );
    let parts: [fn(&Figures) -> &Times; 3] = [
        |figures| &figures.before,
        |figures| &figures.during,
        |figures| &figures.after,
    ];
    for part in parts {
        let all = turns.iter().flat_map(|turn| &part(&turn.figures).took_ms);
        let all: Vec<f64> = all.copied().collect();
        for share in [0.5, 0.99] {
            let _ = match all.is_empty() {
                true => write!(text, "{:>7}", "–"),
                false => write!(text, "{:>7.0}", quantile(&all, share)),
            };
        }
    }
    text
}

/// From the fault, or its end, until something happens.
fn times(turns: &[&Turn]) -> String {
    let times: [fn(&Figures) -> Option<f64>; 3] = [
        |figures| figures.ejected_ms,
        |figures| figures.left_alone_ms,
        |figures| figures.used_again_ms,
    ];
    let mut text = String::new();
    for time in times {
        let known = turns.iter().filter_map(|turn| time(&turn.figures));
        let known: Vec<f64> = known.collect();
        let missing = turns.len() - known.len();
        let told = match Spread::of(known) {
            None => "–".to_owned(),
            Some(Spread { median, .. }) if turns.len() == 1 => format!("{median:.0}"),
            Some(Spread { min, median, max }) if missing == 0 => {
                format!("{median:.0} ({min:.0}–{max:.0})")
            }
            Some(Spread { min, max, .. }) => format!("{min:.0}–{max:.0}, – in {missing}"),
        };
        let _ = write!(text, "{told:>22}");
    }
    text
}

fn shares(turns: &[&Turn]) -> String {
    let bins = turns.iter().map(|turn| turn.figures.shares.len()).max();
    let healed = turns.first().map_or(0.0, |turn| turn.figures.healed_ms);
    let healed = (healed / super::figures::BIN_MS).round() as usize + 2;
    let mut text = String::new();
    for bin in 0..bins.unwrap_or_default() {
        if bin == 2 || bin == healed {
            text.push_str(" |");
        }
        let known = turns
            .iter()
            .filter_map(|turn| turn.figures.shares.get(bin)?.as_ref());
        let known: Vec<f64> = known.copied().collect();
        let _ = match known.is_empty() {
            true => write!(text, " –"),
            false => write!(
                text,
                " {:.0}",
                100.0 * known.iter().sum::<f64>() / known.len() as f64
            ),
        };
    }
    text
}

fn reasons(turns: &[&Turn]) -> Vec<(String, usize)> {
    let mut all: Vec<(String, usize)> = Vec::new();
    for (reason, count) in turns.iter().flat_map(|turn| &turn.figures.reasons) {
        match all.iter_mut().find(|(known, _)| known == reason) {
            Some((_, sum)) => *sum += count,
            None => all.push((reason.clone(), *count)),
        }
    }
    all
}
