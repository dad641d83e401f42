//! What is printed: progress on standard error, tables on standard output.
//!
//! Lines stay within 100 columns. [`table`] makes the tables; what they say
//! is computed by [`crate::statistics`] from the turns of [`crate::cpu`].
#![expect(clippy::print_stdout, reason = "the report is this program's output")]
#![expect(clippy::print_stderr, reason = "progress must not mix with the report")]

mod bars;
pub(crate) mod drawing;
pub(crate) mod lines;
mod table;
mod verdict;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cpu::Turn;
use crate::facts::Facts;
use crate::load::Measured;
use crate::statistics::Spread;
use crate::syscalls::Syscalls;
pub(crate) use bars::Bars;
pub(crate) use verdict::judgement;

/// Shares of a CPU from which on a turn counts as disturbed.
pub(crate) const FOREIGN: f64 = 0.15;
const STOLEN: f64 = 0.02;

/// Everything one run measured; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) facts: Facts,
    /// Whether nginx and HAProxy wrote access logs.
    pub(crate) access_logs: bool,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<String>,
    pub(crate) rounds: usize,
    /// Length of each turn asked for, in seconds.
    pub(crate) seconds: f64,
    pub(crate) connections: Vec<usize>,
    pub(crate) turns: Vec<Turn>,
    pub(crate) syscalls: Vec<Syscalls>,
}

impl Report {
    /// Prints it for people.
    pub(crate) fn print(&self) {
        self.print_facts();
        for &connections in &self.connections {
            println!();
            println!(
                "{connections} connections; {} rounds of {} s; medians, and the range of CPU time",
                self.rounds, self.seconds
            );
            print!("{}", table::figures(self, connections));
        }
        println!();
        println!(
            "req/s, p50, p99: as the load generator sees them; it and the upstream share one CPU (rig)."
        );
        println!(
            "peer, rig: share of its CPU each uses. A full rig CPU bounds req/s, not CPU µs/req."
        );
        println!(
            "user, system: split by the timer tick's samples. other: CPU time of anything else, on both CPUs."
        );
        println!();
        print!("{}", table::handshakes(self));
        if !self.syscalls.is_empty() {
            println!();
            print!("{}", table::syscalls(&self.syscalls));
        }
        println!();
        print!("{}", verdict::ratios(self));
        println!();
        print!("{}", verdict::targets(self));
        self.print_doubts();
    }

    fn print_facts(&self) {
        print_facts(&self.facts);
        let logs = if self.access_logs { "on" } else { "off" };
        println!("access logs of nginx and HAProxy: {logs}");
    }

    fn print_doubts(&self) {
        for what in &self.missing {
            print_wrapped("NOT MEASURED ", what);
        }
        for turn in &self.turns {
            let place = format!(
                "{} at {}, round {}",
                turn.target,
                turn.connections,
                turn.round + 1
            );
            if !turn.valid() {
                let first = turn.first_error.as_deref().unwrap_or("no answer at all");
                print_wrapped(
                    "INVALID ",
                    &format!("{place}: {} errors, first: {first}", turn.errors),
                );
            }
            if turn.changed_threads > 0 {
                println!(
                    "DOUBTFUL {place}: {} threads came or went",
                    turn.changed_threads
                );
            }
        }
        let shares = |turn: &Turn| (turn.foreign(), turn.steal);
        print_disturbed(&self.turns.iter().map(shares).collect::<Vec<_>>());
    }

    /// CPU time per request as a picture.
    ///
    /// # Errors
    /// When there is none, or the file cannot be written.
    pub(crate) fn draw(&self, path: &Path) -> Result<()> {
        let bars = |connections: &usize| {
            let targets = self.targets().into_iter().filter_map(|target| {
                let figures = self.series(target, *connections, |turn| turn.cpu_us);
                let spread = Spread::of(figures.into_iter().map(|(_, figure)| figure))?;
                Some((target.to_owned(), spread))
            });
            (format!("{connections} connections"), targets.collect())
        };
        Bars {
            title: "CPU time of a proxied request".to_owned(),
            unit: "µs",
            groups: self.connections.iter().map(bars).collect(),
            note: "Medians of rounds, with the least and the most; less is better.",
        }
        .draw(path)
    }

    /// Writes it for programs.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }

    /// A figure of one target from all valid turns at a number of connections, by round.
    fn series(
        &self,
        target: &str,
        connections: usize,
        figure: impl Fn(&Turn) -> Option<f64>,
    ) -> Vec<(usize, f64)> {
        self.turns
            .iter()
            .filter(|turn| turn.valid() && turn.target == target && turn.connections == connections)
            .filter_map(|turn| Some((turn.round, figure(turn)?)))
            .collect()
    }

    /// The targets in the order they were started.
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

/// Says how many turns others disturbed; of each, the share of a CPU that something else used, and that was stolen.
pub(crate) fn print_disturbed(turns: &[(f64, f64)]) {
    let used = turns.iter().filter(|(foreign, _)| *foreign > FOREIGN);
    let stolen = turns.iter().filter(|(_, steal)| *steal > STOLEN);
    for (limit, disturbed, what) in [
        (FOREIGN, used.count(), "used by something else"),
        (STOLEN, stolen.count(), "stolen by the hypervisor"),
    ] {
        if disturbed > 0 {
            let (percent, all) = (limit * 100.0, turns.len());
            println!(
                "DOUBTFUL {disturbed} of {all} turns: more than {percent:.0} % of a CPU {what}"
            );
        }
    }
}

/// Writes a report for programs.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_json(path: &Path, report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

/// What one must know about a run.
pub(crate) fn print_facts(facts: &Facts) {
    println!("{}", facts.date);
    print_wrapped("", &facts.command_line);
    let mut machine = format!(
        "Linux {}; {}; {} CPUs",
        facts.kernel, facts.cpu_model, facts.cpus
    );
    if let (Some(peer), Some(rig)) = (facts.peer_cpu, facts.rig_cpu) {
        machine.push_str(&format!(": peer on {peer}, load and upstream on {rig}"));
    }
    print_wrapped("", &machine);
    for version in &facts.versions {
        println!("  {version}");
    }
}

/// Prints words within the width of the report.
pub(crate) fn print_wrapped(lead: &str, text: &str) {
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    print!("{}", table::wrapped(lead, &words, ""));
}

/// One line on standard error.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// One line on standard error about a finished turn.
pub(crate) fn progress_turn(turn: &Turn, rounds: usize) {
    let cpu = turn
        .cpu_us
        .map_or_else(String::new, |cpu| format!(", {cpu:.1} µs CPU/req"));
    progress(&format!(
        "{:>3} connections, round {}/{rounds}: {:<16} {:>6.0} req/s{cpu}{}",
        turn.connections,
        turn.round + 1,
        turn.target,
        turn.requests_per_second,
        if turn.valid() { "" } else { ", INVALID" },
    ));
}

/// The result of the `load` subcommand.
pub(crate) fn print_load(measured: &Measured, elapsed: Duration) {
    println!(
        "{} requests in {:.2} s: {:.0} req/s; latency p50 {:.0} µs, p99 {:.0} µs, max {:.0} µs; {} errors",
        measured.requests,
        elapsed.as_secs_f64(),
        measured.requests as f64 / elapsed.as_secs_f64(),
        measured.quantile_us(0.5),
        measured.quantile_us(0.99),
        measured.quantile_us(1.0),
        measured.errors,
    );
}
