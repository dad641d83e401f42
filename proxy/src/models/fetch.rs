//! One fetch of the model list, for all who ask for it.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::entry::Entry;
use super::{Fetched, ModelsCache};
use crate::error::ProxyError;
use crate::forward::Outbound;
use crate::metrics::Outcome;
use crate::metrics::upstream::Retried;
use crate::relay;
use crate::upstream::{AnyExchange, Message, NoBody, Origin, Place};
use crate::worker::Worker;

/// Longest list kept.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The right to fetch; there is one at a time. Dropping it gives it back and
/// tells those who wait, whatever became of the fetch.
#[derive(Debug)]
pub(super) struct Turn {
    cache: Arc<ModelsCache>,
    result: Fetched,
}

impl Turn {
    /// The right to fetch, which has just been taken.
    pub(super) const fn new(cache: Arc<ModelsCache>) -> Self {
        // What is told should the fetch never end.
        let result = Err(ProxyError::UpstreamClosed);
        Self { cache, result }
    }

    /// Gives the right back with what came of it.
    pub(super) fn end_with(mut self, result: Fetched) {
        self.result = result;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Err(ProxyError::UpstreamClosed));
        self.cache.finish(result);
    }
}

/// Fetches the list. With `counts` it is a request to upstream of its own;
/// otherwise the record of the request that waits for it is.
pub(super) async fn fetch(worker: Rc<Worker>, outbound: Outbound, turn: Turn, counts: bool) {
    let limit = worker.live().timeouts.connect + worker.live().timeouts.first_byte;
    let upstream = outbound.place.origin.link.slot;
    let started = Instant::now();
    let result = tokio::time::timeout(limit, request(&worker, outbound))
        .await
        .unwrap_or(Err(ProxyError::UpstreamFirstByteTimeout(limit)));
    if counts {
        let (outcome, first_byte) = match &result {
            Ok(entry) => {
                let first_byte = entry.fetched.duration_since(started);
                (Outcome::Status(entry.status()), Some(first_byte))
            }
            Err(error) => (Outcome::Failed(error.class().code), None),
        };
        worker
            .metrics
            .upstream(upstream)
            .finished(outcome, first_byte);
    }
    if let Err(error) = &result {
        tracing::debug!(%error, "the model list could not be fetched");
    }
    turn.end_with(result.map(Arc::new));
}

async fn request(worker: &Rc<Worker>, outbound: Outbound) -> Result<Entry, ProxyError> {
    let Place { origin, key } = outbound.place;
    let mut message = Some(outbound.message);
    let mut exchange = begin(worker, &origin, &mut message, false).await?;
    if let Err(error) = poll_fn(|cx| exchange.poll_head(cx, &mut NoBody)).await {
        message = exchange.reclaim(&worker.sockets);
        if message.is_none() {
            return Err(error);
        }
        origin.metrics().retried(Retried::Unread);
        exchange = begin(worker, &origin, &mut message, true).await?;
        poll_fn(|cx| exchange.poll_head(cx, &mut NoBody)).await?;
    }
    let mut entry = Entry::new(&exchange.head(), Instant::now());
    if matches!(entry.status(), 401 | 403) {
        let now = Instant::now();
        origin.link.keys.refused(key, entry.status(), None, now);
        return Err(ProxyError::UpstreamInvalidApiKey);
    }
    entry.body = relay::collect(&mut exchange, MAX_BYTES).await?;
    exchange.finish(worker, Instant::now());
    Ok(entry)
}

/// A connection, a new one if it has to be, and the request on it.
async fn begin(
    worker: &Worker,
    origin: &Origin,
    message: &mut Option<Message>,
    anew: bool,
) -> Result<AnyExchange, ProxyError> {
    if origin.speaks_h2() {
        let exchange = origin.h2.send(message, None).await?;
        return Ok(AnyExchange::H2(Box::new(exchange)));
    }
    let warm = origin.pool.take(worker.now().into_std());
    let connection = match warm.filter(|_| !anew) {
        Some(warm) => warm,
        None => origin.pool.open(None).await?,
    };
    let message = message.take().ok_or(ProxyError::UpstreamClosed)?;
    Ok(AnyExchange::h1(connection, message))
}
