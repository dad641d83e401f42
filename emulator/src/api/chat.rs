//! `POST /v1/chat/completions`, whole and streamed.
//!
//! Shapes from OpenAI's API reference, "Create chat completion" and "Chat completion chunk".

use serde::Serialize;

use super::Settings;
use super::answer::Answer;
use super::request::Request;
use super::sse::{DONE, Event, EventStream, Events};
use super::text;

/// Token counts in the shape of both completion endpoints.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

impl Usage {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let (prompt, completion) = (request.prompt_tokens(), request.completion_tokens());
        Self {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_tokens: prompt + completion,
        }
    }
}

pub(super) fn finish_reason(request: &Request<'_>) -> &'static str {
    if request.is_limited() {
        "length"
    } else {
        "stop"
    }
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Usage,
    system_fingerprint: &'static str,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u8,
    message: Message<'a>,
    logprobs: (),
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: (),
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'static str,
    choices: &'a [ChunkChoice],
    /// Absent unless asked for, then null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct ChunkChoice {
    index: u8,
    delta: Delta,
    logprobs: (),
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'static str>,
}

const FINGERPRINT: &str = "fp_emulator";

pub(super) fn answer(request: &Request<'_>, settings: &Settings) -> Answer {
    let id = format!("chatcmpl-emulator{:08}", settings.number);
    if request.streams() {
        let stream = Stream {
            id,
            created: settings.created,
            model: request.model.clone().into_owned(),
            tokens: request.completion_tokens(),
            finish_reason: finish_reason(request),
            usage: request.includes_usage().then(|| Usage::of(request)),
        };
        return Answer::events(EventStream::new(stream, settings.pace));
    }
    Answer::json(&Completion {
        id: &id,
        object: "chat.completion",
        created: settings.created,
        model: &request.model,
        choices: [Choice {
            index: 0,
            message: Message {
                role: "assistant",
                content: &text::tokens(request.completion_tokens()),
                refusal: (),
            },
            logprobs: (),
            finish_reason: finish_reason(request),
        }],
        usage: Usage::of(request),
        system_fingerprint: FINGERPRINT,
    })
}

/// Role, tokens, finish reason, usage if asked for, `[DONE]`.
struct Stream {
    id: String,
    created: u64,
    model: String,
    tokens: u64,
    finish_reason: &'static str,
    usage: Option<Usage>,
}

impl Stream {
    fn chunk(&self, choices: &[ChunkChoice], usage: Option<Usage>, event: &mut Event) {
        event.data(&Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            system_fingerprint: FINGERPRINT,
            choices,
            usage: self.usage.map(|_| usage),
        });
    }

    fn choice(&self, delta: Delta, finish_reason: Option<&'static str>, event: &mut Event) {
        let choice = ChunkChoice {
            index: 0,
            delta,
            logprobs: (),
            finish_reason,
        };
        self.chunk(&[choice], None, event);
    }
}

impl Events for Stream {
    fn count(&self) -> u64 {
        self.tokens + 3 + u64::from(self.usage.is_some())
    }

    fn is_paced(&self, n: u64) -> bool {
        (2..=self.tokens).contains(&n)
    }

    fn write(&self, n: u64, event: &mut Event) {
        let after_tokens = n.checked_sub(self.tokens + 1);
        match (n, after_tokens, self.usage) {
            (0, ..) => {
                let delta = Delta {
                    role: Some("assistant"),
                    content: Some(""),
                };
                self.choice(delta, None, event);
            }
            (_, None, _) => {
                let delta = Delta {
                    role: None,
                    content: Some(text::token(n - 1)),
                };
                self.choice(delta, None, event);
            }
            (_, Some(0), _) => self.choice(Delta::default(), Some(self.finish_reason), event),
            (_, Some(1), Some(usage)) => self.chunk(&[], Some(usage), event),
            _ => event.raw(DONE),
        }
    }
}
