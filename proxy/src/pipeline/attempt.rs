//! forward: a connection for the request, the request on it, and the wait for its answer. Once.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::body::Observed;
use super::course::Course;
use super::hedge::{self, Hedge};
use super::wait::{Progress, Wait};
use crate::account::RequestRecord;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::upstream::pool::Leased;
use crate::upstream::{AnyExchange, Message, Origin};
use crate::worker::Worker;

/// A connection for the request, a warm one or a new one, and the request on it. Without a connection the request stays.
///
/// # Errors
/// Why there is none, or that the client has left.
pub(super) async fn begin<D: Downstream>(
    worker: &Rc<Worker>,
    course: &Course,
    message: &mut Option<Message>,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<AnyExchange, ProxyError> {
    let origin = course.origin();
    course.note(record);
    record.attempts += 1;
    if let Some(trace) = &mut record.trace {
        trace.attempt_begins(course.origin().link.slot, message.as_mut());
    }
    let mut exchange = if origin.speaks_h2() && !course.switches {
        open_stream(worker, origin, course, message, body, record).await?
    } else {
        let connection = match warm(worker, origin, course) {
            Some(warm) => warm,
            None => open(worker, origin, course, body, record).await?,
        };
        // It is there until it is sent, and was taken back if it was.
        let message = message.take().ok_or(ProxyError::UpstreamClosed)?;
        AnyExchange::h1(connection, message)
    };
    if course.switches {
        exchange.may_switch();
    }
    let now = Instant::now();
    exchange.begin(&worker.sockets, now);
    if record.sent_upstream.is_none() {
        record.overhead = now
            .duration_since(record.started)
            .saturating_sub(record.connect);
    }
    record.sent_upstream = Some(now);
    record.endpoint = Some(exchange.endpoint().shared.address);
    if let Some(trace) = &mut record.trace {
        trace.sent(now, exchange.endpoint().shared.address);
    }
    Ok(exchange)
}

fn warm(worker: &Worker, origin: &Origin, course: &Course) -> Option<Leased> {
    let now = worker.now().into_std();
    match course.avoid {
        None => origin.pool.take(now),
        avoid => origin.pool.take_elsewhere(avoid, now),
    }
}

async fn open_stream<D: Downstream>(
    worker: &Worker,
    origin: &Origin,
    course: &Course,
    message: &mut Option<Message>,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<AnyExchange, ProxyError> {
    let started = Instant::now();
    let stream = Box::pin(origin.h2.send(message, course.avoid));
    let limit = worker.live().timeouts.connect;
    let stream = interruptible(worker, body, limit, stream).await?;
    record.connect += started.elapsed();
    Ok(AnyExchange::H2(Box::new(stream?)))
}

async fn open<D: Downstream>(
    worker: &Worker,
    origin: &Origin,
    course: &Course,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<Leased, ProxyError> {
    let started = Instant::now();
    let opened = Box::pin(origin.pool.open(course.avoid));
    let limit = worker.live().timeouts.connect;
    let opened = interruptible(worker, body, limit, opened).await?;
    record.connect += started.elapsed();
    Ok(opened?)
}

/// Waits for something that is not about the client and takes no longer than `limit`, unless the client leaves.
pub(super) async fn interruptible<D: Downstream, T>(
    worker: &Worker,
    body: &mut Observed<'_, D>,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, ProxyError> {
    let mut future = std::pin::pin!(future);
    // The limit is kept by what is waited for; this only bounds the unforeseen.
    let bound = limit + Duration::from_secs(5);
    body.client.timer().set(worker.now(), bound);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if body.client.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(ProxyError::ClientClosed));
        }
        if worker.is_cut() {
            return Poll::Ready(Err(ProxyError::Stopping));
        }
        let expired = body.client.timer().poll_expired(cx);
        expired.map(|()| Err(ProxyError::UpstreamConnectTimeout(limit)))
    })
    .await
}

/// Sends the request and waits for the response head; if that takes long, perhaps with a second request elsewhere.
///
/// # Errors
/// Why there is none.
pub(super) async fn send<D: Downstream>(
    worker: &Rc<Worker>,
    course: &Course,
    exchange: &mut AnyExchange,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    let hedge = Hedge::of(worker, course, record);
    let mut wait = Wait::new(worker, exchange, record, hedge.map(|hedge| hedge.after));
    let result = match head(worker, exchange, body, record, &mut wait).await {
        Ok(Progress::Head) => Ok(()),
        Ok(Progress::Due) => {
            Box::pin(hedge::send(
                worker, course, exchange, body, record, &mut wait,
            ))
            .await
        }
        Err(error) => Err(error),
    };
    let model = body.asked().and_then(|asked| asked.model.take());
    record.model = record.model.take().or(model);
    record.kernel = exchange.timeline(&worker.sockets);
    exchange.endpoint().metrics().kernel.request(&record.kernel);
    if result.is_ok() {
        let came = exchange.head_read().unwrap_or_else(Instant::now);
        record.head_came = Some(came);
        record.header = record.sent_upstream.map(|sent| came.duration_since(sent));
    }
    if let Some(trace) = &mut record.trace {
        let came = record.head_came.filter(|_| result.is_ok());
        trace.answered(came.map(|at| (at, exchange.head().status())), record.kernel);
    }
    result
}

/// Waits for the head of the response, or until it is time for a second request.
///
/// # Errors
/// Why there is none, and none is to be waited for any longer.
pub(super) async fn head<D: Downstream>(
    worker: &Worker,
    exchange: &mut AnyExchange,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
    wait: &mut Wait,
) -> Result<Progress, ProxyError> {
    poll_fn(|cx| {
        if let Poll::Ready(result) = exchange.poll_head(cx, body) {
            return Poll::Ready(result.map(|()| Progress::Head));
        }
        if body.client.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(ProxyError::ClientClosed));
        }
        wait.poll(cx, worker, exchange, body, record)
    })
    .await
}
