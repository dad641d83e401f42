//! The emulator's own paths, for tests and people that reach it over HTTP only.
//!
//! ```text
//! GET    /emulator/stats      counters as JSON
//! GET    /emulator/requests   the last requests as JSON
//! GET    /emulator/billed     the `x-request-id` of the last billed requests
//! GET    /emulator/fault      the faults in force
//! POST   /emulator/fault      sets the fault in the body, e.g. `cut;after=100;next=1`
//! DELETE /emulator/fault      ends all faults
//! POST   /emulator/reset      zero counters, empty record, no faults
//! ```
//!
//! They need no key, suffer no fault of requests and are counted nowhere. `exchange.rs` branches here.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::body::AnswerBody;
use crate::fault;
use crate::server::Shared;

/// What the paths of this file begin with.
pub(crate) const PREFIX: &str = "/emulator/";

/// Far more than any fault's text.
const BODY_LIMIT: usize = 4096;

pub(crate) async fn answer(
    shared: &Arc<Shared>,
    head: &Parts,
    body: Incoming,
) -> Response<AnswerBody> {
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let (status, value) = match (&head.method, path) {
        (&Method::GET, "stats") => (StatusCode::OK, json!(shared.counters.read())),
        (&Method::GET, "requests") => {
            let requests = shared.recorder.all();
            (
                StatusCode::OK,
                requests.iter().map(|r| r.to_json()).collect(),
            )
        }
        (&Method::GET, "billed") => (StatusCode::OK, json!(shared.billed_ids.all())),
        (&Method::GET, "fault") => (StatusCode::OK, in_force(shared)),
        (&Method::POST, "fault") => set_fault(shared, body).await,
        (&Method::DELETE, "fault") => done(shared.clear_faults()),
        (&Method::POST, "reset") => done(shared.reset()),
        _ => (
            StatusCode::NOT_FOUND,
            json!({"error": "no such control path; see the documentation of `control`"}),
        ),
    };
    let mut text = value.to_string();
    text.push('\n');
    let mut response = Response::new(AnswerBody::uncounted(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}

async fn set_fault(shared: &Arc<Shared>, body: Incoming) -> (StatusCode, Value) {
    let bad = |message: String| {
        let help: Vec<_> = fault::GRAMMAR.lines().collect();
        let value = json!({"error": message, "grammar": help});
        (StatusCode::BAD_REQUEST, value)
    };
    let text = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(error) => return bad(error.to_string()),
    };
    let set = fault::scoped(text.trim()).and_then(|fault| shared.set_fault(fault));
    match set {
        Ok(()) => (StatusCode::OK, in_force(shared)),
        Err(error) => bad(error.to_string()),
    }
}

fn in_force(shared: &Shared) -> Value {
    json!({"faults": shared.faults.list()})
}

fn done(result: std::io::Result<()>) -> (StatusCode, Value) {
    match result {
        Ok(()) => (StatusCode::OK, json!({"done": true})),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({"error": error.to_string()}),
        ),
    }
}
