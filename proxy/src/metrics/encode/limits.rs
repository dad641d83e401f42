//! What clients' limits did: requests refused, and requests under way.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Collector, counters, gauges};
use crate::limits::Limit;
use crate::limits::redis::Counts;

impl Collector {
    pub(super) fn limits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.quotas.all();
        let quotas = || all.iter().map(|terms| &terms.quota);
        let refused = quotas().flat_map(|quota| {
            Limit::ALL.map(|limit| {
                let labels = vec![("client", quota.name()), ("limit", limit.as_str())];
                (labels, quota.refused(limit))
            })
        });
        counters(
            encoder,
            "holysheep_rate_limited",
            "Requests refused because their client had had as much as it may",
            refused.filter(|(_, count)| *count > 0),
        )?;
        let under_way = quotas().map(|quota| {
            let labels = vec![("client", quota.name())];
            (labels, i64::from(quota.in_flight()))
        });
        gauges(
            encoder,
            "holysheep_client_requests_in_flight",
            "Requests of clients with limits that are being worked on",
            under_way,
        )?;
        match &self.quotas.redis {
            Some(redis) => self.redis(encoder, &redis.counts),
            None => Ok(()),
        }
    }

    fn redis(&self, encoder: &mut DescriptorEncoder<'_>, counts: &Counts) -> fmt::Result {
        let workers = self.workers.len();
        let is_up = usize::try_from(counts.up.load(Relaxed)).is_ok_and(|up| up >= workers);
        gauges(
            encoder,
            "holysheep_limits_redis_up",
            "Whether limits are counted in Redis, for all replicas together",
            [(vec![], i64::from(is_up))],
        )?;
        gauges(
            encoder,
            "holysheep_limits_replicas",
            "Replicas that count together, as far as this one knows",
            [(vec![], i64::from(counts.replicas.load(Relaxed)))],
        )?;
        let results = [
            ("redis", &counts.asked),
            ("share", &counts.shared),
            ("unanswered", &counts.failed),
        ];
        counters(
            encoder,
            "holysheep_limits_decisions",
            "Requests by who decided whether their limits permit them, and questions without an answer in time",
            results.map(|(by, count)| (vec![("by", by)], count.load(Relaxed))),
        )
    }
}
