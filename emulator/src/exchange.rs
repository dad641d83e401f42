//! The life of a request: count, record, fault, read, authenticate, bill, think, answer.
//!
//! hyper calls [`answer`] for each request of a connection (`server/connection.rs`). What to say is
//! decided in `api.rs`; this file decides when, and what goes wrong on purpose.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::api::answer::Answer;
use crate::api::{self, Ask};
use crate::auth;
use crate::body::{Accounting, AnswerBody, Source};
use crate::control;
use crate::fault::shape::Shape;
use crate::fault::{self, Fault, FaultError, RetryHints, Stage, wire};
use crate::head;
use crate::realtime;
use crate::record::RecordedRequest;
use crate::routes::Route;
use crate::server::Shared;
use crate::server::connection::{Link, Order};

/// Nanoseconds since the Unix epoch, comparable with any other process of the same machine.
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

/// Answers one request. The future is dropped by hyper when the client goes away.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    link: Arc<Link>,
    mut request: Request<Incoming>,
) -> Response<AnswerBody> {
    let upgrade = realtime::upgrade(&mut request);
    let (head, body) = request.into_parts();
    if head.uri.path().starts_with(control::PREFIX) {
        return control::answer(&shared, &head, body).await;
    }
    let begun = Instant::now();
    let route = Route::of(head.uri.path());
    shared.counters.request(route);
    let accounting = Accounting::new(&shared, &link);
    let sequence = shared.recorder.head(|n| record(n, &link, &head));

    let key = auth::key_of(&head.headers, &shared.api_keys);
    let fault = match requested_fault(&head.headers) {
        Ok(None) => shared.faults.take_with_key(Stage::Request, key),
        Ok(fault) => fault,
        Err(error) => {
            let answer = Answer::bad_request(route.dialect(), &error.to_string());
            return respond(&shared, accounting, begun, answer, Shape::AsIs);
        }
    };
    if let Some(Fault::EarlyResponse { status }) = fault {
        let answer = Answer::status(route.dialect(), status, RetryHints::default());
        return respond(&shared, accounting, begun, answer, Shape::AsIs);
    }
    let Ok((body, trailers)) = read(body).await else {
        // The client broke off; hyper closes the connection whatever is returned.
        drop(accounting);
        return Response::new(AnswerBody::uncounted(Bytes::new()));
    };
    if let Some(sequence) = sequence {
        shared.recorder.body(sequence, &body, trailers);
    }
    let prepared = match instead(route, fault.as_ref()) {
        Some(answer) => Prepared::Instead(answer),
        None if key.is_none() => Prepared::Instead(auth::refusal(route.dialect(), &head.headers)),
        None => match upgrade {
            Some(upgrade) if route == Route::Realtime => Prepared::Session(upgrade),
            _ => Prepared::Answer(api::answer(&Ask::new(&shared, route, &head, &body))),
        },
    };
    if key.is_some() && prepared.is_work(&head.method) {
        shared.counters.billed.add(1);
        shared.billed_ids.note(&head.headers);
    }
    let meter = match &prepared {
        Prepared::Answer(Answer { used, .. }) => used.as_ref(),
        _ => None,
    };
    let meter = meter.and_then(|used| shared.ledger.open(&head.headers, used));
    let accounting = before_head(&shared, &link, accounting, fault.as_ref()).await;
    let answer = match prepared {
        Prepared::Instead(answer) => {
            if key.is_none() && answer.status == StatusCode::UNAUTHORIZED {
                shared.counters.unauthorized.add(1);
            }
            answer
        }
        Prepared::Session(upgrade) => {
            let query = head.uri.query().unwrap_or_default();
            let model = query.strip_prefix("model=").unwrap_or_default();
            return realtime::switch(&shared, accounting, upgrade, model.to_owned());
        }
        Prepared::Answer(answer) => {
            think(&shared).await;
            answer
        }
    };
    let shape = shape(&link, fault.as_ref());
    let mut response = respond(&shared, accounting, begun, answer, shape);
    response.body_mut().meter(meter);
    if let Some(Fault::OversizedHeaders { bytes }) = fault {
        head::pad(response.headers_mut(), bytes);
    }
    response
}

/// What a request that was read will get, should no fault break it off.
enum Prepared {
    /// The answer of a fault, or of the key check.
    Instead(Answer),
    /// A realtime session.
    Session((OnUpgrade, HeaderMap)),
    /// The answer of the API.
    Answer(Answer),
}

impl Prepared {
    /// Whether a relay would take money for it.
    fn is_work(&self, method: &Method) -> bool {
        match self {
            Self::Session(_) => true,
            Self::Instead(answer) | Self::Answer(answer) => {
                method == Method::POST && answer.status.is_success()
            }
        }
    }
}

/// The answer of a fault that replaces that of the API.
fn instead(route: Route, fault: Option<&Fault>) -> Option<Answer> {
    match fault? {
        Fault::Status { status, hints } => Some(Answer::status(route.dialect(), *status, *hints)),
        Fault::OversizedBody { bytes } => Some(Answer::json_source(Source::Padding {
            remaining: *bytes,
            begun: false,
        })),
        _ => None,
    }
}

/// What happens once the request is read and before anything is sent. Faults that take the connection
/// away do not return.
async fn before_head(
    shared: &Shared,
    link: &Link,
    accounting: Accounting,
    fault: Option<&Fault>,
) -> Accounting {
    match fault {
        Some(Fault::Reset { after: None }) => take_away(link, accounting, Order::Reset).await,
        Some(Fault::Malformed(kind)) => {
            let bytes = wire::bytes(*kind, link.http2);
            take_away(link, accounting, Order::Write(bytes)).await;
        }
        Some(Fault::StallBeforeHeaders { pause: Some(pause) }) => {
            tokio::time::sleep(*pause).await;
        }
        Some(Fault::StallBeforeHeaders { pause: None }) => std::future::pending().await,
        Some(Fault::CloseAfter { requests }) => link.close_after(*requests),
        Some(Fault::CloseIdle { after }) => link.close_idle(after, || shared.faults.draw(after)),
        _ => {}
    }
    accounting
}

/// Hands the connection over; its task drops this future with everything else.
async fn take_away(link: &Link, accounting: Accounting, order: Order) -> ! {
    accounting.faulted();
    link.order(order);
    std::future::pending().await
}

fn shape(link: &Arc<Link>, fault: Option<&Fault>) -> Shape {
    match fault {
        Some(Fault::StallAfterHeaders { pause }) => Shape::stall(*pause),
        Some(Fault::Drip { interval }) => Shape::drip(*interval),
        Some(Fault::Cut { after }) => Shape::cut(*after, None),
        Some(Fault::Reset { after: Some(after) }) => Shape::cut(*after, Some(Arc::clone(link))),
        _ => Shape::AsIs,
    }
}

async fn think(shared: &Shared) {
    if let Some(clock) = &shared.clock {
        clock
            .sleep_until(Instant::now() + shared.sampler.sample())
            .await;
    }
}

fn respond(
    shared: &Shared,
    accounting: Accounting,
    begun: Instant,
    answer: Answer,
    shape: Shape,
) -> Response<AnswerBody> {
    let mut response = Response::new(());
    *response.status_mut() = answer.status;
    *response.headers_mut() = head::fields(shared, &answer, begun);
    response.map(|()| AnswerBody::new(answer.source, shape, accounting))
}

fn requested_fault(headers: &HeaderMap) -> Result<Option<Fault>, FaultError> {
    let Some(value) = headers.get(fault::FAULT_HEADER) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    fault::of_request(&text).map(Some)
}

/// The whole body, without copying it when it came in one piece.
async fn read(mut body: Incoming) -> Result<(Bytes, Option<HeaderMap>), hyper::Error> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if first.is_empty() && whole.is_empty() => first = data,
            Ok(data) => {
                whole.extend_from_slice(&std::mem::take(&mut first));
                whole.extend_from_slice(&data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let body = if whole.is_empty() {
        first
    } else {
        whole.freeze()
    };
    Ok((body, trailers))
}

fn record(sequence: u64, link: &Link, head: &http::request::Parts) -> RecordedRequest {
    let target = head.uri.path_and_query();
    RecordedRequest {
        sequence,
        connection: link.number,
        received_unix_ns: unix_ns(),
        server_name: link.server_name.clone(),
        version: head.version,
        method: head.method.clone(),
        path_and_query: target.map_or_else(String::new, ToString::to_string),
        headers: head.headers.clone(),
        trailers: None,
        complete: false,
        body_length: 0,
        body_hash: crate::record::body_hash(&[]),
        body: Bytes::new(),
    }
}
