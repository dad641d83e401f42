//! Tests of `response.rs`: the corpus of streams, at every cut, and documents of each kind.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

/// What is found in `body` that comes in pieces of `step` bytes.
fn scan(body: &[u8], is_event_stream: bool, step: usize) -> Value {
    let mut scanner = ResponseScanner::new(is_event_stream);
    body.chunks(step).for_each(|piece| scanner.feed(piece));
    let found = scanner.found();
    let usage = found.usage();
    json!({
        "model": found.model,
        "input": usage.input,
        "output": usage.output,
        "cached": usage.cached,
        "cache_written": usage.cache_written,
        "reasoning": usage.reasoning,
        "outputs": found.outputs,
        "failed": found.has_failed,
        "done": found.is_done,
    })
}

/// The streams below `tests/fixtures/streams`, each with what is to be found in it.
fn corpus() -> Vec<(PathBuf, Vec<u8>, Value)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/streams");
    let files = std::fs::read_dir(directory).unwrap();
    let streams = files.map(|file| file.unwrap().path());
    let streams = streams.filter(|path| path.extension().is_some_and(|kind| kind == "sse"));
    let read = |path: PathBuf| {
        let expected = std::fs::read(path.with_extension("json")).unwrap();
        let expected = serde_json::from_slice(&expected).unwrap();
        (path.clone(), std::fs::read(path).unwrap(), expected)
    };
    streams.map(read).collect()
}

#[test]
fn the_corpus_in_pieces_of_every_size() {
    let corpus = corpus();
    assert!(corpus.len() >= 11, "{}", corpus.len());
    for (path, body, expected) in corpus {
        for step in 1..=body.len() {
            assert_eq!(scan(&body, true, step), expected, "{path:?} by {step}");
        }
    }
}

#[test]
fn the_corpus_cut_in_two_at_every_byte() {
    for (path, body, expected) in corpus() {
        for cut in 0..body.len() {
            let mut scanner = ResponseScanner::new(true);
            let (first, second) = body.split_at(cut);
            scanner.feed(first);
            scanner.feed(second);
            let found = scanner.found();
            assert_eq!(
                json!(found.usage().output),
                expected["output"],
                "{path:?} at {cut}"
            );
            assert_eq!(
                json!(found.outputs),
                expected["outputs"],
                "{path:?} at {cut}"
            );
        }
    }
}

#[test]
fn documents_of_each_kind() {
    let chat = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4.1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "{\"usage\":{\"prompt_tokens\":9}}"}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 5}, "completion_tokens_details": {"reasoning_tokens": 7}},
    });
    let embeddings = json!({
        "object": "list", "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2e-5, 3, 4.0]}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    });
    let message = json!({
        "id": "msg_1", "type": "message", "model": "claude-haiku-4-5", "content": [{"type": "text", "text": "Hi"}],
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 50, "output_tokens": 2},
    });
    for (document, usage) in [
        (chat, [Some(10), Some(20), Some(5), None, Some(7)]),
        (embeddings, [Some(8), None, None, None, None]),
        (message, [Some(3), Some(2), Some(100), Some(50), None]),
    ] {
        let body = document.to_string();
        for step in 1..=body.len() {
            let found = scan(body.as_bytes(), false, step);
            let names = ["input", "output", "cached", "cache_written", "reasoning"];
            assert_eq!(names.map(|name| found[name].as_u64()), usage, "{body}");
            assert_eq!(found["model"], document["model"]);
            assert_eq!(found["failed"], json!(false));
        }
    }
}

#[test]
fn tokens_of_the_prompt_are_the_same_thing_in_both_dialects() {
    let mut scanner = ResponseScanner::new(false);
    scanner.feed(br#"{"usage":{"input_tokens":3,"cache_read_input_tokens":100,"cache_creation_input_tokens":50}}"#);
    assert_eq!(scanner.found().usage.input_in_all(), Some(153));
    let mut scanner = ResponseScanner::new(false);
    scanner
        .feed(br#"{"usage":{"prompt_tokens":153,"prompt_tokens_details":{"cached_tokens":100}}}"#);
    assert_eq!(scanner.found().usage.input_in_all(), Some(153));
}

#[test]
fn an_event_without_end_is_no_matter() {
    let mut scanner = ResponseScanner::new(true);
    scanner.feed(b"data: {\"choices\":[{\"delta\":{\"content\":\"");
    for _ in 0..1_000 {
        scanner.feed(&[b'x'; 10_000]);
    }
    assert_eq!(scanner.found().outputs, 0, "it has not ended");
    scanner.feed(b"\"}}]}\n\n");
    assert_eq!(scanner.found().outputs, 1);
}

#[test]
fn tokens_kept_for_an_hour_are_some_of_those_put_into_the_cache() {
    let body = br#"{"usage":{"input_tokens":7,"cache_creation_input_tokens":110,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":10},"output_tokens":5}}"#;
    let mut scanner = ResponseScanner::new(false);
    scanner.feed(body);
    let usage = scanner.found().usage();
    assert_eq!(usage.cache_written, Some(110));
    assert_eq!(usage.cache_written_1h, Some(10));
    // Whoever says what it has written counts it apart, also where nothing was read.
    assert_eq!(usage.input_in_all(), Some(117));
}
