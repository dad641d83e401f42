//! A session over a WebSocket: bytes both ways, from the moment upstream has switched protocols.
//!
//! Bytes are passed on as they come. What the server sends is looked at (`stream/frames.rs`) for what it says of usage
//! and for its end; only the proxy's own last word, a closing frame with the reason, is ever added, and only between two
//! frames.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::ending;
use super::patience::Patience;
use crate::account::usage::Observation;
use crate::account::{RequestRecord, Text};
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::forward;
use crate::stream::frames::{self, Frames, Part};
use crate::upstream::AnyExchange;
use crate::worker::Worker;

/// "An endpoint is going away" and "an unexpected condition" (RFC 6455 section 7.4.1), and "the service restarts", which
/// IANA has added: the client may come back at once.
const GOING_AWAY: u16 = 1001;
const UNEXPECTED: u16 = 1011;
const RESTARTS: u16 = 1012;

/// What the server has sent so far.
#[derive(Debug, Default)]
struct Server {
    frames: Frames,
    received: u64,
    /// It has said that it closes.
    closes: bool,
}

/// Serves a session to its end.
///
/// # Errors
/// What ended it before the server said that it closes.
pub async fn run<D: Downstream>(
    worker: &Worker,
    mut exchange: AnyExchange,
    client: &mut D,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    start(worker, &exchange, client, record);
    exchange.start_body();
    exchange.switch();
    let mut server = Server::default();
    let result = pump(worker, &mut exchange, client, record, &mut server).await;
    drop(exchange);
    record.response = record.sent_upstream.map(|sent| sent.elapsed());
    match result {
        Err(error) if !server.closes => {
            end(worker, client, record, &error, &server).await;
            Err(error)
        }
        // Whoever closes the connection first is right, once that has been said.
        _ => {
            client.end();
            super::flush(worker, client).await
        }
    }
}

fn start<D: Downstream>(
    worker: &Worker,
    exchange: &AnyExchange,
    client: &mut D,
    record: &mut RequestRecord,
) {
    let head = exchange.head();
    record.status = head.status();
    client.start_head(record.status);
    forward::response_fields(&head, client, record.terms.is_some());
    client.field(b"connection", b"Upgrade");
    client.field(b"upgrade", b"websocket");
    client.field(b"x-request-id", record.text.get(Text::RequestId));
    super::limits(client, record);
    client.switch();
    if worker.live().count_usage {
        record.observed = Some(Box::new(Observation::of_session()));
    }
    if let Some(came) = record.head_came {
        record.overhead += came.elapsed();
    }
}

/// Moves bytes both ways until one side ends the connection.
async fn pump<D: Downstream>(
    worker: &Worker,
    exchange: &mut AnyExchange,
    client: &mut D,
    record: &mut RequestRecord,
    server: &mut Server,
) -> Result<(), ProxyError> {
    let mut patience = Patience::new(worker, record);
    let mut waited_at = None;
    poll_fn(|cx| {
        exchange.poll_request(cx, client)?;
        if pass(cx, exchange, client, record, server)? {
            return Poll::Ready(match server.closes {
                true => Ok(()),
                false => Err(ProxyError::UpstreamClosed),
            });
        }
        if worker.is_cut() {
            return Poll::Ready(Err(ProxyError::Stopping));
        }
        let state = (exchange.pulled(), server.received, client.progress());
        if waited_at.replace(state) != Some(state) {
            let limit = patience.treatment.idle;
            patience.wait(client.timer(), worker.now(), limit, false);
        }
        patience.poll(cx, client.timer()).map(|_| {
            let idle = ProxyError::UpstreamIdleTimeout(patience.treatment.idle);
            Err(patience.error(idle))
        })
    })
    .await
}

/// Passes on what the server sends; whether it has ended the connection.
fn pass<D: Downstream>(
    cx: &mut Context<'_>,
    exchange: &mut AnyExchange,
    client: &mut D,
    record: &mut RequestRecord,
    server: &mut Server,
) -> Result<bool, ProxyError> {
    loop {
        if !client.has_room() {
            match client.poll_flush(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => return Ok(false),
            }
        }
        let Poll::Ready(data) = exchange.poll_data(cx) else {
            break;
        };
        let data = data?;
        let count = data.len();
        if count == 0 {
            return Ok(true);
        }
        client.push(data);
        if let Some(observed) = &mut record.observed {
            observed.feed(data);
        }
        server
            .frames
            .feed(data, |part| server.closes |= part == Part::Close);
        server.received += count as u64;
        record.bytes_out += count as u64;
        exchange.consume(count);
    }
    if let Poll::Ready(result) = client.poll_flush(cx) {
        result?;
    }
    Ok(false)
}

/// Tells the client why its session ends.
async fn end<D: Downstream>(
    worker: &Worker,
    client: &mut D,
    record: &mut RequestRecord,
    error: &ProxyError,
    server: &Server,
) {
    if *error == ProxyError::ClientClosed || !server.frames.is_between() {
        client.truncate();
        return;
    }
    let code = match error {
        ProxyError::UpstreamIdleTimeout(_) | ProxyError::TotalTimeout(_) => GOING_AWAY,
        ProxyError::Stopping => RESTARTS,
        _ => UNEXPECTED,
    };
    let frame = frames::close(code, error.class().code);
    client.push(&frame);
    record.bytes_out += frame.len() as u64;
    client.end();
    // The error is accounted for; a client that cannot be told has gone.
    let _ = ending::flush_within(ending::LAST_WORD, || worker.now(), client).await;
}
