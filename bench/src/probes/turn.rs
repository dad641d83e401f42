//! One peer, once: what it can carry, then ten times that, and probes while it lasts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::time::sleep;

use super::admin::Probes;
use super::clients::{Clients, Plan};
use super::prober::{self, Probed, Prober};
use super::queue::{self, Looks};
use crate::accounting::Usage;
use crate::peer::{Kind, Peer};
use crate::report;

/// Clients at a time, one request each, with which is tried what a peer can carry.
const CONCURRENCY: [usize; 6] = [8, 16, 32, 64, 128, 256];
/// More clients that bring less growth than this are not needed.
const GROWTH: f64 = 1.03;
/// For how long at each number of clients: until it counts, and while it counts.
const WARM_UP: Duration = Duration::from_millis(500);
const CARRY: Duration = Duration::from_millis(1500);

/// What is offered, in terms of what can be carried.
pub(super) const OVERLOAD: f64 = 10.0;
/// How long a client waits for its answer. Much shorter, and the peer would mostly accept connections whose clients have
/// gone, which costs it less than to serve them.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The queue may take so long to be full.
const FILLING: Duration = Duration::from_secs(5);
/// The overload lasts so long before probes begin, so that clients come and go evenly.
const SETTLING: Duration = Duration::from_secs(3);
/// Between two looks at the queue.
const LOOK: Duration = Duration::from_millis(20);
/// No more probes begin after this.
const BUDGET: Duration = Duration::from_secs(40);
/// After a load all it left behind must be gone before the next step.
const EMPTY: Duration = Duration::from_secs(20);

/// What is done with each peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    /// Probes under overload; one fifth as many without load.
    pub(super) probes: usize,
    /// Clients at a time, at most.
    pub(super) at_most: usize,
}

/// What was measured of one peer in one round.
#[derive(Debug, Serialize)]
pub(super) struct Turn {
    pub(super) peer: String,
    pub(super) round: usize,
    /// Requests a second it can carry, each on a connection of its own.
    pub(super) carries: f64,
    /// With so many clients at a time.
    pub(super) concurrency: usize,
    /// Probes without load: what the prober itself takes is in there.
    pub(super) floor: Probed,
    /// Probes under overload.
    pub(super) probed: Probed,
    pub(super) overload: Overload,
    /// How long the probes under overload took together, in seconds.
    pub(super) seconds: f64,
    /// What the product counted while they were sent; none of another peer.
    pub(super) counted: Option<Probes>,
}

/// What else was seen while probes were sent.
#[derive(Debug, Serialize)]
pub(super) struct Overload {
    /// Clients that began to connect, a second; and what became of them.
    pub(super) offered: f64,
    pub(super) served: f64,
    pub(super) turned_away: f64,
    pub(super) broken: f64,
    pub(super) gave_up: f64,
    /// Clients that waited for their answers, on average over the looks.
    pub(super) waiting_clients: f64,
    /// Connections in the accept queue: as many as may, the median, the share of looks at which it was full.
    pub(super) queue_limit: u64,
    pub(super) queue_median: f64,
    pub(super) queue_full: f64,
    /// Connections the kernel dropped because the queue was full.
    pub(super) overflows: u64,
    /// Share of its CPU that the peer used.
    pub(super) peer_cpu: f64,
}

/// Measures a peer that has just been started.
///
/// # Errors
/// When it cannot be loaded or looked at.
pub(super) async fn measure(
    peer: &Peer,
    course: Course,
    (round, somaxconn): (usize, u32),
) -> Result<Turn> {
    let port = peer.target.port();
    let limit = u64::from(somaxconn.min(backlog(&peer.name)));
    let plan = prober::Plan {
        port,
        probes: course.probes.div_ceil(5),
        budget: BUDGET,
    };
    let mut prober = Prober::start(plan)?;
    let floor = loop {
        match prober.finished()? {
            Some(floor) => break floor,
            None => sleep(LOOK).await,
        }
    };
    let failure = floor.first_failure.as_deref().unwrap_or_default();
    ensure!(floor.failed == 0, "a probe without load failed: {failure}");
    let (carries, concurrency) = capacity(port).await?;
    let what = format!("  carries {carries:.0} req/s ({concurrency} at a time)");
    report::progress(&what);
    emptied(port, limit).await?;

    let clients = Clients::start(Plan {
        port,
        rate: Some(carries * OVERLOAD),
        at_most: course.at_most,
        patience: PATIENCE,
    })?;
    fill(port, limit).await?;
    let plan = prober::Plan {
        probes: course.probes,
        ..plan
    };
    let (probed, overload, seconds, counted) = probe(peer, plan, &clients, limit).await?;
    clients.stop().context("the clients")?;
    Ok(Turn {
        peer: peer.name.clone(),
        round,
        carries,
        concurrency,
        floor,
        probed,
        overload,
        seconds,
        counted,
    })
}

/// How long an accept queue the peer asks the kernel for.
fn backlog(name: &str) -> u32 {
    // nginx's default on Linux (`listen ... backlog=`), and the product's own.
    if name == Kind::NginxArticle.name() {
        511
    } else {
        4096
    }
}

/// Requests a second it can carry, and with how many clients at a time.
async fn capacity(port: u16) -> Result<(f64, usize)> {
    let mut best = (0.0, 0);
    for concurrency in CONCURRENCY {
        let clients = Clients::start(Plan {
            port,
            rate: None,
            at_most: concurrency,
            patience: FILLING,
        })?;
        sleep(WARM_UP).await;
        let (begin, before) = (Instant::now(), clients.counts());
        sleep(CARRY).await;
        let counts = clients.counts().since(&before);
        let rate = counts.served as f64 / begin.elapsed().as_secs_f64();
        clients.stop()?;
        let bad = counts.turned_away + counts.broken + counts.gave_up;
        ensure!(bad == 0, "{bad} bad answers to {concurrency} clients");
        if rate < best.0 * GROWTH {
            return Ok(if rate > best.0 {
                (rate, concurrency)
            } else {
                best
            });
        }
        best = (rate, concurrency);
    }
    Ok(best)
}

/// Waits until nobody waits any more.
async fn emptied(port: u16, limit: u64) -> Result<()> {
    let begin = Instant::now();
    loop {
        let mut looks = Looks::new(limit);
        looks.look(port)?;
        if looks.median() == 0.0 {
            return Ok(());
        }
        ensure!(begin.elapsed() < EMPTY, "the accept queue does not empty");
        sleep(LOOK).await;
    }
}

/// Waits until the queue has been full and the overload has lasted for a while; a queue that never fills is seen in the table.
async fn fill(port: u16, limit: u64) -> Result<()> {
    let begin = Instant::now();
    let mut looks = Looks::new(limit);
    let mut full = false;
    while begin.elapsed() < SETTLING || (!full && begin.elapsed() < FILLING) {
        full |= looks.look(port)?;
        sleep(LOOK).await;
    }
    Ok(())
}

/// Probes, and looks at everything else meanwhile.
async fn probe(
    peer: &Peer,
    plan: prober::Plan,
    clients: &Clients,
    limit: u64,
) -> Result<(Probed, Overload, f64, Option<Probes>)> {
    let asked = async || match peer.admin {
        Some(port) => Probes::read(port).await.map(Some),
        None => Ok(None),
    };
    let processes = peer.processes()?;
    let counted = asked().await?;
    let usage = Usage::sample(&processes)?;
    let (overflows, before) = (queue::overflows()?, clients.counts());
    let begin = Instant::now();
    let mut looks = Looks::new(limit);
    let mut waiting = 0;
    let mut count = 0;
    let mut prober = Prober::start(plan)?;
    let probed = loop {
        looks.look(plan.port)?;
        waiting += clients.counts().waiting;
        count += 1;
        match prober.finished()? {
            Some(probed) => break probed,
            None => sleep(LOOK).await,
        }
    };
    let seconds = begin.elapsed().as_secs_f64();
    let counts = clients.counts().since(&before);
    let spent = Usage::sample(&processes)?.since(&usage);
    let rate = |count: u64| count as f64 / seconds;
    let overload = Overload {
        offered: rate(counts.came),
        served: rate(counts.served),
        turned_away: rate(counts.turned_away),
        broken: rate(counts.broken),
        gave_up: rate(counts.gave_up),
        waiting_clients: waiting as f64 / f64::from(count),
        queue_limit: limit,
        queue_median: looks.median(),
        queue_full: looks.full(),
        overflows: queue::overflows()? - overflows,
        peer_cpu: spent.total_ns as f64 / 1e9 / seconds,
    };
    let counted = match (counted, asked().await?) {
        (Some(before), Some(after)) => Some(after.since(&before)),
        _ => None,
    };
    Ok((probed, overload, seconds, counted))
}
