//! `POST /v1/responses`, whole and streamed with its typed events.
//!
//! Shapes from OpenAI's API reference, "Create a model response" and "Streaming events".

use serde_json::{Value, json};

use super::Settings;
use super::answer::Answer;
use super::request::Request;
use super::sse::{Event, EventStream, Events};
use super::text;

/// What all snapshots of a response are made from.
struct Facts {
    id: String,
    item: String,
    created: u64,
    model: String,
    prompt: u64,
    tokens: u64,
    is_limited: bool,
}

pub(super) fn answer(request: &Request<'_>, settings: &Settings) -> Answer {
    let facts = Facts {
        id: format!("resp_emulator{:08}", settings.number),
        item: format!("msg_emulator{:08}", settings.number),
        created: settings.created,
        model: request.model.clone().into_owned(),
        prompt: request.prompt_tokens(),
        tokens: request.completion_tokens(),
        is_limited: request.is_limited(),
    };
    if request.streams() {
        return Answer::events(EventStream::new(facts, settings.pace));
    }
    Answer::json(&facts.finished())
}

impl Facts {
    fn response(&self, status: &str, output: &[Value], usage: &Value) -> Value {
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": null,
            "instructions": null,
            "max_output_tokens": self.is_limited.then_some(self.tokens),
            "model": self.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": {"effort": null, "summary": null},
            "store": false,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": usage,
            "user": null,
            "metadata": {}
        })
    }

    /// "incomplete" when the limit ended it, as the real API has it.
    fn finished(&self) -> Value {
        let usage = json!({
            "input_tokens": self.prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": self.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.prompt + self.tokens
        });
        let status = self.final_status();
        let mut response = self.response(status, &[self.item(status)], &usage);
        if self.is_limited {
            response["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        response
    }

    fn final_status(&self) -> &'static str {
        if self.is_limited {
            "incomplete"
        } else {
            "completed"
        }
    }

    fn started(&self) -> Value {
        self.response("in_progress", &[], &Value::Null)
    }

    fn item(&self, status: &str) -> Value {
        let content = match status {
            "in_progress" => json!([]),
            _ => json!([self.part(&text::tokens(self.tokens))]),
        };
        json!({
            "id": self.item,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content
        })
    }

    fn part(&self, text: &str) -> Value {
        json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
    }

    /// An event about the one content part, with `more` members.
    fn about_part(&self, kind: &str, n: u64, more: (&str, Value), event: &mut Event) {
        let mut value = json!({
            "type": kind,
            "sequence_number": n,
            "item_id": self.item,
            "output_index": 0,
            "content_index": 0
        });
        value[more.0] = more.1;
        if kind.starts_with("response.output_text") {
            value["logprobs"] = json!([]);
        }
        event.named(kind, &value);
    }
}

/// Events before the first delta, and after the last.
const BEFORE: u64 = 4;
const AFTER: u64 = 4;

impl Events for Facts {
    fn count(&self) -> u64 {
        BEFORE + self.tokens + AFTER
    }

    fn is_paced(&self, n: u64) -> bool {
        (BEFORE + 1..BEFORE + self.tokens).contains(&n)
    }

    fn write(&self, n: u64, event: &mut Event) {
        let snapshot = |kind: &str, response: Value, event: &mut Event| {
            let value = json!({"type": kind, "sequence_number": n, "response": response});
            event.named(kind, &value);
        };
        let item = |kind: &str, item: Value, event: &mut Event| {
            let value = json!({
                "type": kind, "sequence_number": n, "output_index": 0, "item": item
            });
            event.named(kind, &value);
        };
        let whole = || text::tokens(self.tokens);
        match (n, n.checked_sub(BEFORE + self.tokens)) {
            (0, _) => snapshot("response.created", self.started(), event),
            (1, _) => snapshot("response.in_progress", self.started(), event),
            (2, _) => item(
                "response.output_item.added",
                self.item("in_progress"),
                event,
            ),
            (3, _) => {
                let part = ("part", self.part(""));
                self.about_part("response.content_part.added", n, part, event);
            }
            (_, None) => {
                let delta = ("delta", json!(text::token(n - BEFORE)));
                self.about_part("response.output_text.delta", n, delta, event);
            }
            (_, Some(0)) => {
                let text = ("text", json!(whole()));
                self.about_part("response.output_text.done", n, text, event);
            }
            (_, Some(1)) => {
                let part = ("part", self.part(&whole()));
                self.about_part("response.content_part.done", n, part, event);
            }
            (_, Some(2)) => {
                let done = self.item(self.final_status());
                item("response.output_item.done", done, event);
            }
            _ => {
                let kind = format!("response.{}", self.final_status());
                snapshot(&kind, self.finished(), event);
            }
        }
    }
}
