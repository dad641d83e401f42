//! A second request beside a first one that has not been answered: to another endpoint of the same upstream, and the first
//! answer counts. Off unless the configuration says otherwise, since the loser may be paid for.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::attempt::head;
use super::body::Observed;
use super::course::Course;
use super::wait::Wait;
use crate::account::RequestRecord;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::metrics::upstream::Hedged;
use crate::traces::Came;
use crate::upstream::exchange::Receipt;
use crate::upstream::{AnyExchange, Message, NoBody};
use crate::worker::Worker;

/// When there is to be a second request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hedge {
    /// So long after the first.
    pub(super) after: Duration,
    /// Only if nothing of the first has been acknowledged.
    only_unacknowledged: bool,
}

impl Hedge {
    /// For a request of this route, if for any. Two comparisons where nothing is set.
    #[inline]
    pub(super) fn of(worker: &Worker, course: &Course, record: &RequestRecord) -> Option<Self> {
        let always = worker.treatment(record.route).hedge_after;
        let unacknowledged = worker.live().hedging.unacknowledged;
        if always.is_zero() && unacknowledged.is_zero() {
            return None;
        }
        // Elsewhere has to be somewhere.
        let roster = course.origin().dialer.roster();
        let (after, only_unacknowledged) = match always.is_zero() {
            true => (unacknowledged, true),
            false => (always, false),
        };
        (roster.all().len() > 1 && !course.switches).then_some(Self {
            after,
            only_unacknowledged,
        })
    }
}

/// Who has answered.
enum Winner {
    First,
    Second(Box<AnyExchange>, Instant),
}

type Second<'a> =
    Pin<Box<dyn Future<Output = Result<(Box<AnyExchange>, Instant), ProxyError>> + 'a>>;

/// Goes on waiting for the first answer, with a second request if there may be one.
///
/// # Errors
/// Why there is no answer.
pub(super) async fn send<D: Downstream>(
    worker: &Rc<Worker>,
    course: &Course,
    exchange: &mut AnyExchange,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
    wait: &mut Wait,
) -> Result<(), ProxyError> {
    let metrics = course.origin().metrics();
    let hedge = Hedge::of(worker, course, record);
    let is_due = hedge.is_some_and(|hedge| {
        !hedge.only_unacknowledged || exchange.receipt(&worker.sockets) == Receipt::None
    });
    let copy = exchange.copy().filter(|_| is_due);
    let has_budget = copy.is_some() && worker.hedges.withdraw();
    if copy.is_some() && !has_budget {
        metrics.hedged(Hedged::Denied);
    }
    let Some(mut copy) = copy.filter(|_| has_budget) else {
        wait.without_second();
        return head(worker, exchange, body, record, wait).await.map(drop);
    };
    record.attempts += 1;
    record.retries.push("hedge");
    if let Some(trace) = &mut record.trace {
        trace.attempt_begins(course.origin().link.slot, Some(&mut copy));
    }
    let mut second: Option<Second<'_>> = Some(Box::pin(ask(worker, course, exchange, copy)));
    // Made from the endpoint's address only; the first goes on meanwhile.
    wait.with_second();
    let winner = race(worker, exchange, &mut second, body, record, wait).await?;
    match winner {
        Winner::First => {
            if let Some(trace) = &mut record.trace {
                let came = match second {
                    Some(_) => Came::Outrun,
                    None => Came::Failed("hedge_failed"),
                };
                trace.hedged(false, came);
            }
            if second.is_some() {
                metrics.hedged(Hedged::Lost);
            }
        }
        Winner::Second(second, sent) => {
            metrics.hedged(Hedged::Won);
            exchange.abort();
            *exchange = *second;
            record.sent_upstream = Some(sent);
            let endpoint = exchange.endpoint().shared.address;
            record.endpoint = Some(endpoint);
            if let Some(trace) = &mut record.trace {
                trace.hedged(true, Came::Outrun);
                trace.sent(sent, endpoint);
            }
        }
    }
    Ok(())
}

/// The second request and its answer's head.
fn ask<'a>(
    worker: &'a Worker,
    course: &Course,
    first: &AnyExchange,
    message: Message,
) -> impl Future<Output = Result<(Box<AnyExchange>, Instant), ProxyError>> + 'a + use<'a> {
    let origin = Rc::clone(course.origin());
    let avoid = Some(first.endpoint().shared.address);
    async move {
        let warm = origin.pool.take_elsewhere(avoid, Instant::now());
        let leased = match warm {
            Some(warm) => warm,
            None => origin.pool.open(avoid).await?,
        };
        // Whoever refuses leaves the one to be avoided.
        if Some(leased.1.endpoint().shared.address) == avoid {
            return Err(ProxyError::UpstreamConnectFailed(
                "there is no other endpoint".into(),
            ));
        }
        let sent = Instant::now();
        let mut exchange = Box::new(AnyExchange::h1(leased, message));
        exchange.begin(&worker.sockets, sent);
        poll_fn(|cx| exchange.poll_head(cx, &mut NoBody)).await?;
        match exchange.head().status() {
            // As good as no answer while there may be another.
            429 | 500.. => Err(ProxyError::UpstreamClosed),
            _ => Ok((exchange, sent)),
        }
    }
}

async fn race<D: Downstream>(
    worker: &Worker,
    exchange: &mut AnyExchange,
    second: &mut Option<Second<'_>>,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
    wait: &mut Wait,
) -> Result<Winner, ProxyError> {
    let mut failed = None;
    let metrics = Rc::clone(exchange.endpoint());
    poll_fn(|cx| {
        if failed.is_none() {
            match exchange.poll_head(cx, body) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(Winner::First)),
                Poll::Ready(Err(error)) => failed = Some(error),
                Poll::Pending => {}
            }
        }
        if let Some(Poll::Ready(result)) = second.as_mut().map(|second| second.as_mut().poll(cx)) {
            *second = None;
            match result {
                Ok((second, sent)) => return Poll::Ready(Ok(Winner::Second(second, sent))),
                Err(_) => metrics.metrics().hedged(Hedged::Failed),
            }
        }
        if second.is_none()
            && let Some(error) = failed.take()
        {
            return Poll::Ready(Err(error));
        }
        if body.client.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(ProxyError::ClientClosed));
        }
        // Without a time for a second request there is only one for an error.
        let over = wait.poll(cx, worker, exchange, body, record);
        over.map(|over| over.map(|_| Winner::First))
    })
    .await
}
