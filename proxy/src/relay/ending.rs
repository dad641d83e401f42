//! The end of a response: the rest of it, or why there is no more.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::account::RequestRecord;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::upstream::AnyExchange;
use crate::worker::Worker;

/// How long a client is given to take the last word on a request that has taken too long.
pub(super) const LAST_WORD: Duration = Duration::from_secs(1);

/// Lets the rest of the response out.
///
/// # Errors
/// If the client is gone, or does not read.
pub async fn flush<D: Downstream>(worker: &Worker, client: &mut D) -> Result<(), ProxyError> {
    flush_within(worker.live().timeouts.client_body, || worker.now(), client).await
}

/// The same with the longest time in which a client may take nothing.
pub(super) async fn flush_within<D: Downstream>(
    limit: Duration,
    now: impl Fn() -> tokio::time::Instant,
    client: &mut D,
) -> Result<(), ProxyError> {
    let mut waited_at = None;
    poll_fn(|cx| {
        if let Poll::Ready(result) = client.poll_flush(cx) {
            return Poll::Ready(result);
        }
        let progress = client.progress();
        if waited_at.replace(progress) != Some(progress) {
            client.timer().set(now(), limit);
        }
        client
            .timer()
            .poll_expired(cx)
            .map(|()| Err(ProxyError::ClientClosed))
    })
    .await
}

/// Ends a response that broke off: a stream of events gets one more that says
/// why, and never a `[DONE]`; anything else is left incomplete.
pub(super) async fn tell<D: Downstream>(
    worker: &Worker,
    client: &mut D,
    record: &mut RequestRecord,
    error: &ProxyError,
    events: bool,
) {
    if events {
        // An event that was cut in the middle ends with an empty line first.
        let event = format!("\n\n{}", error.stream_event(record.dialect()));
        client.push(event.as_bytes());
        record.bytes_out += event.len() as u64;
        client.end();
    } else {
        client.truncate();
    }
    let limit = match error {
        ProxyError::TotalTimeout(_) | ProxyError::Stopping => LAST_WORD,
        _ => worker.live().timeouts.client_body,
    };
    // The error is accounted for; a client that cannot be told has gone.
    let _ = flush_within(limit, || worker.now(), client).await;
}

/// Reads a whole response into memory, for an answer that is kept.
///
/// # Errors
/// What broke it off, or that it is longer than `limit`.
pub async fn collect(exchange: &mut AnyExchange, limit: usize) -> Result<Vec<u8>, ProxyError> {
    exchange.start_body();
    let mut body = Vec::new();
    poll_fn(|cx| {
        loop {
            let data = std::task::ready!(exchange.poll_data(cx))?;
            let count = data.len();
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            if body.len() + count > limit {
                let reason = "it is too long to keep".into();
                return Poll::Ready(Err(ProxyError::UpstreamInvalidResponse(reason)));
            }
            body.extend_from_slice(data);
            exchange.consume(count);
        }
    })
    .await?;
    Ok(body)
}
