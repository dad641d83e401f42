//! The life of a request, in order:
//!
//! ```text
//! route → authenticate → admit → pick → forward → observe → account
//! ```
//!
//! [`plan`] does what needs the request head, without waiting for anything;
//! [`run`] does the rest. `route` comes first because even a refusal has to be
//! in the dialect of its path. Both HTTP versions come through here: the
//! client is a [`Downstream`], the way to upstream an [`AnyExchange`].

mod admit;
mod attempt;
mod attempts;
mod authenticate;
mod body;
mod course;
mod describe;
mod doubt;
mod hedge;
mod learn;
mod permit;
mod realtime;
mod target;
mod verdict;
mod wait;

use std::rc::Rc;

use crate::account::{End, RequestRecord, Text};
use crate::answer::{self, Answer};
use crate::connection::peer::Peer;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::forward::{self, Outbound};
use crate::http1::{Framing, HeadView};
use crate::models;
use crate::relay;
use crate::route::{self, Action, Dialect, Route, RouteId};
use crate::upstream::AnyExchange;
use crate::webhook::{self, Notice};
use crate::worker::Worker;
pub use admit::settle;
use authenticate::authenticate;
pub use body::ADDED;
use body::Observed;
pub use describe::{describe, describe_unread};
use permit::Guard;
pub use target::Target;

/// Longest `x-request-id` taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// A request as it arrived.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// Its head.
    pub head: HeadView<'a>,
    /// How long its body is.
    pub body: Framing,
    /// Who sent it.
    pub peer: Peer,
    /// Whether it came over TLS.
    pub https: bool,
}

/// What will be done with a request.
#[derive(Debug)]
pub struct Plan {
    dialect: Dialect,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Refuse(ProxyError),
    Answer(Answer),
    RateLimit,
    Models(Box<Outbound>),
    Forward(Box<Outbound>),
    Webhook(Box<Notice>),
}

/// Decides what to do with a request, from its head alone.
pub fn plan(worker: &Rc<Worker>, inbound: &Inbound<'_>, record: &mut RequestRecord) -> Plan {
    describe(worker, &inbound.head, record);
    if let Some(tracer) = &worker.tracer {
        tracer.begin(worker, inbound, record);
    }
    let target = match Target::parse(inbound.head.target()) {
        Ok(target) => target,
        Err(error) => return Plan::refuse(Dialect::OpenAi, error),
    };
    let route = match find_route(worker, &target, inbound, record) {
        Ok(route) => route,
        Err(refusal) => return refusal,
    };
    if route.action == Action::Realtime {
        record.model = realtime::model(&target);
    }
    let step = authenticate(worker, inbound, &target, route, record)
        .and_then(|()| admit(worker, inbound, route))
        .and_then(|()| decide(worker, inbound, &target, route, record));
    Plan {
        dialect: route.dialect,
        step: step.unwrap_or_else(Step::Refuse),
    }
}

impl Plan {
    const fn refuse(dialect: Dialect, error: ProxyError) -> Self {
        Self {
            dialect,
            step: Step::Refuse(error),
        }
    }
}

fn find_route(
    worker: &Worker,
    target: &Target<'_>,
    inbound: &Inbound<'_>,
    record: &mut RequestRecord,
) -> Result<&'static Route, Plan> {
    // What is switched off must not show.
    let is_served = |id: &RouteId| id.get().action != Action::Webhook || worker.webhook.is_some();
    let Some(id) = route::find(target.path).filter(is_served) else {
        let dialect = route::dialect_of_unknown(target.path);
        return Err(Plan::refuse(dialect, ProxyError::UnknownRoute));
    };
    record.route = Some(id);
    let route = id.get();
    if !route::allows(route, inbound.head.method()) {
        let allow = route.methods;
        let error = ProxyError::MethodNotAllowed { allow };
        return Err(Plan::refuse(route.dialect, error));
    }
    Ok(route)
}

/// The limits a request can be held against before anything is spent on it.
fn admit(worker: &Worker, inbound: &Inbound<'_>, route: &Route) -> Result<(), ProxyError> {
    let limit = worker.live().limits.body;
    match inbound.body {
        // It has a limit of its own, and counts what exceeds it.
        Framing::Length(length) if length > limit && route.action != Action::Webhook => {
            Err(ProxyError::RequestTooLarge { limit })
        }
        // Busy is not ill: a probe that fails at the cap takes a pod away when it is needed most.
        _ if worker.is_overloaded() && route.action != Action::Health => {
            Err(ProxyError::Overloaded)
        }
        _ => Ok(()),
    }
}

fn decide(
    worker: &Worker,
    inbound: &Inbound<'_>,
    target: &Target<'_>,
    route: &Route,
    record: &RequestRecord,
) -> Result<Step, ProxyError> {
    let request_id = record.text.get(Text::RequestId);
    let outbound = |target: &Target<'_>, for_cache| {
        let told = (request_id, record.trace.as_deref());
        forward::outbound(worker, inbound, target, route, told, for_cache).map(Box::new)
    };
    match route.action {
        Action::Health => Ok(Step::Answer(answer::health(worker, target))),
        Action::RateLimit => Ok(Step::RateLimit),
        Action::Webhook => {
            webhook::notice(worker, inbound, record).map(|notice| Step::Webhook(Box::new(notice)))
        }
        // A client that may see some of it gets it out of the cache, whatever else it asks for.
        Action::Models if record.is_limited_to_models() => {
            let target = Target {
                path_and_query: target.path,
                ..*target
            };
            outbound(&target, true).map(Step::Models)
        }
        Action::Models if models::is_cacheable(worker, inbound, target) => {
            outbound(target, true).map(Step::Models)
        }
        Action::Realtime => {
            realtime::check(inbound).and_then(|()| outbound(target, false).map(Step::Forward))
        }
        Action::Models | Action::Forward => outbound(target, false).map(Step::Forward),
    }
}

/// Carries a plan out and accounts for the request.
pub async fn run<D: Downstream>(
    worker: &Rc<Worker>,
    plan: Plan,
    client: &mut D,
    mut record: RequestRecord,
) {
    let result = match plan.step {
        Step::Refuse(error) => Err(error),
        Step::Answer(answer) => answer::send(worker, client, &mut record, answer).await,
        Step::RateLimit => {
            let answer = answer::rate_limit(worker, &record).await;
            answer::send(worker, client, &mut record, answer).await
        }
        Step::Models(outbound) => match admit::take(worker, 0, &mut record).await {
            Ok(()) => Box::pin(models::answer(worker, *outbound, client, &mut record)).await,
            Err(error) => Err(error),
        },
        Step::Forward(outbound) => forward(worker, *outbound, client, &mut record).await,
        Step::Webhook(notice) => {
            Box::pin(webhook::answer(worker, *notice, client, &mut record)).await
        }
    };
    finish(worker, plan.dialect, client, record, result).await;
}

/// Answers with an error before there was a plan. What is known of the request
/// has been noted with [`describe`] or [`describe_unread`].
pub async fn refuse<D: Downstream>(
    worker: &Rc<Worker>,
    client: &mut D,
    mut record: RequestRecord,
    error: ProxyError,
    dialect: Dialect,
) {
    if record.text.get(Text::RequestId).is_empty() {
        describe_unread(worker, b"", &mut record);
    }
    finish(worker, dialect, client, record, Err(error)).await;
}

/// Tells the client of an error, if it can still be told, and closes the record.
async fn finish<D: Downstream>(
    worker: &Rc<Worker>,
    dialect: Dialect,
    client: &mut D,
    mut record: RequestRecord,
    result: Result<(), ProxyError>,
) {
    if let Err(error) = &result {
        let begun = record.status != 0;
        record.failed(error);
        if !begun && *error != ProxyError::ClientClosed {
            let answer = answer::error(error, dialect);
            // The error is what is accounted for; that it could not be
            // delivered adds nothing.
            let _ = answer::send(worker, client, &mut record, answer).await;
        }
    }
    record.bytes_in = client.body_read();
    record.finish(match result {
        Ok(()) => End::Complete,
        Err(ProxyError::ClientClosed) => End::Cancelled,
        Err(_) => End::Error,
    });
}

/// pick → forward → observe
async fn forward<D: Downstream>(
    worker: &Rc<Worker>,
    mut outbound: Outbound,
    client: &mut D,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    let has_model = record.route.is_some_and(|route| route.get().names_model());
    let gives_signs = !worker.treatment(record.route).keep_alive.is_zero();
    let adds = outbound.adds_usage;
    let estimated = admit::needs_estimate(worker, record);
    let only_model = !gives_signs && !estimated;
    let guard = Guard::of(record);
    let mut body = Observed::new(client, has_model, adds, only_model).guarded_by(guard);
    admit::admit(worker, &mut outbound.message, &mut body, record, estimated).await?;
    let mut slot = None;
    let sent = attempts::run(worker, outbound, &mut body, record, &mut slot).await;
    let exchange = match (sent, slot) {
        (Ok(()), Some(exchange)) => exchange,
        (sent, slot) => {
            let error = sent.err().unwrap_or(ProxyError::UpstreamClosed);
            let ended = give_up(worker, &error, slot, body.client, record);
            Box::pin(ended).await;
            return Err(error);
        }
    };
    record.omits_usage = body.has_added;
    let client = body.client;
    let refused = refused_key(worker, &exchange);
    if record.status != 0 {
        return Box::pin(relay::early::go_on(
            worker, exchange, client, record, refused,
        ))
        .await;
    }
    refused?;
    if exchange.head().status() == 101 {
        return Box::pin(relay::tunnel::run(worker, exchange, client, record)).await;
    }
    relay::start(worker, client, &exchange, record);
    relay::body(worker, exchange, client, record).await
}

/// Ends a request that got no answer.
async fn give_up<D: Downstream>(
    worker: &Rc<Worker>,
    error: &ProxyError,
    exchange: Option<AnyExchange>,
    client: &mut D,
    record: &mut RequestRecord,
) {
    match exchange {
        Some(exchange) if *error == ProxyError::ClientClosed => {
            relay::leave::leave(worker, exchange, record, false).await;
        }
        _ if record.status != 0 => relay::early::fail(worker, client, record, error).await,
        _ => {}
    }
}

/// Upstream's 401 and 403 are about the proxy's key, not about the client's:
/// passed on, they would send people looking in the wrong place.
fn refused_key(worker: &Worker, exchange: &AnyExchange) -> Result<(), ProxyError> {
    let is_refusal = matches!(exchange.head().status(), 401 | 403);
    match is_refusal && worker.config.auth.injects_key() {
        true => Err(ProxyError::UpstreamInvalidApiKey),
        false => Ok(()),
    }
}
