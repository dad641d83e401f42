//! Whether upstream takes a key: the last steps of `check`.

use std::path::Path;

use http_body_util::Empty;
use humantime::format_duration;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;

use super::Outcome;
use super::steps::{Stream, Way};
use crate::config::{Dialects, Secret, Upstream, UpstreamProtocol};
use crate::forward::USER_AGENT;
use crate::upstream::keys;

/// Where a key is.
pub(super) enum Source<'a> {
    /// In a file.
    File(&'a Path),
    /// Here.
    Given(&'a Secret),
    /// Nowhere.
    None,
}

/// All keys of an upstream, those of several by name.
pub(super) fn sources(upstream: &Upstream) -> Vec<(&str, Source<'_>)> {
    let pool = upstream.api_keys.iter();
    let pool: Vec<_> = pool
        .map(|key| (key.name.as_str(), Source::File(&key.file)))
        .collect();
    if !pool.is_empty() {
        return pool;
    }
    let only = match (&upstream.api_key_file, &upstream.api_key) {
        (Some(file), _) => Source::File(file),
        (None, Some(key)) => Source::Given(key),
        (None, None) => Source::None,
    };
    vec![("", only)]
}

/// Asks upstream something that costs nothing.
pub(super) async fn accepts(way: &Way<'_>, source: &Source<'_>, stream: Stream) -> Outcome {
    let is_first = way.path == "upstream";
    let read;
    let key = match source {
        Source::File(path) => match keys::read_file(path) {
            Ok(key) => {
                read = key;
                &read
            }
            Err(error) => {
                let remedy = match is_first && way.upstream.api_keys.is_empty() {
                    true => "mount the Secret, or correct --api-key-file".to_owned(),
                    false => format!("mount the Secret, or correct the file in {}", way.path),
                };
                return Outcome::Fail(error.to_string(), remedy);
            }
        },
        Source::Given(key) => *key,
        Source::None if !way.config.auth.injects_key() => {
            return Outcome::Pass("none needed: clients bring their own".to_owned());
        }
        Source::None => {
            let remedy = match is_first {
                true => "set HOLYSHEEP_API_KEY_FILE or HOLYSHEEP_API_KEY".to_owned(),
                false => format!("set {0}.api_key_file or {0}.api_keys", way.path),
            };
            return Outcome::Fail("there is none".to_owned(), remedy);
        }
    };
    let limit = way.limit(way.config.timeouts.first_byte);
    match timeout(limit, ask_for_models(way.upstream, key, stream)).await {
        Ok(answer) => judge(way, answer),
        Err(_) => Outcome::Fail(
            format!(
                "no answer to GET /v1/models within {}: requests end with upstream_first_byte_timeout",
                format_duration(limit)
            ),
            "the way is good, but upstream is slow or overloaded: see its status. For models that think long raise timeouts.first_byte, or let clients stream"
                .to_owned(),
        ),
    }
}

/// What an answer says of a key.
fn judge(way: &Way<'_>, answer: Result<u16, String>) -> Outcome {
    let fail = |fact: String, remedy: &str| Outcome::Fail(fact, remedy.to_owned());
    match answer {
        Ok(200) => Outcome::Pass("accepted (GET /v1/models: 200)".to_owned()),
        Ok(status @ (401 | 403)) => {
            let console = match way.path.as_str() {
                "upstream" => "in the HolySheep console",
                _ => "where it was made",
            };
            Outcome::Fail(
                format!(
                    "refused (GET /v1/models: {status}): requests end with upstream_invalid_api_key"
                ),
                format!("renew the key {console} and put it into the Secret"),
            )
        }
        Ok(402) => fail(
            "refused (GET /v1/models: 402)".to_owned(),
            "its account has no credit left: add some, or another key",
        ),
        Ok(429) => Outcome::Warn(
            "its limit is reached (GET /v1/models: 429)".to_owned(),
            "try again later; if it stays so, ask for a higher limit, or add another key"
                .to_owned(),
        ),
        Ok(status @ 500..) => fail(
            format!("upstream is in trouble (GET /v1/models: {status})"),
            "see its status, and try again; with `upstreams` and `models` another one takes over meanwhile",
        ),
        Ok(status) => Outcome::Fail(
            format!("GET /v1/models: {status}"),
            format!(
                "check the path of {}.base_url; it usually ends in /v1",
                way.path
            ),
        ),
        Err(reason) => fail(reason, "try again; upstream closed or broke off"),
    }
}

async fn ask_for_models(upstream: &Upstream, key: &Secret, stream: Stream) -> Result<u16, String> {
    let url = &upstream.base_url;
    let is_anthropic = upstream.dialect == Dialects::Anthropic;
    let (field, scheme) = match is_anthropic {
        true => (http::HeaderName::from_static("x-api-key"), &b""[..]),
        false => (http::header::AUTHORIZATION, &b"Bearer "[..]),
    };
    let value = zeroize::Zeroizing::new([scheme, key.expose()].concat());
    let mut value =
        http::HeaderValue::from_bytes(&value).map_err(|_| "the key cannot be sent".to_owned())?;
    value.set_sensitive(true);
    let speaks_h2 = upstream.protocol == UpstreamProtocol::Http2;
    let request = http::Request::get(if speaks_h2 {
        let scheme = if url.tls() { "https" } else { "http" };
        format!("{scheme}://{}{}/v1/models", url.authority(), url.prefix())
    } else {
        format!("{}/v1/models", url.prefix())
    });
    let request = if speaks_h2 {
        request
    } else {
        request.header(http::header::HOST, url.authority())
    };
    let request = match is_anthropic {
        // Its API refuses requests without.
        true => request.header("anthropic-version", "2023-06-01"),
        false => request,
    };
    let request = request
        .header(field, value)
        .header(http::header::USER_AGENT, USER_AGENT)
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let io = TokioIo::new(stream);
    if speaks_h2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io)
            .await
            .map_err(|error| error.to_string())?;
        answer(sender.send_request(request), connection).await
    } else {
        let (mut sender, connection) = http1::handshake(io)
            .await
            .map_err(|error| error.to_string())?;
        answer(sender.send_request(request), connection).await
    }
}

/// The status of a response, while its connection is driven.
async fn answer(
    response: impl Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> Result<u16, String> {
    let status = |response: http::Response<_>| response.status().as_u16();
    let mut response = std::pin::pin!(response);
    let ended = tokio::select! {
        response = &mut response => {
            return response.map(status).map_err(|error| error.to_string());
        }
        ended = connection => ended,
    };
    // It may have ended with the answer, and not well.
    match (response.await, ended) {
        (Ok(response), _) => Ok(status(response)),
        (Err(_), Ok(())) => Err("the connection was closed".to_owned()),
        (Err(_), Err(error)) => Err(error.to_string()),
    }
}
