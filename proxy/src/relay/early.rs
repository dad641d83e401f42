//! A stream that begins for its client before upstream has begun to answer, because the client has to see a sign of life.
//!
//! From then on its status is 200. What upstream answers otherwise is told as an error of the stream.

use tokio::time::timeout;

use super::{observe, signs, takes_event, tell};
use crate::account::usage::Observation;
use crate::account::{RequestRecord, Text};
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::http1::Framing;
use crate::upstream::AnyExchange;
use crate::worker::Worker;

/// Bytes of an error of upstream's that are passed on.
const ERROR_LIMIT: usize = 64 * 1024;

/// Gives a sign of life; the first time the client's response begins with it.
pub fn sign<D: Downstream>(worker: &Worker, client: &mut D, record: &mut RequestRecord) {
    if record.status == 0 {
        record.status = 200;
        client.start_head(200);
        client.field(b"content-type", b"text/event-stream");
        client.field(b"cache-control", b"no-cache");
        worker.with_date(|date| client.field(b"date", date.as_bytes()));
        client.field(b"x-request-id", record.text.get(Text::RequestId));
        if worker.drain.is_stopping() {
            client.close_after();
        }
        record.is_open_ended = true;
        client.end_head(Framing::UntilClose);
    }
    let sign = signs::sign(record.dialect());
    client.push(sign);
    record.bytes_out += sign.len() as u64;
}

/// Takes the response that has come for the rest of the stream, unless it is `refused` for what it says of the proxy.
///
/// # Errors
/// What broke it off, or why it can be none. The client has been told in the stream.
pub async fn go_on<D: Downstream>(
    worker: &Worker,
    exchange: AnyExchange,
    client: &mut D,
    record: &mut RequestRecord,
    refused: Result<(), ProxyError>,
) -> Result<(), ProxyError> {
    let is_stream =
        (200..300).contains(&exchange.head().status()) && takes_event(&exchange, record);
    if is_stream {
        observe(worker, &exchange, record);
        return super::body(worker, exchange, client, record).await;
    }
    let result = match refused {
        Ok(()) => refuse(worker, exchange, client, record).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        fail(worker, client, record, error).await;
    }
    result
}

/// Ends the stream with the error that upstream has answered with.
async fn refuse<D: Downstream>(
    worker: &Worker,
    mut exchange: AnyExchange,
    client: &mut D,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    let status = exchange.head().status();
    let idle = worker.treatment(record.route).idle;
    let body = timeout(idle, super::collect(&mut exchange, ERROR_LIMIT)).await;
    let body = body.unwrap_or(Err(ProxyError::UpstreamIdleTimeout(idle)))?;
    drop(exchange);
    let json = Some(body).filter(|body| is_object(body));
    let Some(json) = json.filter(|_| status >= 400) else {
        let reason = format!("it is no stream of events (status {status})");
        return Err(ProxyError::UpstreamInvalidResponse(reason.into()));
    };
    let event = as_event(&json, record);
    record.observed = Some(Box::new(Observation::failed()));
    record.bytes_out += event.len() as u64;
    client.push(&event);
    client.end();
    super::flush(worker, client).await
}

fn is_object(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok()
}

/// A line of the body is a line of the event's data.
fn as_event(json: &[u8], record: &RequestRecord) -> Vec<u8> {
    let mut event = match record.dialect() {
        crate::route::Dialect::OpenAi => Vec::new(),
        crate::route::Dialect::Anthropic => b"event: error\n".to_vec(),
    };
    let lines = json.split(|byte| matches!(byte, b'\n' | b'\r'));
    for line in lines.filter(|line| !line.is_empty()) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event
}

/// Tells of the proxy's own error in a stream that has begun, unless nobody is there to be told.
pub async fn fail<D: Downstream>(
    worker: &Worker,
    client: &mut D,
    record: &mut RequestRecord,
    error: &ProxyError,
) {
    match error {
        ProxyError::ClientClosed => client.truncate(),
        error => tell(worker, client, record, error, true).await,
    }
}
