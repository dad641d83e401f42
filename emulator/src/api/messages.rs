//! `POST /v1/messages`, `POST /minimax/v1/messages` and `POST /v1/messages/count_tokens`.
//!
//! Shapes from Anthropic's API reference, "Create a Message", "Count tokens in a Message" and
//! "Streaming messages".

use serde::Serialize;
use serde_json::{Value, json};

use super::Settings;
use super::answer::Answer;
use super::request::Request;
use super::sse::{Event, EventStream, Events};
use super::{text, tools};

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: &'a [Block<'a>],
    stop_reason: Option<&'static str>,
    stop_sequence: (),
    usage: Usage,
}

/// A part of an answer, and what a stream adds to one.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Value,
    },
    TextDelta {
        text: &'a str,
    },
    InputJsonDelta {
        partial_json: &'a str,
    },
}

#[derive(Clone, Copy, Serialize)]
struct Usage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
}

impl Usage {
    fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self {
            input_tokens,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: 0,
            output_tokens,
        }
    }
}

fn stop_reason(request: &Request<'_>) -> &'static str {
    if request.tool_to_call().is_some() {
        "tool_use"
    } else if request.is_limited() {
        "max_tokens"
    } else {
        "end_turn"
    }
}

pub(super) fn answer(request: &Request<'_>, settings: &Settings) -> Answer {
    let id = format!("msg_emulator{:08}", settings.number);
    let call_id = format!("toolu_emulator{:08}", settings.number);
    let (input, output) = (request.prompt_tokens(), request.completion_tokens());
    let tool = request.tool_to_call();
    if request.streams() {
        let stream = Stream {
            id,
            model: request.model.clone().into_owned(),
            call: tool.map(|name| (call_id, name.to_owned())),
            input,
            tokens: output,
            stop_reason: stop_reason(request),
        };
        return Answer::events(EventStream::new(stream, settings.pace));
    }
    let text = text::tokens(output);
    let block = match tool {
        Some(name) => Block::ToolUse {
            id: &call_id,
            name,
            input: serde_json::from_str(&tools::arguments()).unwrap_or_default(),
        },
        None => Block::Text { text: &text },
    };
    Answer::json(&Message {
        id: &id,
        kind: "message",
        role: "assistant",
        model: &request.model,
        content: &[block],
        stop_reason: Some(stop_reason(request)),
        stop_sequence: (),
        usage: Usage::new(input, output),
    })
}

pub(super) fn count(request: &Request<'_>, _: &Settings) -> Answer {
    Answer::json(&json!({"input_tokens": request.prompt_tokens()}))
}

/// `message_start`, `content_block_start`, `ping`, deltas, `content_block_stop`, `message_delta`,
/// `message_stop`.
struct Stream {
    id: String,
    model: String,
    /// Id and tool of the call that stands in the place of a text.
    call: Option<(String, String)>,
    input: u64,
    tokens: u64,
    stop_reason: &'static str,
}

/// Events before the first delta, and after the last.
const BEFORE: u64 = 3;
const AFTER: u64 = 3;

impl Stream {
    fn start(&self, event: &mut Event) {
        let message = Message {
            id: &self.id,
            kind: "message",
            role: "assistant",
            model: &self.model,
            content: &[],
            stop_reason: None,
            stop_sequence: (),
            usage: Usage::new(self.input, 1.min(self.tokens)),
        };
        event.named("message_start", &MessageStart::new(&message));
    }

    fn end(&self, event: &mut Event) {
        let delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": self.stop_reason, "stop_sequence": null},
            "usage": {"output_tokens": self.tokens}
        });
        event.named("message_delta", &delta);
    }

    fn block(&self, event: &mut Event) {
        let block = match &self.call {
            Some((id, name)) => Block::ToolUse {
                id,
                name,
                input: json!({}),
            },
            None => Block::Text { text: "" },
        };
        let start = json!({
            "type": "content_block_start",
            "index": 0,
            "content_block": block
        });
        event.named("content_block_start", &start);
    }

    fn token(&self, n: u64) -> Block<'static> {
        match self.call {
            Some(_) => Block::InputJsonDelta {
                partial_json: tools::piece(n),
            },
            None => Block::TextDelta {
                text: text::token(n),
            },
        }
    }
}

#[derive(Serialize)]
struct MessageStart<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a Message<'a>,
}

impl<'a> MessageStart<'a> {
    fn new(message: &'a Message<'a>) -> Self {
        Self {
            kind: "message_start",
            message,
        }
    }
}

#[derive(Serialize)]
struct BlockDelta {
    #[serde(rename = "type")]
    kind: &'static str,
    index: u8,
    delta: Block<'static>,
}

impl Events for Stream {
    fn count(&self) -> u64 {
        BEFORE + self.tokens + AFTER
    }

    fn is_paced(&self, n: u64) -> bool {
        (BEFORE + 1..BEFORE + self.tokens).contains(&n)
    }

    fn first_token(&self) -> u64 {
        BEFORE
    }

    fn write(&self, n: u64, event: &mut Event) {
        let after = n.checked_sub(BEFORE + self.tokens);
        match (n, after) {
            (0, _) => self.start(event),
            (1, _) => self.block(event),
            (2, _) => event.named("ping", &json!({"type": "ping"})),
            (_, None) => {
                let delta = BlockDelta {
                    kind: "content_block_delta",
                    index: 0,
                    delta: self.token(n - BEFORE),
                };
                event.named("content_block_delta", &delta);
            }
            (_, Some(0)) => {
                let stop = json!({"type": "content_block_stop", "index": 0});
                event.named("content_block_stop", &stop);
            }
            (_, Some(1)) => self.end(event),
            _ => event.named("message_stop", &json!({"type": "message_stop"})),
        }
    }
}
