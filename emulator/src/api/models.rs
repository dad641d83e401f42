//! `GET /v1/models` and `GET /v1/models/{id}`.
//!
//! The list is an example of what a relay offers; the other endpoints take any model name.

use http::StatusCode;
use serde::Serialize;

use super::answer::Answer;
use crate::routes::Dialect;

#[derive(Clone, Copy, Serialize)]
struct Model {
    id: &'static str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

const MODELS: [Model; 7] = [
    model("gpt-4.1", "openai"),
    model("gpt-4.1-mini", "openai"),
    model("claude-sonnet-4-5", "anthropic"),
    model("gemini-2.5-flash", "google"),
    model("deepseek-v3.2", "deepseek"),
    model("minimax-m2", "minimax"),
    model("text-embedding-3-small", "openai"),
];

const fn model(id: &'static str, owned_by: &'static str) -> Model {
    Model {
        id,
        object: "model",
        created: 1_750_000_000,
        owned_by,
    }
}

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: &'static [Model],
}

pub(super) fn list() -> Answer {
    Answer::json(&List {
        object: "list",
        data: &MODELS,
    })
}

pub(super) fn one(path: &str) -> Answer {
    let id = path.rsplit('/').next().unwrap_or_default();
    match MODELS.iter().find(|model| model.id == id) {
        Some(model) => Answer::json(model),
        None => Answer::error(
            Dialect::OpenAi,
            StatusCode::NOT_FOUND,
            Some("model_not_found"),
            &format!("The model '{id}' does not exist"),
        ),
    }
}
