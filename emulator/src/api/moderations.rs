//! `POST /v1/moderations`: nothing is ever flagged.
//!
//! Shape from OpenAI's API reference, "Create moderation".

use serde_json::{Map, Value, json};

use super::Settings;
use super::answer::Answer;
use super::request::Request;

const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

pub(super) fn answer(request: &Request<'_>, settings: &Settings) -> Answer {
    let each = |value: Value| -> Map<String, Value> {
        let name = |category: &&str| ((*category).to_owned(), value.clone());
        CATEGORIES.iter().map(name).collect()
    };
    let result = json!({
        "flagged": false,
        "categories": each(json!(false)),
        "category_scores": each(json!(0.0)),
        "category_applied_input_types": each(json!(["text"]))
    });
    let model = match &*request.model {
        "" => "omni-moderation-latest",
        model => model,
    };
    Answer::json(&json!({
        "id": format!("modr-emulator{:08}", settings.number),
        "model": model,
        "results": vec![result; request.input.items]
    }))
}
