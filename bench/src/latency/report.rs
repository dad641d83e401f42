//! Everything a run of these benches measured, and what is computed from all of it.

use std::collections::BTreeMap;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::shares::{self, Parts};
use super::turn::{Stage, Turn, histogram};
use super::{Bench, thinking};
use crate::facts::Facts;
use crate::peer::Kind;
use crate::statistics::Spread;

/// Shares of which the distribution is written and drawn: as many nines as there can be samples for, in steps.
const STEPS: u32 = 40;

/// Everything one run measured; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) bench: Bench,
    pub(super) facts: Facts,
    /// Whether CPUs were kept from sleeping.
    pub(super) awake: bool,
    /// In the order of the table.
    pub(super) contenders: Vec<String>,
    /// What could not be measured, and why.
    pub(super) missing: Vec<String>,
    pub(super) rounds: usize,
    /// Requests to each contender in a round, in a second, and where their times start from.
    pub(super) requests: usize,
    pub(super) rate: f64,
    pub(super) seed: u64,
    /// AI gateways among the contenders, and their requests in a round and in a second.
    pub(super) gateways: Vec<String>,
    pub(super) gateway_requests: usize,
    pub(super) gateway_rate: f64,
    /// Connections of clients to each contender.
    pub(super) connections: usize,
    /// How long upstream thinks, if it does.
    pub(super) thinking: Option<String>,
    /// Requests a second that the rig can do by itself.
    pub(super) ceiling: Spread,
    /// Packets that came faster than the paths could take them.
    pub(super) overruns: u64,
    pub(super) turns: Vec<Turn>,
    /// By contender, over all rounds: a share of requests, and the milliseconds that it does not exceed.
    pub(super) distributions: BTreeMap<String, Vec<(f64, f64)>>,
    /// Where the time of the product's requests goes.
    pub(super) shares: Vec<Share>,
}

/// The parts of one figure.
#[derive(Debug, Serialize)]
pub(super) struct Share {
    pub(super) contender: String,
    pub(super) figure: &'static str,
    /// Requests whose parts are known.
    pub(super) known: usize,
    pub(super) parts: Parts,
}

impl Report {
    /// Nothing measured so far but the ceiling.
    pub(super) fn new(
        bench: Bench,
        stage: &Stage<'_>,
        awake: bool,
        rounds: usize,
        facts: Facts,
        ceiling: Spread,
    ) -> Self {
        Self {
            bench,
            facts,
            awake,
            contenders: Vec::new(),
            missing: Vec::new(),
            rounds,
            requests: stage.plan.requests,
            rate: stage.plan.rate,
            seed: stage.plan.seed,
            gateways: Vec::new(),
            gateway_requests: stage.plan.for_gateway().requests,
            gateway_rate: stage.plan.for_gateway().rate,
            connections: stage.connections,
            thinking: stage.plan.thinks.then(thinking::described),
            ceiling,
            overruns: 0,
            turns: Vec::new(),
            distributions: BTreeMap::new(),
            shares: Vec::new(),
        }
    }

    /// Adds a round, and says so.
    pub(super) fn add(&mut self, turns: Vec<Turn>) -> Result<()> {
        for turn in turns {
            crate::report::progress(&self.line(&turn));
            self.turns.push(turn);
        }
        Ok(())
    }

    /// Adds up what spans rounds.
    pub(super) fn finish(&mut self) {
        for contender in self.contenders.clone() {
            if let Some(all) = self.pooled(&contender) {
                self.distributions
                    .insert(contender.clone(), distribution(&all));
            }
            let parts: Vec<Parts> = self
                .turns(&contender)
                .flat_map(|turn| turn.parts.iter().copied())
                .collect();
            for (figure, quantile) in [
                ("mean", None),
                ("p50", Some(0.5)),
                ("p95", Some(0.95)),
                ("p99", Some(0.99)),
                ("p99.9", Some(0.999)),
            ] {
                self.shares
                    .extend(shares::at(&parts, quantile).map(|of| Share {
                        contender: contender.clone(),
                        figure,
                        known: parts.len(),
                        parts: of,
                    }));
            }
        }
    }

    /// All latencies of a contender; `None` if there are none.
    fn pooled(&self, contender: &str) -> Option<Histogram<u64>> {
        let mut all = histogram().ok()?;
        for turn in self.turns(contender) {
            all.add(&turn.latencies).ok()?;
        }
        (!all.is_empty()).then_some(all)
    }

    /// The valid turns of one contender.
    pub(super) fn turns(&self, contender: &str) -> impl Iterator<Item = &Turn> {
        let fits = move |turn: &&Turn| turn.valid() && turn.contender == contender;
        self.turns.iter().filter(fits)
    }

    /// A figure of them, by round.
    pub(super) fn series(
        &self,
        contender: &str,
        figure: impl Fn(&Turn) -> f64,
    ) -> Vec<(usize, f64)> {
        let turns = self.turns(contender);
        turns.map(|turn| (turn.round, figure(turn))).collect()
    }

    /// All contenders but direct.
    pub(super) fn proxies(&self) -> impl Iterator<Item = &str> {
        let direct = Kind::Direct;
        let names = self.contenders.iter().map(String::as_str);
        names.filter(move |name| *name != direct.name())
    }
}

/// Shares of requests, ever closer to all, with what they do not exceed in milliseconds.
fn distribution(all: &Histogram<u64>) -> Vec<(f64, f64)> {
    // Fewer than ten requests above a point say nothing about it.
    let nines = (all.len() as f64 / 10.0).log10().max(0.0);
    let step = |index: u32| nines * f64::from(index) / f64::from(STEPS);
    (0..=STEPS)
        .map(step)
        .map(|nines| {
            let share = 1.0 - 10_f64.powf(-nines);
            (share, all.value_at_quantile(share) as f64 / 1e6)
        })
        .collect()
}

#[cfg(test)]
pub(super) fn turn(contender: &str, round: usize, milliseconds: f64) -> Turn {
    use super::place::Seen;
    use super::turn::Figures;

    let mut latencies = histogram().unwrap();
    for step in 0..1_000_u32 {
        // All within a thousandth, so that every quantile is the figure asked for.
        let factor = 1.0 + f64::from(step) * 1e-9;
        latencies.saturating_record((milliseconds * factor * 1e6) as u64);
    }
    let same = milliseconds;
    Turn {
        contender: contender.to_owned(),
        round,
        requests: 1_000,
        errors: 0,
        first_error: None,
        figures: Figures {
            mean: same,
            p50: same,
            p95: same,
            p99: same,
            p999: same,
            max: same,
        },
        upstream: Seen {
            requests: 1_064,
            connections: 532,
        },
        queued: 0,
        late_p99_us: 30.0,
        peer_share: 0.1,
        rig_share: 0.1,
        foreign: 0.0,
        steal: 0.0,
        latencies,
        parts: Vec::new(),
    }
}

/// A report of two contenders in two rounds.
#[cfg(test)]
pub(super) fn filled(bench: Bench) -> Report {
    let mut report = Report {
        bench,
        facts: Facts::gather(None),
        awake: false,
        contenders: vec!["direct".to_owned(), "holysheep".to_owned()],
        missing: Vec::new(),
        rounds: 2,
        requests: 1_000,
        rate: 200.0,
        seed: 1,
        gateways: Vec::new(),
        gateway_requests: 100,
        gateway_rate: 25.0,
        connections: 64,
        thinking: None,
        ceiling: Spread {
            min: 9_000.0,
            median: 10_000.0,
            max: 11_000.0,
        },
        overruns: 0,
        turns: Vec::new(),
        distributions: BTreeMap::new(),
        shares: Vec::new(),
    };
    for round in 0..2 {
        let more = round as f64 / 10.0;
        report.turns.push(turn("direct", round, 40.0 + more));
        report.turns.push(turn("holysheep", round, 40.1 + more));
    }
    report.finish();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_added_up_and_invalid_turns_left_out() {
        let mut report = filled(Bench::Table);
        let pooled = report.pooled("direct").unwrap();
        assert_eq!(pooled.len(), 2_000);
        report.turns[0].errors = 1;
        assert_eq!(report.pooled("direct").unwrap().len(), 1_000);
        assert_eq!(report.series("direct", |turn| turn.figures.p50).len(), 1);
        assert!(report.pooled("nginx").is_none());
    }

    #[test]
    fn distributions_end_where_ten_requests_are_left() {
        let report = filled(Bench::Table);
        let points = &report.distributions["direct"];
        let (share, latency) = *points.last().unwrap();
        assert!((share - 0.995).abs() < 1e-9, "{share}");
        assert!((latency - 40.1).abs() < 0.01, "{latency}");
        assert_eq!(points[0].0, 0.0);
        assert!(points.is_sorted_by(|one, other| one.1 <= other.1));
    }
}
