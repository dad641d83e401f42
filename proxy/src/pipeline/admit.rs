//! admit: what a request takes of its client's limits, before upstream gets anything of it.

use std::sync::Arc;
use std::time::Instant;

use super::body::Observed;
use super::learn::{self, Until};
use crate::account::RequestRecord;
use crate::account::usage::{Source, Used};
use crate::config::ClientLimits;
use crate::cost::{Amount, Tokens};
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::http1::Framing;
use crate::limits::{Exceeded, Overdrawn, Terms};
use crate::route::Operation;
use crate::stream::request::Asked;
use crate::upstream::Message;
use crate::worker::Worker;

/// English text has about so many in JSON; a prompt in other languages has fewer. What is wrong about it is settled when
/// upstream has said what the request used.
const BYTES_PER_TOKEN: u64 = 4;

/// Takes it out of the client's quota. Where tokens or dollars are limited, the body is read first, as far as it is kept: it
/// says how long the answer may be; `estimated` is what [`needs_estimate`] says.
///
/// # Errors
/// [`ProxyError::RateLimited`], [`ProxyError::InsufficientQuota`], or that the body breaks off.
pub(super) async fn admit<D: Downstream>(
    worker: &Worker,
    message: &mut Message,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
    estimated: bool,
) -> Result<(), ProxyError> {
    let Some(operation) = record.operation().filter(|_| estimated) else {
        reserve(worker, Amount::ZERO, record)?;
        return take(worker, 0, record).await;
    };
    if operation != Operation::Realtime {
        learn::read(worker, message, body, Until::End).await?;
    }
    let length = match message.framing {
        Framing::Length(length) => length,
        _ => message.pulled,
    };
    let expected = worker.with_terms(record, |terms| terms.limits.expected_output);
    let tokens = estimate(operation, length, body.asked(), expected);
    let model = body.asked().and_then(|asked| asked.model.as_deref());
    let cost = price(worker, [model, record.model.as_deref()], &tokens);
    reserve(worker, cost, record)?;
    take(worker, tokens.input.saturating_add(tokens.output), record).await
}

/// Whether it matters how long a request's answer may be.
pub(super) fn needs_estimate(worker: &Worker, record: &RequestRecord) -> bool {
    worker.with_terms(record, |terms| terms.limits.needs_estimate())
}

/// The terms of the request's client, if they limit what `applies` asks for. A handle costs writing to memory that all workers
/// share, so the record has one.
fn hold<'a>(
    worker: &Worker,
    record: &'a mut RequestRecord,
    applies: fn(&ClientLimits) -> bool,
) -> Option<&'a Arc<Terms>> {
    if !worker.with_terms(record, |terms| applies(&terms.limits)) {
        return None;
    }
    if record.terms.is_none() {
        record.terms = Some(worker.with_terms(record, Arc::clone));
    }
    record.terms.as_ref()
}

/// Sets aside what the request will probably cost.
///
/// # Errors
/// [`ProxyError::InsufficientQuota`] or [`ProxyError::QuotaReserved`].
fn reserve(worker: &Worker, cost: Amount, record: &mut RequestRecord) -> Result<(), ProxyError> {
    let Some(terms) = hold(worker, record, ClientLimits::has_budget) else {
        return Ok(());
    };
    terms
        .reserve(cost)
        .map_err(|Overdrawn { limit, until }| match until {
            Some(retry_after) => ProxyError::InsufficientQuota { limit, retry_after },
            None => ProxyError::QuotaReserved(limit),
        })?;
    record.reserved = Some(cost);
    Ok(())
}

/// Takes one request of so many tokens.
///
/// # Errors
/// [`ProxyError::RateLimited`].
pub(super) async fn take(
    worker: &Worker,
    tokens: u64,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    let Some(terms) = hold(worker, record, ClientLimits::counts) else {
        return Ok(());
    };
    let taken = match worker.remote.as_deref() {
        Some(remote) => Box::pin(remote.take(terms, tokens)).await,
        None => terms.take_share(tokens, Instant::now(), 1),
    };
    match taken {
        Ok(taken) => {
            record.taken = Some(taken);
            Ok(())
        }
        Err(Exceeded { limit, retry_after }) => Err(ProxyError::RateLimited { limit, retry_after }),
    }
}

/// What so many tokens cost of the first of these models that has a price.
fn price(worker: &Worker, [asked, or_else]: [Option<&str>; 2], tokens: &Tokens) -> Amount {
    let prices = worker.prices();
    let entry = prices.find_either(asked, or_else);
    entry.map_or(Amount::ZERO, |entry| entry.price.of(tokens))
}

/// Tokens that a request with a body of this length will use.
fn estimate(operation: Operation, length: u64, asked: Option<&mut Asked>, expected: u64) -> Tokens {
    let (most, choices) = asked.map_or((None, 1), |asked| (asked.max_output, asked.choices.max(1)));
    let output = match operation {
        Operation::Chat | Operation::TextCompletion => most.unwrap_or(expected),
        // Several answers at least, over however long a time.
        Operation::Realtime => expected,
        Operation::Embeddings | Operation::Images | Operation::Audio | Operation::Rerank => 0,
    };
    Tokens {
        input: length.div_ceil(BYTES_PER_TOKEN),
        output: output.saturating_mul(choices),
        ..Tokens::default()
    }
}

/// Gives back what the request has not used, or takes what it has used besides.
pub fn settle(worker: &Worker, record: &mut RequestRecord, used: Option<Used>, now: Instant) {
    let Some(terms) = &record.terms else {
        return;
    };
    if let Some(reserved) = record.reserved.take() {
        terms.spend(reserved, record.cost.unwrap_or_default());
    }
    let Some(taken) = record.taken.take() else {
        return;
    };
    let used = match used {
        None => 0,
        // It may be billed for as much as was thought.
        Some((Source::Unknown, _)) => taken.tokens(),
        Some((_, [input, output])) => {
            let input = input.unwrap_or_else(|| record.bytes_in.div_ceil(BYTES_PER_TOKEN));
            input.saturating_add(output.unwrap_or(0))
        }
    };
    terms.settle(taken, used, worker.remote.as_deref(), now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_has_the_prompt_and_the_longest_answer() {
        let mut asked = Asked::default();
        let chat = |asked: &mut Asked| {
            let tokens = estimate(Operation::Chat, 401, Some(asked), 1000);
            (tokens.input, tokens.output)
        };
        assert_eq!(chat(&mut asked), (101, 1000));
        asked.max_output = Some(50);
        assert_eq!(chat(&mut asked), (101, 50));
        asked.choices = 3;
        assert_eq!(chat(&mut asked), (101, 150));
        asked.max_output = Some(u64::MAX);
        assert_eq!(chat(&mut asked), (101, u64::MAX));
        let embeddings = estimate(Operation::Embeddings, 8, None, 1000);
        assert_eq!((embeddings.input, embeddings.output), (2, 0));
    }
}
