//! pick and forward: a connection for the request, and the request on it.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::account::RequestRecord;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::forward::{self, Outbound};
use crate::relay::early;
use crate::relay::patience::{Event, Patience};
use crate::upstream::pool::Leased;
use crate::upstream::{AnyExchange, ExchangeError, H2Request, Unsent};
use crate::worker::Worker;

use super::body::Observed;

/// A connection for the request: a warm one, or a new one.
pub(super) async fn pick<D: Downstream>(
    worker: &Rc<Worker>,
    outbound: Outbound,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<AnyExchange, ProxyError> {
    let mut exchange = match outbound.head {
        forward::OutboundHead::Http2(parts) => {
            let request = H2Request::new(parts, outbound.body);
            open_stream(worker, request, body, record).await?
        }
        forward::OutboundHead::Http1(head) => {
            let connection = match worker.pool.take(worker.now().into_std()) {
                Some(warm) => {
                    record.attempts += 1;
                    warm
                }
                None => open(worker, body, record).await?,
            };
            AnyExchange::h1(connection, head, outbound.body)
        }
    };
    if outbound.switches {
        exchange.may_switch();
    }
    let now = Instant::now();
    exchange.begin(&worker.sockets, now);
    record.overhead = now
        .duration_since(record.started)
        .saturating_sub(record.connect);
    record.sent_upstream = Some(now);
    Ok(exchange)
}

/// Another attempt at a request that upstream has had nothing of.
pub(super) async fn resend<D: Downstream>(
    worker: &Rc<Worker>,
    exchange: &mut AnyExchange,
    request: Unsent,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    worker.metrics.upstream.retries.inc();
    match request {
        Unsent::Http1(bytes) => {
            let fresh = open(worker, body, record).await?;
            exchange.resend(fresh, bytes);
            exchange.begin(&worker.sockets, Instant::now());
        }
        Unsent::Http2(request) => {
            *exchange = open_stream(worker, *request, body, record).await?;
        }
    }
    Ok(())
}

async fn open_stream<D: Downstream>(
    worker: &Rc<Worker>,
    request: H2Request,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<AnyExchange, ProxyError> {
    record.attempts += 1;
    let started = Instant::now();
    let stream = interruptible(worker, body, Box::pin(worker.h2.send(request))).await?;
    record.connect += started.elapsed();
    Ok(AnyExchange::H2(Box::new(stream?)))
}

async fn open<D: Downstream>(
    worker: &Rc<Worker>,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<Leased, ProxyError> {
    record.attempts += 1;
    let started = Instant::now();
    let opened = interruptible(worker, body, Box::pin(worker.pool.open())).await?;
    record.connect += started.elapsed();
    Ok(opened?)
}

/// Waits for something that is not about the client, unless the client leaves.
async fn interruptible<D: Downstream, T>(
    worker: &Worker,
    body: &mut Observed<'_, D>,
    future: impl Future<Output = T>,
) -> Result<T, ProxyError> {
    let mut future = std::pin::pin!(future);
    body.client.timer().set(
        worker.now(),
        // The connect timeout is the dialer's; this only bounds the unforeseen.
        worker.live().timeouts.connect + Duration::from_secs(5),
    );
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if body.client.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(ProxyError::ClientClosed));
        }
        body.client.timer().poll_expired(cx).map(|()| {
            let limit = worker.live().timeouts.connect;
            Err(ProxyError::UpstreamConnectTimeout(limit))
        })
    })
    .await
}

/// Sends the request and waits for the response head.
pub(super) async fn send<D: Downstream>(
    worker: &Worker,
    exchange: &mut AnyExchange,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<(), ExchangeError> {
    let result = head(worker, exchange, body, record).await;
    let model = body.asked().and_then(|asked| asked.model.take());
    record.model = record.model.take().or(model);
    record.kernel = exchange.timeline(&worker.sockets);
    worker.metrics.kernel.request(&record.kernel);
    if result.is_ok() {
        let came = exchange.head_read().unwrap_or_else(Instant::now);
        record.head_came = Some(came);
        record.header = record.sent_upstream.map(|sent| came.duration_since(sent));
    }
    result
}

async fn head<D: Downstream>(
    worker: &Worker,
    exchange: &mut AnyExchange,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<(), ExchangeError> {
    let mut patience = Patience::new(worker, record);
    let mut waited_at = None;
    poll_fn(|cx| {
        if let Poll::Ready(result) = exchange.poll_head(cx, body) {
            return Poll::Ready(result);
        }
        if body.client.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(ProxyError::ClientClosed.into()));
        }
        let (pulled, sent) = (exchange.pulled(), exchange.is_sent());
        if waited_at.replace((pulled, sent)) != Some((pulled, sent)) {
            let limit = match sent {
                true => patience.treatment.first_byte,
                false => worker.live().timeouts.client_body,
            };
            let gives_signs = sent && body.asked().is_some_and(|asked| asked.is_stream);
            patience.wait(body.client.timer(), worker.now(), limit, gives_signs);
        }
        while let Poll::Ready(event) = patience.poll(cx, body.client.timer()) {
            if event == Event::Over {
                let error = match sent {
                    true => ProxyError::UpstreamFirstByteTimeout(patience.treatment.first_byte),
                    false if exchange.is_blocked() => {
                        ProxyError::UpstreamIdleTimeout(worker.live().timeouts.client_body)
                    }
                    false => ProxyError::RequestTimeout,
                };
                return Poll::Ready(Err(ExchangeError::Failed(patience.error(error))));
            }
            early::sign(worker, body.client, record);
            if let Poll::Ready(Err(error)) = body.client.poll_flush(cx) {
                return Poll::Ready(Err(error.into()));
            }
        }
        Poll::Pending
    })
    .await
}
