//! A little of everything that can happen to a proxy, round by round.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use super::client;

/// Where probes of the node come from; the proxy is told to steer this one.
pub(super) const NODE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Where most of it goes.
pub(super) const CHAT_PATH: &str = "/v1/chat/completions";

const CHAT: &str = r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"Hello"}]}"#;
const STREAM: &str = r#"{"model":"gpt-4.1","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hello"}]}"#;
const MESSAGES: &str = r#"{"model":"claude-sonnet-4.5","max_tokens":16,"messages":[{"role":"user","content":"Hello"}]}"#;
const EMBEDDINGS: &str = r#"{"model":"text-embedding-3-small","input":"Hello"}"#;

/// What the emulator is asked to do wrong: its own errors, a refused key, a stream that breaks before its first token and one
/// that breaks after it, bytes that are not HTTP.
const FAULTS: [&str; 6] = [
    "503",
    "429",
    "status;code=401",
    "cut;after=100",
    "cut;after=1500",
    "malformed;kind=status-line",
];

/// The addresses of a proxy.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) data: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) probe: SocketAddr,
}

/// Some good requests of each kind, one after the other; what becomes of them Prometheus is asked.
pub(super) fn round(ports: Ports) {
    let send = |request: String| {
        // A proxy that does not answer is seen in its metrics.
        let _ = client::exchange(ports.data, &request);
    };
    for body in [CHAT, STREAM] {
        send(post("/v1/chat/completions", body, None));
    }
    send(post("/v1/messages", MESSAGES, None));
    send(post("/v1/embeddings", EMBEDDINGS, None));
    for path in ["/v1/models", "/health", "/nowhere"] {
        send(get(path));
    }
}

/// What a client sends with its key: to the one path it may use, and to another.
pub(super) fn as_client(ports: Ports, key: &str) {
    for (path, body) in [(CHAT_PATH, CHAT), ("/v1/embeddings", EMBEDDINGS)] {
        let field = format!("host: proxy\r\nx-api-key: {key}\r\n");
        let request = post(path, body, None).replacen("host: proxy\r\n", &field, 1);
        // As above.
        let _ = client::exchange(ports.data, &request);
    }
}

/// What goes wrong, upstream or with clients. Most of it ends a connection to upstream, and figures of `TCP_INFO` need connections
/// that last a second or more, so this belongs to few rounds.
pub(super) fn trouble(ports: Ports) {
    for fault in FAULTS {
        let request = post("/v1/chat/completions", STREAM, Some(fault));
        let _ = client::exchange(ports.data, &request);
    }
    let slow = post(
        "/v1/chat/completions",
        CHAT,
        Some("stall-before-headers;ms=2000"),
    );
    let _ = client::leave(ports.data, &slow);
}

/// More at once than a small proxy takes.
pub(super) fn crowd(ports: Ports) {
    let request = post(
        "/v1/chat/completions",
        CHAT,
        Some("stall-before-headers;ms=200"),
    );
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let _ = client::exchange(ports.data, &request);
            });
        }
    });
}

/// What the kubelet asks, on the port for probes and, from the node's address, on that for users.
pub(super) fn probe(ports: Ports) {
    for path in ["/health", "/readyz"] {
        let _ = client::exchange(ports.probe, &get(path));
        if let SocketAddr::V4(data) = ports.data {
            let _ = client::exchange_from(NODE, data, &get(path));
        }
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\n\r\n")
}

fn post(path: &str, body: &str, fault: Option<&str>) -> String {
    let length = body.len();
    let fault = fault.map(|fault| format!("x-emulator-fault: {fault}\r\n"));
    format!(
        "POST {path} HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{}\r\n{body}",
        fault.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole() {
        let request = post("/v1/embeddings", "{}", Some("503"));
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.ends_with("content-length: 2\r\nx-emulator-fault: 503"),
            "{head}"
        );
        assert_eq!(body, "{}");
    }
}
