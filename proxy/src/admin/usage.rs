//! What requests to models used, for `/status` and its page.

use serde::Serialize;

use super::Admin;
use crate::account::usage::Source;
use crate::metrics::http::Left;

/// Requests to models and their tokens, since the start.
#[derive(Debug, Serialize)]
pub struct UsageStatus {
    /// By how it is known what they used.
    pub by_source: Vec<SourceStatus>,
    /// Clients that left before they had their whole response, by what became of it upstream.
    pub clients_left: Vec<LeftStatus>,
}

/// Requests whose usage is known in the same way.
#[derive(Debug, Serialize)]
pub struct SourceStatus {
    /// `reported`, `estimated` or `unknown`
    pub source: &'static str,
    /// How many.
    pub requests: u64,
    /// Tokens of their prompts.
    pub input_tokens: u64,
    /// Tokens of their answers.
    pub output_tokens: u64,
}

/// Clients whose requests ended in the same way.
#[derive(Debug, Serialize)]
pub struct LeftStatus {
    /// `cancelled`, `drained` or `given_up`
    pub upstream: &'static str,
    /// How many.
    pub count: u64,
}

impl UsageStatus {
    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let sources = self.by_source.iter().filter(|of| of.requests > 0);
        let sources = sources.map(|of| {
            format!(
                "{}: {} ({} tokens in, {} out)",
                of.source, of.requests, of.input_tokens, of.output_tokens
            )
        });
        let left = self.clients_left.iter().filter(|left| left.count > 0);
        let left =
            left.map(|left| format!("left by clients and {}: {}", left.upstream, left.count));
        let words = sources.chain(left).collect::<Vec<_>>().join("; ");
        match words.is_empty() {
            true => "–".to_owned(),
            false => words,
        }
    }

    pub(super) fn of(admin: &Admin) -> Self {
        let workers = admin.readiness.metrics.workers();
        let by_source = Source::ALL.map(|source| {
            let tokens = |index| workers.iter().map(|w| w.usage.tokens(source, index)).sum();
            SourceStatus {
                source: source.as_str(),
                requests: workers.iter().map(|w| w.usage.requests(source)).sum(),
                input_tokens: tokens(0),
                output_tokens: tokens(1),
            }
        });
        let clients_left = Left::ALL.map(Left::as_str).map(|upstream| {
            let all = workers.iter().flat_map(|w| w.http.lefts());
            let same = all.filter(|(name, _)| *name == upstream);
            LeftStatus {
                upstream,
                count: same.map(|(_, count)| count).sum(),
            }
        });
        Self {
            by_source: by_source.into(),
            clients_left: clients_left.into(),
        }
    }
}
