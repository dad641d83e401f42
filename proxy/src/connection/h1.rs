//! Serves one HTTP/1.1 client connection, request after request.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::h1_stream::{Begin, H1Stream};
use super::{PARTING, unasked};
use crate::account::RequestRecord;
use crate::downstream::Downstream;
use crate::drain::Draining;
use crate::error::ProxyError;
use crate::http1::head::Version;
use crate::http1::{FieldName, Framing, Head, HeadError, framing};
use crate::pipeline::{self, Inbound};
use crate::route;
use crate::worker::Worker;

/// How long a refused request's rest is read, so that the refusal is not lost
/// to a reset (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(30);
/// And how long without a byte of it.
const LINGER_IDLE: Duration = Duration::from_secs(2);
/// More names than these in `Connection` are an attack on the comparison.
const MAX_CONNECTION_OPTIONS: usize = 64;

/// What came of waiting for a request.
enum Wait {
    Head(usize),
    Closed,
    Refuse(ProxyError),
}

/// Serves requests until either side ends the connection.
pub async fn serve(worker: Rc<Worker>, mut stream: H1Stream, https: bool) {
    let mut head = Head::default();
    let mut draining = unasked(&worker);
    loop {
        let end = match read_head(&worker, &mut stream, &mut head, &mut draining).await {
            Wait::Head(end) => end,
            Wait::Closed => break,
            Wait::Refuse(error) => {
                refuse(&worker, &mut stream, error).await;
                break;
            }
        };
        serve_request(&worker, &mut stream, &head, end, https).await;
        if !stream.is_reusable() {
            break;
        }
        if worker.drain.is_stopping() {
            draining = parting(&worker);
        }
        stream.shrink();
    }
    if stream.is_reset() {
        return;
    }
    linger(&worker, &mut stream).await;
}

/// When to close a connection whose last answer had begun before the stop was asked for, and so did not say
/// `connection: close`: its client may be about to send the next request, which would meet the end of the connection.
fn parting(worker: &Worker) -> Draining {
    let draining = worker.drain.wait();
    Box::pin(async move {
        tokio::join!(draining, sleep(PARTING));
    })
}

/// Waits for a whole head: up to the idle limit for its first byte, up to the
/// header limit from there.
async fn read_head(
    worker: &Worker,
    stream: &mut H1Stream,
    head: &mut Head,
    draining: &mut Draining,
) -> Wait {
    let mut seen = 0;
    let mut begun = false;
    stream
        .timer
        .set(worker.now(), worker.live().timeouts.client_idle);
    poll_fn(|cx| {
        loop {
            skip_empty_line(stream);
            if let Some(found) = parse_head(worker, stream, head, &mut seen) {
                return Poll::Ready(found);
            }
            if !begun && !stream.input.is_empty() {
                begun = true;
                stream
                    .timer
                    .set(worker.now(), worker.live().timeouts.client_header);
            }
            let H1Stream { io, input, .. } = &mut *stream;
            match input.poll_fill(cx, io, worker.live().limits.headers) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Wait::Closed),
                Poll::Pending => {
                    if !begun && (worker.is_cut() || Pin::new(&mut *draining).poll(cx).is_ready()) {
                        return Poll::Ready(Wait::Closed);
                    }
                    return stream.timer.poll_expired(cx).map(|()| match begun {
                        true => Wait::Refuse(ProxyError::RequestTimeout),
                        false => Wait::Closed,
                    });
                }
            }
        }
    })
    .await
}

/// Reads the head in what has come, if it is complete or cannot become one.
fn parse_head(
    worker: &Worker,
    stream: &mut H1Stream,
    head: &mut Head,
    seen: &mut usize,
) -> Option<Wait> {
    let limit = worker.live().limits.headers;
    let waiting = stream.input.filled();
    if matches!(waiting, b"" | b"\r") {
        return None;
    }
    let too_large = Wait::Refuse(ProxyError::HeadersTooLarge { limit });
    match head.parse_request(waiting, std::mem::replace(seen, waiting.len())) {
        Ok(Some(end)) if end <= limit => {
            stream.timer.clear();
            Some(Wait::Head(end))
        }
        Ok(None) if waiting.len() < limit => None,
        Ok(_) | Err(HeadError::TooManyFields) => Some(too_large),
        Err(HeadError::Malformed(reason)) => {
            let reason = Cow::Borrowed(reason);
            Some(Wait::Refuse(ProxyError::InvalidRequest(reason)))
        }
    }
}

/// RFC 9112 section 2.2: an empty line before the request line is ignored.
fn skip_empty_line(stream: &mut H1Stream) {
    while stream.input.filled().starts_with(b"\r\n") {
        stream.input.consume(2);
    }
}

async fn serve_request(
    worker: &Rc<Worker>,
    stream: &mut H1Stream,
    head: &Head,
    end: usize,
    https: bool,
) {
    let view = head.view(stream.input.filled());
    let version = view.version();
    let mut record = RequestRecord::new(worker, stream.peer, version);
    let mut begin = Begin {
        body: Framing::None,
        limit: worker.live().limits.body,
        expects_continue: view
            .field(FieldName::Expect)
            .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue")),
        http10: version == Version::Http10,
        head_only: view.method() == b"HEAD",
    };
    let body = match check(&view) {
        Ok(body) => body,
        Err(error) => {
            // Where the body ends is not known, so nothing can follow it.
            stream.close = true;
            let dialect = route::dialect_of_unknown(view.target());
            pipeline::describe(worker, &view, &mut record);
            stream.begin(&begin);
            pipeline::refuse(worker, stream, record, error, dialect).await;
            return;
        }
    };
    begin.body = body;
    let keep_alive = framing::keeps_alive(&view) && !worker.drain.is_stopping();
    let inbound = Inbound {
        head: view,
        body,
        peer: stream.peer,
        https,
    };
    let plan = pipeline::plan(worker, &inbound, &mut record);
    stream.input.consume(end);
    stream.close |= !keep_alive;
    stream.begin(&begin);
    pipeline::run(worker, plan, stream, record).await;
}

/// What RFC 9112 asks of a request head beyond its grammar.
fn check(view: &crate::http1::HeadView<'_>) -> Result<Framing, ProxyError> {
    let invalid = |reason| Err(ProxyError::InvalidRequest(Cow::Borrowed(reason)));
    match view.field(FieldName::Host) {
        _ if view.is_repeated(FieldName::Host) => return invalid("more than one Host field"),
        None if view.version() == Version::Http11 => return invalid("there is no Host field"),
        Some(host) if !host.iter().all(is_host_byte) => return invalid("invalid Host field"),
        _ => {}
    }
    if framing::connection_options(view).count() > MAX_CONNECTION_OPTIONS {
        return invalid("too many options in Connection");
    }
    framing::of_request(view).map_err(|error| ProxyError::InvalidRequest(Cow::Borrowed(error.0)))
}

/// The characters of a host and port (RFC 3986 section 3.2.2), without those
/// that only occur in attempts to look like something else.
const fn is_host_byte(byte: &u8) -> bool {
    matches!(
        *byte,
        b'.' | b'-'
            | b'_'
            | b'~'
            | b':'
            | b'['
            | b']'
            | b'%'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b';'
            | b'='
    ) || byte.is_ascii_alphanumeric()
}

/// Answers something that never became a request.
async fn refuse(worker: &Rc<Worker>, stream: &mut H1Stream, error: ProxyError) {
    let mut record = RequestRecord::new(worker, stream.peer, Version::Http11);
    pipeline::describe_unread(worker, stream.input.filled(), &mut record);
    stream.close = true;
    stream.begin(&Begin {
        body: Framing::None,
        limit: 0,
        expects_continue: false,
        http10: false,
        head_only: false,
    });
    // What came of the request line, if any, tells the dialect well enough.
    let target = stream.input.filled().split(|byte| *byte == b' ').nth(1);
    let dialect = route::dialect_of_unknown(target.unwrap_or_default());
    pipeline::refuse(worker, stream, record, error, dialect).await;
}

/// Ends the connection: FIN first, then reads on for a while, because closing
/// with unread bytes would make the kernel send a reset that can overtake the
/// response.
async fn linger(worker: &Worker, stream: &mut H1Stream) {
    let end = Instant::now() + LINGER;
    stream.timer.set(worker.now(), LINGER_IDLE);
    poll_fn(|cx| {
        if stream.timer.poll_expired(cx).is_ready() {
            return Poll::Ready(());
        }
        if stream.poll_flush(cx).is_pending() {
            return Poll::Pending;
        }
        ready!(stream.poll_shutdown(cx));
        loop {
            let waiting = stream.input.filled().len();
            stream.input.consume(waiting);
            let H1Stream { io, input, .. } = &mut *stream;
            match ready!(input.poll_fill(cx, io, 16 * 1024)) {
                Ok(count) if count > 0 && Instant::now() < end => {}
                _ => return Poll::Ready(()),
            }
            stream.timer.set(worker.now(), LINGER_IDLE);
        }
    })
    .await;
}
