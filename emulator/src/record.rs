//! The last requests as they arrived, so that a test can assert exactly what a proxy sent.
//!
//! `exchange.rs` notes the head when it is read and completes the entry with the body.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Version};

/// A request as received. Field names are lower case, as hyper hands them over; values, their order
/// and repetitions are as sent.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// Counts from 0 in order of arrival.
    pub sequence: u64,
    /// Number of the connection it came on, from 0; equal numbers mean a reused connection.
    pub connection: u64,
    /// When the head was read, nanoseconds since the Unix epoch.
    pub received_unix_ns: u64,
    /// The server name of the TLS handshake (SNI), if there was one.
    pub server_name: Option<String>,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// Path and query as on the wire.
    pub path_and_query: String,
    /// All header fields.
    pub headers: HeaderMap,
    /// Trailer fields, if any came.
    pub trailers: Option<HeaderMap>,
    /// Whether the body was read to its end.
    pub complete: bool,
    /// Bytes of the body received.
    pub body_length: u64,
    /// [`body_hash`] of the whole body, also of the part that `body` lacks.
    pub body_hash: u64,
    /// The body up to the recording limit.
    pub body: Bytes,
}

impl RecordedRequest {
    /// The field's value if there is exactly one and it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// Whether the field was sent at all.
    pub fn has_header(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// As JSON, for `GET /emulator/requests`; the body as text, with what is not UTF-8 replaced.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let fields = |map: &HeaderMap| -> Vec<[String; 2]> {
            let text = |v: &http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
            map.iter().map(|(n, v)| [n.to_string(), text(v)]).collect()
        };
        serde_json::json!({
            "sequence": self.sequence,
            "connection": self.connection,
            "received_unix_ns": self.received_unix_ns,
            "server_name": self.server_name,
            "version": format!("{:?}", self.version),
            "method": self.method.as_str(),
            "path_and_query": self.path_and_query,
            "headers": fields(&self.headers),
            "trailers": self.trailers.as_ref().map(fields),
            "complete": self.complete,
            "body_length": self.body_length,
            "body_hash": format!("{:016x}", self.body_hash),
            "body": String::from_utf8_lossy(&self.body),
        })
    }
}

/// What an emulator has noted of requests, for those who want to know after it has ended.
#[derive(Clone)]
pub struct Books {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) billed_ids: Arc<BilledIds>,
}

impl Books {
    /// As [`Emulator::requests`](crate::Emulator::requests).
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.recorder.all()
    }

    /// As [`Emulator::billed_ids`](crate::Emulator::billed_ids).
    pub fn billed_ids(&self) -> Vec<String> {
        self.billed_ids.all()
    }
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}

/// 64-bit FNV-1a: short enough to be repeated in any client that wants to compare.
pub fn body_hash(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Keeps the last `capacity` requests; with capacity 0 it does nothing, for benchmarks.
pub(crate) struct Recorder {
    capacity: usize,
    body_limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    next: u64,
    requests: VecDeque<RecordedRequest>,
}

impl Recorder {
    pub(crate) fn new(capacity: usize, body_limit: usize) -> Self {
        Self {
            capacity,
            body_limit,
            kept: Mutex::default(),
        }
    }

    /// Notes a head. `make` gets the sequence number and is only called when something is kept.
    pub(crate) fn head(&self, make: impl FnOnce(u64) -> RecordedRequest) -> Option<u64> {
        if self.capacity == 0 {
            return None;
        }
        let mut kept = self.lock();
        let sequence = kept.next;
        kept.next += 1;
        if kept.requests.len() == self.capacity {
            kept.requests.pop_front();
        }
        kept.requests.push_back(make(sequence));
        Some(sequence)
    }

    /// Completes an entry with its body, unless newer requests have displaced it.
    pub(crate) fn body(&self, sequence: u64, body: &Bytes, trailers: Option<HeaderMap>) {
        let hash = body_hash(body);
        let mut kept = self.lock();
        let mut newest_first = kept.requests.iter_mut().rev();
        if let Some(entry) = newest_first.find(|entry| entry.sequence == sequence) {
            entry.complete = true;
            entry.body_length = body.len() as u64;
            entry.body_hash = hash;
            // A copy, because a slice would keep the whole of a large body alive.
            entry.body = Bytes::copy_from_slice(&body[..body.len().min(self.body_limit)]);
            entry.trailers = trailers;
        }
    }

    pub(crate) fn all(&self) -> Vec<RecordedRequest> {
        self.lock().requests.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().requests.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ids of the last billed requests, as many as requests are recorded.
pub(crate) struct BilledIds {
    capacity: usize,
    ids: Mutex<VecDeque<String>>,
}

impl BilledIds {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ids: Mutex::default(),
        }
    }

    /// Notes the request's id; a request without one leaves nothing to compare.
    pub(crate) fn note(&self, headers: &HeaderMap) {
        let id = headers.get("x-request-id").filter(|_| self.capacity > 0);
        let Some(id) = id else {
            return;
        };
        let id = String::from_utf8_lossy(id.as_bytes()).into_owned();
        let mut ids = self.lock();
        if ids.len() == self.capacity {
            ids.pop_front();
        }
        ids.push_back(id);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_fnv_1a() {
        assert_eq!(body_hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(body_hash(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
