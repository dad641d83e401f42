//! Whether traffic should come: what `/readyz` says on the admin port and to probes, and `/health?ready` on the data
//! ports, where it is the same whether the probe is steered or a worker gets it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::drain::Drain;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::upstream::dns::Resolution;
use crate::upstream::{Link, SharedLinks};

/// What is looked at. All of it is read without waiting for anybody.
#[derive(Debug)]
pub struct Readiness {
    /// The effective configuration.
    pub config: ArcSwap<Config>,
    /// The upstreams.
    pub links: SharedLinks,
    /// The workers' connections to upstream, and their accept queues.
    pub metrics: Arc<Metrics>,
    /// Heartbeats.
    pub health: Arc<Health>,
    /// Whether the proxy is stopping.
    pub drain: Drain,
}

/// Whether the target of a request for `/health` asks for readiness instead.
pub fn is_asked_by(target: &[u8]) -> bool {
    let query = memchr::memchr(b'?', target).and_then(|mark| target.get(mark + 1..));
    let mut options = query.unwrap_or_default().split(|byte| *byte == b'&');
    options.any(|option| option == b"ready")
}

impl Readiness {
    /// Why no traffic should come, a reason a line.
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = self.health.not_alive();
        if !self.health.has_started() {
            reasons.push("the workers are starting".to_owned());
        }
        if self.drain.is_stopping() {
            reasons.push("the proxy is stopping".to_owned());
        }
        reasons.extend(self.unusable());
        let has_key = self.links.load().iter().any(|link| link.keys.is_any());
        if self.config.load().auth.injects_key() && !has_key {
            reasons.push("there is no upstream API key".to_owned());
        }
        reasons.extend(self.behind());
        reasons
    }

    /// Why no upstream can be used, a reason for each; none if one can.
    pub fn unusable(&self) -> Vec<String> {
        let links = self.links.load();
        let reasons = links.iter().map(|link| self.unusable_link(link));
        // One that can be used is enough.
        reasons.collect::<Option<_>>().unwrap_or_default()
    }

    /// Why an upstream cannot be used.
    pub fn unusable_link(&self, link: &Link) -> Option<String> {
        let whose = match self.links.load().count() {
            1 => "upstream".to_owned(),
            _ => format!("upstream {}", link.settings.name),
        };
        match &*link.addresses.now() {
            Resolution::Known(_) => self.unreachable(link),
            Resolution::Pending => Some(format!("{whose}'s name is being resolved")),
            Resolution::Failed(reason) => {
                Some(format!("{whose}'s name cannot be resolved: {reason}"))
            }
        }
    }

    /// Why an upstream cannot be reached, as far as is known: there is no connection, the last attempt at one failed, and it
    /// is a while since one succeeded.
    fn unreachable(&self, link: &Link) -> Option<String> {
        let workers = self.metrics.workers().iter();
        let upstreams = workers.map(|worker| worker.upstream(link.slot));
        let open: i64 = upstreams.map(|u| u.idle.get() + u.active.get()).sum();
        if open > 0 {
            return None;
        }
        let dials = link.dials.iter();
        let failure = dials.clone().find_map(|dial| dial.failure())?;
        let limit = self.config.load().probes.upstream_limit;
        let is_recent = |success: std::time::Instant| success.elapsed() < limit;
        if dials.filter_map(|dial| dial.success()).any(is_recent) {
            return None;
        }
        let name = &link.settings.name;
        Some(format!("upstream {name} cannot be reached: {failure}"))
    }

    /// The workers who accept so slowly that clients will have given up before it is their turn.
    fn behind(&self) -> impl Iterator<Item = String> {
        let limit = self.config.load().probes.accept_limit;
        let workers = self.metrics.workers().iter().enumerate();
        workers.filter_map(move |(worker, metrics)| {
            let waits = metrics.queues().map(|queue| queue.wait()).max()?;
            let seconds = waits.as_secs_f64();
            (waits > limit).then(|| {
                format!("worker-{worker} is behind: connections wait {seconds:.0} s to be accepted")
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_asked_for_by_the_query() {
        for target in [
            "/health?ready",
            "/health?x&ready",
            "http://a/health?ready&x=?",
        ] {
            assert!(is_asked_by(target.as_bytes()), "{target}");
        }
        for target in [
            "/health",
            "/health?",
            "/health?already",
            "/health?ready=",
            "/ready",
        ] {
            assert!(!is_asked_by(target.as_bytes()), "{target}");
        }
    }
}
