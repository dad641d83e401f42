//! The steps of `check`, each on the result of the one before, for each upstream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Line, Outcome, certificate, clients, ebpf, key, running, webhook};
use crate::config::{Config, Upstream, UpstreamProtocol};
use crate::upstream::certificate::not_after;
use crate::upstream::dns;
use crate::upstream::tls::{self, HandshakeFailure};

/// For each step, if requests do not have less.
const LIMIT: Duration = Duration::from_secs(10);
/// Set in each container of a cluster.
const CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// A SYN that nobody answers.
const DROPPED: &str = "check egress: something on the way drops packets (NetworkPolicy, firewall, NAT, a missing route), or the machine behind the address is down";

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
    lines.extend(certificate::ours(config));
    lines.extend(ebpf::possible(config));
    lines.extend(running::ready(config).await);
    // Elsewhere there is none to speak of.
    lines.extend(std::env::var_os(CLUSTER).map(|_| scaling()));
    lines
}

fn scaling() -> Line {
    Line {
        name: "scaling",
        of: String::new(),
        result: Outcome::Note(
            "whether an HPA scales down cannot be seen from here".to_owned(),
            "`kubectl describe hpa`: behavior.scaleDown.stabilizationWindowSeconds says for how long it waits; docs/operations.md, \"The HPA does not scale down\", has the rest in its order"
                .to_owned(),
        ),
    }
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

    /// What a request has for a part of the way, and a step so, too.
    pub(super) fn limit(&self, of_requests: Duration) -> Duration {
        LIMIT.min(of_requests)
    }

    fn connect_limit(&self) -> Duration {
        self.limit(self.config.timeouts.connect)
    }

    async fn resolve(&self) -> (Outcome, Option<Arc<[SocketAddr]>>) {
        let url = &self.upstream.base_url;
        let limit = self.connect_limit();
        match timeout(limit, dns::resolve_once(url, &self.config.dns)).await {
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
                format!(
                    "no answer from the name server within {}",
                    format_duration(limit)
                ),
                "check the pod's DNS: /etc/resolv.conf, NetworkPolicy to port 53 over UDP and TCP",
            ),
        }
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> (Outcome, Option<TcpStream>) {
        let limit = self.connect_limit();
        let refused = format!(
            "check egress: NetworkPolicy, firewall, NAT, and that the port in {}.base_url is right",
            self.path
        );
        let mut last = (String::new(), refused.as_str());
        for address in addresses {
            match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return (Outcome::Pass(address.to_string()), Some(stream)),
                Ok(Err(error)) => last = (format!("{address}: {error}"), &refused),
                Err(_) => last = (late(&format!("{address}: no answer"), limit), DROPPED),
            }
        }
        fail(last.0, last.1)
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
        let limit = self.connect_limit();
        match timeout(limit, connector.connect(settings.name, stream)).await {
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
            Ok(Err(error)) => self.refused(tls::classify(&error)),
            Err(_) => fail(
                late("no TLS handshake", limit),
                "check for middleboxes on the path, and its MTU: the connection is there, and what is sent over it does not arrive",
            ),
        }
    }
    /// Why there is no TLS.
    fn refused(&self, failure: HandshakeFailure) -> (Outcome, Option<Stream>) {
        let today = certificate::day(certificate::now());
        match failure {
            HandshakeFailure::Expired(since) => {
                let since = since.and_then(|end| i64::try_from(end).ok());
                let since = since.map(|end| format!(" on {}", certificate::day(end)));
                fail(
                    format!(
                        "the certificate has expired{}; by this machine's clock it is {today}",
                        since.unwrap_or_default()
                    ),
                    "check this machine's clock; if it is right, upstream has to renew its certificate",
                )
            }
            HandshakeFailure::Early(reason) => fail(
                format!("{reason}; by this machine's clock it is {today}"),
                "check this machine's clock, which is probably behind; if it is right, upstream has to mend its certificate",
            ),
            HandshakeFailure::Invalid(reason) => fail(
                format!("the certificate is not valid: {reason}"),
                &match self.path.as_str() {
                    "upstream" => {
                        "if a proxy of yours intercepts TLS, give its CA with --upstream-ca"
                            .to_owned()
                    }
                    path => {
                        format!("if a proxy of yours intercepts TLS, give its CA in {path}.ca_file")
                    }
                },
            ),
            HandshakeFailure::Other(reason) => fail(
                reason,
                &format!("check that the port in {}.base_url speaks TLS", self.path),
            ),
        }
    }
}

/// What requests get in the place of this line.
fn late(what: &str, limit: Duration) -> String {
    let limit = format_duration(limit);
    format!("{what} within {limit}: requests end with upstream_connect_timeout")
}

fn describe(connection: &rustls::ClientConnection) -> Outcome {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let chain = connection.peer_certificates();
    let end = chain
        .and_then(|chain| chain.first())
        .and_then(|leaf| not_after(leaf));
    let Some(end) = end else {
        return Outcome::Pass(format!("{version}, certificate valid"));
    };
    let (days, date) = (certificate::days_left(end), certificate::day(end));
    let fact = format!("{version}, certificate valid for {days} more days, until {date}");
    match certificate::few_days(end) {
        Some(_) => Outcome::Warn(
            fact,
            "it should have been renewed by now; ask upstream".to_owned(),
        ),
        None => Outcome::Pass(fact),
    }
}
