//! What the upstream has seen: connections, kinds of handshake, requests.

use std::collections::BTreeMap;

use rustls::{HandshakeKind, ServerConnection};
use serde::{Deserialize, Serialize};

/// Counters since the upstream started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// TCP connections accepted.
    pub(crate) connections: u64,
    /// Connections that ended in an error, including failed handshakes.
    pub(crate) failed_connections: u64,
    /// Requests read completely.
    pub(crate) requests: u64,
    /// Those of them that came by h2.
    pub(crate) multiplexed: u64,
    /// Completed handshakes by version, kind and cipher suite, and whether they chose h2.
    pub(crate) handshakes: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a completed handshake.
    pub(crate) fn handshake(&mut self, connection: &ServerConnection) {
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "other TLS",
        };
        let kind = match connection.handshake_kind() {
            Some(HandshakeKind::Full) => "full",
            Some(HandshakeKind::FullWithHelloRetryRequest) => "full with retry",
            Some(HandshakeKind::Resumed) => "resumed",
            None => "unknown",
        };
        let suite = connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown suite");
        let protocol = match connection.alpn_protocol() {
            Some(b"h2") => ", h2",
            _ => "",
        };
        *self
            .handshakes
            .entry(format!("{version} {kind} {suite}{protocol}"))
            .or_default() += 1;
    }

    /// What was added since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let handshakes = self
            .handshakes
            .iter()
            .map(|(kind, now)| {
                (
                    kind.clone(),
                    now - earlier.handshakes.get(kind).unwrap_or(&0),
                )
            })
            .filter(|(_, count)| *count > 0)
            .collect();
        Self {
            connections: self.connections - earlier.connections,
            failed_connections: self.failed_connections - earlier.failed_connections,
            requests: self.requests - earlier.requests,
            multiplexed: self.multiplexed - earlier.multiplexed,
            handshakes,
        }
    }

    /// Adds another tally to this one.
    pub(crate) fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.failed_connections += other.failed_connections;
        self.requests += other.requests;
        self.multiplexed += other.multiplexed;
        for (kind, count) in &other.handshakes {
            *self.handshakes.entry(kind.clone()).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_and_sum_are_inverse() {
        let earlier = Tally {
            connections: 1,
            requests: 5,
            handshakes: [("a".into(), 1)].into(),
            ..Tally::default()
        };
        let later = Tally {
            connections: 3,
            requests: 9,
            multiplexed: 2,
            handshakes: [("a".into(), 1), ("b".into(), 2)].into(),
            ..Tally::default()
        };
        let mut difference = later.since(&earlier);
        assert_eq!(difference.handshakes, [("b".to_owned(), 2)].into());
        difference.add(&earlier);
        assert_eq!(difference, later);
    }
}
