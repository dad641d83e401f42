//! One connection to a probe listener: probes are answered, anything else is handed over or refused.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::{Came, Probe};
use crate::connection::peer::Peer;
use crate::connection::transport::{Socket, Transport};
use crate::connection::{Begun, INPUT};
use crate::http1::{Framing, Head, HeadView, ReadBuffer, framing};
use crate::metrics::probe::PATHS;
use crate::{health, readiness};

/// Longest head of a probe, in bytes.
const LONGEST: usize = 8 * 1024;
/// A steered connection may think for so long on this thread about what to ask.
const PATIENCE: Duration = Duration::from_secs(10);
/// And so many may do so at a time; more go to the workers unseen.
const WAITING: usize = 1024;
/// What is left of this after the answer has been written is not waited for.
const WRITE: Duration = Duration::from_secs(5);

/// What has been read so far is.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// Not enough to tell.
    Part,
    /// A probe of this path, whose head has so many bytes. `/health?ready` is `/readyz`.
    Probe {
        path: &'static str,
        head: usize,
        keep: bool,
        head_only: bool,
    },
    /// Something else.
    Other,
}

/// Serves a connection until it ends or is handed over.
pub(super) async fn serve(probe: Rc<Probe>, stream: TcpStream, peer: Peer, came: Came) {
    let Ok(socket) = Socket::new(stream) else {
        return;
    };
    if came != Came::Direct && probe.waiting.get() >= WAITING {
        return hand_over_unseen(&probe, socket, peer, came);
    }
    probe.waiting.set(probe.waiting.get() + 1);
    let io = begin(&probe, socket, peer, came).await;
    if let Some(io) = io {
        // What goes wrong on the wire ends the connection, and is nobody's business.
        let _ = requests(&probe, io, peer, came).await;
    }
    probe.waiting.set(probe.waiting.get() - 1);
}

/// As if the connection had come the usual way.
fn hand_over_unseen(probe: &Probe, socket: Socket, peer: Peer, came: Came) {
    let input = ReadBuffer::new(INPUT);
    let begun = match &probe.tls {
        Some((_, acceptor)) if came == Came::SteeredTls => {
            Begun::Accepted(socket, acceptor.clone())
        }
        _ => Begun::Plain(socket, input),
    };
    probe.hand_over(begun, peer);
}

/// Performs the handshake, if there has to be one and it is not another's.
async fn begin(probe: &Probe, socket: Socket, peer: Peer, came: Came) -> Option<Transport> {
    let Some((_, acceptor)) = probe.tls.as_ref().filter(|_| came == Came::SteeredTls) else {
        return Some(Transport::Plain(socket));
    };
    let hello = timeout(PATIENCE, acceptor.hello(socket)).await;
    let hello = hello.ok().and_then(Result::ok)?;
    // A probe goes to an address. Whoever asks for a name is no probe, and handshakes are work for the workers.
    if hello.client_hello().server_name().is_some() {
        probe.hand_over(Begun::Hello(Box::new(hello), acceptor.clone()), peer);
        return None;
    }
    let stream = timeout(PATIENCE, acceptor.resume(hello)).await.ok()?.ok()?;
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = Box::new(TlsStream::Server(stream));
    if h2 {
        probe.hand_over(Begun::Tls(stream, ReadBuffer::new(INPUT)), peer);
        return None;
    }
    Some(Transport::Tls(stream))
}

async fn requests(probe: &Probe, mut io: Transport, peer: Peer, came: Came) -> io::Result<()> {
    let mut input = ReadBuffer::new(INPUT);
    loop {
        let seen = match timeout(PATIENCE, read(&mut io, &mut input)).await {
            Ok(seen) => seen?,
            Err(_) if came == Came::Direct => return close(&mut io).await,
            // It may become anything; a worker has more patience.
            Err(_) => Some(Seen::Other),
        };
        match seen {
            // The peer has closed.
            None => return Ok(()),
            Some(Seen::Probe {
                path,
                head,
                keep,
                head_only,
            }) => {
                input.consume(head);
                let answer = answer(probe, path, keep, head_only);
                write(&mut io, &answer).await?;
                if !keep {
                    return close(&mut io).await;
                }
            }
            Some(_) if came == Came::Direct => {
                write(&mut io, &refusal()).await?;
                return close(&mut io).await;
            }
            Some(_) => {
                let begun = match io {
                    Transport::Plain(socket) => Begun::Plain(socket, input),
                    Transport::Tls(stream) => Begun::Tls(stream, input),
                };
                probe.hand_over(begun, peer);
                return Ok(());
            }
        }
    }
}

/// Reads until it is clear what the next request is; `None` if there is none.
async fn read(io: &mut Transport, input: &mut ReadBuffer) -> io::Result<Option<Seen>> {
    loop {
        match look(input.filled()) {
            Seen::Part => {}
            seen => return Ok(Some(seen)),
        }
        let count = poll_fn(|cx| input.poll_fill(cx, io, LONGEST)).await?;
        if count == 0 {
            // Half a request: whoever serves it also knows what to say about that.
            return Ok((!input.is_empty()).then_some(Seen::Other));
        }
    }
}

/// What the bytes of a request so far are. As soon as they cannot become a probe they are something else, so that
/// nothing but probes is waited for.
fn look(bytes: &[u8]) -> Seen {
    let Some(path) = may_become(bytes) else {
        return Seen::Other;
    };
    let mut head = Head::default();
    match (path, head.parse_request(bytes, 0)) {
        (Some(path), Ok(Some(end))) => probe(path, &head.view(bytes), end),
        (_, Ok(None)) if bytes.len() < LONGEST => Seen::Part,
        // Malformed or too long: the workers know how to refuse that.
        _ => Seen::Other,
    }
}

/// The path that is asked for, once it is complete; `None` if these bytes cannot become a probe.
fn may_become(bytes: &[u8]) -> Option<Option<&'static str>> {
    for method in ["GET ", "HEAD "] {
        for path in PATHS {
            let expected = [method.as_bytes(), path.as_bytes()].concat();
            if expected.starts_with(bytes) {
                return Some(None);
            }
            let rest = bytes.strip_prefix(expected.as_slice());
            if let Some([b' ' | b'?', ..]) = rest {
                return Some(Some(path));
            }
        }
    }
    None
}

/// A complete head that asks for one of the paths.
fn probe(path: &'static str, head: &HeadView<'_>, end: usize) -> Seen {
    if !matches!(
        framing::of_request(head),
        Ok(Framing::None | Framing::Length(0))
    ) {
        return Seen::Other;
    }
    let is_ready = path == "/health" && readiness::is_asked_by(head.target());
    Seen::Probe {
        path: if is_ready { "/readyz" } else { path },
        head: end,
        keep: framing::keeps_alive(head),
        head_only: head.method() == b"HEAD",
    }
}

fn answer(probe: &Probe, path: &'static str, keep: bool, head_only: bool) -> Vec<u8> {
    let reasons = match path {
        "/readyz" => probe.readiness.not_ready(),
        _ => probe.readiness.health.not_alive(),
    };
    let ok = reasons.is_empty();
    probe.metrics.answered(path, ok);
    let body = match (ok, path) {
        (true, "/health") => "healthy\n".to_owned(),
        (true, _) => "ok\n".to_owned(),
        (false, _) => health::lines(&reasons),
    };
    let status = if ok {
        "200 OK"
    } else {
        "503 Service Unavailable"
    };
    response(status, &body, keep, head_only)
}

/// What the port for probes says to everything else.
fn refusal() -> Vec<u8> {
    let body = format!("here are {}\n", PATHS.join(" "));
    response("404 Not Found", &body, false, false)
}

fn response(status: &str, body: &str, keep: bool, head_only: bool) -> Vec<u8> {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let length = body.len();
    let connection = if keep { "" } else { "connection: close\r\n" };
    let head = format!(
        "HTTP/1.1 {status}\r\ndate: {date}\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {length}\r\ncache-control: no-store\r\n{connection}\r\n"
    );
    let body = if head_only { "" } else { body };
    [head.as_bytes(), body.as_bytes()].concat()
}

async fn write(io: &mut Transport, bytes: &[u8]) -> io::Result<()> {
    let written = async {
        io.write_all(bytes).await?;
        io.flush().await
    };
    timeout(WRITE, written)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn close(io: &mut Transport) -> io::Result<()> {
    timeout(WRITE, io.shutdown()).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_told_as_soon_as_its_head_is_there() {
        let text = b"GET /livez?verbose HTTP/1.1\r\nhost: x\r\n\r\nGET";
        let head = text.len() - 3;
        for end in 0..head {
            assert_eq!(look(&text[..end]), Seen::Part, "{end}");
        }
        let expected = Seen::Probe {
            path: "/livez",
            head,
            keep: true,
            head_only: false,
        };
        assert_eq!(look(text), expected);
        let ready = b"GET /health?ready HTTP/1.1\r\n\r\n";
        assert!(matches!(
            look(ready),
            Seen::Probe {
                path: "/readyz",
                ..
            }
        ));
        let closing = b"HEAD /readyz HTTP/1.1\r\nconnection: TE, Close\r\n\r\n";
        let expected = Seen::Probe {
            path: "/readyz",
            head: closing.len(),
            keep: false,
            head_only: true,
        };
        assert_eq!(look(closing), expected);
    }

    #[test]
    fn what_cannot_become_one_is_told_at_once() {
        for other in [
            "P",
            "GET /v",
            "GET /healthz",
            "GET /health/",
            "GET  /health",
            "get /health",
            "\r\n",
            "PRI * HTTP/2.0",
            "\x16\x03\x01",
            "GET /health HTTP/1.1\r\nhost x\r\n\r\n",
            "GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n",
            "GET /health HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(look(other.as_bytes()), Seen::Other, "{other:?}");
        }
        let long = format!("GET /health HTTP/1.1\r\nx: {}", "y".repeat(LONGEST));
        assert_eq!(look(long.as_bytes()), Seen::Other);
    }
}
