//! Requests at a steady rate, whatever becomes of those before: every other one for a stream.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use netlab::Host;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::load::{Stream, Target, Watch, receive_watched, socket};

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(15);
/// Room for an answer, in bytes.
const BUFFER: usize = 16 * 1024;
/// How a stream ends.
const DONE: &[u8] = b"data: [DONE]\n\n";
/// Long enough that a request is told from what else is sent over a connection.
const QUESTION: &str = "Explain in a few sentences what a pool of kept-alive connections changes for the latency of \
    a request, for the CPU time on our side, and for the number of sockets in TIME_WAIT; and what we have to watch out \
    for when the other side closes idle connections after a minute.";

/// One request, as its client saw it.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) at: Instant,
    /// From before its first byte was written to the first byte of the answer, or why there was no good one.
    pub(super) outcome: Result<Duration, String>,
}

/// A running load.
pub(super) struct Load {
    shared: Rc<Shared>,
    requests: JoinSet<()>,
}

struct Shared {
    host: Host,
    target: Target,
    /// Connections that wait for a request.
    idle: RefCell<Vec<Box<dyn Stream>>>,
    sent: RefCell<Vec<Sent>>,
    stopping: Cell<bool>,
}

impl Load {
    /// Begins to send so many requests a second from `host`.
    pub(super) fn start(host: &Host, target: Target, rate: u32) -> Self {
        let shared = Rc::new(Shared {
            host: host.clone(),
            target,
            idle: RefCell::default(),
            sent: RefCell::default(),
            stopping: Cell::new(false),
        });
        let mut requests = JoinSet::new();
        requests.spawn_local(drive(Rc::clone(&shared), rate));
        Self { shared, requests }
    }

    /// Sends no more, and gives everything once the last request has ended.
    pub(super) async fn finish(mut self) -> Vec<Sent> {
        self.shared.stopping.set(true);
        while self.requests.join_next().await.is_some() {}
        self.shared.sent.take()
    }
}

async fn drive(shared: Rc<Shared>, rate: u32) {
    let mut ticks = interval(Duration::from_secs(1) / rate.max(1));
    // Late requests are sent all the same: the rate is what is offered.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = JoinSet::new();
    let mut number = 0_u32;
    while !shared.stopping.get() {
        ticks.tick().await;
        number += 1;
        requests.spawn_local(one(Rc::clone(&shared), number));
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
}

async fn one(shared: Rc<Shared>, number: u32) {
    let id = format!("fault-{number:06}");
    let is_stream = number.is_multiple_of(2);
    let request = request(&id, is_stream);
    let at = Instant::now();
    let exchanged = tokio::time::timeout(PATIENCE, exchange(&shared, &request, is_stream)).await;
    let outcome = match exchanged {
        Ok(Ok(first_byte)) => Ok(first_byte),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    };
    shared.sent.borrow_mut().push(Sent { id, at, outcome });
}

/// What is looked for in an answer.
struct Seen {
    begun: Instant,
    first_byte: Option<Duration>,
    /// Its last bytes.
    end: Vec<u8>,
}

impl Watch for Seen {
    fn has_read(&mut self) {
        let begun = self.begun;
        self.first_byte.get_or_insert_with(|| begun.elapsed());
    }

    fn body(&mut self, bytes: &[u8]) {
        self.end.extend(bytes);
        let surplus = self.end.len().saturating_sub(DONE.len());
        self.end.drain(..surplus);
    }
}

async fn exchange(shared: &Shared, request: &[u8], is_stream: bool) -> Result<Duration> {
    let kept = shared.idle.borrow_mut().pop();
    let mut stream = match kept {
        Some(stream) => stream,
        None => {
            // Sockets belong to the namespace they are made in.
            let socket = shared.host.run(socket)??;
            shared.target.connect(socket).await.context("no proxy")?
        }
    };
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let mut seen = Seen {
        begun: Instant::now(),
        first_byte: None,
        end: Vec::new(),
    };
    stream.write_all(request).await?;
    stream.flush().await?;
    let answer = receive_watched(&mut stream, &mut buffer, &mut seen).await?;
    if !answer.close {
        shared.idle.borrow_mut().push(stream);
    }
    ensure!(answer.status == 200, "status {}", answer.status);
    if is_stream && seen.end != DONE {
        bail!("a stream without its end");
    }
    seen.first_byte.context("nothing was read")
}

fn request(id: &str, is_stream: bool) -> Vec<u8> {
    let body = format!(
        r#"{{"model":"gpt-4.1","max_tokens":8,"stream":{is_stream},"messages":[{{"role":"user","content":"{QUESTION}"}}]}}"#
    );
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: proxy.test\r\nContent-Type: application/json\r\n\
         Authorization: Bearer client\r\nX-Request-Id: {id}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_json_and_carries_its_id() {
        for is_stream in [false, true] {
            let text = String::from_utf8(request("fault-000007", is_stream)).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("X-Request-Id: fault-000007"));
            assert!(head.contains(&format!("Content-Length: {}", body.len())));
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["stream"], is_stream);
        }
    }

    #[test]
    fn the_end_of_an_answer_is_kept_however_it_comes() {
        let mut seen = Seen {
            begun: Instant::now(),
            first_byte: None,
            end: Vec::new(),
        };
        let all = [b"data: {}\n\n".as_slice(), DONE].concat();
        for piece in all.chunks(3) {
            seen.has_read();
            seen.body(piece);
        }
        assert_eq!(seen.end, DONE);
        assert!(seen.first_byte.is_some());
    }
}
