//! The fixed answers of the upstream, with headers like the real API's.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Response};

/// A chat completion of about one kilobyte.
pub(crate) const COMPLETION: &str = concat!(
    r#"{"id":"chatcmpl-CfKzq3pVnT8Yd1mRxW6aLbE2sHu0J","object":"chat.completion","created":1764000000,"#,
    r#""model":"gpt-4.1-2025-04-14","choices":[{"index":0,"message":{"role":"assistant","content":""#,
    "A reverse proxy keeps a small set of connections to the upstream open and hands them from ",
    "one request to the next. Opening a connection costs one round trip for TCP and one or two ",
    "more for TLS, and the handshake costs both sides CPU time as well; a reused connection costs ",
    "neither. What remains per request is reading it, deciding where it goes, writing it, and the ",
    "same again for the answer.",
    r#"","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"#,
    r#""usage":{"prompt_tokens":187,"completion_tokens":86,"total_tokens":273,"#,
    r#""prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"#,
    r#""completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"#,
    r#""accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"#,
    r#""service_tier":"default","system_fingerprint":"fp_51e1070cf2"}"#,
);

/// Length of the completion's body, in bytes; what a client must receive.
pub(crate) const COMPLETION_LENGTH: u64 = COMPLETION.len() as u64;

/// Ready-made answers; only the date in them changes, once a second.
pub(crate) struct Answers {
    keep_alive: RefCell<Bytes>,
    close: RefCell<Bytes>,
    multiplexed: RefCell<Response<()>>,
    made: Cell<Instant>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            keep_alive: RefCell::new(completion("keep-alive")),
            close: RefCell::new(completion("close")),
            multiplexed: RefCell::new(multiplexed()),
            made: Cell::new(Instant::now()),
        }
    }
}

impl Answers {
    /// Head and body of the completion, to be sent in a single write.
    pub(crate) fn completion(&self, close: bool) -> Bytes {
        self.renew();
        if close {
            self.close.borrow().clone()
        } else {
            self.keep_alive.borrow().clone()
        }
    }

    /// The same for h2: fields and body.
    pub(super) fn multiplexed(&self) -> (Response<()>, Bytes) {
        self.renew();
        let body = Bytes::from_static(COMPLETION.as_bytes());
        (self.multiplexed.borrow().clone(), body)
    }

    fn renew(&self) {
        if self.made.get().elapsed() >= Duration::from_secs(1) {
            self.keep_alive.replace(completion("keep-alive"));
            self.close.replace(completion("close"));
            self.multiplexed.replace(multiplexed());
            self.made.set(Instant::now());
        }
    }
}

fn completion(connection: &str) -> Bytes {
    let mut text = head("application/json", connection);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "content-length: {COMPLETION_LENGTH}\r\n\r\n{COMPLETION}"
    );
    Bytes::from(text)
}

/// The fields of the completion without those that HTTP/1.1 alone has.
fn multiplexed() -> Response<()> {
    let mut response = Response::new(());
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(COMPLETION_LENGTH));
    for line in head("application/json", "keep-alive").lines().skip(1) {
        let field = line
            .split_once(": ")
            .filter(|(name, _)| *name != "connection");
        let field = field.map(|(name, value)| (name.parse(), HeaderValue::from_str(value)));
        if let Some((Ok(name), Ok(value))) = field {
            let name: HeaderName = name;
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Status line and the headers both kinds of answer share, without the empty line.
pub(super) fn head(content_type: &str, connection: &str) -> String {
    let date = httpdate::fmt_http_date(SystemTime::now());
    format!(
        "HTTP/1.1 200 OK\r\n\
         date: {date}\r\n\
         server: upstream\r\n\
         content-type: {content_type}\r\n\
         connection: {connection}\r\n\
         x-request-id: req_5b1f0c9e7a3d4e62b8d0f4a1c6e93b57\r\n\
         openai-processing-ms: 412\r\n\
         openai-version: 2020-10-01\r\n\
         x-ratelimit-limit-requests: 10000\r\n\
         x-ratelimit-limit-tokens: 2000000\r\n\
         x-ratelimit-remaining-requests: 9999\r\n\
         x-ratelimit-remaining-tokens: 1999727\r\n\
         x-ratelimit-reset-requests: 6ms\r\n\
         x-ratelimit-reset-tokens: 8ms\r\n\
         strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n\
         x-content-type-options: nosniff\r\n"
    )
}

#[cfg(test)]
mod tests;
