//! `GET /v1/realtime`: a session over a WebSocket, with the events that a conversation in text has.
//!
//! `exchange.rs` hands requests over once their key is good. A session answers `session.update`,
//! `conversation.item.create` and `response.create`; a response has as many pieces of text as its
//! `max_output_tokens` says, else 16, at the configured pace, and ends with its usage.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::body::{Accounting, AnswerBody};
use crate::server::Shared;

/// Pieces of text of a response that does not say.
const PIECES: u64 = 16;

/// The way to the connection of a request that asks for a WebSocket.
pub(crate) fn upgrade(request: &mut Request<Incoming>) -> Option<(OnUpgrade, HeaderMap)> {
    let wanted = request.headers().get(UPGRADE)?;
    let is_websocket = wanted.as_bytes().eq_ignore_ascii_case(b"websocket");
    let key = request.headers().get("sec-websocket-key");
    let key = key.filter(|_| is_websocket)?.as_bytes().to_vec();
    let offered = request.headers().get(SEC_WEBSOCKET_PROTOCOL);
    let speaks = offered
        .and_then(|list| list.to_str().ok())
        .is_some_and(|list| {
            list.split(',')
                .any(|protocol| protocol.trim() == "realtime")
        });
    let mut fields = HeaderMap::new();
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(derive_accept_key(&key)).ok()?;
    fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if speaks {
        fields.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("realtime"));
    }
    Some((hyper::upgrade::on(request), fields))
}

/// Switches protocols; the session runs on its own from there.
pub(crate) fn switch(
    shared: &Shared,
    accounting: Accounting,
    (upgraded, fields): (OnUpgrade, HeaderMap),
    model: String,
) -> Response<AnswerBody> {
    let interval = shared.token_interval;
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else {
            return;
        };
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None);
        let mut session = Session {
            stream: stream.await,
            model,
            interval,
            input: 0,
        };
        match session.run().await {
            Ok(()) | Err(Error::ConnectionClosed) => accounting.complete(),
            // The client went without a word.
            Err(_) => drop(accounting),
        }
    });
    let mut response = Response::new(AnswerBody::uncounted(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = fields;
    response
}

struct Session {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    model: String,
    interval: std::time::Duration,
    /// Tokens of the conversation so far.
    input: u64,
}

impl Session {
    async fn run(&mut self) -> Result<(), Error> {
        let session =
            json!({"object": "realtime.session", "type": "realtime", "model": self.model});
        self.send(json!({"type": "session.created", "session": session}))
            .await?;
        while let Some(message) = self.stream.next().await {
            match message? {
                Message::Text(text) => self.answer(&text).await?,
                // Pings are answered by the library; the rest has no meaning here.
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                Message::Close(_) => {}
            }
        }
        Ok(())
    }

    async fn answer(&mut self, text: &str) -> Result<(), Error> {
        let event: Value = serde_json::from_str(text).unwrap_or_default();
        match event["type"].as_str() {
            Some("session.update") => {
                self.send(json!({"type": "session.updated", "session": event["session"]}))
                    .await
            }
            Some("conversation.item.create") => {
                self.input += texts(&event["item"]).div_ceil(4);
                self.send(json!({"type": "conversation.item.added", "item": event["item"]}))
                    .await
            }
            Some("response.create") => {
                let pieces = event["response"]["max_output_tokens"].as_u64();
                self.respond(pieces.unwrap_or(PIECES)).await
            }
            other => {
                let message = format!("Invalid value: '{}'.", other.unwrap_or_default());
                let error = json!({
                    "type": "invalid_request_error", "code": "invalid_value", "message": message, "param": "type",
                });
                self.send(json!({"type": "error", "error": error})).await
            }
        }
    }

    async fn respond(&mut self, pieces: u64) -> Result<(), Error> {
        let response = |status: &str, usage: Value| json!({"object": "realtime.response", "id": "resp_emulator", "status": status, "usage": usage});
        let created = response("in_progress", Value::Null);
        self.send(json!({"type": "response.created", "response": created}))
            .await?;
        for _ in 0..pieces {
            if !self.interval.is_zero() {
                tokio::time::sleep(self.interval).await;
            }
            let ids = ("resp_emulator", "item_emulator");
            self.send(json!({
                "type": "response.output_text.delta", "response_id": ids.0, "item_id": ids.1, "delta": "word ",
            }))
            .await?;
        }
        let usage = json!({
            "total_tokens": self.input + pieces, "input_tokens": self.input, "output_tokens": pieces,
            "input_token_details": {"text_tokens": self.input, "audio_tokens": 0, "cached_tokens": 0},
            "output_token_details": {"text_tokens": pieces, "audio_tokens": 0},
        });
        let done = response("completed", usage);
        self.send(json!({"type": "response.done", "response": done}))
            .await?;
        self.input += pieces;
        Ok(())
    }

    async fn send(&mut self, event: Value) -> Result<(), Error> {
        self.stream.send(Message::text(event.to_string())).await
    }
}

/// Bytes of all texts of an item.
fn texts(item: &Value) -> u64 {
    let parts = item["content"].as_array().into_iter().flatten();
    let texts = parts.filter_map(|part| part["text"].as_str());
    texts.map(|text| text.len() as u64).sum()
}
