//! An upstream whose first answer is what a test writes, and whose other answers are good. What the
//! second request gets tells whether the first one left anything behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use holysheep_emulator::Tls;

use crate::harness::client::{Client, Reply};
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{Rig, eventually};

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond";

/// What the upstream does after its first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Keep,
    Close,
}

/// What the client gets for the first answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gets {
    /// A complete answer.
    Answer(u16, &'static str),
    /// An error of the proxy.
    Error(u16, &'static str),
    /// Upstream's status, and then an end the framing does not allow.
    Broken(u16),
}

/// A proxy in front of such an upstream.
pub(super) struct Origin {
    pub(super) rig: Rig,
    connections: Arc<Mutex<Vec<usize>>>,
    /// Whether the first connection has been closed, if it is to be.
    closed: Option<Arc<AtomicBool>>,
    _upstream: Scripted,
}

/// A proxy in front of a script.
pub(super) fn in_front_of(upstream: &Scripted) -> Rig {
    let config = format!(
        "{}timeouts: {{first_byte: 2s, idle: 2s}}\n",
        upstream.config()
    );
    let plain = |emulator: holysheep_emulator::Builder| emulator.tls(Tls::Plain);
    Rig::builder().config(config).emulator(plain).start()
}

/// Reads a request to its end; false if the connection ended before.
pub(super) fn read_request(stream: &mut TcpStream) -> bool {
    let Some(head) = read_head(stream) else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
        let digits = rest.split("\r\n").next().unwrap();
        digits.parse().unwrap()
    });
    stream.read_exact(&mut vec![0; length]).is_ok()
}

impl Origin {
    /// Answers the first request with the pieces, each in a write of its own.
    pub(super) fn answering(pieces: Vec<Vec<u8>>, then: Then) -> Self {
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (accepted, noted) = (AtomicUsize::new(0), Arc::clone(&connections));
        let closed = (then == Then::Close).then(Arc::<AtomicBool>::default);
        let tell_closed = closed.clone();
        let upstream = Scripted::start(move |mut stream| {
            stream.set_nodelay(true).unwrap();
            let connection = accepted.fetch_add(1, Ordering::Relaxed);
            while read_request(&mut stream) {
                let first = {
                    let mut noted = noted.lock().unwrap();
                    noted.push(connection);
                    noted.len() == 1
                };
                if !first {
                    // The proxy may have gone.
                    let _written = stream.write_all(OK.as_bytes());
                    continue;
                }
                let written = pieces.iter().all(|piece| stream.write_all(piece).is_ok());
                if let Some(closed) = &tell_closed {
                    drop(stream);
                    closed.store(true, Ordering::Release);
                    return;
                }
                if !written {
                    return;
                }
            }
        });
        Self {
            rig: in_front_of(&upstream),
            connections,
            closed,
            _upstream: upstream,
        }
    }

    /// Sends two requests and checks both answers, and whether the second one used the connection
    /// of the first.
    #[track_caller]
    pub(super) fn check(&self, gets: Gets, reused: bool, about: &str) -> Reply {
        let mut client = self.rig.client();
        let first = client.request("POST", "/v1/files/first", &[], b"hello");
        let ended = !assert_gets(&mut client, &first, gets, about);
        if ended {
            client = self.rig.client();
        }
        if let Some(closed) = &self.closed {
            // What comes before the FIN is another matter.
            eventually(|| closed.load(Ordering::Acquire));
        }
        let second = client.request("POST", "/v1/files/second", &[], b"hello");
        let got = (second.status, second.text());
        assert_eq!(got, (200, "second".to_owned()), "{about}: then {second:?}");
        let connections = self.connections.lock().unwrap().clone();
        assert_eq!(connections.len(), 2, "{about}: requests {connections:?}");
        let same = connections[0] == connections[1];
        assert_eq!(
            same, reused,
            "{about}: whether the connection was used again"
        );
        self.rig
            .wait_metric("holysheep_http_requests_in_flight", 0.0);
        first
    }
}

/// Checks an answer; false if the connection is at its end.
#[track_caller]
fn assert_gets(client: &mut Client, reply: &Reply, gets: Gets, about: &str) -> bool {
    let open = reply.header("connection") != Some("close");
    match gets {
        Gets::Answer(status, body) => {
            let got = (reply.status, reply.error(), reply.text());
            assert_eq!(got, (status, None, body.to_owned()), "{about}: {reply:?}");
            assert!(reply.complete, "{about}: {reply:?}");
            open
        }
        Gets::Error(status, code) => {
            let got = (reply.status, reply.error());
            assert_eq!(got, (status, Some(code)), "{about}: {reply:?}");
            assert!(reply.complete, "{about}: {reply:?}");
            open
        }
        Gets::Broken(status) => {
            assert_eq!(
                (reply.status, reply.error()),
                (status, None),
                "{about}: {reply:?}"
            );
            assert!(!reply.complete, "{about}: seems complete: {reply:?}");
            client.rest();
            false
        }
    }
}

/// Checks an upstream that gives this answer first.
#[track_caller]
pub(super) fn check(answer: impl AsRef<[u8]>, then: Then, gets: Gets, reused: bool) -> Reply {
    let answer = answer.as_ref();
    let shown = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
    let origin = Origin::answering(vec![answer.to_vec()], then);
    origin.check(gets, reused, &format!("{then:?} {shown:?}"))
}
