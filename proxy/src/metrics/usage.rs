//! How it is known what requests used.

use super::cell::Counter;
use crate::account::usage::Source;

/// Kinds of tokens, as labels.
pub const TOKENS: [&str; 2] = ["input", "output"];

/// One worker's requests to models that upstream has had, by how it is known what they used.
#[derive(Debug, Default)]
pub struct UsageMetrics([BySource; Source::ALL.len()]);

#[derive(Debug, Default)]
struct BySource {
    requests: Counter,
    tokens: [Counter; TOKENS.len()],
}

impl UsageMetrics {
    /// Counts one request, and its tokens of the prompt and of the answer.
    pub fn count(&self, source: Source, tokens: [Option<u64>; TOKENS.len()]) {
        let Some(counters) = self.0.get(source as usize) else {
            return;
        };
        counters.requests.inc();
        for (counter, tokens) in counters.tokens.iter().zip(tokens) {
            counter.add(tokens.unwrap_or_default());
        }
    }

    /// Requests of one source.
    pub fn requests(&self, source: Source) -> u64 {
        let counters = self.0.get(source as usize);
        counters.map_or(0, |counters| counters.requests.get())
    }

    /// Their tokens of one of [`TOKENS`].
    pub fn tokens(&self, source: Source, index: usize) -> u64 {
        let counters = self.0.get(source as usize);
        let counter = counters.and_then(|counters| counters.tokens.get(index));
        counter.map_or(0, Counter::get)
    }
}
