//! A round: every contender in turn, a slice of the round's requests at a time, and how long they took.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::open_loop::Clients;
use super::place::{Place, Seen};
use super::schedule::{Plan, Shot, burst};
use super::shares::{self, Parts};
use crate::cpu::order;
use crate::peer::{GATEWAY_WARM_UP, Peer, Site};
use crate::spending::{Sample, Spending};
use crate::statistics::quantile;

/// The shortest time told apart and the longest, in nanoseconds, and how many decimal digits are kept of any.
const SHORTEST_NS: u64 = 128;
const LONGEST_NS: u64 = 20_000_000_000;
const DIGITS: u8 = 4;

/// Upstream thinks for so long before the answers that fill pools: all their requests are under way at once.
const FILL: Duration = Duration::from_millis(40);

/// One contender in one round.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Turn {
    pub(super) contender: String,
    pub(super) round: usize,
    pub(super) requests: u64,
    /// Wrong or missing answers; any makes the turn invalid.
    pub(super) errors: usize,
    pub(super) first_error: Option<String>,
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// What upstream saw of this turn.
    pub(super) upstream: Seen,
    /// Requests that had to wait for a connection of the load generator.
    pub(super) queued: usize,
    /// 99th percentile of how late the generator sent, in microseconds; part of the latencies.
    pub(super) late_p99_us: f64,
    /// Shares of their CPU that the peer used, and that load, upstream and path used.
    pub(super) peer_share: f64,
    pub(super) rig_share: f64,
    /// Share of a CPU that neither used, and that the hypervisor took away.
    pub(super) foreign: f64,
    pub(super) steal: f64,
    /// Every latency, in nanoseconds.
    #[serde(skip)]
    pub(super) latencies: Histogram<u64>,
    /// What the product's access log tells of its requests; nothing of others.
    #[serde(skip)]
    pub(super) parts: Vec<Parts>,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Figures {
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Figures {
    /// Of all latencies.
    pub(super) fn of(latencies: &Histogram<u64>) -> Self {
        let at = |share| latencies.value_at_quantile(share) as f64 / 1e6;
        Self {
            mean: latencies.mean() / 1e6,
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }
}

impl Turn {
    /// Whether its figures may be used.
    pub(super) fn valid(&self) -> bool {
        self.errors == 0 && self.requests > 0
    }
}

/// A histogram for latencies in nanoseconds.
///
/// # Errors
/// Never: its bounds are in order.
pub(super) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS)?)
}

/// What all rounds have in common.
pub(super) struct Stage<'a> {
    pub(super) site: Site<'a>,
    /// The rig's CPU, and the peers'.
    pub(super) cpus: (usize, usize),
    pub(super) plan: Plan,
    /// Clients' connections to each contender.
    pub(super) connections: usize,
}

impl Stage<'_> {
    /// Measures all contenders. All of them run all the time; one at a time has requests.
    ///
    /// # Errors
    /// When a contender does not start, ends, or does not answer.
    pub(super) async fn round(&self, places: &[Place], round: usize) -> Result<Vec<Turn>> {
        let mut measurements = Vec::new();
        for place in order(places, round) {
            measurements.push(Measurement::start(self, place, round).await?);
        }
        let all: Vec<usize> = (0..measurements.len()).collect();
        let usual = self.plan.round(round);
        let fewer = self.plan.for_gateway().round(round);
        for (index, slices) in usual.iter().zip(&fewer).enumerate() {
            for &turn in order(&all, index) {
                if let Some(measurement) = measurements.get_mut(turn) {
                    let slice = match measurement.place.kind.is_gateway() {
                        true => slices.1,
                        false => slices.0,
                    };
                    measurement.slice(slice).await?;
                }
            }
        }
        let mut turns = Vec::new();
        for measurement in measurements {
            turns.push(measurement.end().await?);
        }
        Ok(turns)
    }

    /// Requests a second at which the generator, the path and upstream are at their end, without a proxy: so many
    /// requests as fast as they go, with all connections.
    ///
    /// # Errors
    /// When one fails.
    pub(super) async fn ceiling(&self, direct: &Place, requests: usize) -> Result<f64> {
        let peer = direct.start(&self.site).await?;
        let clients = Clients::open(&peer.target, direct.host(), self.connections).await?;
        clients.play(&burst(requests / 10, None), 0).await?;
        let begin = Instant::now();
        clients.play(&burst(requests, None), 0).await?;
        let elapsed = begin.elapsed();
        let results = clients.take();
        let first = results.first_error.unwrap_or_default();
        ensure!(results.errors == 0, "the ceiling: {first}");
        Ok(requests as f64 / elapsed.as_secs_f64())
    }
}

/// The measurement of one contender while it goes on.
struct Measurement<'a> {
    stage: &'a Stage<'a>,
    place: &'a Place,
    round: usize,
    // The clients are dropped before the peer.
    clients: Clients,
    peer: Peer,
    processes: Vec<u32>,
    spent: Spending,
}

impl<'a> Measurement<'a> {
    /// Starts the peer, opens the clients' connections, and fills the peer's pool and caches.
    async fn start(stage: &'a Stage<'a>, place: &'a Place, round: usize) -> Result<Self> {
        let peer = place.start(&stage.site).await?;
        let clients = Clients::open(&peer.target, place.host(), stage.connections).await?;
        let think = stage.plan.thinks.then_some(FILL);
        let (all_at_once, begin) = (burst(stage.connections / 2, think), Instant::now());
        let is_gateway = place.kind.is_gateway();
        for fill in 0.. {
            let is_warm = !is_gateway || begin.elapsed() >= GATEWAY_WARM_UP;
            if fill >= 2 && is_warm {
                break;
            }
            clients.play(&all_at_once, round).await?;
        }
        let filled = clients.take();
        let first = filled.first_error.unwrap_or_default();
        ensure!(filled.errors == 0, "{}: {first}", peer.name);
        place.seen();
        Ok(Self {
            stage,
            place,
            round,
            clients,
            processes: peer.processes()?,
            peer,
            spent: Spending::default(),
        })
    }

    async fn slice(&mut self, shots: &[Shot]) -> Result<()> {
        let sample = || Sample::of(&self.processes, &[], self.stage.cpus);
        let before = sample()?;
        let begin = Instant::now();
        let played = self.clients.play(shots, self.round).await;
        played.with_context(|| self.peer.name.clone())?;
        let elapsed = begin.elapsed().as_secs_f64();
        let after = sample()?;
        self.spent.add(elapsed, &before, &after);
        Ok(())
    }

    async fn end(self) -> Result<Turn> {
        ensure!(
            self.processes == self.peer.processes()?,
            "{} started or lost processes",
            self.peer.name
        );
        let results = self.clients.take();
        let mut latencies = histogram()?;
        for (_, latency) in &results.latencies {
            let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS);
            latencies.saturating_record(nanoseconds);
        }
        let parts = match &self.peer.log {
            Some(log) => {
                let milliseconds = |time: &Duration| time.as_secs_f64() * 1e3;
                let all = results.latencies.iter();
                let all: Vec<_> = all.map(|(n, time)| (*n, milliseconds(time))).collect();
                shares::read(log, self.round, &all).await?
            }
            None => Vec::new(),
        };
        Ok(Turn {
            contender: self.peer.name.clone(),
            round: self.round,
            requests: latencies.len(),
            errors: results.errors,
            first_error: results.first_error,
            figures: Figures::of(&latencies),
            upstream: self.place.seen(),
            queued: results.queued,
            late_p99_us: quantile(&results.late_us, 0.99),
            peer_share: self.spent.peer_share(),
            rig_share: self.spent.rig_share(),
            foreign: self.spent.foreign(),
            steal: self.spent.steal(),
            latencies,
            parts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_exact_to_a_ten_thousandth() {
        let mut latencies = histogram().unwrap();
        for microseconds in 1..=10_000_u64 {
            latencies.saturating_record(microseconds * 10_000);
        }
        let figures = Figures::of(&latencies);
        for (figure, expected) in [
            (figures.mean, 50.005),
            (figures.p50, 50.0),
            (figures.p95, 95.0),
            (figures.p99, 99.0),
            (figures.p999, 99.9),
            (figures.max, 100.0),
        ] {
            assert!((figure / expected - 1.0).abs() < 1e-4, "{figures:?}");
        }
    }
}
