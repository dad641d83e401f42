//! One fetch of the model list, for all who ask for it.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::entry::Entry;
use super::{Fetched, ModelsCache};
use crate::error::ProxyError;
use crate::forward::{Outbound, OutboundHead};
use crate::http1::Framing;
use crate::metrics::Outcome;
use crate::relay;
use crate::upstream::{AnyExchange, H2Request, RequestBody, Unsent};
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
        worker.metrics.upstream.finished(outcome, first_byte);
    }
    if let Err(error) = &result {
        tracing::debug!(%error, "the model list could not be fetched");
    }
    turn.end_with(result.map(Arc::new));
}

async fn request(worker: &Rc<Worker>, outbound: Outbound) -> Result<Entry, ProxyError> {
    let mut exchange = match outbound.head {
        OutboundHead::Http1(head) => {
            let connection = match worker.pool.take(worker.now().into_std()) {
                Some(warm) => warm,
                None => worker.pool.open().await?,
            };
            AnyExchange::h1(connection, head, Framing::None)
        }
        OutboundHead::Http2(parts) => {
            let request = H2Request::new(parts, Framing::None);
            AnyExchange::H2(Box::new(worker.h2.send(request).await?))
        }
    };
    let mut retried = false;
    while let Err(failure) = poll_fn(|cx| exchange.poll_head(cx, &mut Empty)).await {
        if std::mem::replace(&mut retried, true) {
            return Err(failure.into_error());
        }
        let request = failure.repeatable()?;
        worker.metrics.upstream.retries.inc();
        match request {
            Unsent::Http1(bytes) => exchange.resend(worker.pool.open().await?, bytes),
            Unsent::Http2(request) => {
                exchange = AnyExchange::H2(Box::new(worker.h2.send(*request).await?));
            }
        }
    }
    let mut entry = Entry::new(&exchange.head(), Instant::now());
    if matches!(entry.status(), 401 | 403) {
        return Err(ProxyError::UpstreamInvalidApiKey);
    }
    entry.body = relay::collect(&mut exchange, MAX_BYTES).await?;
    exchange.finish(worker, Instant::now());
    Ok(entry)
}

/// The body of a `GET`.
struct Empty;

impl RequestBody for Empty {
    fn poll_data(&mut self, _: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        Poll::Ready(Ok(&[]))
    }
}
