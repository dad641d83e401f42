//! `POST /v1/chat/completions`, whole and streamed.
//!
//! Shapes from OpenAI's API reference, "Create chat completion" and "Chat completion chunk".

use serde::Serialize;

use super::Settings;
use super::answer::Answer;
use super::request::Request;
use super::sse::{DONE, Event, EventStream, Events};
use super::{text, tools};

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
    if request.tool_to_call().is_some() {
        "tool_calls"
    } else if request.is_limited() {
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
    /// Null in a call.
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
    refusal: (),
}

/// A call, or in streams a piece of it: the first has its id and name, all have arguments.
#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl<'a> Call<'a> {
    fn new(id: &'a str, name: &'a str, arguments: &'a str) -> Self {
        Self {
            index: None,
            id: Some(id),
            kind: Some("function"),
            function: Function {
                name: Some(name),
                arguments,
            },
        }
    }

    fn first_piece(id: &'a str, name: &'a str) -> Self {
        Self {
            index: Some(0),
            ..Self::new(id, name, "")
        }
    }

    fn piece(arguments: &'a str) -> Self {
        Self {
            index: Some(0),
            id: None,
            kind: None,
            function: Function {
                name: None,
                arguments,
            },
        }
    }
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'static str,
    choices: &'a [ChunkChoice<'a>],
    /// Absent unless asked for, then null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u8,
    delta: Delta<'a>,
    logprobs: (),
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
}

const FINGERPRINT: &str = "fp_emulator";

pub(super) fn answer(request: &Request<'_>, settings: &Settings) -> Answer {
    let id = format!("chatcmpl-emulator{:08}", settings.number);
    let call_id = format!("call_emulator{:08}", settings.number);
    let tool = request.tool_to_call();
    if request.streams() {
        let stream = Stream {
            id,
            created: settings.created,
            model: request.model.clone().into_owned(),
            call: tool.map(|name| (call_id, name.to_owned())),
            tokens: request.completion_tokens(),
            finish_reason: finish_reason(request),
            usage: request.includes_usage().then(|| Usage::of(request)),
        };
        return Answer::events(EventStream::new(stream, settings.pace));
    }
    let (text, arguments) = match tool {
        Some(_) => (None, tools::arguments()),
        None => {
            let text = text::tokens(request.completion_tokens());
            (Some(text), String::new())
        }
    };
    Answer::json(&Completion {
        id: &id,
        object: "chat.completion",
        created: settings.created,
        model: &request.model,
        choices: [Choice {
            index: 0,
            message: Message {
                role: "assistant",
                content: text.as_deref(),
                tool_calls: tool.map(|name| [Call::new(&call_id, name, &arguments)]),
                refusal: (),
            },
            logprobs: (),
            finish_reason: finish_reason(request),
        }],
        usage: Usage::of(request),
        system_fingerprint: FINGERPRINT,
    })
}

/// Role, tokens of the text or call, finish reason, usage if asked for, `[DONE]`.
struct Stream {
    id: String,
    created: u64,
    model: String,
    /// Id and tool of the call that stands in the place of a text.
    call: Option<(String, String)>,
    tokens: u64,
    finish_reason: &'static str,
    usage: Option<Usage>,
}

impl Stream {
    fn chunk(&self, choices: &[ChunkChoice<'_>], usage: Option<Usage>, event: &mut Event) {
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

    fn choice(&self, delta: Delta<'_>, finish_reason: Option<&'static str>, event: &mut Event) {
        let choice = ChunkChoice {
            index: 0,
            delta,
            logprobs: (),
            finish_reason,
        };
        self.chunk(&[choice], None, event);
    }

    fn first(&self) -> Delta<'_> {
        let call = self.call.as_ref();
        Delta {
            role: Some("assistant"),
            content: call.is_none().then_some(""),
            tool_calls: call.map(|(id, name)| [Call::first_piece(id, name)]),
        }
    }

    fn token(&self, n: u64) -> Delta<'_> {
        let is_call = self.call.is_some();
        Delta {
            role: None,
            content: (!is_call).then(|| text::token(n)),
            tool_calls: is_call.then(|| [Call::piece(tools::piece(n))]),
        }
    }
}

impl Events for Stream {
    fn count(&self) -> u64 {
        self.tokens + 3 + u64::from(self.usage.is_some())
    }

    fn is_paced(&self, n: u64) -> bool {
        (2..=self.tokens).contains(&n)
    }

    fn first_token(&self) -> u64 {
        1
    }

    fn write(&self, n: u64, event: &mut Event) {
        let after_tokens = n.checked_sub(self.tokens + 1);
        match (n, after_tokens, self.usage) {
            (0, ..) => self.choice(self.first(), None, event),
            (_, None, _) => self.choice(self.token(n - 1), None, event),
            (_, Some(0), _) => self.choice(Delta::default(), Some(self.finish_reason), event),
            (_, Some(1), Some(usage)) => self.chunk(&[], Some(usage), event),
            _ => event.raw(DONE),
        }
    }
}
