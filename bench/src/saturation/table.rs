//! What the bench of saturation prints: tables by connections, what each peer carries at most, and ratios.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::cpu::Turn;
use crate::facts::Facts;
use crate::peer::Kind;
use crate::report::lines::Lines;
use crate::report::{FOREIGN, print_disturbed, print_facts, print_wrapped};
use crate::statistics::{Spread, paired_ratio};

/// From this share of what the rig carries by itself on, a peer may be held up by it.
const NEAR: f64 = 0.9;
/// A CPU used to this share is full.
const FULL: f64 = 0.95;

/// Everything one run measured; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) facts: Facts,
    /// What could not be measured, and why.
    pub(super) missing: Vec<String>,
    pub(super) rounds: usize,
    /// Length of each turn asked for, in seconds.
    pub(super) seconds: f64,
    pub(super) connections: Vec<usize>,
    /// The rig by itself, before anything else.
    pub(super) ceiling: Vec<Turn>,
    /// Everybody, the rig by itself included.
    pub(super) turns: Vec<Turn>,
}

/// Where a peer carries most.
#[derive(Debug, PartialEq)]
struct Most {
    connections: usize,
    requests_per_second: Spread,
    p99_us: f64,
    /// Shares of the peer's CPU and of the rig's.
    peer: f64,
    rig: f64,
    /// Whether it may have been the rig that could not do more.
    held_up: bool,
}

impl Report {
    /// Prints it for people.
    pub(super) fn print(&self) {
        print_facts(&self.facts);
        let at = |connections: usize| {
            let turn = self
                .ceiling
                .iter()
                .find(|turn| turn.connections == connections);
            turn.map(|turn| format!("{:.0} at {connections}", turn.requests_per_second))
        };
        let ceiling: Vec<String> = self.connections.iter().filter_map(|one| at(*one)).collect();
        let ceiling = ceiling.join(", ");
        print_wrapped(
            "",
            &format!("the rig by itself, measured first: {ceiling} connections, requests/s"),
        );
        print_wrapped(
            "",
            &format!(
                "{} rounds of {} s at each number of connections; medians. Access logs are on.",
                self.rounds, self.seconds
            ),
        );
        println!();
        print!(
            "{}",
            self.by_connections("requests/s", |turn| turn.requests_per_second)
        );
        println!();
        print!("{}", self.by_connections("p99, µs", |turn| turn.p99_us));
        println!();
        print!(
            "{}",
            self.by_connections("CPU of it, %", |turn| turn.peer_utilisation * 100.0)
        );
        println!();
        print!("{}", self.carried());
        println!();
        print!("{}", self.ratios());
        self.print_doubts();
    }

    /// A table of medians with a column for each number of connections.
    fn by_connections(&self, what: &str, figure: fn(&Turn) -> f64) -> String {
        let mut text = format!("{what:<18}");
        for connections in &self.connections {
            let _ = write!(text, "{connections:>10}");
        }
        text.push('\n');
        for target in self.targets() {
            let _ = write!(text, "{target:<18}");
            for &connections in &self.connections {
                let median = self.median(target, connections, figure);
                let said = median.map_or("–".to_owned(), |median| format!("{median:.0}"));
                let _ = write!(text, "{said:>10}");
            }
            text.push('\n');
        }
        text
    }

    /// What each carries at most.
    fn carried(&self) -> String {
        let mut text = format!(
            "{:<18}{:>10}{:>16}{:>13}{:>10}{:>8}{:>8}\n",
            "at most", "requests/s", "min–max", "connections", "p99 µs", "CPU", "rig"
        );
        let mut held_up = false;
        for target in self.targets() {
            let Some(most) = self.most(target) else {
                let _ = writeln!(text, "{target:<18}{:>10}", "–");
                continue;
            };
            held_up |= most.held_up;
            let requests = most.requests_per_second;
            let _ = writeln!(
                text,
                "{target:<18}{:>10.0}{:>16}{:>13}{:>10.0}{:>6.0} %{:>6.0} %{}",
                requests.median,
                format!("{:.0}–{:.0}", requests.min, requests.max),
                most.connections,
                most.p99_us,
                most.peer * 100.0,
                most.rig * 100.0,
                if most.held_up { "  *" } else { "" }
            );
        }
        text.push_str("CPU, rig: share of its CPU that the peer used, and that load and upstream used of theirs.\n");
        if held_up {
            text.push_str(
                "* within 10 % of the rig by itself, or the rig's CPU is full: it may carry more than that.\n",
            );
        }
        text
    }

    fn most(&self, target: &str) -> Option<Most> {
        let of = |connections: usize| {
            let series = self.series(target, connections, |turn| turn.requests_per_second);
            let spread = Spread::of(series.iter().map(|(_, figure)| *figure))?;
            Some((connections, spread))
        };
        let all = self.connections.iter().filter_map(|one| of(*one));
        let (connections, requests) =
            all.max_by(|(_, one), (_, other)| one.median.total_cmp(&other.median))?;
        let median = |figure| self.median(target, connections, figure).unwrap_or_default();
        let (peer, rig) = (
            median(|turn| turn.peer_utilisation),
            median(|turn| turn.rig_utilisation),
        );
        let proxied = target != Kind::Direct.name();
        let near = self
            .against(target, Kind::Direct.name(), connections)
            .is_some_and(|ratio| ratio.median >= NEAR);
        Some(Most {
            connections,
            requests_per_second: requests,
            p99_us: median(|turn| turn.p99_us),
            peer,
            rig,
            held_up: proxied && (near || rig >= FULL) && peer < FULL,
        })
    }

    /// The product against every peer.
    fn ratios(&self) -> String {
        let mut text =
            "requests/s, one divided by the other; min – median – max over paired rounds; more is better\n"
                .to_owned();
        let own = |target: &&str| target.starts_with("holysheep");
        for subject in self.targets().into_iter().filter(own) {
            let others = self.targets().into_iter();
            for other in others.filter(|other| !own(other) && *other != Kind::Direct.name()) {
                for &connections in &self.connections {
                    let Some(ratio) = self.against(subject, other, connections) else {
                        continue;
                    };
                    let disturbed = [subject, other]
                        .into_iter()
                        .filter_map(|target| self.median(target, connections, Turn::foreign))
                        .any(|foreign| foreign > FOREIGN);
                    let said = match ratio {
                        // Whose CPU something else used carried less for that reason.
                        _ if disturbed => "   disturbed",
                        ratio if ratio.covers(1.0) => "   no difference seen",
                        ratio if ratio.median < 1.0 => "   fewer",
                        _ => "",
                    };
                    let _ = writeln!(
                        text,
                        "  {subject:<14} / {other:<14}{connections:>4} connections   {:.3} – {:.3} – {:.3}{said}",
                        ratio.min, ratio.median, ratio.max
                    );
                }
            }
        }
        text
    }

    fn print_doubts(&self) {
        for what in &self.missing {
            print_wrapped("NOT MEASURED ", what);
        }
        for turn in self.turns.iter().filter(|turn| !turn.valid()) {
            let first = turn.first_error.as_deref().unwrap_or("no answer at all");
            let (target, connections, round) = (&turn.target, turn.connections, turn.round + 1);
            let place = format!("{target} at {connections}, round {round}");
            print_wrapped(
                "INVALID ",
                &format!("{place}: {} errors, first: {first}", turn.errors),
            );
        }
        let shares = |turn: &Turn| (turn.foreign(), turn.steal);
        print_disturbed(&self.turns.iter().map(shares).collect::<Vec<_>>());
    }

    /// Requests a second by connections as a picture.
    ///
    /// # Errors
    /// When there are too few, or the file cannot be written.
    pub(super) fn draw(&self, path: &Path) -> Result<()> {
        let line = |target: &str| {
            let point = |connections: &usize| {
                let series = self.series(target, *connections, |turn| turn.requests_per_second);
                let spread = Spread::of(series.into_iter().map(|(_, figure)| figure))?;
                Some((*connections, spread))
            };
            let points = self.connections.iter().filter_map(point).collect();
            (target.to_owned(), points)
        };
        Lines {
            title: "What one CPU carries: medians of rounds, with the least and the most"
                .to_owned(),
            across: "connections, each with one request in flight",
            up: "requests/s",
            lines: self.targets().into_iter().map(line).collect(),
        }
        .draw(path)
    }

    fn median(&self, target: &str, connections: usize, figure: fn(&Turn) -> f64) -> Option<f64> {
        let series = self.series(target, connections, figure);
        Spread::of(series.into_iter().map(|(_, figure)| figure)).map(|spread| spread.median)
    }

    fn against(&self, own: &str, other: &str, connections: usize) -> Option<Spread> {
        let series = |target| self.series(target, connections, |turn| turn.requests_per_second);
        paired_ratio(&series(own), &series(other))
    }

    /// A figure of all valid turns of one target, by round.
    fn series(
        &self,
        target: &str,
        connections: usize,
        figure: fn(&Turn) -> f64,
    ) -> Vec<(usize, f64)> {
        let fits =
            |turn: &&Turn| turn.valid() && turn.target == target && turn.connections == connections;
        let turns = self.turns.iter().filter(fits);
        turns.map(|turn| (turn.round, figure(turn))).collect()
    }

    /// The targets in the order in which they were started first.
    fn targets(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for turn in &self.turns {
            if !names.contains(&turn.target.as_str()) {
                names.push(&turn.target);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests;
