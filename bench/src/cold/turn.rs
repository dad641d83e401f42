//! A round: every contender started anew, and its requests in one situation after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use netlab::Host;
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::latency::place::Place;
use crate::load::{self, Stream, Target, receive};
use crate::peer::{Peer, Ready, Site};
use crate::upstream::answer::COMPLETION_LENGTH;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// From a start to the first request that is not sent at once.
pub(super) const STARTED: Duration = Duration::from_secs(1);
/// Requests that are warm, and the pause before each.
const WARM: usize = 5;
const PAUSE: Duration = Duration::from_millis(50);
/// From the last request to a burst.
const QUIET: Duration = Duration::from_millis(500);
/// Room for an answer, in bytes.
const BUFFER: usize = 16 * 1024;

/// When a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Situation {
    /// By a new client as soon as the proxy accepts connections.
    AtOnce,
    /// By a new client one second after that; nothing was sent before.
    Started,
    /// By the same client, shortly after another.
    Warm,
    /// By a new client, when nobody has sent anything for longer than upstream keeps a connection.
    Idle,
    /// One of many at once by new clients, half a second after the one before: the first answer, and the last one.
    BurstFirst,
    BurstLast,
    /// The same once more: there are as many connections now as there were requests.
    AgainLast,
}

impl Situation {
    /// All of them, in the order of the table.
    pub(super) const ALL: [Self; 7] = [
        Self::AtOnce,
        Self::Started,
        Self::Warm,
        Self::Idle,
        Self::BurstFirst,
        Self::BurstLast,
        Self::AgainLast,
    ];

    /// In a few words.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at its start",
            Self::Started => "1 s after",
            Self::Warm => "warm",
            Self::Idle => "after idling",
            Self::BurstFirst => "burst, first",
            Self::BurstLast => "burst, last",
            Self::AgainLast => "again, last",
        }
    }
}

/// One figure of one contender in one round.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    pub(super) contender: String,
    pub(super) round: usize,
    pub(super) situation: Situation,
    /// From before the client's connection is opened, or the first byte is written, to the whole answer; of warm requests
    /// the median.
    pub(super) milliseconds: f64,
}

/// What is done in a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) idle: Duration,
    pub(super) burst: usize,
}

impl Course {
    /// Measures all contenders, one request at a time but for bursts.
    ///
    /// # Errors
    /// When one does not start or answers wrongly.
    pub(super) async fn round(
        &self,
        places: &[&Place],
        site: &Site<'_>,
        round: usize,
    ) -> Result<Vec<Sample>> {
        let site = Site {
            ready: Ready::Listens,
            ..*site
        };
        let mut samples = Vec::new();
        for place in places {
            let lane = Lane::start(place, &site).await?;
            let took = lane.fresh().await?;
            samples.push(lane.sample(round, Situation::AtOnce, took));
        }
        let mut lanes = Vec::new();
        for place in places {
            lanes.push(Lane::start(place, &site).await?);
        }
        tokio::time::sleep(STARTED).await;
        for lane in &lanes {
            let took = lane.fresh().await?;
            samples.push(lane.sample(round, Situation::Started, took));
            let took = lane.warm().await?;
            samples.push(lane.sample(round, Situation::Warm, took));
        }
        tokio::time::sleep(self.idle).await;
        for lane in &lanes {
            let took = lane.fresh().await?;
            samples.push(lane.sample(round, Situation::Idle, took));
        }
        tokio::time::sleep(QUIET).await;
        for lane in &lanes {
            let (first, last) = lane.burst(self.burst).await?;
            samples.push(lane.sample(round, Situation::BurstFirst, first));
            samples.push(lane.sample(round, Situation::BurstLast, last));
            tokio::time::sleep(PAUSE).await;
            let (_, last) = lane.burst(self.burst).await?;
            samples.push(lane.sample(round, Situation::AgainLast, last));
        }
        Ok(samples)
    }
}

/// A running contender.
struct Lane<'a> {
    peer: Peer,
    host: &'a Host,
}

impl<'a> Lane<'a> {
    async fn start(place: &'a Place, site: &Site<'_>) -> Result<Self> {
        Ok(Self {
            peer: place.start(site).await?,
            host: place.host().context("a contender without a path")?,
        })
    }

    fn sample(&self, round: usize, situation: Situation, took: Duration) -> Sample {
        Sample {
            contender: self.peer.name.clone(),
            round,
            situation,
            milliseconds: took.as_secs_f64() * 1000.0,
        }
    }

    /// One request of a new client.
    async fn fresh(&self) -> Result<Duration> {
        Ok(self.burst(1).await?.1)
    }

    /// The median of some requests of one client that has sent one before.
    async fn warm(&self) -> Result<Duration> {
        let socket = self.host.run(load::socket)??;
        let mut stream = self.peer.target.connect(socket).await?;
        let mut took = Vec::new();
        for _ in 0..=WARM {
            tokio::time::sleep(PAUSE).await;
            let begin = Instant::now();
            exchange(&mut stream, &self.peer.target).await?;
            took.push(begin.elapsed());
        }
        // The first one opens what the others are to find.
        let mut took = took.split_off(1);
        took.sort();
        took.get(WARM / 2).copied().context("no request")
    }

    /// So many requests at once, each of a new client: when the first answer was there, and the last one.
    async fn burst(&self, count: usize) -> Result<(Duration, Duration)> {
        // Made before the clock runs: entering the namespace takes a thread.
        let sockets = self.host.run(|| {
            (0..count)
                .map(|_| load::socket())
                .collect::<Result<Vec<_>, _>>()
        })??;
        let mut requests = JoinSet::new();
        let begin = Instant::now();
        for socket in sockets {
            let target = self.peer.target.clone();
            requests.spawn_local(async move {
                let answered = async {
                    let mut stream = target.connect(socket).await?;
                    exchange(&mut stream, &target).await?;
                    Ok::<_, anyhow::Error>(begin.elapsed())
                };
                let answered = tokio::time::timeout(PATIENCE, answered).await;
                answered.with_context(|| format!("no answer within {PATIENCE:?}"))?
            });
        }
        let mut took = Vec::new();
        while let Some(request) = requests.join_next().await {
            took.push(request?.with_context(|| self.peer.name.clone())?);
        }
        let ends = took.iter().min().zip(took.iter().max());
        let (first, last) = ends.context("an empty burst")?;
        Ok((*first, *last))
    }
}

/// Sends a request and reads the whole answer.
async fn exchange(stream: &mut Box<dyn Stream>, target: &Target) -> Result<()> {
    let request = load::named(target, "cold", None);
    stream.write_all(&request).await?;
    stream.flush().await?;
    let answer = receive(stream, &mut BytesMut::with_capacity(BUFFER)).await?;
    ensure!(answer.status == 200, "status {}", answer.status);
    let length = answer.body;
    ensure!(length == COMPLETION_LENGTH, "an answer of {length} bytes");
    Ok(())
}
