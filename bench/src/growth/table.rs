//! What the bench of growth prints: one table, each number of something against the fewest.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::fmt::Write;

use serde::Serialize;

use crate::cpu::Turn;
use crate::facts::Facts;
use crate::peer::{Grown, Grows};
use crate::report::{print_disturbed, print_facts, print_wrapped};
use crate::statistics::{Spread, paired_ratio};

/// Everything one run measured; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) facts: Facts,
    /// What could not be measured, and why.
    pub(super) missing: Vec<String>,
    pub(super) rounds: usize,
    /// Length of each turn asked for, in seconds.
    pub(super) seconds: f64,
    pub(super) connections: usize,
    pub(super) turns: Vec<Turn>,
}

impl Report {
    /// Prints it for people.
    pub(super) fn print(&self) {
        print_facts(&self.facts);
        print_wrapped(
            "",
            &format!(
                "{} rounds of {} s at {} connections. All requests come from one client with one key, to one upstream; \
                 what grows is what they are looked up among.",
                self.rounds, self.seconds, self.connections
            ),
        );
        println!();
        print!("{}", self.table());
        self.print_doubts();
    }

    fn table(&self) -> String {
        let mut text = format!(
            "{:<11}{:>8}{:>12}{:>14}   divided by the fewest: min – median – max\n",
            "", "number", "CPU µs/req", "min–max"
        );
        let mut before = None;
        for grown in &Grown::ALL {
            let what = match grown.grows {
                Grows::Clients => "clients",
                Grows::Keys => "keys",
                Grows::Upstreams => "upstreams",
            };
            let what = if before == Some(grown.grows) {
                ""
            } else {
                what
            };
            before = Some(grown.grows);
            let own = self.cpu(grown);
            let (cpu, range) = match Spread::of(own.iter().map(|(_, figure)| *figure)) {
                Some(cpu) => (
                    format!("{:.1}", cpu.median),
                    format!("{:.1}–{:.1}", cpu.min, cpu.max),
                ),
                None => ("–".to_owned(), "–".to_owned()),
            };
            let _ = writeln!(
                text,
                "{what:<11}{:>8}{cpu:>12}{range:>14}   {}",
                grown.count,
                self.against_fewest(grown).unwrap_or_default()
            );
        }
        text
    }

    /// The ratio to the fewest of the same in words; `None` for those themselves, and without figures.
    fn against_fewest(&self, grown: &Grown) -> Option<String> {
        let fewest = Grown::ALL.iter().find(|one| one.grows == grown.grows)?;
        if fewest == grown {
            return None;
        }
        let ratio = paired_ratio(&self.cpu(grown), &self.cpu(fewest))?;
        let said = match ratio.covers(1.0) {
            true => "   no difference seen",
            false => "",
        };
        let Spread { min, median, max } = ratio;
        Some(format!("{min:.3} – {median:.3} – {max:.3}{said}"))
    }

    /// CPU time per request by round, in microseconds.
    fn cpu(&self, grown: &Grown) -> Vec<(usize, f64)> {
        let turns = self.turns.iter();
        let turns = turns.filter(|turn| turn.valid() && turn.target == grown.name);
        turns
            .filter_map(|turn| Some((turn.round, turn.cpu_us?)))
            .collect()
    }

    fn print_doubts(&self) {
        for what in &self.missing {
            print_wrapped("NOT MEASURED ", what);
        }
        for turn in self.turns.iter().filter(|turn| !turn.valid()) {
            let first = turn.first_error.as_deref().unwrap_or("no answer at all");
            let place = format!("{}, round {}", turn.target, turn.round + 1);
            print_wrapped(
                "INVALID ",
                &format!("{place}: {} errors, first: {first}", turn.errors),
            );
        }
        let shares = |turn: &Turn| (turn.foreign(), turn.steal);
        print_disturbed(&self.turns.iter().map(shares).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::turn_of;

    #[test]
    fn each_number_is_divided_by_the_fewest_of_the_same() {
        let turn = |target: &str, round, cpu| Turn {
            cpu_us: Some(cpu),
            ..turn_of(target, (32, round), 100.0)
        };
        let report = Report {
            facts: Facts::gather(None),
            missing: Vec::new(),
            rounds: 2,
            seconds: 1.0,
            connections: 32,
            turns: vec![
                turn("1-key", 0, 20.0),
                turn("1-key", 1, 30.0),
                turn("8-keys", 0, 21.0),
                turn("8-keys", 1, 29.0),
                turn("64-keys", 0, 24.0),
                turn("64-keys", 1, 33.0),
                turn("1-client", 0, 1.0),
            ],
        };
        let text = report.table();
        let line = |number: &str| {
            let mut lines = text.lines().map(str::trim_end);
            lines.find(|line| line.contains(number)).unwrap().to_owned()
        };
        assert!(line("   8 ").ends_with("0.967 – 1.008 – 1.050   no difference seen"));
        assert!(line("  64 ").ends_with("1.100 – 1.150 – 1.200"), "{text}");
        assert!(line("keys ").ends_with("20.0–30.0"), "{text}");
        assert!(line("  10000 ").ends_with('–'), "{text}");
    }
}
