//! The clients of a soak: who they are, what they send, and which answers are right.
//!
//! Every client is a task with a connection of its own that it keeps for a while, and a pause between two requests. What came
//! of each request goes into the [`Book`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::client::{Connection, Target, tcp};
use super::fault::{FAULTS, Fault};
use super::kind::{Ask, Kind};
use super::outcome::{Book, LATER, LEFT, NO_LIST, NOTHING, RESET, Sent, describe};
use super::site::Keys;

/// One in so many requests of those that may asks for a fault.
const FAULT_EVERY: usize = 6;
/// A client leaves its connection after so many requests at most, and takes another.
const REQUESTS: u32 = 60;
/// What book allows while a process is replaced: that a connection was closed before an answer to a request had begun, so that
/// its client sent it again.
pub(super) const REPEATED: &str = "sent again";
/// Errors of attempts that did not come to have a connection.
const CONNECTING: [&str; 2] = ["`upstream_connect_", "`upstream_certificate_"];
/// How long a connection without a request is kept: longer than the proxy keeps it.
const IDLE: Duration = Duration::from_secs(25);

/// What all clients of a proxy share.
pub(super) struct Traffic {
    pub(super) line: usize,
    pub(super) port: u16,
    pub(super) tls_port: u16,
    pub(super) trust: [std::sync::Arc<rustls::ClientConfig>; 2],
    pub(super) keys: Keys,
    /// Between two requests of a client, on average.
    pub(super) pause: Duration,
    pub(super) book: Rc<RefCell<Book>>,
    pub(super) numbers: Rc<Cell<u64>>,
    /// Set when no more is to be sent.
    pub(super) is_over: Rc<Cell<bool>>,
}

impl Traffic {
    /// A client of a kind, until it is over.
    pub(super) async fn client(self: Rc<Self>, kind: Kind, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut connection = None;
        while !self.is_over.get() {
            match kind {
                Kind::Raw => self.raw(&mut random).await,
                Kind::Idle => self.idle().await,
                _ => self.request(kind, &mut connection, &mut random).await,
            }
            let pause = self.pause.mul_f64(0.5 + random.f64());
            sleep(pause).await;
        }
    }

    async fn request(
        &self,
        kind: Kind,
        connection: &mut Option<Connection>,
        random: &mut fastrand::Rng,
    ) {
        let ask = kind.ask(random, &self.keys);
        let is_stream = ask.is_stream;
        let mut chosen = None;
        if kind.has_faults() && random.usize(..FAULT_EVERY) == 0 {
            let fits = |fault: &&Fault| !is_stream || !fault.streamed.is_empty();
            let fits: Vec<&Fault> = FAULTS.iter().filter(fits).collect();
            chosen = random.choice(fits);
        }
        let sent = Sent {
            client: kind.name(),
            line: self.line,
            id: format!("soak-{}", self.numbers.replace(self.numbers.get() + 1)),
            fault: chosen.map_or("", |fault| fault.text),
            begun: Instant::now(),
        };
        let mut right = match chosen {
            Some(fault) if is_stream => vec![fault.streamed],
            Some(fault) => vec![fault.plain],
            None if kind.leaves() => vec![LEFT],
            None => ask.right.to_vec(),
        };
        if kind.is_h2() && right.iter().any(|answer| may_be_reset(answer)) {
            right.push(RESET);
        }
        let limit = random.u32(1..=REQUESTS);
        let (outcome, detail) = self.exchange(kind, connection, &ask, &sent).await;
        self.book
            .borrow_mut()
            .note(&sent, &right, &outcome, &detail);
        let is_used_up = (connection.as_ref()).is_some_and(|own| own.requests >= limit);
        if kind.is_short() || is_used_up {
            *connection = None;
        }
    }

    /// Sends a request, again if its connection was closed beneath it; what it came to, and more about that.
    async fn exchange(
        &self,
        kind: Kind,
        connection: &mut Option<Connection>,
        ask: &Ask,
        sent: &Sent,
    ) -> (String, String) {
        loop {
            let is_reused = connection.is_some();
            match self.attempt(kind, connection, ask, sent).await {
                Ok(outcome) => return (outcome, String::new()),
                Err(error) => {
                    let said = format!("{error:#}");
                    if is_stream_error(&error) {
                        return (RESET.to_owned(), said);
                    }
                    *connection = None;
                    if !is_reused {
                        return (NOTHING.to_owned(), said);
                    }
                    let mut book = self.book.borrow_mut();
                    book.repeated += 1;
                    if !book.allows(sent, REPEATED) {
                        book.object(sent, REPEATED, &said);
                    }
                }
            }
        }
    }

    async fn attempt(
        &self,
        kind: Kind,
        connection: &mut Option<Connection>,
        ask: &Ask,
        sent: &Sent,
    ) -> Result<String> {
        let open = match connection.take() {
            Some(open) => open,
            None => Connection::open(&self.target(kind)).await?,
        };
        let open = connection.insert(open);
        let exchange = open.send(self.message(kind, ask, sent)?).await?;
        if kind.leaves() {
            exchange.leave().await;
            // With h2 the stream alone is given up.
            if !kind.is_h2() {
                *connection = None;
            }
            return Ok(LEFT.to_owned());
        }
        let answer = exchange.finish().await;
        if answer.closes {
            *connection = None;
        }
        let outcome = describe(&answer, ask.is_stream);
        let is_list = ask.path == "/v1/models" && NO_LIST.starts_with(&outcome);
        // Those that are sent again.
        let is_repeated = ["502", "503", "504"]
            .iter()
            .any(|status| sent.fault.starts_with(status));
        let did_not_connect = CONNECTING.iter().any(|code| outcome.contains(code));
        Ok(match (is_list, is_repeated && did_not_connect) {
            (true, _) => NO_LIST.to_owned(),
            (_, true) => LATER.to_owned(),
            _ => outcome,
        })
    }

    fn target(&self, kind: Kind) -> Target {
        let [http1, h2] = &self.trust;
        let tls = match (kind.is_tls(), kind.is_h2()) {
            (false, _) => None,
            (true, false) => Some(http1.clone()),
            (true, true) => Some(h2.clone()),
        };
        Target {
            port: if tls.is_some() {
                self.tls_port
            } else {
                self.port
            },
            is_h2: kind.is_h2(),
            tls,
        }
    }

    fn message(&self, kind: Kind, ask: &Ask, sent: &Sent) -> Result<Request<Full<Bytes>>> {
        let scheme = if kind.is_tls() { "https" } else { "http" };
        let authority = format!("localhost:{}", self.port);
        let uri = match kind.is_h2() {
            true => format!("{scheme}://{authority}{}", ask.path),
            false => ask.path.to_owned(),
        };
        let mut request = Request::builder()
            .method(ask.method)
            .uri(uri)
            .header("content-type", "application/json")
            .header("x-request-id", &sent.id);
        if !kind.is_h2() {
            request = request.header("host", authority);
        }
        if !ask.key.is_empty() {
            request = request.header("authorization", format!("Bearer {}", ask.key));
        }
        if !sent.fault.is_empty() {
            request = request.header("x-emulator-fault", sent.fault);
        }
        Ok(request.body(Full::new(Bytes::from(ask.body.clone())))?)
    }

    /// Something that is no request, or half of one, or nothing at all.
    async fn raw(&self, random: &mut fastrand::Rng) {
        let sent = Sent {
            client: Kind::Raw.name(),
            line: self.line,
            id: String::new(),
            fault: "",
            begun: Instant::now(),
        };
        let (bytes, right): (&[u8], &str) = match random.u8(..4) {
            0 => (b"", LEFT),
            1 => (b"GET /v1/models HTTP/1.1\r\nHost: local", LEFT),
            2 => (b"NONSENSE\r\n\r\n", "400 `invalid_request`"),
            _ => (
                b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
                "400 `invalid_request`",
            ),
        };
        let outcome = match raw(self.port, bytes, right != LEFT).await {
            Ok(outcome) => (outcome, String::new()),
            Err(error) => (NOTHING.to_owned(), format!("{error:#}")),
        };
        self.book
            .borrow_mut()
            .note(&sent, &[right], &outcome.0, &outcome.1);
    }

    /// A connection on which nothing is asked, until the proxy closes it.
    async fn idle(&self) {
        let Ok(mut stream) = tcp(self.port).await else {
            return;
        };
        let begun = Instant::now();
        let mut byte = [0];
        while !self.is_over.get() && begun.elapsed() < IDLE {
            let read = timeout(Duration::from_millis(500), stream.read(&mut byte));
            if read.await.is_ok() {
                break;
            }
        }
    }
}

/// Whether an answer breaks off after it has begun.
fn may_be_reset(answer: &str) -> bool {
    answer.starts_with("200,")
}

/// Whether one stream of a connection was reset, by a proxy that had its request. Nobody sends that again.
fn is_stream_error(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    let cause = causes.find_map(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|error| {
        error.is_reset() && error.is_remote() && error.reason() != Some(h2::Reason::REFUSED_STREAM)
    })
}

async fn raw(port: u16, bytes: &[u8], is_answered: bool) -> Result<String> {
    let mut stream = tcp(port).await?;
    stream.write_all(bytes).await?;
    if !is_answered {
        return Ok(LEFT.to_owned());
    }
    let mut text = String::new();
    timeout(IDLE, stream.read_to_string(&mut text)).await??;
    let status = text.split(' ').nth(1).unwrap_or_default();
    let code = text.split_once("x-holysheep-error: ").map(|(_, rest)| rest);
    let code = code.and_then(|rest| rest.split('\r').next()).unwrap_or("?");
    Ok(format!("{status} `{code}`"))
}
