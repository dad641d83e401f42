//! Small but well-formed answers of the endpoints that a proxy only passes on: images, audio, files,
//! batches, rerank. Nothing is stored; an id that is asked for exists.

use http::Method;
use serde_json::{Value, json};

use super::answer::Answer;
use super::request::Request;
use super::{Ask, Settings};

/// A PNG of one transparent pixel, in base64.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// The header of an MPEG-1 layer III frame, 128 kbit/s, 44.1 kHz, and a little of its payload.
const SOUND: &[u8] = b"\xff\xfb\x90\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

pub(super) fn images(settings: &Settings) -> Answer {
    Answer::json(&json!({
        "created": settings.created,
        "data": [{"b64_json": PIXEL}],
        "usage": {
            "input_tokens": 1,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": 1},
            "output_tokens": 1,
            "total_tokens": 2
        }
    }))
}

pub(super) fn audio(path: &str) -> Answer {
    if path.ends_with("/speech") {
        return Answer::bytes("audio/mpeg", SOUND);
    }
    Answer::json(&json!({"text": "Hello from the emulator."}))
}

pub(super) fn files(ask: &Ask<'_>) -> Answer {
    if ask.path.ends_with("/content") {
        return Answer::bytes("application/octet-stream", b"{\"emulator\":true}\n");
    }
    stored(ask, "file", |id, created| {
        json!({
            "id": id,
            "object": "file",
            "bytes": ask.body.len(),
            "created_at": created,
            "filename": "emulator.jsonl",
            "purpose": "batch",
            "status": "processed"
        })
    })
}

pub(super) fn batches(ask: &Ask<'_>) -> Answer {
    stored(ask, "batch", |id, created| {
        json!({
            "id": id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": "file-emulator",
            "completion_window": "24h",
            "status": "completed",
            "created_at": created,
            "request_counts": {"total": 0, "completed": 0, "failed": 0}
        })
    })
}

/// List, create, retrieve, delete: by method and by whether the path has an id.
fn stored(ask: &Ask<'_>, object: &str, make: impl Fn(&str, u64) -> Value) -> Answer {
    // `/v1/files/{id}/…`: the id is the fourth part.
    let id = ask.path.split('/').nth(3).filter(|id| !id.is_empty());
    let created = ask.settings.created;
    Answer::json(&match (ask.method, id) {
        (&Method::GET, None) => json!({"object": "list", "data": [], "has_more": false}),
        (&Method::DELETE, Some(id)) => json!({"id": id, "object": object, "deleted": true}),
        (_, Some(id)) => make(id, created),
        (_, None) => make(
            &format!("{object}-emulator{:08}", ask.settings.number),
            created,
        ),
    })
}

/// Documents in the order given, with falling scores, in the shape Cohere and Jina share.
pub(super) fn rerank(request: &Request<'_>, settings: &Settings) -> Answer {
    let documents = request.documents.items;
    let result = |index: usize| json!({"index": index, "relevance_score": 1.0 - index as f64 / documents as f64});
    Answer::json(&json!({
        "id": format!("rerank-emulator{:08}", settings.number),
        "model": request.model,
        "results": (0..documents).map(result).collect::<Vec<_>>(),
        "usage": {"total_tokens": request.prompt_tokens()}
    }))
}
