//! Whether the proxy that runs here would get traffic, for `502 Bad Gateway` in front of it: asks its admin port, if somebody
//! is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Line, Outcome};
use crate::config::Config;

/// For the whole question: who does not answer by then does not answer probes either.
const LIMIT: Duration = Duration::from_secs(3);
/// More is no answer of a proxy's.
const LONGEST: usize = 64 * 1024;

/// What the first words of a reason mean, and what to do.
const REMEDIES: [(&str, &str); 7] = [
    (
        "the proxy is stopping",
        "nothing: its successor takes its place; if there is none, start it again",
    ),
    (
        "the workers are starting",
        "wait a moment; if it stays so, give it more CPU",
    ),
    (
        "there is no upstream API key",
        "see the line `key`; the file is read again as soon as it is there",
    ),
    (
        "upstream",
        "see the lines `resolve`, `connect` and `tls`; it goes on trying by itself",
    ),
    (
        "worker-",
        "give it CPU (limits, a crowded node) or replicas: workers do not get to run, or do not keep up",
    ),
    (
        "log",
        "restart it, as a liveness probe does; its log says why",
    ),
    (
        "",
        "restart it, as a liveness probe does; its log and docs/operations.md say more",
    ),
];

/// A line for each reason why it is not ready, or one.
pub(super) async fn ready(config: &Config) -> Vec<Line> {
    let address = reachable(config.admin_listen);
    let results = match timeout(LIMIT, ask(address)).await {
        Ok(Ok(None)) => vec![Outcome::Note(
            format!("none runs at {address}, where this configuration has its admin port"),
            "502 Bad Gateway from an Ingress means that no proxy is ready: `kubectl get pods`, then this check inside of one (`kubectl exec`)"
                .to_owned(),
        )],
        Ok(Ok(Some((200, _)))) => vec![Outcome::Pass(format!("the one at {address} is ready"))],
        Ok(Ok(Some((503, reasons)))) => reasons.lines().map(told).collect(),
        Ok(Ok(Some((status, _)))) => vec![elsewhere(&format!("{address} answers {status}"))],
        Ok(Err(error)) => vec![elsewhere(&format!("{address}: {error}"))],
        Err(_) => vec![Outcome::Fail(
            format!("the one at {address} does not answer within 3 s"),
            "restart it, as a liveness probe does; look for a CPU limit before".to_owned(),
        )],
    };
    let line = |result| Line {
        name: "proxy",
        of: String::new(),
        result,
    };
    results.into_iter().map(line).collect()
}

/// A reason, with its remedy.
fn told(reason: &str) -> Outcome {
    let remedy = REMEDIES.iter().find(|(begin, _)| reason.starts_with(begin));
    let remedy = remedy.map_or("", |(_, remedy)| remedy).to_owned();
    let fact = format!("not ready, so no traffic comes: {reason}");
    match reason {
        // Which is what it was told.
        "the proxy is stopping" => Outcome::Warn(fact, remedy),
        _ => Outcome::Fail(fact, remedy),
    }
}

fn elsewhere(fact: &str) -> Outcome {
    Outcome::Warn(
        format!("{fact}: no proxy's admin port"),
        "give the address of the one that runs with --admin-listen".to_owned(),
    )
}

/// From here, what listens everywhere is on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Status and text of `/readyz`; `None` if nobody is there.
async fn ask(address: SocketAddr) -> Result<Option<(u16, String)>, String> {
    let Ok(stream) = TcpStream::connect(address).await else {
        return Ok(None);
    };
    let text = |error: hyper::Error| error.to_string();
    let handshake = http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(text)?;
    let request = http::Request::get("/readyz")
        .header(http::header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    // With the sender goes the connection.
    let answer = async move {
        let response = sender.send_request(request).await.map_err(text)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // How that ends is told by the answer, too.
    let (answer, _) = tokio::join!(answer, connection);
    answer.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_the_remedy_of_its_kind() {
        for (reason, remedy) in [
            ("the proxy is stopping", "successor"),
            ("the workers are starting", "wait"),
            ("there is no upstream API key", "`key`"),
            ("upstream's name cannot be resolved: x", "`resolve`"),
            ("upstream holysheep cannot be reached: x", "`connect`"),
            ("worker-1 has not run for 9.0 s", "CPU"),
            ("worker-0 is behind: connections wait 9 s", "CPU"),
            ("log has ended", "its log says why"),
            ("control has ended", "restart it"),
        ] {
            let (Outcome::Fail(fact, shown) | Outcome::Warn(fact, shown)) = told(reason) else {
                panic!("{reason}");
            };
            assert!(fact.ends_with(reason), "{fact}");
            assert!(shown.contains(remedy), "{reason}: {shown}");
        }
    }

    #[test]
    fn what_listens_everywhere_is_asked_on_loopback() {
        let of = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(of("0.0.0.0:9090"), "127.0.0.1:9090");
        assert_eq!(of("[::]:9090"), "[::1]:9090");
        assert_eq!(of("192.0.2.1:9090"), "192.0.2.1:9090");
    }
}
