//! Deliveries to the payment webhook, of all workers.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Collector, counters};
use crate::metrics::webhook::Outcome;

impl Collector {
    pub(super) fn webhooks(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let rows = Outcome::ALL.map(|outcome| {
            let count = self.sum_of(|worker| worker.webhooks.get(outcome));
            (vec![("result", outcome.as_str())], count)
        });
        counters(
            encoder,
            "holysheep_webhooks",
            "Deliveries to the payment webhook, by what became of them",
            rows,
        )
    }
}
