//! `POST /v1/completions`, whole and streamed.
//!
//! Shape from OpenAI's API reference, "Create completion (legacy)"; chunks have the same one.

use serde::Serialize;

use super::Settings;
use super::answer::Answer;
use super::chat::{Usage, finish_reason};
use super::request::Request;
use super::sse::{DONE, Event, EventStream, Events};
use super::text;

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// Absent in streams that were not asked for usage, null in their chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: u8,
    logprobs: (),
    finish_reason: Option<&'static str>,
}

impl<'a> Choice<'a> {
    fn new(text: &'a str, finish_reason: Option<&'static str>) -> Self {
        Self {
            text,
            index: 0,
            logprobs: (),
            finish_reason,
        }
    }
}

pub(super) fn answer(request: &Request<'_>, settings: &Settings) -> Answer {
    let id = format!("cmpl-emulator{:08}", settings.number);
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
    let text = text::tokens(request.completion_tokens());
    Answer::json(&Completion {
        id: &id,
        object: "text_completion",
        created: settings.created,
        model: &request.model,
        choices: &[Choice::new(&text, Some(finish_reason(request)))],
        usage: Some(Some(Usage::of(request))),
    })
}

/// Tokens, finish reason, usage if asked for, `[DONE]`.
struct Stream {
    id: String,
    created: u64,
    model: String,
    tokens: u64,
    finish_reason: &'static str,
    usage: Option<Usage>,
}

impl Stream {
    fn chunk(&self, choices: &[Choice<'_>], usage: Option<Usage>, event: &mut Event) {
        event.data(&Completion {
            id: &self.id,
            object: "text_completion",
            created: self.created,
            model: &self.model,
            choices,
            usage: self.usage.map(|_| usage),
        });
    }
}

impl Events for Stream {
    fn count(&self) -> u64 {
        self.tokens + 2 + u64::from(self.usage.is_some())
    }

    fn is_paced(&self, n: u64) -> bool {
        (1..self.tokens).contains(&n)
    }

    fn first_token(&self) -> u64 {
        0
    }

    fn write(&self, n: u64, event: &mut Event) {
        match (n.checked_sub(self.tokens), self.usage) {
            (None, _) => self.chunk(&[Choice::new(text::token(n), None)], None, event),
            (Some(0), _) => {
                self.chunk(&[Choice::new("", Some(self.finish_reason))], None, event);
            }
            (Some(1), Some(usage)) => self.chunk(&[], Some(usage), event),
            _ => event.raw(DONE),
        }
    }
}
