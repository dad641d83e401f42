//! What requests used: found in responses as they pass, shown in the log and, under OpenTelemetry's names, in `/metrics`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::harness::client::{find, request};
use crate::harness::metrics::sum;
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{CHAT, MESSAGES, QUESTION, Rig, STREAMED};

/// A sample of one of the metrics; `labels` go before those that all requests have here.
fn sample(name: &str, operation: &str, more: &str) -> String {
    let provider = "gen_ai_provider_name=\"holysheep\"";
    let model = "gen_ai_request_model=\"m\"";
    format!("{name}{{{provider},gen_ai_operation_name=\"{operation}\",{model}{more}}}")
}

/// The sum of tokens of one type.
fn tokens(rig: &Rig, operation: &str, kind: &str) -> f64 {
    let more = format!(",gen_ai_token_type=\"{kind}\"");
    rig.metric(&sample("gen_ai_client_token_usage_sum", operation, &more))
}

/// How many requests one of the histograms has.
fn count(rig: &Rig, name: &str) -> f64 {
    rig.metric(&sample(&format!("{name}_count"), "chat", ""))
}

#[test]
fn tokens_of_an_answer_are_in_the_log_and_in_the_metrics() {
    let rig = Rig::start();
    let answered = rig.post(CHAT, QUESTION).json();
    let usage = &rig.wait_log(1)[0]["usage"];
    assert_eq!(usage["source"], "reported");
    assert_eq!(usage["input"], answered["usage"]["prompt_tokens"]);
    assert_eq!(usage["output"], answered["usage"]["completion_tokens"]);
    assert_eq!(usage["model"], answered["model"]);
    for (kind, name) in [("input", "prompt_tokens"), ("output", "completion_tokens")] {
        let used = answered["usage"][name].as_f64().unwrap();
        assert!((tokens(&rig, "chat", kind) - used).abs() < f64::EPSILON);
    }
    rig.wait_metric(
        &sample("gen_ai_client_operation_duration_seconds_count", "chat", ""),
        1.0,
    );
    let first = "gen_ai_server_time_to_first_token_seconds";
    assert!(count(&rig, first) < 1.0, "it was no stream");
}

#[test]
fn a_stream_that_reports_its_usage() {
    let rig = Rig::start();
    let asks = STREAMED.replace(
        "\"stream\"",
        "\"stream_options\":{\"include_usage\":true},\"stream\"",
    );
    let reply = rig.post(CHAT, &asks).text();
    let reported = reply.lines().rev().find_map(|line| {
        let event: Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
        event["usage"].is_object().then(|| event["usage"].clone())
    });
    let reported = reported.unwrap();
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["usage"]["source"], "reported", "{line}");
    assert_eq!(line["usage"]["output"], reported["completion_tokens"]);
    assert!(line["ttft"].as_f64().unwrap() <= line["urt"].as_f64().unwrap());
    for name in ["first_token", "per_output_token"] {
        let name = format!(
            "gen_ai_server_time_{}_seconds",
            name.replace("first", "to_first")
        );
        assert!((count(&rig, &name) - 1.0).abs() < f64::EPSILON, "{name}");
    }
}

#[test]
fn a_stream_that_does_not_is_estimated_and_not_counted() {
    let rig = Rig::start();
    let reply = rig.post(CHAT, STREAMED).text();
    let outputs =
        reply.matches("\"content\":\"").count() - reply.matches("\"content\":\"\"").count();
    assert!(outputs > 0);
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["usage"]["source"], "estimated", "{line}");
    assert_eq!(line["usage"]["output"], outputs);
    let text = rig.admin("/metrics").text();
    assert!(sum(&text, "gen_ai_client_token_usage_count") < 1.0);
    assert!((count(&rig, "gen_ai_server_time_to_first_token_seconds") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn tokens_of_anthropics_streams() {
    let rig = Rig::start();
    let body = r#"{"model":"m","max_tokens":50,"stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
    assert_eq!(rig.post(MESSAGES, body).status, 200);
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["usage"]["source"], "reported", "{line}");
    let used = line["usage"]["output"].as_f64().unwrap();
    assert!((tokens(&rig, "chat", "output") - used).abs() < f64::EPSILON);
}

/// The streams of the corpus.
fn corpus() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/streams");
    let files = std::fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|kind| kind == "sse"))
        .collect()
}

/// An upstream that answers each request with `body` in chunks of `step` bytes.
fn in_chunks(body: &[u8], step: usize) -> Scripted {
    let mut answer =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec();
    for piece in body.chunks(step) {
        write!(answer, "{:x}\r\n", piece.len()).unwrap();
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    Scripted::answering(answer)
}

#[test]
fn the_corpus_passes_unchanged_and_is_understood_however_it_is_cut() {
    let files = corpus();
    assert!(files.len() >= 11, "{}", files.len());
    for file in files {
        let body = std::fs::read(&file).unwrap();
        let expected = std::fs::read(file.with_extension("json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        for step in [1, 2, 3, 7, 64, body.len()] {
            let upstream = in_chunks(&body, step);
            let rig = Rig::with(&upstream.config());
            let reply = rig.client().request("POST", CHAT, &[], b"");
            assert_eq!(reply.body, body, "{} by {step}", file.display());
            let line = rig.wait_log(1).remove(0);
            let usage = &line["usage"];
            for name in ["model", "cached", "cache_written", "reasoning"] {
                assert_eq!(
                    usage[name],
                    expected[name],
                    "{} by {step}: {line}",
                    file.display()
                );
            }
            if usage["source"] == "reported" {
                assert_eq!(usage["output"], expected["output"], "{line}");
            }
            let failed = expected["failed"] == json!(true);
            assert_eq!(
                line["end"],
                if failed { "error" } else { "complete" },
                "{line}"
            );
            let within = "holysheep_upstream_requests_total{upstream=\"holysheep\",outcome=\"error_within\"}";
            rig.wait_metric(within, f64::from(u8::from(failed)));
        }
    }
}

/// Answers to requests with this `accept-encoding`, and what upstream was asked for.
fn encoding_asked(yaml: &str, path: &str) -> Option<String> {
    let (heads, noted) = mpsc::channel();
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let upstream = Scripted::answering_and_noting(answer, heads);
    let rig = Rig::with(&format!("{}{yaml}", upstream.config()));
    let fields = [("Accept-Encoding", "gzip, br")];
    assert_eq!(rig.client().request("POST", path, &fields, b"").status, 200);
    let head = noted.recv().unwrap();
    let line = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("accept-encoding")
            .then(|| value.to_owned())
    };
    let asked: Vec<String> = head.lines().filter_map(line).collect();
    assert!(asked.len() <= 1, "{head}");
    asked.into_iter().next()
}

#[test]
fn what_is_to_be_counted_is_asked_for_uncompressed() {
    assert_eq!(encoding_asked("", CHAT).as_deref(), Some("identity"));
    let unmetered = "/v1/moderations";
    assert_eq!(encoding_asked("", unmetered).as_deref(), Some("gzip, br"));
    let off = "usage: {count: false}";
    assert_eq!(encoding_asked(off, CHAT).as_deref(), Some("gzip, br"));
}

#[test]
fn a_compressed_answer_passes_and_its_usage_is_not_known() {
    let body = b"\x1f\x8b\x08 no more than bytes";
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    let upstream = Scripted::answering(answer);
    let rig = Rig::with(&upstream.config());
    let reply = rig.client().request("POST", CHAT, &[], b"");
    assert_eq!(
        (reply.header("content-encoding"), &reply.body[..]),
        (Some("gzip"), &body[..])
    );
    assert_eq!(rig.wait_log(1)[0]["usage"], Value::Null);
}

#[test]
fn nothing_is_looked_at_where_that_is_switched_off() {
    let rig = Rig::with("usage: {count: false}");
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(rig.wait_log(1)[0]["usage"], Value::Null);
    let text = rig.admin("/metrics").text();
    assert!(find(text.as_bytes(), b"gen_ai_client_token_usage_count{").is_none());
}

#[test]
fn a_stream_that_its_client_leaves_is_estimated() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let event = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let answer = format!("{head}{}", event.repeat(3));
    let upstream = Scripted::start(move |mut stream| {
        if read_head(&mut stream).is_some() {
            stream.write_all(answer.as_bytes()).unwrap();
            // Until the proxy closes it.
            let _closed = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    let rig = Rig::with(&upstream.config());
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], b""));
    let mut reply = client.head();
    client.chunks(&mut reply.raw, 3 * event.len());
    client.reset();
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["end"], "cancelled", "{line}");
    assert_eq!(line["usage"]["source"], "estimated", "{line}");
    assert_eq!(line["usage"]["output"], 3, "{line}");
    assert!(line["ttft"].is_number(), "{line}");
}
