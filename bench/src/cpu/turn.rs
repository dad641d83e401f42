//! A round: every peer under load in turn, in short slices, and whose CPU time each took.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::order;
use crate::accounting::Spent;
use crate::load::Load;
use crate::peer::{GATEWAY_WARM_UP, Peer};
use crate::rig::Rig;
use crate::spending::{Sample, Spending};
use crate::upstream::Tally;

/// One measurement of one peer. Times are in microseconds, shares from 0 to 1.
#[derive(Debug, Serialize)]
pub(crate) struct Turn {
    pub(crate) target: String,
    pub(crate) connections: usize,
    pub(crate) round: usize,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    /// Wrong or missing answers; any makes the turn invalid.
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU time of the peer per request; absent for the direct target.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    /// CPU time per request of the load generator and of the upstream.
    pub(crate) generator_us: f64,
    pub(crate) upstream_us: f64,
    /// Share of its CPU that the peer used, and that was used at all.
    pub(crate) peer_utilisation: f64,
    pub(crate) peer_cpu_busy: f64,
    /// Share of their CPU that generator and upstream used, and that was used at all.
    pub(crate) rig_utilisation: f64,
    pub(crate) rig_cpu_busy: f64,
    /// The greater of both CPUs' shares that the hypervisor took away.
    pub(crate) steal: f64,
    /// Threads of the peer that came or went; more than none makes its CPU time doubtful.
    pub(crate) changed_threads: usize,
    /// What the upstream saw, warm-up included.
    pub(crate) upstream: Tally,
}

impl Turn {
    /// Whether its figures may be used.
    pub(crate) fn valid(&self) -> bool {
        self.errors == 0 && self.requests > 0
    }

    /// Share of a CPU, summed over both, that neither the peer nor the rig used: builds,
    /// daemons, other people. It inflates CPU time per request by way of the caches.
    pub(crate) fn foreign(&self) -> f64 {
        let busy = self.peer_cpu_busy + self.rig_cpu_busy;
        (busy - self.peer_utilisation - self.rig_utilisation).max(0.0)
    }
}

/// Measures all peers of a round, `seconds` each, in slices of [`SLICE`] that take turns; all of them run all the time.
///
/// # Errors
/// When a peer or the upstream ends, or starts processes that would go uncounted.
pub(super) async fn round(
    rig: &Rig,
    peers: &[Peer],
    (connections, round): (usize, usize),
    seconds: f64,
) -> Result<Vec<Turn>> {
    let mut measurements = Vec::new();
    for peer in peers {
        measurements.push(Measurement::start(rig, peer, connections, seconds).await?);
    }
    let slices = (seconds / SLICE.as_secs_f64()).ceil().max(1.0);
    let length = Duration::from_secs_f64(seconds / slices);
    let all: Vec<usize> = (0..measurements.len()).collect();
    for slice in 0..slices as usize {
        for &index in order(&all, slice) {
            if let Some(measurement) = measurements.get_mut(index) {
                measurement.slice(length).await?;
            }
        }
    }
    let mut turns = Vec::new();
    for measurement in measurements {
        turns.push(measurement.end(connections, round).await?);
    }
    Ok(turns)
}

/// Length of a slice: a shared machine changes its speed within seconds, and that must meet all peers alike.
const SLICE: Duration = Duration::from_millis(250);

/// From the beginning of a slice until measuring begins: the caches are somebody else's still.
const SETTLE: Duration = Duration::from_millis(20);

/// Length of a slice from quiet to quiet, and how long what follows the last answer is waited for.
const WHOLE: Duration = Duration::from_millis(750);
const AFTERWARDS: Duration = Duration::from_millis(50);

/// The measurement of one peer while it goes on.
struct Measurement<'a> {
    rig: &'a Rig,
    peer: &'a Peer,
    load: Load,
    processes: Vec<u32>,
    spent: Spending,
    seen: Tally,
}

impl<'a> Measurement<'a> {
    /// Fills the peer's pools and caches, and pauses.
    async fn start(rig: &'a Rig, peer: &'a Peer, connections: usize, seconds: f64) -> Result<Self> {
        let before = rig.tally().await?;
        let load = Load::start(&peer.target, connections, None)?;
        let warm_up = match peer.target.is_gateway() {
            true => GATEWAY_WARM_UP,
            false => Duration::from_secs_f64((seconds / 4.0).clamp(0.3, 1.0)),
        };
        tokio::time::sleep(warm_up).await;
        load.pause().await?;
        Ok(Self {
            rig,
            peer,
            load,
            processes: peer.processes()?,
            spent: Spending::default(),
            seen: rig.tally().await?.since(&before),
        })
    }

    /// From quiet to quiet, for a peer that takes as long for one request as others for hundreds: what it did for requests
    /// that are not complete at the end of a usual slice would be counted, and they would not.
    async fn whole_slice(&mut self, length: Duration) -> Result<()> {
        let seen_before = self.rig.tally().await?;
        let before = Sample::take(self.rig, &self.processes)?;
        self.load.record(true);
        let begin = Instant::now();
        self.load.resume();
        tokio::time::sleep(length).await;
        self.load.pause().await?;
        let elapsed = begin.elapsed().as_secs_f64();
        self.load.record(false);
        // What it does after its answers, such as adding up prices, is done for them, too.
        tokio::time::sleep(AFTERWARDS).await;
        let after = Sample::take(self.rig, &self.processes)?;
        self.seen.add(&self.rig.tally().await?.since(&seen_before));
        self.spent.add(elapsed, &before, &after);
        Ok(())
    }

    async fn slice(&mut self, length: Duration) -> Result<()> {
        if self.peer.target.is_gateway() {
            return self.whole_slice(length.max(WHOLE)).await;
        }
        let seen_before = self.rig.tally().await?;
        self.load.resume();
        tokio::time::sleep(SETTLE).await;
        let before = Sample::take(self.rig, &self.processes)?;
        self.load.record(true);
        let begin = Instant::now();
        tokio::time::sleep(length).await;
        let elapsed = begin.elapsed().as_secs_f64();
        self.load.record(false);
        let after = Sample::take(self.rig, &self.processes)?;
        self.load.pause().await?;
        self.seen.add(&self.rig.tally().await?.since(&seen_before));
        self.spent.add(elapsed, &before, &after);
        Ok(())
    }

    async fn end(self, connections: usize, round: usize) -> Result<Turn> {
        let measured = self.load.stop().await;
        ensure!(
            self.processes == self.peer.processes()?,
            "{} started or lost processes",
            self.peer.name
        );
        let spent = self.spent;
        let (seconds, busy) = (spent.seconds, spent.busy);
        let per_request =
            |used: &Spent| used.total_ns as f64 / 1000.0 / measured.requests.max(1) as f64;
        let (cpu_us, user) = (per_request(&spent.peer), spent.peer.user_share());
        Ok(Turn {
            target: self.peer.name.clone(),
            connections,
            round,
            seconds,
            requests: measured.requests,
            errors: measured.errors,
            requests_per_second: measured.requests as f64 / seconds,
            p50_us: measured.quantile_us(0.5),
            p99_us: measured.quantile_us(0.99),
            cpu_us: (!self.processes.is_empty()).then_some(cpu_us),
            user_us: cpu_us * user,
            system_us: cpu_us * (1.0 - user),
            generator_us: per_request(&spent.generator),
            upstream_us: per_request(&spent.upstream),
            peer_utilisation: spent.peer_share(),
            peer_cpu_busy: busy[0] / seconds,
            rig_utilisation: spent.rig_share(),
            rig_cpu_busy: busy[1] / seconds,
            steal: spent.steal(),
            changed_threads: spent.peer.changed_threads,
            first_error: measured.first_error,
            upstream: self.seen,
        })
    }
}

/// A turn of so many requests a second at a number of connections and in a round, for tests of tables.
#[cfg(test)]
pub(crate) fn turn_of(target: &str, (connections, round): (usize, usize), rate: f64) -> Turn {
    Turn {
        target: target.to_owned(),
        connections,
        round,
        seconds: 1.0,
        requests: rate as u64,
        errors: 0,
        first_error: None,
        requests_per_second: rate,
        p50_us: 0.0,
        p99_us: 0.0,
        cpu_us: None,
        user_us: 0.0,
        system_us: 0.0,
        generator_us: 0.0,
        upstream_us: 0.0,
        peer_utilisation: 0.0,
        peer_cpu_busy: 0.0,
        rig_utilisation: 0.0,
        rig_cpu_busy: 0.0,
        steal: 0.0,
        changed_threads: 0,
        upstream: Tally::default(),
    }
}
