//! A response that is a call of a tool: one item, whose arguments come in pieces.

use serde_json::{Value, json};

use super::Facts;
use crate::api::sse::{Event, Events};
use crate::api::tools;

/// Events before the first piece, and after the last.
const BEFORE: u64 = 3;
const AFTER: u64 = 3;

/// The events of such a response.
pub(super) struct Call(pub(super) Facts);

/// The item. Its arguments are there once it is complete.
pub(super) fn item(facts: &Facts, name: &str, status: &str) -> Value {
    let arguments = match status {
        "in_progress" => String::new(),
        _ => tools::arguments(),
    };
    json!({
        "id": facts.item,
        "type": "function_call",
        "status": status,
        "call_id": facts.item.replace("fc_", "call_"),
        "name": name,
        "arguments": arguments
    })
}

impl Call {
    fn about_arguments(&self, kind: &str, n: u64, more: (&str, &str), event: &mut Event) {
        let mut value = json!({
            "type": kind,
            "sequence_number": n,
            "item_id": self.0.item,
            "output_index": 0
        });
        value[more.0] = json!(more.1);
        event.named(kind, &value);
    }
}

impl Events for Call {
    fn count(&self) -> u64 {
        BEFORE + self.0.tokens + AFTER
    }

    fn is_paced(&self, n: u64) -> bool {
        (BEFORE + 1..BEFORE + self.0.tokens).contains(&n)
    }

    fn first_token(&self) -> u64 {
        BEFORE
    }

    fn write(&self, n: u64, event: &mut Event) {
        match (n, n.checked_sub(BEFORE + self.0.tokens)) {
            (0..BEFORE, _) => self.0.write_start(n, event),
            (_, None) => {
                let kind = "response.function_call_arguments.delta";
                let delta = ("delta", tools::piece(n - BEFORE));
                self.about_arguments(kind, n, delta, event);
            }
            (_, Some(0)) => {
                let kind = "response.function_call_arguments.done";
                let whole = tools::arguments();
                self.about_arguments(kind, n, ("arguments", &whole), event);
            }
            (_, Some(1)) => self.0.write_item_done(n, event),
            _ => self.0.write_end(n, event),
        }
    }
}
