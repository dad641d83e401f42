//! What the proxy answers itself.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::account::{RequestRecord, Text};
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::http1::Framing;
use crate::pipeline::Target;
use crate::relay;
use crate::route::Dialect;
use crate::worker::Worker;
use crate::{health, readiness};

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// `content-type`
    pub content_type: Cow<'static, str>,
    /// Further fields.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    /// Body.
    pub body: Cow<'static, [u8]>,
}

/// `GET /health`: the worker that answers is alive, and the others' heartbeats
/// and all threads are looked at. `GET /health?ready`: whether traffic should
/// come. The probe thread says the same of both.
pub fn health(worker: &Worker, target: &Target<'_>) -> Answer {
    if !readiness::is_asked_by(target.path_and_query) {
        return verdict(&worker.health.not_alive(), b"healthy\n", Vec::new());
    }
    let fields = vec![("cache-control", Cow::Borrowed("no-store"))];
    verdict(&worker.readiness.not_ready(), b"ok\n", fields)
}

/// All is well, or the reasons why not.
fn verdict(
    reasons: &[String],
    well: &'static [u8],
    fields: Vec<(&'static str, Cow<'static, str>)>,
) -> Answer {
    let (status, body): (u16, Cow<'static, [u8]>) = match reasons {
        [] => (200, Cow::Borrowed(well)),
        reasons => (503, Cow::Owned(health::lines(reasons).into())),
    };
    Answer {
        status,
        content_type: Cow::Borrowed("text/plain"),
        fields,
        body,
    }
}

/// `GET /v1/rate_limit`: what the caller has left. What has no limit is `null`.
pub async fn rate_limit(worker: &Worker, record: &RequestRecord) -> Answer {
    let terms = worker.with_terms(record, Arc::clone);
    if let Some(remote) = worker.remote.as_deref() {
        Box::pin(remote.look(&terms)).await;
    }
    let state = terms.state(Instant::now());
    Answer {
        status: 200,
        content_type: Cow::Borrowed("application/json"),
        fields: Vec::new(),
        body: Cow::Owned(
            state
                .to_json(terms.budgets(), SystemTime::now())
                .to_string()
                .into_bytes(),
        ),
    }
}

/// An error in the dialect of its route.
pub fn error(error: &ProxyError, dialect: Dialect) -> Answer {
    let class = error.class();
    let mut fields = vec![("x-holysheep-error", Cow::Borrowed(class.code))];
    if let Some(seconds) = class.retry_after {
        fields.push(("retry-after", Cow::Owned(seconds.to_string())));
    }
    if let ProxyError::InsufficientQuota { .. } = error {
        // OpenAI's SDKs try again after any 429 unless they are told that it is of no use.
        fields.push(("x-should-retry", Cow::Borrowed("false")));
    }
    if let ProxyError::RateLimited { retry_after, .. } = error {
        // For OpenAI's SDKs, which prefer it to the seconds above.
        let millis = retry_after.as_nanos().div_ceil(1_000_000);
        fields.push(("retry-after-ms", Cow::Owned(millis.to_string())));
    }
    if let ProxyError::MethodNotAllowed { allow } = error {
        fields.push(("allow", Cow::Borrowed(*allow)));
    }
    Answer {
        status: class.status,
        content_type: Cow::Borrowed("application/json"),
        fields,
        body: Cow::Owned(error.body(dialect).into_bytes()),
    }
}

/// Sends an answer whole.
///
/// # Errors
/// If the client is gone.
pub async fn send<D: Downstream>(
    worker: &Worker,
    client: &mut D,
    record: &mut RequestRecord,
    answer: Answer,
) -> Result<(), ProxyError> {
    send_parts(
        worker,
        client,
        record,
        (answer.status, &answer.body),
        |client| {
            client.field(b"content-type", answer.content_type.as_bytes());
            for (name, value) in &answer.fields {
                client.field(name.as_bytes(), value.as_bytes());
            }
        },
    )
    .await
}

/// Sends a status and a body that are kept elsewhere, with the fields that
/// `fields` adds and those every answer has.
///
/// # Errors
/// If the client is gone.
pub async fn send_parts<D: Downstream>(
    worker: &Worker,
    client: &mut D,
    record: &mut RequestRecord,
    (status, body): (u16, &[u8]),
    fields: impl FnOnce(&mut D),
) -> Result<(), ProxyError> {
    record.status = status;
    record.bytes_out = match record.text.get(Text::Method) {
        b"HEAD" => 0,
        _ => body.len() as u64,
    };
    client.refuse_body();
    if worker.drain.is_stopping() {
        client.close_after();
    }
    client.start_head(status);
    worker.with_date(|date| client.field(b"date", date.as_bytes()));
    fields(client);
    client.field(b"x-request-id", record.text.get(Text::RequestId));
    relay::attempts(client, record);
    relay::limits(client, record);
    client.end_head(Framing::Length(body.len() as u64));
    client.push(body);
    client.end();
    relay::flush(worker, client).await
}
