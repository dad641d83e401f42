//! A round: every contender in turn, a stream or a crowd of streams at a time, and how late their events were.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::task::JoinSet;

use super::arrivals::Streamed;
use super::client::Client;
use crate::cpu::order;
use crate::peer::{GATEWAY_WARM_UP, Peer};
use crate::rig::Rig;
use crate::spending::{Sample, Spending};
use crate::statistics::quantile;
use crate::upstream::Pacing;

/// Events of the streams that fill a peer's pools and caches before it is measured.
const WARM_UP: u32 = 10;

/// How many streams there are at a time, and how often in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Level {
    pub(super) streams: usize,
    pub(super) slices: usize,
}

/// How late events were, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Delays {
    pub(super) p50: f64,
    /// The greatest, where there are fewer than 100.
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Delays {
    pub(super) fn of(delays: &[f64]) -> Self {
        Self {
            p50: quantile(delays, 0.5),
            p99: quantile(delays, 0.99),
            max: quantile(delays, 1.0),
        }
    }
}

/// One contender in one round, at one number of streams.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Turn {
    pub(super) contender: String,
    /// Streams at a time.
    pub(super) streams: usize,
    pub(super) round: usize,
    /// Streams that were received as asked for.
    pub(super) complete: usize,
    /// Those that were not; any makes the turn invalid.
    pub(super) errors: usize,
    pub(super) first_error: Option<String>,
    /// Of first events, the way of the request included.
    pub(super) first_us: Delays,
    /// Of all other events.
    pub(super) later_us: Delays,
    /// How many other events there were, and how many came in the same read as the one before.
    pub(super) later: usize,
    pub(super) together: usize,
    /// Shares of their CPU that the peer used, and that load and upstream used.
    pub(super) peer_share: f64,
    pub(super) rig_share: f64,
    /// Share of a CPU that neither used, and that the hypervisor took away.
    pub(super) foreign: f64,
    pub(super) steal: f64,
}

impl Turn {
    /// Whether its figures may be used.
    pub(super) fn valid(&self) -> bool {
        self.errors == 0 && self.complete > 0
    }
}

/// Measures all peers of a round. All of them run all the time; one at a time has streams.
///
/// # Errors
/// When a peer or the upstream ends.
pub(super) async fn round(
    rig: &Rig,
    peers: &[Peer],
    (level, round): (Level, usize),
    pacing: Pacing,
) -> Result<Vec<Turn>> {
    let mut measurements = Vec::new();
    for peer in peers {
        measurements.push(Measurement::start(rig, peer, level, pacing).await?);
    }
    let all: Vec<usize> = (0..measurements.len()).collect();
    for slice in 0..level.slices {
        for &index in order(&all, slice) {
            if let Some(measurement) = measurements.get_mut(index) {
                measurement.slice(pacing).await?;
            }
        }
    }
    let turns = measurements.into_iter().map(|one| one.end(level, round));
    turns.collect()
}

/// The measurement of one peer while it goes on.
struct Measurement<'a> {
    rig: &'a Rig,
    peer: &'a Peer,
    processes: Vec<u32>,
    clients: Vec<Client>,
    spent: Spending,
    streams: Vec<Streamed>,
    errors: usize,
    first_error: Option<String>,
}

impl<'a> Measurement<'a> {
    /// Opens all connections, those of the peer to upstream included.
    async fn start(rig: &'a Rig, peer: &'a Peer, level: Level, pacing: Pacing) -> Result<Self> {
        let clients = (0..level.streams).map(|_| Client::new(&peer.target));
        let mut measurement = Self {
            rig,
            peer,
            processes: peer.processes()?,
            clients: clients.collect(),
            spent: Spending::default(),
            streams: Vec::new(),
            errors: 0,
            first_error: None,
        };
        let warm_up = Pacing {
            events: WARM_UP,
            ..pacing
        };
        let begin = Instant::now();
        loop {
            measurement.streams(warm_up).await?;
            measurement.streams.clear();
            if !peer.target.is_gateway() || begin.elapsed() >= GATEWAY_WARM_UP {
                break;
            }
        }
        Ok(measurement)
    }

    async fn slice(&mut self, pacing: Pacing) -> Result<()> {
        let before = Sample::take(self.rig, &self.processes)?;
        let begin = Instant::now();
        self.streams(pacing).await?;
        let elapsed = begin.elapsed().as_secs_f64();
        let after = Sample::take(self.rig, &self.processes)?;
        self.spent.add(elapsed, &before, &after);
        Ok(())
    }

    /// One stream for each client, begun one after another within the time between two events, so that upstream does
    /// not write those of all streams at once.
    async fn streams(&mut self, pacing: Pacing) -> Result<()> {
        let clients = std::mem::take(&mut self.clients);
        let count = u32::try_from(clients.len().max(1))?;
        let mut tasks = JoinSet::new();
        for (index, mut client) in (0..).zip(clients) {
            let later = pacing.gap * index / count;
            tasks.spawn_local(async move {
                tokio::time::sleep(later).await;
                let streamed = client.stream(pacing).await;
                (client, streamed)
            });
        }
        while let Some(joined) = tasks.join_next().await {
            let (client, streamed) = joined?;
            self.clients.push(client);
            match streamed {
                Ok(streamed) => self.streams.push(streamed),
                Err(error) => {
                    self.errors += 1;
                    let text = || format!("{error:#}");
                    self.first_error.get_or_insert_with(text);
                }
            }
        }
        Ok(())
    }

    fn end(self, level: Level, round: usize) -> Result<Turn> {
        ensure!(
            self.processes == self.peer.processes()?,
            "{} started or lost processes",
            self.peer.name
        );
        let streams = self.streams.iter();
        let first: Vec<f64> = streams.clone().map(|one| one.first_us).collect();
        let later = streams.clone().flat_map(|one| &one.later_us);
        let later: Vec<f64> = later.copied().collect();
        Ok(Turn {
            contender: self.peer.name.clone(),
            streams: level.streams,
            round,
            complete: self.streams.len(),
            errors: self.errors,
            first_us: Delays::of(&first),
            later_us: Delays::of(&later),
            later: later.len(),
            together: streams.map(|one| one.together).sum(),
            peer_share: self.spent.peer_share(),
            rig_share: self.spent.rig_share(),
            foreign: self.spent.foreign(),
            steal: self.spent.steal(),
            first_error: self.first_error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_quantiles() {
        let delays: Vec<f64> = (1..=200).map(f64::from).collect();
        let expected = Delays {
            p50: 100.0,
            p99: 198.0,
            max: 200.0,
        };
        assert_eq!(Delays::of(&delays), expected);
        assert_eq!(Delays::of(&[]), Delays::default());
        assert_eq!(Delays::of(&[7.0]).p99, 7.0);
    }
}
