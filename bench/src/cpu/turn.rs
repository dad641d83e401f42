//! One measurement of one peer: load, a timed window, and whose CPU time it took.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::accounting::{CpuTicks, Usage};
use crate::load::Load;
use crate::peer::Peer;
use crate::rig::Rig;
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

/// Loads `peer` for `seconds`, after a warm-up.
///
/// # Errors
/// When the peer or the upstream ends, or starts processes that would go uncounted.
pub(super) async fn measure(
    rig: &Rig,
    peer: &Peer,
    (connections, round): (usize, usize),
    seconds: f64,
) -> Result<Turn> {
    let seen_before = rig.tally().await?;
    let load = Load::start(&peer.target, connections, None)?;
    // Fills the pools and the caches; long enough for the CPU's clock to settle.
    tokio::time::sleep(Duration::from_secs_f64((seconds / 4.0).clamp(0.3, 1.0))).await;
    let watch = Watch {
        peer: peer.processes()?,
        rig,
    };

    let before = watch.sample()?;
    load.record(true);
    let begin = Instant::now();
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let elapsed = begin.elapsed().as_secs_f64();
    load.record(false);
    let after = watch.sample()?;

    let measured = load.stop().await;
    ensure!(
        watch.peer == peer.processes()?,
        "{} started or lost processes",
        peer.name
    );
    let upstream = rig.tally().await?.since(&seen_before);

    let peer_spent = after.peer.since(&before.peer);
    let generator = after.generator.since(&before.generator).total_ns;
    let upstream_spent = after.upstream.since(&before.upstream).total_ns;
    let (rig_cpu_busy, rig_steal) = after.rig_cpu.since(&before.rig_cpu);
    let (peer_cpu_busy, peer_steal) = after.peer_cpu.since(&before.peer_cpu);
    // Nanoseconds in the window to microseconds per request.
    let per_request = |nanoseconds: f64| nanoseconds / 1000.0 / measured.requests.max(1) as f64;
    Ok(Turn {
        target: peer.name.clone(),
        connections,
        round,
        seconds: elapsed,
        requests: measured.requests,
        errors: measured.errors,
        requests_per_second: measured.requests as f64 / elapsed,
        p50_us: measured.quantile_us(0.5),
        p99_us: measured.quantile_us(0.99),
        cpu_us: (!watch.peer.is_empty()).then(|| per_request(peer_spent.total_ns)),
        user_us: per_request(peer_spent.user_ns),
        system_us: per_request(peer_spent.system_ns),
        generator_us: per_request(generator),
        upstream_us: per_request(upstream_spent),
        peer_utilisation: peer_spent.total_ns / 1e9 / elapsed,
        peer_cpu_busy,
        rig_utilisation: (generator + upstream_spent) / 1e9 / elapsed,
        rig_cpu_busy,
        steal: rig_steal.max(peer_steal),
        changed_threads: peer_spent.changed_threads,
        first_error: measured.first_error,
        upstream,
    })
}

/// Whose CPU time is watched during a turn.
struct Watch<'a> {
    peer: Vec<u32>,
    rig: &'a Rig,
}

struct Sample {
    peer: Usage,
    generator: Usage,
    upstream: Usage,
    peer_cpu: CpuTicks,
    rig_cpu: CpuTicks,
}

impl Watch<'_> {
    fn sample(&self) -> Result<Sample> {
        Ok(Sample {
            peer: Usage::sample(&self.peer)?,
            generator: Usage::sample(&[std::process::id()])?,
            upstream: Usage::sample(&[self.rig.upstream_id()])?,
            peer_cpu: CpuTicks::sample(self.rig.peer_cpu)?,
            rig_cpu: CpuTicks::sample(self.rig.own_cpu)?,
        })
    }
}
