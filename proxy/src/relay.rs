//! observe: the response on its way to the client.
//!
//! Bytes are passed on as they come, each batch flushed before more is waited
//! for, so that chunk timing survives. A client that reads slowly stops the
//! reading from upstream.

mod discard;
pub mod early;
mod ending;
pub mod leave;
mod omission;
pub mod patience;
mod signs;
pub mod tunnel;

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use crate::account::{RequestRecord, Text};
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::forward;
use crate::http1::{FieldName, Framing};
use crate::limits;
use crate::upstream::AnyExchange;
use crate::worker::Worker;
pub use discard::discard;
use ending::tell;
pub use ending::{collect, flush};
use omission::Omission;
use patience::{Event, Patience};
use signs::Position;

/// Queues upstream's response head for the client.
pub fn start<D: Downstream>(
    worker: &Worker,
    client: &mut D,
    exchange: &AnyExchange,
    record: &mut RequestRecord,
) {
    let head = exchange.head();
    record.status = head.status();
    observe(worker, exchange, record);
    let framing = match exchange.response_framing() {
        // It will be shorter than upstream says.
        Framing::Length(_) if omits(exchange, record) => Framing::UntilClose,
        framing => framing,
    };
    client.start_head(record.status);
    forward::response_fields(&head, client, record.terms.is_some());
    if head.field(FieldName::Date).is_none() {
        // RFC 9110 section 6.6.1: whoever has a clock says when it came.
        worker.with_date(|date| client.field(b"date", date.as_bytes()));
    }
    client.field(b"x-request-id", record.text.get(Text::RequestId));
    attempts(client, record);
    limits(client, record);
    if record.wants_timing {
        let timing = record.kernel.server_timing();
        // Of a request over h2 nothing is known.
        if !timing.is_empty() {
            client.field(b"server-timing", timing.as_bytes());
        }
    }
    if worker.drain.is_stopping() {
        client.close_after();
    }
    if !exchange.is_sent() {
        // Upstream has heard enough; what is left of the body may never be read.
        client.close_after();
    }
    record.is_open_ended = !matches!(framing, Framing::Length(_));
    client.end_head(framing);
}

/// Tells a client that its request was sent more than once, and how often.
pub fn attempts<D: Downstream>(client: &mut D, record: &RequestRecord) {
    if record.attempts > 1 {
        let mut buffer = itoa::Buffer::new();
        let count = buffer.format(record.attempts);
        client.field(b"x-holysheep-attempts", count.as_bytes());
    }
}

/// Tells a client that has limits what is left of them.
pub fn limits<D: Downstream>(client: &mut D, record: &RequestRecord) {
    if let Some(terms) = &record.terms {
        // Just now, or it is the proxy's own answer.
        let state = terms.state(record.head_came.unwrap_or_else(Instant::now));
        client.lines(|out| limits::fields(&state, out));
    }
}

/// Whether an event is left out of the stream.
fn omits(exchange: &AnyExchange, record: &RequestRecord) -> bool {
    record.omits_usage && record.observed.is_some() && exchange.is_event_stream()
}

/// Has the body looked at if it may say what was used.
fn observe(worker: &Worker, exchange: &AnyExchange, record: &mut RequestRecord) {
    let is_wanted = worker.live().count_usage && record.operation().is_some();
    if !is_wanted || !(200..300).contains(&exchange.head().status()) || !is_plain(exchange) {
        return;
    }
    let is_stream = exchange.is_event_stream();
    if is_stream || exchange.is_json() {
        record.observed = Some(worker.spare.observation(is_stream));
    }
}

/// What happens to the bytes of a response on their way.
#[derive(Debug, Default)]
struct Passage {
    /// Bytes that upstream has sent.
    received: u64,
    omission: Option<Omission>,
    /// Kept where signs of life may have to be given.
    position: Option<Position>,
    /// It is a stream of events, which may be small and far apart.
    rests: bool,
}

/// What the relay found at one poll.
enum Pass {
    /// The body is complete.
    Done,
    /// Nothing more at the moment.
    Waiting {
        /// Whether the client is what is waited for.
        on_client: bool,
    },
}

/// Passes the response body on and gives the connection back.
///
/// # Errors
/// What broke the response off. The client has been told in the stream, or can
/// tell from its framing.
pub async fn body<D: Downstream>(
    worker: &Worker,
    mut exchange: AnyExchange,
    client: &mut D,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    let events = takes_event(&exchange, record);
    let patience = Patience::new(worker, record);
    let gives_signs = events && !patience.treatment.keep_alive.is_zero();
    let mut passage = Passage {
        received: 0,
        omission: omits(&exchange, record).then(Omission::default),
        position: gives_signs.then(Position::default),
        rests: exchange.is_event_stream(),
    };
    exchange.start_body();
    if passage.rests {
        exchange.give_back(&worker.spare);
    }
    let pump = pump(
        worker,
        &mut exchange,
        client,
        record,
        &mut passage,
        patience,
    );
    let (result, now) = match pump.await {
        Ok(now) => (Ok(()), now),
        Err(error) => (Err(error), Instant::now()),
    };
    record.response = record.sent_upstream.map(|sent| now.duration_since(sent));
    // What is held of an event that was broken off is of no use, and no JSON to those that get to the error behind it.
    if let Some(mut omission) = passage.omission.filter(|_| result.is_ok()) {
        omission.finish(|data| push(client, record, &mut passage.position, data));
    }
    match result {
        Ok(()) => {
            exchange.finish(worker, now);
            client.end();
            flush(worker, client).await
        }
        Err(ProxyError::ClientClosed) => {
            client.truncate();
            Box::pin(leave::leave(worker, exchange, record, true)).await;
            Err(ProxyError::ClientClosed)
        }
        Err(error) => {
            if matches!(
                error,
                ProxyError::UpstreamClosed
                    | ProxyError::UpstreamIdleTimeout(_)
                    | ProxyError::UpstreamInvalidResponse(_)
            ) {
                let endpoint = exchange.endpoint();
                if let Some(origin) = worker.origin(endpoint.upstream()) {
                    endpoint.failed(&origin.dialer.roster().limits(), now);
                }
            }
            // Close the connection upstream before anything else: it ends the work there.
            drop(exchange);
            tell(worker, client, record, &error, events).await;
            Err(error)
        }
    }
}

/// Whether one more event can follow whatever has been passed on: the length
/// is open, and the stream is not compressed, where plain bytes are garbage.
fn takes_event(exchange: &AnyExchange, record: &RequestRecord) -> bool {
    exchange.is_event_stream() && record.is_open_ended && is_plain(exchange)
}

/// Whether the body is not compressed.
fn is_plain(exchange: &AnyExchange) -> bool {
    let mut codings = exchange.head().values(FieldName::ContentEncoding);
    codings.all(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

/// Moves the body; returns when it was complete.
async fn pump<D: Downstream>(
    worker: &Worker,
    exchange: &mut AnyExchange,
    client: &mut D,
    record: &mut RequestRecord,
    passage: &mut Passage,
    mut patience: Patience,
) -> Result<Instant, ProxyError> {
    let mut first = true;
    let mut waited_at = None;
    poll_fn(|cx| {
        let pass = pass(cx, exchange, client, record, passage)?;
        let done = matches!(pass, Pass::Done);
        if done || first {
            let now = Instant::now();
            if let Some(head_came) = record.head_came.filter(|_| std::mem::take(&mut first)) {
                record.overhead += now.duration_since(head_came);
            }
            if done {
                return Poll::Ready(Ok(now));
            }
        }
        if client.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(ProxyError::ClientClosed));
        }
        if worker.is_cut() {
            return Poll::Ready(Err(ProxyError::Stopping));
        }
        let on_client = matches!(pass, Pass::Waiting { on_client: true });
        if passage.rests && !on_client {
            exchange.rest();
            client.rest();
        }
        let state = (passage.received, on_client.then(|| client.progress()));
        if waited_at.replace(state) != Some(state) {
            let (limit, gives_signs) = match on_client {
                true => (worker.live().timeouts.client_body, false),
                false => (patience.treatment.idle, passage.position.is_some()),
            };
            patience.wait(client.timer(), worker.now(), limit, gives_signs);
        }
        while let Poll::Ready(event) = patience.poll(cx, client.timer()) {
            if event == Event::Over {
                return Poll::Ready(Err(patience.error(match on_client {
                    true => ProxyError::ClientClosed,
                    false => ProxyError::UpstreamIdleTimeout(patience.treatment.idle),
                })));
            }
            if passage.position.as_ref().is_some_and(Position::is_between) {
                early::sign(worker, client, record);
                if let Poll::Ready(Err(error)) = client.poll_flush(cx) {
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Pending
    })
    .await
}

/// Moves all that can be moved now.
fn pass<D: Downstream>(
    cx: &mut std::task::Context<'_>,
    exchange: &mut AnyExchange,
    client: &mut D,
    record: &mut RequestRecord,
    passage: &mut Passage,
) -> Result<Pass, ProxyError> {
    exchange.poll_request(cx, client)?;
    loop {
        if !client.has_room() {
            match client.poll_flush(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => return Ok(Pass::Waiting { on_client: true }),
            }
        }
        match exchange.poll_data(cx) {
            Poll::Ready(data) => {
                let data = data?;
                let count = data.len();
                if count == 0 {
                    return Ok(Pass::Done);
                }
                passage.pass(client, record, data);
                exchange.consume(count);
            }
            Poll::Pending => break,
        }
    }
    if let Poll::Ready(result) = client.poll_flush(cx) {
        result?;
        return Ok(Pass::Waiting { on_client: false });
    }
    Ok(Pass::Waiting { on_client: true })
}

impl Passage {
    #[inline]
    fn pass<D: Downstream>(&mut self, client: &mut D, record: &mut RequestRecord, data: &[u8]) {
        self.received += data.len() as u64;
        let Some(omission) = &mut self.omission else {
            if let Some(observed) = &mut record.observed {
                observed.feed(data);
            }
            push(client, record, &mut self.position, data);
            return;
        };
        if let Some(mut observed) = record.observed.take() {
            let position = &mut self.position;
            omission.pass(data, &mut observed, |data| {
                push(client, record, position, data);
            });
            record.observed = Some(observed);
        }
    }
}

#[inline]
fn push<D: Downstream>(
    client: &mut D,
    record: &mut RequestRecord,
    position: &mut Option<Position>,
    data: &[u8],
) {
    client.push(data);
    record.bytes_out += data.len() as u64;
    if let Some(position) = position {
        position.passed(data);
    }
}

#[cfg(test)]
mod tests;
