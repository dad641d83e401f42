//! A client that leaves before it has its whole response.
//!
//! By default the request ends upstream, too. Where it is paid for in any case, the rest can be read for what it says of
//! that: to its end, or for a while.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::patience::Patience;
use crate::account::RequestRecord;
use crate::config::{ClientLeaves, Treatment};
use crate::error::ProxyError;
use crate::metrics::http::Left;
use crate::upstream::{AnyExchange, NoBody};
use crate::worker::Worker;

/// Ends the exchange of a client that has left, as its route says.
pub async fn leave(
    worker: &Worker,
    mut exchange: AnyExchange,
    record: &mut RequestRecord,
    has_head: bool,
) {
    let patience = Patience::new(worker, record);
    let limit = match patience.treatment.client_leaves {
        ClientLeaves::Cancel => Duration::ZERO,
        ClientLeaves::Drain => Duration::MAX,
        ClientLeaves::DrainFor(limit) => limit,
    };
    let limit = patience.left().map_or(limit, |left| left.min(limit));
    // A request that upstream does not have in full is not answered.
    if limit.is_zero() || !exchange.is_sent() {
        drop(exchange);
        worker.metrics.http.left(Left::Cancelled);
        return;
    }
    let rest = read_on(worker, &mut exchange, record, patience.treatment, has_head);
    let whole = matches!(timeout(limit, rest).await, Ok(Ok(())));
    if whole {
        exchange.finish(worker, Instant::now());
    }
    worker.metrics.http.left(match whole {
        true => Left::Drained,
        false => Left::GivenUp,
    });
}

/// Reads what is left of the response.
async fn read_on(
    worker: &Worker,
    exchange: &mut AnyExchange,
    record: &mut RequestRecord,
    treatment: Treatment,
    has_head: bool,
) -> Result<(), ProxyError> {
    if !has_head {
        let head = poll_fn(|cx| exchange.poll_head(cx, &mut NoBody));
        timeout(treatment.first_byte, head)
            .await
            .map_err(|_| ProxyError::UpstreamFirstByteTimeout(treatment.first_byte))??;
        super::observe(worker, exchange, record);
        exchange.start_body();
    }
    while piece(exchange, record, treatment.idle).await? > 0 {}
    if let Some(observed) = &mut record.observed {
        observed.is_whole = true;
    }
    Ok(())
}

/// The next bytes; how many.
async fn piece(
    exchange: &mut AnyExchange,
    record: &mut RequestRecord,
    idle: Duration,
) -> Result<usize, ProxyError> {
    let next = poll_fn(|cx| {
        let data = std::task::ready!(exchange.poll_data(cx))?;
        let count = data.len();
        if let Some(observed) = &mut record.observed {
            observed.feed(data);
        }
        exchange.consume(count);
        Poll::Ready(Ok(count))
    });
    match timeout(idle, next).await {
        Ok(result) => result,
        Err(_) => Err(ProxyError::UpstreamIdleTimeout(idle)),
    }
}
