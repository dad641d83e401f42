//! `POST /v1/responses`, whole and streamed with its typed events.
//!
//! Shapes from OpenAI's API reference, "Create a model response" and "Streaming events".

mod call;

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
    /// The tool that is called instead of answering in a text.
    tool: Option<String>,
    prompt: u64,
    tokens: u64,
    is_limited: bool,
}

pub(super) fn answer(request: &Request<'_>, settings: &Settings) -> Answer {
    let tool = request.tool_to_call();
    let item = if tool.is_some() { "fc" } else { "msg" };
    let facts = Facts {
        id: format!("resp_emulator{:08}", settings.number),
        item: format!("{item}_emulator{:08}", settings.number),
        created: settings.created,
        model: request.model.clone().into_owned(),
        tool: tool.map(str::to_owned),
        prompt: request.prompt_tokens(),
        tokens: request.completion_tokens(),
        is_limited: request.is_limited(),
    };
    if request.streams() {
        return Answer::events(match facts.tool {
            Some(_) => EventStream::new(call::Call(facts), settings.pace),
            None => EventStream::new(facts, settings.pace),
        });
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
        if let Some(name) = &self.tool {
            return call::item(self, name, status);
        }
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

impl Facts {
    /// The first three events of every response.
    fn write_start(&self, n: u64, event: &mut Event) {
        match n {
            0 => snapshot("response.created", n, &self.started(), event),
            1 => snapshot("response.in_progress", n, &self.started(), event),
            _ => {
                let added = self.item("in_progress");
                about_item("response.output_item.added", n, &added, event);
            }
        }
    }

    fn write_item_done(&self, n: u64, event: &mut Event) {
        let done = self.item(self.final_status());
        about_item("response.output_item.done", n, &done, event);
    }

    fn write_end(&self, n: u64, event: &mut Event) {
        let kind = format!("response.{}", self.final_status());
        snapshot(&kind, n, &self.finished(), event);
    }
}

fn snapshot(kind: &str, n: u64, response: &Value, event: &mut Event) {
    let value = json!({"type": kind, "sequence_number": n, "response": response});
    event.named(kind, &value);
}

fn about_item(kind: &str, n: u64, item: &Value, event: &mut Event) {
    let value = json!({"type": kind, "sequence_number": n, "output_index": 0, "item": item});
    event.named(kind, &value);
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

    fn first_token(&self) -> u64 {
        BEFORE
    }

    fn write(&self, n: u64, event: &mut Event) {
        let whole = || text::tokens(self.tokens);
        match (n, n.checked_sub(BEFORE + self.tokens)) {
            (0..3, _) => self.write_start(n, event),
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
            (_, Some(2)) => self.write_item_done(n, event),
            _ => self.write_end(n, event),
        }
    }
}
