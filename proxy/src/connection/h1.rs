//! Serves one HTTP/1.1 client connection, request after request.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::h1_stream::{Begin, H1Stream};
use crate::account::RequestRecord;
use crate::downstream::Downstream;
use crate::drain::Draining;
use crate::error::ProxyError;
use crate::http1::head::{self, Version};
use crate::http1::{FieldName, Framing, Head, HeadError, framing};
use crate::pipeline::{self, Inbound};
use crate::worker::Worker;

/// How long a refused request's rest is read, so that the refusal is not lost
/// to a reset (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
/// And how much of it.
const LINGER_BYTES: usize = 1024 * 1024;

/// What came of waiting for a request.
enum Wait {
    Head(usize),
    Closed,
    Refuse(ProxyError),
}

/// Serves requests until either side ends the connection.
pub async fn serve(worker: Rc<Worker>, mut stream: H1Stream, https: bool) {
    let mut head = Head::default();
    let mut draining = worker.drain.wait();
    loop {
        let end = match read_head(&worker, &mut stream, &mut draining).await {
            Wait::Head(end) => end,
            Wait::Closed => break,
            Wait::Refuse(error) => {
                refuse(&worker, &mut stream, error).await;
                break;
            }
        };
        serve_request(&worker, &mut stream, &mut head, end, https).await;
        if !stream.is_reusable() {
            break;
        }
    }
    linger(&mut stream).await;
}

/// Waits for a whole head: up to the idle limit for its first byte, up to the
/// header limit from there.
async fn read_head(worker: &Worker, stream: &mut H1Stream, draining: &mut Draining) -> Wait {
    let (limit, timeouts) = (worker.config.limits.headers, &worker.config.timeouts);
    let mut scanned = 0;
    let mut started = false;
    poll_fn(|cx| {
        loop {
            skip_empty_line(stream);
            let waiting = stream.input.filled();
            if let Some(end) = head::find_end(waiting, scanned) {
                stream.timer.clear();
                return Poll::Ready(Wait::Head(end));
            }
            let seen = std::mem::replace(&mut scanned, waiting.len());
            if head::has_bare_lf(waiting, seen) {
                let reason = Cow::Borrowed("a line ends in LF without CR");
                return Poll::Ready(Wait::Refuse(ProxyError::InvalidRequest(reason)));
            }
            if stream.input.is_full(limit) {
                return Poll::Ready(Wait::Refuse(ProxyError::HeadersTooLarge { limit }));
            }
            let idle = stream.input.is_empty();
            let H1Stream { io, input, .. } = &mut *stream;
            match input.poll_fill(cx, io, limit) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Wait::Closed),
                Poll::Pending => {
                    if idle && Pin::new(&mut *draining).poll(cx).is_ready() {
                        return Poll::Ready(Wait::Closed);
                    }
                    if idle || !started {
                        started = !idle;
                        let limit = if idle {
                            timeouts.client_idle
                        } else {
                            timeouts.client_header
                        };
                        stream.timer.set(worker.now(), limit);
                    }
                    return stream.timer.poll_expired(cx).map(|()| match idle {
                        true => Wait::Closed,
                        false => Wait::Refuse(ProxyError::RequestTimeout),
                    });
                }
            }
        }
    })
    .await
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
    head: &mut Head,
    end: usize,
    https: bool,
) {
    let bytes = stream.input.filled().get(..end).unwrap_or_default();
    let parsed = head.parse_request(bytes);
    let view = head.view(bytes);
    let version = view.version();
    let mut record = RequestRecord::new(worker, stream.peer, version);
    let body = match parsed {
        Ok(()) => check(&view),
        Err(HeadError::TooManyFields) => {
            let limit = worker.config.limits.headers;
            Err(ProxyError::HeadersTooLarge { limit })
        }
        Err(error) => Err(ProxyError::InvalidRequest(Cow::Owned(error.to_string()))),
    };
    let mut begin = Begin {
        body: Framing::None,
        limit: worker.config.limits.body,
        expects_continue: view
            .field(FieldName::Expect)
            .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue")),
        http10: version == Version::Http10,
        head_only: view.method() == b"HEAD",
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            // Where the body ends is not known, so nothing can follow it.
            stream.close = true;
            stream.begin(&begin);
            pipeline::refuse(worker, stream, record, error).await;
            return;
        }
    };
    begin.body = body;
    let keep_alive = framing::keeps_alive(&view) && !worker.drain.is_draining();
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
    let missing = view.field(FieldName::Host).is_none() && view.version() == Version::Http11;
    if missing || view.is_repeated(FieldName::Host) {
        let reason = Cow::Borrowed("exactly one Host field is required");
        return Err(ProxyError::InvalidRequest(reason));
    }
    framing::of_request(view).map_err(|error| ProxyError::InvalidRequest(Cow::Borrowed(error.0)))
}

/// Answers something that never became a request.
async fn refuse(worker: &Rc<Worker>, stream: &mut H1Stream, error: ProxyError) {
    let record = RequestRecord::new(worker, stream.peer, Version::Http11);
    stream.close = true;
    stream.begin(&Begin {
        body: Framing::None,
        limit: 0,
        expects_continue: false,
        http10: false,
        head_only: false,
    });
    pipeline::refuse(worker, stream, record, error).await;
}

/// Ends the connection: FIN first, then reads on for a while, because closing
/// with unread bytes would make the kernel send a reset that can overtake the
/// response.
async fn linger(stream: &mut H1Stream) {
    let deadline = Instant::now();
    stream.timer.set(deadline, LINGER);
    let mut drained = 0;
    poll_fn(|cx| {
        if stream.timer.poll_expired(cx).is_ready() {
            return Poll::Ready(());
        }
        if stream.poll_flush(cx).is_pending() {
            return Poll::Pending;
        }
        std::task::ready!(stream.poll_shutdown(cx));
        loop {
            let waiting = stream.input.filled().len();
            stream.input.consume(waiting);
            drained += waiting;
            let H1Stream { io, input, .. } = &mut *stream;
            match std::task::ready!(input.poll_fill(cx, io, 16 * 1024)) {
                Ok(count) if count > 0 && drained < LINGER_BYTES => {}
                _ => return Poll::Ready(()),
            }
        }
    })
    .await;
}
