//! What the bench of probes prints.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::path::Path;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::prober::{Probed, TIMEOUT};
use super::turn::{OVERLOAD, PATIENCE, Turn};
use crate::facts::Facts;
use crate::peer::Kind;
use crate::report::{Bars, print_facts, print_wrapped};
use crate::statistics::Spread;

/// What the 99th percentile of steered probes has to stay below, in milliseconds.
const TARGET_P99_MS: f64 = 10.0;

/// Everything one run measured; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) facts: Facts,
    /// Where the kernel capped accept queues.
    pub(super) somaxconn: u32,
    pub(super) rounds: usize,
    /// Clients at a time, at most.
    pub(super) at_most: usize,
    pub(super) turns: Vec<Turn>,
}

impl Report {
    /// Prints it for people.
    pub(super) fn print(&self) {
        print_facts(&self.facts);
        println!(
            "network namespace of its own, net.core.somaxconn {}; {} rounds; {} clients at a time at most",
            self.somaxconn, self.rounds, self.at_most
        );
        println!();
        println!("{}", heading());
        for (peer, turns) in self.by_peer() {
            println!("{}", overloaded(peer, &turns));
            let floors = pooled(turns.iter().map(|turn| &turn.floor));
            println!(
                "{:<52}{}",
                "  the same probes without load",
                probes(&floors)
            );
        }
        println!();
        for note in [
            "carries: requests a second, each on a connection of its own, with as many clients at a time as bring more.",
            "offered: clients a second that began to connect. queue: connections waiting / how many may, median of looks; \
             full: share of looks at which no more could. CPU: the peer's, of one.",
            &format!(
                "p50, p99, max: over all probes of all rounds, in ms; a failed one counts {}. The rest: medians of rounds.",
                TIMEOUT.as_millis()
            ),
        ] {
            print_wrapped("", note);
        }
        println!();
        for (peer, turns) in self.by_peer() {
            print_wrapped(&format!("{peer:<17} "), &fate(&turns));
        }
        println!();
        self.print_steered();
        self.print_doubts();
    }

    fn print_steered(&self) {
        for turn in self.steered() {
            if let Some(counted) = turn.counted {
                println!(
                    "steered, round {}: {} probes sent, {} steered by the kernel, {} answered by the probe thread",
                    turn.round + 1,
                    turn.probed.took_ms.len(),
                    counted.steered.unwrap_or(0),
                    counted.answered
                );
            }
        }
        let good =
            |turn: &&Turn| turn.probed.failed == 0 && turn.probed.quantile_ms(0.99) < TARGET_P99_MS;
        println!(
            "target, steered: none fails, p99 below {TARGET_P99_MS} ms: met in {} of {} rounds",
            self.steered().filter(good).count(),
            self.steered().count()
        );
    }

    fn print_doubts(&self) {
        for turn in &self.turns {
            let place = format!("{}, round {}", turn.peer, turn.round + 1);
            let overload = &turn.overload;
            let times = overload.offered / turn.carries;
            if times < OVERLOAD * 0.95 {
                let ratio = overload.waiting_clients / turn.concurrency as f64;
                print_wrapped(
                    "NOTE ",
                    &format!(
                        "{place}: {times:.1} times what it can carry was offered: more the generator cannot do, or may \
                         not, with {} clients at a time. {:.0} clients waited, {ratio:.0} times the {} with which it \
                         carries most.",
                        self.at_most, overload.waiting_clients, turn.concurrency
                    ),
                );
            }
            if let Some(failure) = &turn.probed.first_failure {
                print_wrapped("NOTE ", &format!("{place}: first failure: {failure}"));
            }
        }
    }

    /// Which share of the probes fails, as a picture.
    ///
    /// # Errors
    /// When there is nothing to draw, or the file cannot be written.
    pub(super) fn draw(&self, path: &Path) -> Result<()> {
        let failed = |turn: &Turn| {
            let probes = turn.probed.took_ms.len().max(1) as f64;
            turn.probed.failed as f64 / probes * 100.0
        };
        let bars = self.by_peer().into_iter().filter_map(|(peer, turns)| {
            let spread = Spread::of(turns.iter().map(|turn| failed(turn)))?;
            Some((peer.to_owned(), spread))
        });
        Bars {
            title: "Health probes that fail under overload".to_owned(),
            unit: "%",
            groups: vec![("share of probes".to_owned(), bars.collect())],
            note: "Medians of rounds, with the least and the most.",
        }
        .draw(path)
    }

    /// Whether the product's own counters are those of the probes sent.
    ///
    /// # Errors
    /// When they are not.
    pub(super) fn check(&self) -> Result<()> {
        for turn in self.steered() {
            let sent = turn.probed.took_ms.len() as u64;
            let counted = turn.counted.unwrap_or_default();
            ensure!(
                counted.steered == Some(sent) && counted.answered == sent,
                "round {}: {sent} probes were sent, but the product counted {counted:?}",
                turn.round + 1
            );
        }
        Ok(())
    }

    fn steered(&self) -> impl Iterator<Item = &Turn> {
        let name = Kind::HolySheep;
        let turns = self.turns.iter();
        turns.filter(move |turn| turn.peer == name.name())
    }

    /// The turns of each peer, in the order of the first round.
    fn by_peer(&self) -> Vec<(&str, Vec<&Turn>)> {
        let mut peers: Vec<(&str, Vec<&Turn>)> = Vec::new();
        for turn in &self.turns {
            match peers.iter_mut().find(|(name, _)| *name == turn.peer) {
                Some((_, turns)) => turns.push(turn),
                None => peers.push((&turn.peer, vec![turn])),
            }
        }
        peers
    }
}

/// One turn in one line, for progress.
pub(super) fn line(turn: &Turn) -> String {
    format!(
        "  {} probes in {:.1} s, {} failed, p50 {:.2} ms, p99 {:.2} ms; queue {:.0}/{}, full {:.0} %",
        turn.probed.took_ms.len(),
        turn.seconds,
        turn.probed.failed,
        turn.probed.quantile_ms(0.5),
        turn.probed.quantile_ms(0.99),
        turn.overload.queue_median,
        turn.overload.queue_limit,
        turn.overload.queue_full * 100.0,
    )
}

fn heading() -> String {
    format!(
        "{:<17}{:>8}{:>9}{:>10}{:>5}{:>5}{:>7}{:>7}{:>9}{:>9}{:>9}",
        "", "carries", "offered", "queue", "full", "CPU", "probes", "failed", "p50", "p99", "max"
    )
}

fn overloaded(peer: &str, turns: &[&Turn]) -> String {
    let limit = turns.first().map_or(0, |turn| turn.overload.queue_limit);
    let queue = format!(
        "{:.0}/{limit}",
        median(turns, |turn| turn.overload.queue_median)
    );
    format!(
        "{peer:<17}{:>8.0}{:>9.0}{queue:>10}{:>4.0}%{:>4.0}%{}",
        median(turns, |turn| turn.carries),
        median(turns, |turn| turn.overload.offered),
        median(turns, |turn| turn.overload.queue_full * 100.0),
        median(turns, |turn| turn.overload.peer_cpu * 100.0),
        probes(&pooled(turns.iter().map(|turn| &turn.probed))),
    )
}

/// The columns about probes.
fn probes(probed: &Probed) -> String {
    format!(
        "{:>7}{:>7}{:>9.2}{:>9.2}{:>9.2}",
        probed.took_ms.len(),
        probed.failed,
        probed.quantile_ms(0.5),
        probed.quantile_ms(0.99),
        probed.quantile_ms(1.0),
    )
}

/// What became of clients and connections.
fn fate(turns: &[&Turn]) -> String {
    let second = |figure: fn(&Turn) -> f64| median(turns, figure);
    format!(
        "of the clients of a second {:.0} were served, {:.0} turned away, {:.0} refused or cut off, and {:.0} gave up \
         after {} s; {:.0} waited at a time. Connections dropped at a full queue (ListenOverflows): {:.0} a second.",
        second(|turn| turn.overload.served),
        second(|turn| turn.overload.turned_away),
        second(|turn| turn.overload.broken),
        second(|turn| turn.overload.gave_up),
        PATIENCE.as_secs(),
        second(|turn| turn.overload.waiting_clients),
        second(|turn| turn.overload.overflows as f64 / turn.seconds),
    )
}

fn median(turns: &[&Turn], figure: impl Fn(&Turn) -> f64) -> f64 {
    let figures = turns.iter().map(|turn| figure(turn));
    Spread::of(figures).map_or(f64::NAN, |spread| spread.median)
}

fn pooled<'a>(all: impl Iterator<Item = &'a Probed>) -> Probed {
    let mut pooled = Probed::default();
    all.for_each(|probed| pooled.add(probed));
    pooled
}
