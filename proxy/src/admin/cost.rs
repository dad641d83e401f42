//! What requests cost, for `/status` and its page. `holysheep-proxy costs --admin` reads the former.

use serde::{Deserialize, Serialize};

use super::Admin;
use crate::cost::{Amount, Tokens};
use crate::metrics::cost::{self, Labelled, Series};

/// What requests cost since the start, by client and model.
#[derive(Debug, Deserialize, Serialize)]
pub struct CostStatus {
    /// All of it.
    pub usd: Amount,
    /// All that is estimated.
    pub estimated_usd: Amount,
    /// Those of models with a price.
    pub by_client: Vec<ChargeStatus>,
    /// Tokens that have no price.
    pub unpriced: Vec<UnpricedStatus>,
}

/// One client's requests to one model. Tokens and cost are of those whose tokens upstream has reported.
#[derive(Debug, Deserialize, Serialize)]
pub struct ChargeStatus {
    /// The client's name.
    pub client: String,
    /// The model's in the catalogue.
    pub model: String,
    /// How many.
    pub requests: u64,
    /// Tokens of their prompts.
    pub input_tokens: u64,
    /// Of those, how many upstream had in its cache.
    pub cached_tokens: u64,
    /// And how many it has put there.
    pub cache_written_tokens: u64,
    /// Tokens of their answers.
    pub output_tokens: u64,
    /// What they cost.
    pub usd: Amount,
    /// What others cost, whose tokens are estimated.
    pub estimated_usd: Amount,
}

/// One client's tokens of a model without a price.
#[derive(Debug, Deserialize, Serialize)]
pub struct UnpricedStatus {
    /// The client's name.
    pub client: String,
    /// The model's as it was asked for, or `other`.
    pub model: String,
    /// Of prompts.
    pub input_tokens: u64,
    /// Of answers.
    pub output_tokens: u64,
}

impl CostStatus {
    pub(super) fn of(admin: &Admin) -> Self {
        let all = cost::sorted(admin.readiness.metrics.workers());
        let mut status = Self {
            usd: Amount::ZERO,
            estimated_usd: Amount::ZERO,
            by_client: Vec::new(),
            unpriced: Vec::new(),
        };
        for group in cost::groups(&all) {
            status.add(group);
        }
        status
    }

    fn add(&mut self, group: &[Labelled]) {
        let Some(Labelled { client, model, .. }) = group.first() else {
            return;
        };
        let series = || group.iter().map(|one| &*one.series);
        let sum = |of: fn(&Series) -> Amount| series().map(of).fold(Amount::ZERO, Amount::plus);
        let (usd, estimated) = (
            sum(|series| series.cost.get()),
            sum(|series| series.estimated.get()),
        );
        let tokens = series().map(Series::tokens);
        let tokens = tokens.fold(Tokens::default(), |sum, tokens| sum.plus(&tokens));
        let requests = series().map(|series| series.requests.get()).sum();
        if requests > 0 || estimated > Amount::ZERO {
            self.usd = self.usd.plus(usd);
            self.estimated_usd = self.estimated_usd.plus(estimated);
            self.by_client.push(ChargeStatus {
                client: client.to_string(),
                model: model.to_string(),
                requests,
                input_tokens: tokens.input,
                cached_tokens: tokens.cached,
                cache_written_tokens: tokens.cache_written,
                output_tokens: tokens.output,
                usd,
                estimated_usd: estimated,
            });
        }
        let [input, output] = [0, 1].map(|index: usize| {
            let counters = series().filter_map(|series| series.unpriced.get(index));
            counters.map(|counter| counter.get()).sum::<u64>()
        });
        if input + output > 0 {
            self.unpriced.push(UnpricedStatus {
                client: client.to_string(),
                model: model.to_string(),
                input_tokens: input,
                output_tokens: output,
            });
        }
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let mut lines = vec![match self.estimated_usd > Amount::ZERO {
            true => format!(
                "${}, and an estimated ${}",
                self.usd.rounded(4),
                self.estimated_usd.rounded(4)
            ),
            false => format!("${}", self.usd.rounded(4)),
        }];
        lines.extend(self.by_client.iter().map(|of| {
            format!(
                "{}, {}: ${} for {} requests",
                of.client,
                of.model,
                of.usd.rounded(4),
                of.requests
            )
        }));
        lines.extend(self.unpriced.iter().map(|of| {
            let tokens = of.input_tokens + of.output_tokens;
            format!(
                "{}, {}: {tokens} tokens without a price",
                of.client, of.model
            )
        }));
        lines.join("\n")
    }
}
