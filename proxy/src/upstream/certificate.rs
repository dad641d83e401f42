//! When certificates end: what the proxy shows of its own, and of upstream's.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;

/// No certificate ends then: the value for "not known".
const UNKNOWN: i64 = i64::MIN;

/// The end of a certificate, in seconds of Unix time, once it is known.
#[derive(Debug)]
pub struct Expiry(AtomicI64);

impl Default for Expiry {
    fn default() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }
}

impl Expiry {
    /// What is known.
    pub fn get(&self) -> Option<i64> {
        let end = self.0.load(Relaxed);
        (end != UNKNOWN).then_some(end)
    }

    /// Notes what the peer has presented. A resumed session presents nothing, and costs nothing here.
    pub(super) fn note_peer(&self, session: &rustls::ClientConnection) {
        if session.handshake_kind() == Some(HandshakeKind::Resumed) {
            return;
        }
        self.note(session.peer_certificates().unwrap_or_default());
    }

    /// Notes the end of a chain's first certificate.
    pub fn note(&self, chain: &[CertificateDer<'_>]) {
        let end = chain.first().and_then(|leaf| not_after(leaf));
        self.0.store(end.unwrap_or(UNKNOWN), Relaxed);
    }
}

/// Until when a certificate in DER is valid, in seconds of Unix time; nothing if it cannot be read.
pub fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}
