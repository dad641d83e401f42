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
use crate::upstream::{AnyExchange, H2Request, RequestBody, Unsent};
use crate::worker::Worker;

/// Longest list kept.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long a caller waits for a newer list when an old one is at hand.
const STALE_WAIT: Duration = Duration::from_secs(1);

/// An answer as upstream sent it. Only lists are kept; an error goes to those
/// who wait for it.
#[derive(Debug)]
struct Entry {
    fetched: Instant,
    status: u16,
    content_type: String,
    retry_after: Option<String>,
    body: Vec<u8>,
}

/// What the last fetch brought.
type Fetched = Option<Result<Arc<Entry>, ProxyError>>;

/// The cache, shared by all workers.
#[derive(Debug)]
pub struct ModelsCache {
    entry: ArcSwapOption<Entry>,
    fetching: AtomicBool,
    /// Changes with every finished fetch.
    fetched: watch::Sender<Fetched>,
}

impl Default for ModelsCache {
    fn default() -> Self {
        Self {
            entry: ArcSwapOption::empty(),
            fetching: AtomicBool::new(false),
            fetched: watch::Sender::new(None),
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
    let last = match waited {
        Ok(_) => finished.borrow().clone(),
        Err(_) => Some(Err(ProxyError::UpstreamFirstByteTimeout(limit))),
    };
    let entry = match (cache.entry.load_full(), last) {
        (Some(list), _) => list,
        (None, Some(Ok(refusal))) => refusal,
        (None, Some(Err(error))) => return Err(error),
        (None, None) => return Err(ProxyError::UpstreamClosed),
    };
    answer::send(worker, client, record, entry.answer(ttl)).await
}

impl Entry {
    fn answer(&self, ttl: Duration) -> Answer {
        let mut fields = Vec::new();
        if self.status == 200 {
            let max_age = format!("public, max-age={}", ttl.as_secs());
            let age = self.fetched.elapsed().as_secs().to_string();
            fields.push(("cache-control", Cow::Owned(max_age)));
            fields.push(("age", Cow::Owned(age)));
        }
        if let Some(retry_after) = &self.retry_after {
            fields.push(("retry-after", Cow::Owned(retry_after.clone())));
        }
        Answer {
            status: self.status,
            content_type: Cow::Owned(self.content_type.clone()),
            fields,
            body: Cow::Owned(self.body.clone()),
        }
    }
}

async fn fetch(worker: Rc<Worker>, outbound: Outbound) {
    let limit = worker.config.timeouts.connect + worker.config.timeouts.first_byte;
    let result = tokio::time::timeout(limit, request(&worker, outbound))
        .await
        .unwrap_or(Err(ProxyError::UpstreamFirstByteTimeout(limit)));
    let cache = &worker.models;
    let result = result.map(Arc::new);
    if let Ok(entry) = &result
        && entry.status == 200
    {
        cache.entry.store(Some(Arc::clone(entry)));
    }
    // In this order: whoever sees the flag cleared also sees the entry.
    cache.fetching.store(false, Ordering::Release);
    cache.fetched.send_replace(Some(result));
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
    loop {
        match poll_fn(|cx| exchange.poll_head(cx, &mut Empty)).await {
            Ok(()) => break,
            Err(failure) if std::mem::replace(&mut retried, true) => {
                return Err(failure.into_error());
            }
            Err(failure) => {
                let request = failure.repeatable()?;
                worker.metrics.upstream.retries.inc();
                match request {
                    Unsent::Http1(bytes) => exchange.resend(worker.pool.open().await?, bytes),
                    Unsent::Http2(request) => {
                        exchange = AnyExchange::H2(Box::new(worker.h2.send(*request).await?));
                    }
                }
            }
        }
    }
    let head = exchange.head();
    let text = |name| {
        head.field(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let mut entry = Entry {
        fetched: Instant::now(),
        status: head.status(),
        content_type: text(FieldName::ContentType).unwrap_or_else(|| "application/json".to_owned()),
        retry_after: text(FieldName::RetryAfter),
        body: Vec::new(),
    };
    if matches!(entry.status, 401 | 403) {
        return Err(ProxyError::UpstreamInvalidApiKey);
    }
    entry.body = relay::collect(&mut exchange, MAX_BYTES).await?;
    exchange.finish(worker, Instant::now());
    Ok(entry)
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
