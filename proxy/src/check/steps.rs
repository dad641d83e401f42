//! The steps of `check`, each on the result of the one before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Line, Outcome, ebpf};
use crate::config::{Auth, Config, Secret, UpstreamProtocol};
use crate::forward::USER_AGENT;
use crate::upstream::tls::{self, HandshakeFailure};
use crate::upstream::{certificate, dns, keys};

/// For each step.
const LIMIT: Duration = Duration::from_secs(10);
/// Warn when a certificate has fewer days left.
const FEW_DAYS: i64 = 14;

type Stream = Box<dyn ReadWrite>;
trait ReadWrite: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> ReadWrite for T {}

/// Takes all steps.
pub(super) async fn all(config: &Config) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |name, result| lines.push(Line { name, result });
    let (result, addresses) = resolve(config).await;
    add("resolve", result);
    let (result, stream) = match addresses {
        Some(addresses) => connect(&addresses).await,
        None => (Outcome::Skipped, None),
    };
    add("connect", result);
    let (result, stream) = match stream {
        Some(stream) => encrypt(config, stream).await,
        None => (Outcome::Skipped, None),
    };
    add("tls", result);
    add(
        "key",
        match stream {
            Some(stream) => accepts_key(config, stream).await,
            None => Outcome::Skipped,
        },
    );
    lines.extend(ebpf::possible(config));
    lines
}

fn fail<T>(reason: impl Into<String>, remedy: &str) -> (Outcome, Option<T>) {
    (Outcome::Fail(reason.into(), remedy.to_owned()), None)
}

async fn resolve(config: &Config) -> (Outcome, Option<Arc<[SocketAddr]>>) {
    let url = &config.upstream.base_url;
    match timeout(LIMIT, dns::resolve_once(url, &config.dns)).await {
        Ok(Ok(addresses)) => {
            let shown: Vec<_> = addresses.iter().map(|a| a.ip().to_string()).collect();
            let fact = format!("{} is {}", url.host(), shown.join(", "));
            (Outcome::Pass(fact), Some(addresses))
        }
        Ok(Err(reason)) => fail(
            format!("{}: {reason}", url.host()),
            "check the name in upstream.base_url, and the pod's DNS (/etc/resolv.conf, NetworkPolicy to port 53)",
        ),
        Err(_) => fail(
            "no answer from the name server within 10 s",
            "check the pod's DNS: /etc/resolv.conf, NetworkPolicy to port 53 over UDP and TCP",
        ),
    }
}

async fn connect(addresses: &[SocketAddr]) -> (Outcome, Option<TcpStream>) {
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
        "check egress: NetworkPolicy, firewall, NAT, and that the port in upstream.base_url is right",
    )
}

async fn encrypt(config: &Config, stream: TcpStream) -> (Outcome, Option<Stream>) {
    let settings = match tls::client(&config.upstream) {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            let fact = "upstream is plain HTTP: the key travels unencrypted".to_owned();
            let remedy = "use an https:// base URL except on this machine".to_owned();
            return (Outcome::Warn(fact, remedy), Some(Box::new(stream)));
        }
        Err(error) => return fail(error.to_string(), "correct the setting named"),
    };
    let protocol = config.upstream.protocol;
    let requires_h2 = protocol == UpstreamProtocol::Http2;
    let connector = TlsConnector::from(Arc::clone(settings.of(protocol)));
    match timeout(LIMIT, connector.connect(settings.name, stream)).await {
        Ok(Ok(stream)) if requires_h2 && stream.get_ref().1.alpn_protocol() != Some(tls::H2) => {
            fail(
                "upstream does not speak h2",
                "set upstream.protocol to http1",
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
                "if a proxy of yours intercepts TLS, give its CA with --upstream-ca",
            ),
            HandshakeFailure::Other(reason) => fail(
                reason,
                "check that the port in upstream.base_url speaks TLS",
            ),
        },
        Err(_) => fail(
            "no TLS handshake within 10 s",
            "check for middleboxes on the path",
        ),
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

async fn accepts_key(config: &Config, stream: Stream) -> Outcome {
    let pool = config.upstream.api_keys.first().map(|key| &key.file);
    let file = config.upstream.api_key_file.as_ref().or(pool);
    let key = match (file, &config.upstream.api_key) {
        (Some(path), _) => match keys::read_file(path) {
            Ok(key) => key,
            Err(error) => {
                let remedy = "mount the Secret, or correct --api-key-file".to_owned();
                return Outcome::Fail(error.to_string(), remedy);
            }
        },
        (None, Some(key)) => key.clone(),
        (None, None) if config.auth == Auth::Passthrough => {
            return Outcome::Pass("none needed: clients bring their own".to_owned());
        }
        (None, None) => {
            let remedy = "set HOLYSHEEP_API_KEY_FILE or HOLYSHEEP_API_KEY".to_owned();
            return Outcome::Fail("there is none".to_owned(), remedy);
        }
    };
    match timeout(LIMIT, ask_for_models(config, &key, stream)).await {
        Ok(Ok(200)) => Outcome::Pass("accepted (GET /v1/models: 200)".to_owned()),
        Ok(Ok(status @ (401 | 403))) => Outcome::Fail(
            format!("refused (GET /v1/models: {status})"),
            "renew the key in the HolySheep console and put it into the Secret".to_owned(),
        ),
        Ok(Ok(status)) => Outcome::Fail(
            format!("GET /v1/models: {status}"),
            "check the path of upstream.base_url; it usually ends in /v1".to_owned(),
        ),
        Ok(Err(reason)) => {
            Outcome::Fail(reason, "try again; upstream closed or broke off".to_owned())
        }
        Err(_) => Outcome::Fail(
            "no answer to GET /v1/models within 10 s".to_owned(),
            "upstream is slow or overloaded; see its status".to_owned(),
        ),
    }
}

async fn ask_for_models(config: &Config, key: &Secret, stream: Stream) -> Result<u16, String> {
    let url = &config.upstream.base_url;
    let bearer = zeroize::Zeroizing::new([b"Bearer ", key.expose()].concat());
    let mut value =
        http::HeaderValue::from_bytes(&bearer).map_err(|_| "the key cannot be sent".to_owned())?;
    value.set_sensitive(true);
    let speaks_h2 = config.upstream.protocol == UpstreamProtocol::Http2;
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
    let request = request
        .header(http::header::AUTHORIZATION, value)
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
    tokio::select! {
        response = response => {
            response.map(|response| response.status().as_u16()).map_err(|error| error.to_string())
        }
        ended = connection => Err(match ended {
            Ok(()) => "the connection was closed".to_owned(),
            Err(error) => error.to_string(),
        }),
    }
}
