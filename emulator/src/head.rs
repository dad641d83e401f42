//! The header fields of answers, as a relay of this kind sends them.
//!
//! `exchange.rs` asks for them once per answer. Without timestamps every value is constant, so that
//! benchmarks compare answers of equal bytes.

use std::time::Instant;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::api::answer::Answer;
use crate::exchange::unix_ns;
use crate::fault::RetryHints;
use crate::server::Shared;

/// When the head was made, nanoseconds since the Unix epoch.
pub(crate) const SENT_FIELD: HeaderName = HeaderName::from_static("x-emulator-sent-unix-ns");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");

/// Limits nobody reaches: the emulator limits nothing unless a fault says so.
const LIMITS: [(HeaderName, HeaderValue); 6] = [
    limit("x-ratelimit-limit-requests", "10000"),
    limit("x-ratelimit-limit-tokens", "10000000"),
    limit("x-ratelimit-remaining-requests", "9999"),
    limit("x-ratelimit-remaining-tokens", "9999999"),
    limit("x-ratelimit-reset-requests", "6ms"),
    limit("x-ratelimit-reset-tokens", "0s"),
];

const fn limit(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}

pub(crate) fn fields(shared: &Shared, answer: &Answer, begun: Instant) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(16);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if answer.is_stream() {
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    let RetryHints {
        after,
        after_ms,
        should_retry,
    } = answer.hints;
    if let Some(seconds) = after {
        fields.insert(RETRY_AFTER, seconds.into());
    }
    if let Some(ms) = after_ms {
        fields.insert(RETRY_AFTER_MS, ms.into());
    }
    if let Some(retry) = should_retry {
        let value = if retry { "true" } else { "false" };
        fields.insert(SHOULD_RETRY, HeaderValue::from_static(value));
    }
    fields.extend(LIMITS);
    if shared.timestamps {
        let elapsed = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        fields.insert(PROCESSING_MS, elapsed.into());
        fields.insert(SENT_FIELD, unix_ns().into());
        fields.insert(REQUEST_ID, request_id(shared));
    } else {
        fields.insert(PROCESSING_MS, HeaderValue::from_static("0"));
        fields.insert(REQUEST_ID, HeaderValue::from_static("req_emulator"));
    }
    fields
}

fn request_id(shared: &Shared) -> HeaderValue {
    let id = format!("req_emulator_{}", shared.request_numbers.next());
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("req_emulator"))
}

/// Adds so many bytes of field values, in fields of 8,000 bytes: below what one field may have in most
/// implementations, so that it is the sum that offends.
pub(crate) fn pad(fields: &mut HeaderMap, bytes: u64) {
    static FILLER: [u8; 8000] = [b'x'; 8000];
    const NAME: HeaderName = HeaderName::from_static("x-emulator-padding");
    let mut left = usize::try_from(bytes.min(16 << 20)).unwrap_or_default();
    while left > 0 {
        let size = left.min(FILLER.len());
        if let Ok(value) = HeaderValue::from_bytes(&FILLER[..size]) {
            fields.append(NAME, value);
        }
        left -= size;
    }
}
