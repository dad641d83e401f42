//! What clients' limits did: requests refused, and requests under way.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Collector, Labels, counters, gauges};
use crate::cost::Amount;
use crate::limits::redis::Counts;
use crate::limits::{Limit, Span, Terms};

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
        self.budgets(encoder)?;
        match &self.quotas.redis {
            Some(redis) => self.redis(encoder, &redis.counts),
            None => Ok(()),
        }
    }

    fn budgets(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.quotas.all();
        let of_client = |terms: &Arc<Terms>| {
            let states = terms.budgets()?;
            Some((terms.clone(), [states.day, states.month]))
        };
        let clients: Vec<_> = all.iter().filter_map(of_client).collect();
        let states = || {
            clients.iter().flat_map(|(terms, states)| {
                let spans = Span::ALL.into_iter().zip(states);
                spans.filter_map(|(span, state)| {
                    let labels = vec![("client", terms.quota.name()), ("period", span.as_str())];
                    Some((labels, state.as_ref()?))
                })
            })
        };
        if clients.is_empty() {
            return Ok(());
        }
        amounts(
            encoder,
            "holysheep_budget_usd",
            "What a client may cost in a day or month, in US dollars",
            states().map(|(labels, state)| (labels, state.limit_usd)),
        )?;
        amounts(
            encoder,
            "holysheep_budget_spent_usd",
            "What a client with a budget has cost in the present day or month (UTC), in US dollars, as far as this replica knows",
            states().map(|(labels, state)| (labels, state.spent_usd)),
        )?;
        let kept = &self.quotas.kept;
        gauges(
            encoder,
            "holysheep_budget_store_up",
            "Whether what clients with budgets cost is kept where it should be: in Redis, in a file, or in this process only",
            [(vec![("store", kept.store())], i64::from(kept.works()))],
        )
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

fn amounts<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, Amount)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, amount) in rows {
        family
            .encode_family(&labels)?
            .encode_gauge(&amount.to_f64())?;
    }
    Ok(())
}
