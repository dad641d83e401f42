//! Who used the two CPUs between two moments: the peer, the rig, or something else.

use anyhow::Result;

use crate::accounting::{CpuTicks, Spent, Usage};
use crate::rig::Rig;

/// What had been used up to a moment.
pub(crate) struct Sample {
    peer: Usage,
    generator: Usage,
    upstream: Usage,
    /// The peer's and the rig's.
    cpus: [CpuTicks; 2],
}

impl Sample {
    /// Looks it up; `peer` are all processes of the peer.
    ///
    /// # Errors
    /// When one of the processes is gone.
    pub(crate) fn take(rig: &Rig, peer: &[u32]) -> Result<Self> {
        Self::of(peer, &[rig.upstream_id()], rig.cpus())
    }

    /// The same with any `upstream`, none where it is a thread of this process; the CPUs are the rig's and the peer's.
    ///
    /// # Errors
    /// When one of the processes is gone.
    pub(crate) fn of(
        peer: &[u32],
        upstream: &[u32],
        (rig_cpu, peer_cpu): (usize, usize),
    ) -> Result<Self> {
        Ok(Self {
            peer: Usage::sample(peer)?,
            generator: Usage::sample(&[std::process::id()])?,
            upstream: Usage::sample(upstream)?,
            cpus: [CpuTicks::sample(peer_cpu)?, CpuTicks::sample(rig_cpu)?],
        })
    }
}

/// What was used in all slices so far; busy and stolen times in seconds, of the peer's CPU and of the rig's.
#[derive(Default)]
pub(crate) struct Spending {
    pub(crate) seconds: f64,
    pub(crate) peer: Spent,
    pub(crate) generator: Spent,
    pub(crate) upstream: Spent,
    pub(crate) busy: [f64; 2],
    pub(crate) stolen: [f64; 2],
}

impl Spending {
    /// Adds a slice.
    pub(crate) fn add(&mut self, elapsed: f64, before: &Sample, after: &Sample) {
        self.seconds += elapsed;
        self.peer.add(&after.peer.since(&before.peer));
        self.generator
            .add(&after.generator.since(&before.generator));
        self.upstream.add(&after.upstream.since(&before.upstream));
        for (index, (before, after)) in before.cpus.iter().zip(&after.cpus).enumerate() {
            let (busy, stolen) = after.since(before);
            self.busy[index] += busy * elapsed;
            self.stolen[index] += stolen * elapsed;
        }
    }

    /// Share of its CPU that the peer used.
    pub(crate) fn peer_share(&self) -> f64 {
        self.peer.total_ns as f64 / 1e9 / self.seconds
    }

    /// Share of their CPU that load and upstream used.
    pub(crate) fn rig_share(&self) -> f64 {
        (self.generator.total_ns + self.upstream.total_ns) as f64 / 1e9 / self.seconds
    }

    /// The greater of both CPUs' shares that the hypervisor took away.
    pub(crate) fn steal(&self) -> f64 {
        self.stolen[0].max(self.stolen[1]) / self.seconds
    }

    /// Share of a CPU, summed over both, that neither the peer nor the rig used.
    pub(crate) fn foreign(&self) -> f64 {
        let busy = (self.busy[0] + self.busy[1]) / self.seconds;
        (busy - self.peer_share() - self.rig_share()).max(0.0)
    }
}
