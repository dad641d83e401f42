//! From an accepted socket to a transport with a known protocol.
//!
//! `server/connection.rs` calls [`accept`] once per connection. Certificate faults act here by choice
//! of the TLS configuration.

use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use rustls::{HandshakeKind, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::fault::{Fault, Stage};
use crate::server::Shared;
use crate::tls::{Authority, CertificateKind, TlsError};

/// One TLS configuration per certificate kind, made at the start.
pub(crate) struct TlsConfigs {
    valid: Arc<ServerConfig>,
    expired: Arc<ServerConfig>,
    wrong_name: Arc<ServerConfig>,
}

pub(crate) enum Handshake {
    Plain {
        stream: TcpStream,
        http2: bool,
    },
    Tls {
        stream: Box<TlsStream<TcpStream>>,
        server_name: Option<String>,
        http2: bool,
    },
}

impl TlsConfigs {
    pub(crate) fn new(authority: &Authority, names: &[&str]) -> Result<Self, TlsError> {
        let config = |kind| authority.server_config(names, kind);
        Ok(Self {
            valid: config(CertificateKind::Valid)?,
            expired: config(CertificateKind::Expired)?,
            wrong_name: config(CertificateKind::WrongName)?,
        })
    }
}

/// Accepts TLS, if configured, and finds out the protocol. `None` when the peer went away or the
/// handshake failed; that is counted here.
pub(crate) async fn accept(shared: &Shared, stream: TcpStream) -> Option<Handshake> {
    let Some(configs) = &shared.tls else {
        let http2 = speaks_http2(&stream).await?;
        return Some(Handshake::Plain { stream, http2 });
    };
    // Nothing arrives on a connection that was opened ahead of need and never used: no handshake
    // has failed then.
    if stream.peek(&mut [0]).await.ok()? == 0 {
        return None;
    }
    let accepted = accept_tls(shared, configs, stream).await;
    if accepted.is_none() {
        shared.counters.tls_handshakes_failed.add(1);
    }
    accepted
}

async fn accept_tls(shared: &Shared, configs: &TlsConfigs, stream: TcpStream) -> Option<Handshake> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = start.await.ok()?;
    let server_name = start.client_hello().server_name().map(str::to_owned);
    let config = match shared.faults.take(Stage::Handshake) {
        Some(Fault::ExpiredCertificate) => &configs.expired,
        Some(Fault::WrongNameCertificate) => &configs.wrong_name,
        Some(Fault::StallHandshake { pause }) => {
            stall(&start.io, pause).await?;
            &configs.valid
        }
        _ => &configs.valid,
    };
    let stream = start.into_stream(Arc::clone(config)).await.ok()?;
    let session = stream.get_ref().1;
    match session.handshake_kind() {
        Some(HandshakeKind::Resumed) => shared.counters.tls_handshakes_resumed.add(1),
        _ => shared.counters.tls_handshakes_full.add(1),
    }
    let http2 = session.alpn_protocol() == Some(b"h2");
    Some(Handshake::Tls {
        stream: Box::new(stream),
        server_name,
        http2,
    })
}

/// Waits for the pause, or for ever, but ends with `None` when the peer closes or sends an alert;
/// it has nothing else to say before the server's answer.
async fn stall(stream: &TcpStream, pause: Option<Duration>) -> Option<()> {
    let mut byte = [0];
    let gone = stream.peek(&mut byte);
    match pause {
        Some(pause) => tokio::time::timeout(pause, gone).await.err().map(drop),
        None => {
            let _ended = gone.await;
            None
        }
    }
}

/// Whether a plain connection begins with the h2 preface (RFC 9113 section 3.4); no HTTP/1.1 method
/// begins so. `None` when it ends before it begins.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut first = [0; 3];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(&first == b"PRI"),
    }
}
