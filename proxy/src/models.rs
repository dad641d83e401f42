//! `GET /v1/models` from memory.
//!
//! The list is the same for everybody the proxy's key speaks for, changes
//! rarely, and SDKs ask for it often. One entry for the whole process: fresh
//! for its time to live, then still served while a newer one is fetched in the
//! background, by one request however many ask. Only who asks before there is
//! any waits.

mod entry;
mod fetch;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::account::RequestRecord;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::forward::Outbound;
use crate::http1::Framing;
use crate::pipeline::{Inbound, Target};
use crate::worker::Worker;
use entry::Entry;
use fetch::{Turn, fetch};

/// Pauses between fetches in the background while they fail: the first, and
/// the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// What a fetch brought.
type Fetched = Result<Arc<Entry>, ProxyError>;

/// The cache, shared by all workers.
#[derive(Debug)]
pub struct ModelsCache {
    made: Instant,
    list: ArcSwapOption<Entry>,
    fetching: AtomicBool,
    /// Fetches that failed since the last that did not.
    failures: AtomicU32,
    /// No fetch in the background before this; milliseconds since `made`.
    not_before: AtomicU64,
    /// Changes with every finished fetch.
    fetched: watch::Sender<Option<Fetched>>,
}

impl Default for ModelsCache {
    fn default() -> Self {
        Self {
            made: Instant::now(),
            list: ArcSwapOption::empty(),
            fetching: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            not_before: AtomicU64::new(0),
            fetched: watch::Sender::new(None),
        }
    }
}

/// Whether a request may be answered from the cache: the plain list, asked for
/// with the proxy's own key.
pub fn is_cacheable(worker: &Worker, inbound: &Inbound<'_>, target: &Target<'_>) -> bool {
    worker.config.auth.injects_key()
        && !worker.live().models_ttl.is_zero()
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
    let ttl = worker.live().models_ttl;
    if let Some(list) = cache.list.load_full() {
        if list.age(record.started) >= ttl
            && let Some(turn) = cache.refresh(record.started, ttl)
        {
            tokio::task::spawn_local(fetch(Rc::clone(worker), outbound, turn, true));
        }
        return list.send(worker, client, record, ttl).await;
    }
    let mut finished = cache.fetched.subscribe();
    if let Some(turn) = cache.take_turn() {
        match cache.list.load_full() {
            // Another fetch has ended between the look and the turn.
            Some(list) => turn.end_with(Ok(list)),
            None => {
                record.attempts = 1;
                record.sent_upstream = Some(Instant::now());
                // A task of its own: others wait for it too, should this client leave.
                tokio::task::spawn_local(fetch(Rc::clone(worker), outbound, turn, false));
            }
        }
    }
    let limit = worker.live().timeouts.connect + worker.live().timeouts.first_byte;
    let waited = tokio::time::timeout(limit, finished.changed()).await;
    record.header = record.sent_upstream.map(|sent| sent.elapsed());
    let last = match waited {
        Ok(_) => finished.borrow().clone(),
        Err(_) => Some(Err(ProxyError::UpstreamFirstByteTimeout(limit))),
    };
    let entry = match (cache.list.load_full(), last) {
        (Some(list), _) => list,
        (None, Some(fetched)) => fetched?,
        (None, None) => return Err(ProxyError::UpstreamClosed),
    };
    entry.send(worker, client, record, ttl).await
}

impl ModelsCache {
    /// Another upstream may have another list.
    pub fn forget(&self) {
        self.list.store(None);
    }

    /// The right to fetch, unless somebody has it.
    fn take_turn(self: &Arc<Self>) -> Option<Turn> {
        let taken = self.fetching.swap(true, Ordering::AcqRel);
        (!taken).then(|| Turn::new(Arc::clone(self)))
    }

    /// The right to replace a list older than `ttl`, unless somebody has it or
    /// the last attempt failed a moment ago.
    fn refresh(self: &Arc<Self>, now: Instant, ttl: Duration) -> Option<Turn> {
        if self.millis(now) < self.not_before.load(Ordering::Relaxed) {
            return None;
        }
        let turn = self.take_turn()?;
        match self.list.load_full() {
            // Somebody has replaced it between the look and the turn.
            Some(list) if list.age(now) < ttl => {
                turn.end_with(Ok(list));
                None
            }
            _ => Some(turn),
        }
    }

    /// Ends a turn. In this order: whoever sees the flag cleared also sees the list.
    fn finish(&self, result: Fetched) {
        match &result {
            Ok(entry) if entry.is_list() => {
                self.list.store(Some(Arc::clone(entry)));
                self.failures.store(0, Ordering::Relaxed);
                self.not_before.store(0, Ordering::Relaxed);
            }
            _ => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
                let pause = (FIRST_PAUSE * (1 << failures)).min(MAX_PAUSE);
                let end = self.millis(Instant::now() + pause);
                self.not_before.store(end, Ordering::Relaxed);
            }
        }
        self.fetching.store(false, Ordering::Release);
        self.fetched.send_replace(Some(result));
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.made);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
