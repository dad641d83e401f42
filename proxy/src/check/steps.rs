//! The steps of `check`, each on the result of the one before, for each upstream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Line, Outcome, clients, ebpf, key, webhook};
use crate::config::{Config, Upstream, UpstreamProtocol};
use crate::upstream::tls::{self, HandshakeFailure};
use crate::upstream::{certificate, dns};

/// For each step.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// Warn when a certificate has fewer days left.
const FEW_DAYS: i64 = 14;

pub(super) type Stream = Box<dyn ReadWrite>;
pub(super) trait ReadWrite:
    tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send
{
}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> ReadWrite for T {}

/// The way to one upstream.
pub(super) struct Way<'a> {
    pub(super) config: &'a Config,
    pub(super) upstream: &'a Upstream,
    /// Where its settings are in the file.
    pub(super) path: String,
}

/// Takes all steps.
pub(super) async fn all(config: &Config) -> Vec<Line> {
    let first = (&config.upstream, "upstream".to_owned());
    let others = config.upstreams.iter().enumerate();
    let others = others.map(|(index, other)| (other, format!("upstreams[{index}]")));
    let mut lines = Vec::new();
    for (upstream, path) in std::iter::once(first).chain(others) {
        let way = Way {
            config,
            upstream,
            path,
        };
        way.take(&mut lines).await;
    }
    lines.extend(webhook::possible(config).await);
    lines.extend(clients::readable(config));
    lines.extend(ebpf::possible(config));
    lines
}

pub(super) fn fail<T>(reason: impl Into<String>, remedy: &str) -> (Outcome, Option<T>) {
    (Outcome::Fail(reason.into(), remedy.to_owned()), None)
}

impl Way<'_> {
    async fn take(&self, lines: &mut Vec<Line>) {
        let mut add = |name, of: &str, result| {
            lines.push(Line {
                name,
                of: of.to_owned(),
                result,
            });
        };
        // Of one alone there is no need to say which.
        let is_alone = self.config.upstreams.is_empty();
        let whose = if is_alone { "" } else { &self.upstream.name };
        let (result, addresses) = self.resolve().await;
        add("resolve", whose, result);
        let (result, stream) = match &addresses {
            Some(addresses) => self.connect(addresses).await,
            None => (Outcome::Skipped, None),
        };
        add("connect", whose, result);
        let (result, mut stream) = match stream {
            Some(stream) => self.encrypt(stream).await,
            None => (Outcome::Skipped, None),
        };
        add("tls", whose, result);
        let addresses = addresses.filter(|_| stream.is_some());
        for (name, source) in key::sources(self.upstream) {
            let of = match (whose, name) {
                ("", name) => name.to_owned(),
                (whose, "") => whose.to_owned(),
                (whose, name) => format!("{whose}, {name}"),
            };
            let result = match (stream.take(), &addresses) {
                (Some(stream), _) => key::accepts(self, &source, stream).await,
                // Each key on a connection of its own.
                (None, Some(addresses)) => match self.again(addresses).await {
                    Ok(stream) => key::accepts(self, &source, stream).await,
                    Err(outcome) => outcome,
                },
                (None, None) => Outcome::Skipped,
            };
            add("key", &of, result);
        }
    }

    /// One more connection.
    async fn again(&self, addresses: &[SocketAddr]) -> Result<Stream, Outcome> {
        let (outcome, stream) = self.connect(addresses).await;
        let (outcome, stream) = match stream {
            Some(stream) => self.encrypt(stream).await,
            None => (outcome, None),
        };
        stream.ok_or(outcome)
    }

    async fn resolve(&self) -> (Outcome, Option<Arc<[SocketAddr]>>) {
        let url = &self.upstream.base_url;
        match timeout(LIMIT, dns::resolve_once(url, &self.config.dns)).await {
            Ok(Ok(addresses)) => {
                let shown: Vec<_> = addresses.iter().map(|a| a.ip().to_string()).collect();
                let fact = format!("{} is {}", url.host(), shown.join(", "));
                (Outcome::Pass(fact), Some(addresses))
            }
            Ok(Err(reason)) => fail(
                format!("{}: {reason}", url.host()),
                &format!(
                    "check the name in {}.base_url, and the pod's DNS (/etc/resolv.conf, NetworkPolicy to port 53)",
                    self.path
                ),
            ),
            Err(_) => fail(
                "no answer from the name server within 10 s",
                "check the pod's DNS: /etc/resolv.conf, NetworkPolicy to port 53 over UDP and TCP",
            ),
        }
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> (Outcome, Option<TcpStream>) {
        let mut last = String::new();
        for address in addresses {
            match timeout(LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return (Outcome::Pass(address.to_string()), Some(stream)),
                Ok(Err(error)) => last = format!("{address}: {error}"),
                Err(_) => last = format!("{address}: no answer within 10 s"),
            }
        }
        fail(
            last,
            &format!(
                "check egress: NetworkPolicy, firewall, NAT, and that the port in {}.base_url is right",
                self.path
            ),
        )
    }

    async fn encrypt(&self, stream: TcpStream) -> (Outcome, Option<Stream>) {
        let settings = match tls::client(self.upstream) {
            Ok(Some(settings)) => settings,
            Ok(None) => {
                let fact = "upstream is plain HTTP: the key travels unencrypted".to_owned();
                let remedy = "use an https:// base URL except on this machine".to_owned();
                return (Outcome::Warn(fact, remedy), Some(Box::new(stream)));
            }
            Err(error) => return fail(error.to_string(), "correct the setting named"),
        };
        let protocol = self.upstream.protocol;
        let requires_h2 = protocol == UpstreamProtocol::Http2;
        let connector = TlsConnector::from(Arc::clone(settings.of(protocol)));
        match timeout(LIMIT, connector.connect(settings.name, stream)).await {
            Ok(Ok(stream))
                if requires_h2 && stream.get_ref().1.alpn_protocol() != Some(tls::H2) =>
            {
                fail(
                    "upstream does not speak h2",
                    &format!("set {}.protocol to http1", self.path),
                )
            }
            Ok(Ok(stream)) => {
                let outcome = describe(stream.get_ref().1);
                (outcome, Some(Box::new(stream)))
            }
            Ok(Err(error)) => match tls::classify(&error) {
                HandshakeFailure::Expired => fail(
                    "the certificate has expired",
                    "check this machine's clock; if it is right, upstream has to renew its certificate",
                ),
                HandshakeFailure::Invalid(reason) => fail(
                    format!("the certificate is not valid: {reason}"),
                    &match self.path.as_str() {
                        "upstream" => {
                            "if a proxy of yours intercepts TLS, give its CA with --upstream-ca"
                                .to_owned()
                        }
                        path => format!(
                            "if a proxy of yours intercepts TLS, give its CA in {path}.ca_file"
                        ),
                    },
                ),
                HandshakeFailure::Other(reason) => fail(
                    reason,
                    &format!("check that the port in {}.base_url speaks TLS", self.path),
                ),
            },
            Err(_) => fail(
                "no TLS handshake within 10 s",
                "check for middleboxes on the path",
            ),
        }
    }
}

fn describe(connection: &rustls::ClientConnection) -> Outcome {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let days = connection
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(|certificate| days_left(certificate));
    match days {
        Some(days) if days < FEW_DAYS => Outcome::Warn(
            format!("{version}, certificate valid for {days} more days"),
            "it should have been renewed by now; ask upstream".to_owned(),
        ),
        Some(days) => Outcome::Pass(format!("{version}, certificate valid for {days} more days")),
        None => Outcome::Pass(format!("{version}, certificate valid")),
    }
}

fn days_left(certificate: &[u8]) -> Option<i64> {
    let end = certificate::not_after(certificate)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some((end - i64::try_from(now).ok()?) / 86_400)
}
