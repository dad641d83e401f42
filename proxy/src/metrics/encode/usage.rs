//! How it is known what requests used, of all workers.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Collector, counters};
use crate::account::usage::Source;
use crate::metrics::usage::TOKENS;

impl Collector {
    pub(super) fn usage(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let requests = Source::ALL.map(|source| {
            let count = self.sum_of(|worker| worker.usage.requests(source));
            (vec![("source", source.as_str())], count)
        });
        counters(
            encoder,
            "holysheep_usage_requests",
            "Requests to models that upstream has had, by how it is known what they used",
            requests,
        )?;
        let known = [Source::Reported, Source::Estimated];
        let tokens = known.into_iter().flat_map(|source| {
            TOKENS.into_iter().enumerate().map(move |(index, kind)| {
                let count = self.sum_of(|worker| worker.usage.tokens(source, index));
                (vec![("type", kind), ("source", source.as_str())], count)
            })
        });
        counters(
            encoder,
            "holysheep_usage_tokens",
            "Tokens that requests to models used, by how that is known",
            tokens,
        )
    }
}
