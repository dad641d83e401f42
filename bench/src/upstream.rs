//! `holysheep-bench upstream`: the TLS server behind every proxy under test.
//!
//! It answers at once and always the same, with as little work as possible, or with a stream of
//! events that is paced as the request asks, so that what is measured is the proxy. It runs as a process of its own:
//! its CPU time must not mix with the load generator's. Answers are made in
//! [`answer`], streams in [`stream`], [`multiplexed`] is the same over h2, and [`hosted`] is the same upstream as a thread of a bench; [`Tally`] counts connections, handshakes and requests, because a
//! comparison is only fair when one knows which TLS each proxy used.

pub(crate) mod answer;
mod asked;
pub(crate) mod hosted;
mod multiplexed;
mod resumption;
mod stream;
mod tally;

use std::cell::RefCell;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::{Buf, BytesMut};
use clap::Args;
use holysheep_emulator::tls::{Authority, CertificateKind};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::alarm::Alarm;
use crate::framing::Framing;
use answer::Answers;
use asked::Beginning;
pub(crate) use stream::{DONE, Pacing, Stamp, now_ns};
pub(crate) use tally::Tally;

/// Room for one request's head and a usual body, in bytes.
pub(crate) const BUFFER: usize = 16 * 1024;

/// HTTP/1.1's name in the TLS handshake.
const HTTP1: &[u8] = b"http/1.1";

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Write the certificate authority to this file, in PEM.
    #[arg(long, value_name = "FILE")]
    ca_out: PathBuf,
    /// Stop when the process that started this one ends.
    #[arg(long)]
    exit_with_parent: bool,
}

/// The line printed on stdout once the server listens, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Announcement {
    /// Where HTTPS is served.
    pub(crate) https: SocketAddr,
    /// Where a connection is answered with the [`Tally`] as JSON.
    pub(crate) tally: SocketAddr,
}

/// Serves until the process is ended.
///
/// # Errors
/// When it cannot listen or write the certificate.
pub(crate) async fn run(options: Options) -> Result<()> {
    if options.exit_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let protocols = [multiplexed::PROTOCOL, HTTP1];
    let acceptor = speaking(&options.ca_out, &["localhost"], &protocols)?;
    let https = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let tally_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    announce(&Announcement {
        https: https.local_addr()?,
        tally: tally_listener.local_addr()?,
    })?;

    let shared = Rc::new(Shared::default());
    tokio::task::spawn_local(serve_tally(tally_listener, Rc::clone(&shared)));
    loop {
        let (stream, _) = https.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, shared) = (acceptor.clone(), Rc::clone(&shared));
        tokio::task::spawn_local(async move {
            shared.tally.borrow_mut().connections += 1;
            if serve(stream, &acceptor, &shared).await.is_err() {
                shared.tally.borrow_mut().failed_connections += 1;
            }
        });
    }
}

/// What answers TLS handshakes for these names and speaks HTTP/1.1, by a new authority whose certificate goes to the file
/// `ca`, in PEM.
///
/// # Errors
/// When no certificate can be made or written.
pub(crate) fn acceptor(ca: &Path, names: &[&str]) -> Result<TlsAcceptor> {
    speaking(ca, names, &[HTTP1])
}

/// The same for these protocols, the first one that a client knows; HTTP/1.1 with clients that name none.
fn speaking(ca: &Path, names: &[&str], protocols: &[&[u8]]) -> Result<TlsAcceptor> {
    let authority = Authority::new()?;
    authority.write_ca_pem(ca)?;
    let config = authority.server_config(names, CertificateKind::Valid)?;
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(resumption::adapt(config)))
}

#[derive(Default)]
struct Shared {
    tally: RefCell<Tally>,
    answers: Answers,
}

fn announce(announcement: &Announcement) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(announcement)?)?;
    Ok(stdout.flush()?)
}

/// Answers every connection with the counters, then closes it.
async fn serve_tally(listener: TcpListener, shared: Rc<Shared>) -> Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let text = serde_json::to_string(&*shared.tally.borrow())?;
        // The asker may be gone already, which harms nobody.
        let _ = stream.write_all(text.as_bytes()).await;
    }
}

/// Serves one connection until the peer closes it or asks to.
async fn serve(stream: TcpStream, acceptor: &TlsAcceptor, shared: &Rc<Shared>) -> Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    shared.tally.borrow_mut().handshake(stream.get_ref().1);
    if stream.get_ref().1.alpn_protocol() == Some(multiplexed::PROTOCOL) {
        return multiplexed::serve(stream, shared).await;
    }
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let alarm = Alarm::new()?;
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        shared.tally.borrow_mut().requests += 1;
        if let Some(time) = request.think {
            alarm.until(Instant::now() + time).await?;
        }
        if let Some(pacing) = request.stream {
            stream::write(&mut stream, pacing).await?;
        } else {
            let answer = shared.answers.completion(request.close);
            stream.write_all(&answer).await?;
            stream.flush().await?;
        }
        if request.close {
            break;
        }
    }
    // A peer that has already gone is no failure of the exchange.
    let _ = stream.shutdown().await;
    Ok(())
}

/// What the answer depends on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// A stream, if the query or the body's `user` asks for one.
    stream: Option<Pacing>,
    /// Whether the connection ends with the answer: the client says so, or asks for it in the query.
    pub(crate) close: bool,
    /// Bytes of the body, without its framing; known once it has been read.
    pub(crate) body: u64,
    /// For how long to think before the answer, if one of them says: `think=MICROSECONDS`.
    pub(crate) think: Option<Duration>,
}

impl Request {
    /// Takes what a query asks for, or what stands for one in a body.
    fn ask(&mut self, query: &str) {
        self.stream = Pacing::asked_for(query);
        self.think = thinking(query);
    }
}

/// Reads one request and skips its body; `None` when the peer closed in between.
///
/// # Errors
/// When it is not HTTP, or the connection ends before it does.
pub(crate) async fn read_request(
    stream: &mut TlsStream<TcpStream>,
    buffer: &mut BytesMut,
) -> Result<Option<Request>> {
    let (mut request, mut framing) = loop {
        if let Some((request, framing, head)) = parse_head(buffer)? {
            buffer.advance(head);
            break (request, framing);
        }
        if !fill(stream, buffer).await? {
            ensure!(buffer.is_empty(), "connection closed inside a request");
            return Ok(None);
        }
    };
    let mut beginning = Beginning::default();
    loop {
        let step = framing.advance_into(buffer, |bytes| beginning.add(bytes))?;
        buffer.advance(step.consumed);
        request.body += step.body;
        if step.complete {
            if request.stream.is_none() && request.think.is_none() {
                request.ask(beginning.user().unwrap_or_default());
            }
            return Ok(Some(request));
        }
        if !fill(stream, buffer).await? {
            bail!("connection closed inside a request body");
        }
    }
}

/// Reads more into `buffer`; false at the end of the stream.
///
/// # Errors
/// When the connection breaks.
pub(crate) async fn fill(stream: &mut TlsStream<TcpStream>, buffer: &mut BytesMut) -> Result<bool> {
    buffer.reserve(BUFFER / 2);
    match stream.read_buf(buffer).await {
        Ok(read) => Ok(read > 0),
        // Proxies drop idle connections without a TLS goodbye.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Parses a complete head: what was asked, the body's framing, the head's length.
fn parse_head(buffer: &[u8]) -> Result<Option<(Request, Framing, usize)>> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = parsed.parse(buffer)? else {
        return Ok(None);
    };
    let query = parsed.path.and_then(|path| path.split_once('?'));
    let (_, query) = query.unwrap_or_default();
    let close = query == "close"
        || parsed.version == Some(0)
        || parsed.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("connection")
                && header.value.eq_ignore_ascii_case(b"close")
        });
    let framing = Framing::of(parsed.headers)?;
    let mut request = Request {
        stream: None,
        close,
        body: 0,
        think: None,
    };
    request.ask(query);
    Ok(Some((request, framing, length)))
}

/// The time to think that a query asks for.
fn thinking(query: &str) -> Option<Duration> {
    let microseconds = query.strip_prefix("think=")?.parse().ok()?;
    Some(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests;
