//! What requests cost, of all workers.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{Collector, Labels, counters};
use crate::cost::Amount;
use crate::metrics::cell::Counter;
use crate::metrics::cost::{self, Labelled, Money, Series};
use crate::metrics::usage::TOKENS;

impl Collector {
    pub(super) fn cost(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = cost::sorted(&self.workers);
        let groups: Vec<_> = cost::groups(&all).collect();
        money(
            encoder,
            "holysheep_cost_usd",
            "What requests cost in US dollars, by their reported tokens",
            &groups,
            |series| &series.cost,
        )?;
        money(
            encoder,
            "holysheep_cost_estimated_usd",
            "What requests cost in US dollars whose tokens are estimated",
            &groups,
            |series| &series.estimated,
        )?;
        let unpriced = groups.iter().flat_map(|group| {
            let kinds = TOKENS.into_iter().enumerate();
            kinds.filter_map(|(index, kind)| {
                let counters = group
                    .iter()
                    .filter_map(|one| one.series.unpriced.get(index));
                let count: u64 = counters.map(Counter::get).sum();
                let mut labels = labels(group)?;
                labels.push(("type", kind));
                (count > 0).then_some((labels, count))
            })
        });
        counters(
            encoder,
            "holysheep_cost_unpriced_tokens",
            "Tokens of models that have no price",
            unpriced,
        )
    }
}

fn labels(group: &[Labelled]) -> Option<Labels<'_>> {
    let first = group.first()?;
    Some(vec![("client", &*first.client), ("model", &*first.model)])
}

/// Amounts that are more than nothing.
fn money(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    groups: &[&[Labelled]],
    of: fn(&Series) -> &Money,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for group in groups {
        let amounts = group.iter().map(|one| of(&one.series).get());
        let sum = amounts.fold(Amount::ZERO, Amount::plus);
        let Some(labels) = labels(group).filter(|_| sum > Amount::ZERO) else {
            continue;
        };
        family
            .encode_family(&labels)?
            .encode_counter::<NoLabelSet, _, u64>(&sum.to_f64(), None)?;
    }
    Ok(())
}
