//! The books in tokens: what each billed request was for, and how much of its answer was made.
//!
//! `exchange.rs` opens an entry when a request is billed, `body.rs` counts the tokens of the answer as they are made: those
//! of a stream one by one, so that a client that leaves pays for what there was until then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;

/// One billed request. A request that names no model, or whose tokens the emulator does not count, is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billed {
    /// Its `x-request-id`.
    pub id: Option<String>,
    /// The model it named.
    pub model: String,
    /// Tokens of its prompt.
    pub input: u64,
    /// Tokens of its answer that were made.
    pub output: u64,
}

/// What an answer is to be billed for once it is whole.
pub(crate) struct Use {
    pub(crate) model: String,
    pub(crate) input: u64,
    pub(crate) output: u64,
}

/// Counts the tokens of one answer.
pub(crate) struct Meter {
    output: u64,
    made: Arc<AtomicU64>,
}

impl Meter {
    /// So many have been made by now, or all there are.
    pub(crate) fn set(&self, made: u64) {
        self.made.store(made.min(self.output), Ordering::Relaxed);
    }
}

struct Entry {
    id: Option<String>,
    model: String,
    input: u64,
    made: Arc<AtomicU64>,
}

/// The last billed requests, as many as requests are recorded.
pub(crate) struct Ledger {
    capacity: usize,
    entries: Mutex<VecDeque<Entry>>,
}

impl Ledger {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: Mutex::default(),
        }
    }

    /// Opens an entry; none of its answer has been made.
    pub(crate) fn open(&self, headers: &HeaderMap, used: &Use) -> Option<Meter> {
        if self.capacity == 0 {
            return None;
        }
        let id = headers.get("x-request-id");
        let made = Arc::<AtomicU64>::default();
        let entry = Entry {
            id: id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
            model: used.model.clone(),
            input: used.input,
            made: Arc::clone(&made),
        };
        let mut entries = self.lock();
        if entries.len() == self.capacity {
            entries.pop_front();
        }
        entries.push_back(entry);
        Some(Meter {
            output: used.output,
            made,
        })
    }

    pub(crate) fn all(&self) -> Vec<Billed> {
        let entries = self.lock();
        let billed = entries.iter().map(|entry| Billed {
            id: entry.id.clone(),
            model: entry.model.clone(),
            input: entry.input,
            output: entry.made.load(Ordering::Relaxed),
        });
        billed.collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
