//! `GET /v1/models` from memory.
//!
//! The list is the same for everybody the proxy's key speaks for, changes
//! rarely, and SDKs ask for it often. One entry for the whole process: fresh
//! for its time to live, fetched by one request however many ask, and served
//! beyond its time while upstream fails.

use std::borrow::Cow;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::account::RequestRecord;
use crate::answer::{self, Answer};
use crate::config::Auth;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::forward::{Outbound, OutboundHead};
use crate::http1::{FieldName, Framing};
use crate::pipeline::{Inbound, Target};
use crate::relay;
use crate::upstream::{AnyExchange, ExchangeError, RequestBody};
use crate::worker::Worker;

/// Longest list kept.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long a caller waits for a newer list when an old one is at hand.
const STALE_WAIT: Duration = Duration::from_secs(1);

/// A list as upstream sent it.
#[derive(Debug)]
struct Entry {
    fetched: Instant,
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

/// The cache, shared by all workers.
#[derive(Debug)]
pub struct ModelsCache {
    entry: ArcSwapOption<Entry>,
    fetching: AtomicBool,
    /// Counts finished fetches, with the last one's error.
    fetched: watch::Sender<(u64, Option<ProxyError>)>,
}

impl Default for ModelsCache {
    fn default() -> Self {
        Self {
            entry: ArcSwapOption::empty(),
            fetching: AtomicBool::new(false),
            fetched: watch::Sender::new((0, None)),
        }
    }
}

/// Whether a request may be answered from the cache: the plain list, asked for
/// with the proxy's own key.
pub fn is_cacheable(worker: &Worker, inbound: &Inbound<'_>, target: &Target<'_>) -> bool {
    worker.config.auth == Auth::Open
        && !worker.config.models_ttl.is_zero()
        && inbound.body == Framing::None
        && target.path == target.path_and_query
}

/// Answers with the list.
///
/// # Errors
/// If there is none and upstream gives none.
pub async fn answer<D: Downstream>(
    worker: &Rc<Worker>,
    outbound: Outbound,
    client: &mut D,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    let cache = &worker.models;
    let ttl = worker.config.models_ttl;
    let is_fresh = |entry: &Entry| entry.fetched.elapsed() < ttl;
    let mut finished = cache.fetched.subscribe();
    let known = cache.entry.load_full();
    if let Some(entry) = known.as_ref().filter(|entry| is_fresh(entry)) {
        return answer::send(worker, client, record, entry.answer(ttl)).await;
    }
    if !cache.fetching.swap(true, Ordering::AcqRel) {
        // Another worker may have finished between the look and the swap.
        if let Some(entry) = cache.entry.load_full().filter(|entry| is_fresh(entry)) {
            cache.fetching.store(false, Ordering::Release);
            return answer::send(worker, client, record, entry.answer(ttl)).await;
        }
        record.attempts = 1;
        record.sent_upstream = Some(Instant::now());
        // A task of its own: others wait for it too, should this client leave.
        tokio::task::spawn_local(fetch(Rc::clone(worker), outbound));
    }
    let limit = match known {
        Some(_) => STALE_WAIT,
        None => worker.config.timeouts.connect + worker.config.timeouts.first_byte,
    };
    let waited = tokio::time::timeout(limit, finished.changed()).await;
    record.header = record.sent_upstream.map(|sent| sent.elapsed());
    let error = match waited {
        Ok(_) => finished.borrow().1.clone(),
        Err(_) => Some(ProxyError::UpstreamFirstByteTimeout(limit.as_secs())),
    };
    match (cache.entry.load_full(), error) {
        (Some(entry), _) => answer::send(worker, client, record, entry.answer(ttl)).await,
        (None, Some(error)) => Err(error),
        (None, None) => Err(ProxyError::UpstreamClosed),
    }
}

impl Entry {
    fn answer(&self, ttl: Duration) -> Answer {
        let age = self.fetched.elapsed().as_secs();
        let max_age = ttl.as_secs();
        Answer {
            status: self.status,
            content_type: Cow::Owned(self.content_type.clone()),
            fields: vec![
                (
                    "cache-control",
                    Cow::Owned(format!("public, max-age={max_age}")),
                ),
                ("age", Cow::Owned(age.to_string())),
            ],
            body: Cow::Owned(self.body.clone()),
        }
    }
}

async fn fetch(worker: Rc<Worker>, outbound: Outbound) {
    let limit = worker.config.timeouts.connect + worker.config.timeouts.first_byte;
    let result = tokio::time::timeout(limit, request(&worker, outbound))
        .await
        .unwrap_or(Err(ProxyError::UpstreamFirstByteTimeout(limit.as_secs())));
    let cache = &worker.models;
    let error = match result {
        Ok(entry) => {
            cache.entry.store(Some(Arc::new(entry)));
            None
        }
        Err(error) => Some(error),
    };
    // In this order: whoever sees the flag cleared also sees the entry.
    cache.fetching.store(false, Ordering::Release);
    cache
        .fetched
        .send_modify(|state| *state = (state.0 + 1, error));
}

async fn request(worker: &Rc<Worker>, outbound: Outbound) -> Result<Entry, ProxyError> {
    let mut exchange = match outbound.head {
        OutboundHead::Http1(head) => {
            let connection = match worker.pool.take() {
                Some(warm) => warm,
                None => worker.pool.open().await?,
            };
            AnyExchange::h1(connection, head, Framing::None)
        }
        OutboundHead::Http2(parts) => {
            let stream = worker.h2.start(*parts, Framing::None).await?;
            AnyExchange::H2(Box::new(stream))
        }
    };
    let mut retried = false;
    loop {
        match poll_fn(|cx| exchange.poll_head(cx, &mut Empty)).await {
            Ok(()) => break,
            Err(ExchangeError::NotSent(bytes)) if !std::mem::replace(&mut retried, true) => {
                worker.metrics.upstream.retries.inc();
                exchange.resend(worker.pool.open().await?, bytes);
            }
            Err(ExchangeError::NotSent(_)) => return Err(ProxyError::UpstreamClosed),
            Err(ExchangeError::Failed(error)) => return Err(error),
        }
    }
    let head = exchange.head();
    let status = head.status();
    let content_type = head
        .field(FieldName::ContentType)
        .unwrap_or(b"application/json");
    let content_type = String::from_utf8_lossy(content_type).into_owned();
    match status {
        200 => {}
        401 | 403 => return Err(ProxyError::UpstreamInvalidApiKey),
        other => {
            let reason = format!("status {other} to a request for the model list");
            return Err(ProxyError::UpstreamInvalidResponse(Cow::Owned(reason)));
        }
    }
    let body = relay::collect(&mut exchange, MAX_BYTES).await?;
    exchange.finish(worker, Instant::now());
    Ok(Entry {
        fetched: Instant::now(),
        status,
        content_type,
        body,
    })
}

/// The body of a `GET`.
struct Empty;

impl RequestBody for Empty {
    fn poll_data(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<&[u8], ProxyError>> {
        std::task::Poll::Ready(Ok(&[]))
    }
}
