//! What requests cost, against the emulator's own books: in `/metrics`, `/status`, the access log, and in bills made of them.

use std::io::Write;
use std::time::Duration;

use holysheep_emulator::FaultScope;
use serde_json::Value;

use crate::harness::client::request;
use crate::harness::metrics::sum;
use crate::harness::program::{command, text};
use crate::harness::upstream::Scripted;
use crate::harness::{CHAT, MESSAGES, QUESTION, Rig, eventually};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Models as they are asked for, as bills call them, and what a token of the prompt and one of the answer cost, in
/// millionths of a dollar.
const MODELS: [(&str, &str, &str, [u64; 2]); 2] = [
    (CHAT, "gpt-4.1-2025-04-14", "gpt-4.1", [2, 8]),
    (MESSAGES, "claude-sonnet-4-5", "claude-sonnet-4.5", [3, 15]),
];

fn body(model: &str, is_stream: bool, tokens: u64) -> String {
    format!(
        r#"{{"model":"{model}","stream":{is_stream},"max_tokens":{tokens},"messages":[{{"role":"user","content":"{}"}}]}}"#,
        "word ".repeat(usize::try_from(tokens).unwrap())
    )
}

/// A client that leaves in the middle of a stream.
fn leave(rig: &Rig, path: &str, body: &str) {
    let mut client = rig.client();
    client.send(request("POST", path, &[JSON], body.as_bytes()));
    assert_eq!(client.head().status, 200);
    client.chunk(&mut Vec::new()).unwrap();
    client.reset();
}

/// Runs `costs` and reads its JSON.
fn costs(args: &[&str]) -> Value {
    let output = command(["costs", "--format", "json"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Millionths of a dollar in a number that is one exactly.
fn micros(value: &Value) -> u64 {
    let micros = value.as_f64().unwrap() * 1e6;
    assert!((micros - micros.round()).abs() < 1e-6, "{value}");
    micros.round() as u64
}

/// What a client used of a model and what it cost, in millionths of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    requests: u64,
    input: u64,
    output: u64,
    cost: u64,
}

/// The emulator's books of one model.
fn books(rig: &Rig, (_, asked, _, [input, output]): (&str, &str, &str, [u64; 2])) -> Sum {
    let billed = rig.emulator.billed();
    let of_model = billed.iter().filter(|billed| billed.model == asked);
    of_model.fold(Sum::default(), |sum, billed| Sum {
        requests: sum.requests + 1,
        input: sum.input + billed.input,
        output: sum.output + billed.output,
        cost: sum.cost + billed.input * input + billed.output * output,
    })
}

fn of_log(lines: &[Value], asked: &str) -> Sum {
    let lines = lines.iter().filter(|line| line["model"] == asked);
    lines.fold(Sum::default(), |sum, line| {
        let used = |kind: &str| line["usage"][kind].as_u64().unwrap();
        assert_eq!(line["usage"]["source"], "reported", "{line}");
        Sum {
            requests: sum.requests + 1,
            input: sum.input + used("input"),
            output: sum.output + used("output"),
            cost: sum.cost + micros(&line["cost_usd"]),
        }
    })
}

/// One client's model in the JSON of a bill.
fn of_bill(bill: &Value, model: &str) -> Sum {
    let client = &bill["clients"][0];
    assert_eq!(client["client"], "anonymous", "{bill}");
    let mut models = client["models"].as_array().unwrap().iter();
    let found = models.find(|found| found["model"] == model).unwrap();
    sum_of(found)
}

fn of_status(status: &Value, model: &str) -> Sum {
    let all = status["cost"]["by_client"].as_array().unwrap();
    sum_of(all.iter().find(|found| found["model"] == model).unwrap())
}

fn sum_of(found: &Value) -> Sum {
    let number = |name: &str| found[name].as_u64().unwrap();
    assert_eq!(micros(&found["estimated_usd"]), 0);
    Sum {
        requests: number("requests"),
        input: number("input_tokens"),
        output: number("output_tokens"),
        cost: micros(&found["usd"]),
    }
}

#[test]
fn tokens_and_cost_are_those_of_the_books() {
    let rig = Rig::builder()
        .config("{responses: {client_leaves: drain}, retries: {budget_percent: 100}}")
        .workers(2)
        .emulator(|emulator| emulator.token_interval(Duration::from_millis(2)))
        .start();
    let mut requests = 0;
    for (round, (path, model, ..)) in (1_u64..).zip(MODELS.into_iter().cycle().take(6)) {
        let post = |is_stream| {
            let body = body(model, is_stream, 7 * round);
            let reply = rig.client().request("POST", path, &[JSON], body.as_bytes());
            assert_eq!(reply.status, 200);
        };
        post(false);
        post(true);
        leave(&rig, path, &body(model, true, 50 + round));
        // Retried once, and billed once.
        for fault in ["503", "429"] {
            rig.fault(fault, FaultScope::Next(1));
            post(round % 2 == 0);
        }
        requests += 5;
    }
    let lines = rig.wait_log(requests);
    let retried = lines.iter().filter(|line| line["attempts"] == 2).count();
    let left = lines.iter().filter(|line| line["end"] == "cancelled");
    assert_eq!((retried, left.count()), (12, 6));
    let log = rig.directory.path("access.log");
    let from_log = costs(&["--from", log.to_str().unwrap()]);
    let again = costs(&["--from", log.to_str().unwrap(), "--reprice"]);
    let from_admin = costs(&["--admin", &format!("http://{}", rig.admin_addr())]);
    let status = rig.admin("/status").json();
    let metrics = rig.admin("/metrics").text();
    let mut total = 0;
    for model in MODELS {
        let (_, asked, name, _) = model;
        let expected = books(&rig, model);
        assert_eq!(expected.requests, 15);
        assert_eq!(of_log(&lines, asked), expected);
        assert_eq!(of_bill(&from_log, name), expected);
        assert_eq!(of_bill(&again, name), expected);
        assert_eq!(of_bill(&from_admin, name), expected);
        assert_eq!(of_status(&status, name), expected);
        let sample = format!("holysheep_cost_usd_total{{client=\"anonymous\",model=\"{name}\"}}");
        rig.wait_metric(&sample, expected.cost as f64 / 1e6);
        total += expected.cost;
    }
    assert!((sum(&metrics, "holysheep_cost_usd_total") - total as f64 / 1e6).abs() < 1e-12);
    for name in [
        "holysheep_cost_estimated_usd_total",
        "holysheep_cost_unpriced_tokens_total",
    ] {
        assert!(!metrics.contains(&format!("{name}{{")), "{metrics}");
    }
    for bill in [&from_log, &from_admin, &status["cost"]] {
        assert_eq!(micros(&bill["usd"]), total);
    }
}

#[test]
fn a_client_that_leaves_is_charged_apart_for_what_was_made() {
    for (path, model, name, [input, output]) in MODELS {
        let rig = Rig::builder()
            .emulator(|emulator| emulator.token_interval(Duration::from_secs(60)))
            .start();
        let mut client = rig.client();
        let body = body(model, true, 9);
        client.send(request("POST", path, &[JSON], body.as_bytes()));
        assert_eq!(client.head().status, 200);
        let mut seen = String::new();
        while !seen.contains("Hello") {
            let chunk = client.chunk(&mut Vec::new()).unwrap();
            seen.push_str(&String::from_utf8(chunk).unwrap());
        }
        client.reset();
        let line = rig.wait_log(1).remove(0);
        rig.wait_stats(|stats| stats.cancelled == 1);
        let billed = rig.emulator.billed().remove(0);
        assert_eq!(billed.output, 1);
        assert_eq!(line["usage"]["source"], "estimated", "{line}");
        // Anthropic says at the beginning of a stream how long the prompt is, OpenAI at its end.
        let known = if path == MESSAGES { billed.input } else { 0 };
        let expected = known * input + billed.output * output;
        assert_eq!(micros(&line["cost_usd"]), expected, "{line}");
        let sample =
            format!("holysheep_cost_estimated_usd_total{{client=\"anonymous\",model=\"{name}\"}}");
        rig.wait_metric(&sample, expected as f64 / 1e6);
        let status = rig.admin("/status").json();
        assert_eq!(micros(&status["cost"]["estimated_usd"]), expected);
        assert_eq!(micros(&status["cost"]["usd"]), 0);
        let log = rig.directory.path("access.log");
        let bill = costs(&["--from", log.to_str().unwrap(), "--invoice", "1.00"]);
        let client = &bill["clients"][0];
        assert_eq!(micros(&client["estimated_usd"]), expected);
        assert_eq!(client["models"][0]["requests"], 0);
        assert_eq!(micros(&client["invoice"]), 1_000_000);
    }
}

/// The `cost_usd` of a line as it stands there.
fn cost_in(log: &str) -> &str {
    let (_, rest) = log.split_once("\"cost_usd\":").unwrap();
    rest.split(',').next().unwrap()
}

#[test]
fn cached_tokens_have_their_own_prices_in_both_dialects() {
    for (path, answer, cost) in [
        (
            CHAT,
            r#"{"model":"gpt-4.1","usage":{"prompt_tokens":1000,"completion_tokens":500,"prompt_tokens_details":{"cached_tokens":300}}}"#,
            // 700 × 2 + 300 × 0.5 + 500 × 8
            "0.00555",
        ),
        (
            MESSAGES,
            r#"{"model":"claude-sonnet-4-5-20250929","usage":{"input_tokens":700,"cache_read_input_tokens":300,"cache_creation_input_tokens":110,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":10},"output_tokens":500}}"#,
            // 700 × 3 + 300 × 0.3 + 100 × 3.75 + 10 × 6 + 500 × 15
            "0.010125",
        ),
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        let upstream = Scripted::answering(answer);
        let rig = Rig::with(&upstream.config());
        assert_eq!(rig.client().request("POST", path, &[], b"").status, 200);
        let line = rig.wait_log(1).remove(0);
        assert_eq!(cost_in(&rig.log_text()), cost, "{line}");
        let status = rig.admin("/status").json();
        assert_eq!(status["cost"]["by_client"][0]["cached_tokens"], 300);
        let log = rig.directory.path("access.log");
        let again = costs(&["--from", log.to_str().unwrap(), "--reprice"]);
        assert_eq!(again["usd"].to_string(), cost);
    }
}

#[test]
fn what_has_no_price_is_counted_and_told() {
    let rig = Rig::start();
    let used = rig.post(CHAT, QUESTION).json()["usage"].take();
    let sample = |kind: &str| {
        format!(
            "holysheep_cost_unpriced_tokens_total{{client=\"anonymous\",model=\"m\",type=\"{kind}\"}}"
        )
    };
    for (kind, name) in [("input", "prompt_tokens"), ("output", "completion_tokens")] {
        rig.wait_metric(&sample(kind), used[name].as_f64().unwrap());
    }
    assert!(
        !rig.admin("/metrics")
            .text()
            .contains("holysheep_cost_usd_total{")
    );
    rig.wait_log(1);
    assert_eq!(cost_in(&rig.log_text()), "null");
    let status = rig.admin("/status").json();
    assert_eq!(status["cost"]["unpriced"][0]["model"], "m");
    let page = rig.admin("/").text();
    assert!(page.contains("anonymous, m: "), "{page}");
    let log = rig.directory.path("access.log");
    let output = command(["costs", "--from"]).arg(&log).output().unwrap();
    let told = text(&output.stdout);
    assert!(told.contains("there is no price"), "{told}");
    assert!(told.contains("anonymous, m: "), "{told}");
    // A price that is known by now is used, for what had none.
    let prices = rig
        .directory
        .write("prices.yaml", "prices: {m: {input: 1, output: 2}}");
    let args = ["--from", log.to_str().unwrap(), "--config"];
    let bill = costs(&[&args[..], &[prices.to_str().unwrap()]].concat());
    let expected =
        used["prompt_tokens"].as_u64().unwrap() + 2 * used["completion_tokens"].as_u64().unwrap();
    assert_eq!(micros(&bill["usd"]), expected);
}

#[test]
fn the_configuration_adds_prices_and_shows_them() {
    let rig = Rig::with(
        "prices: {mine: {input: 0.000001, output: '1000', aliases: [m], date: 2026-11-26}}",
    );
    let used = rig.post(CHAT, QUESTION).json()["usage"].take();
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["model"], "m");
    // A millionth of a millionth for each token of the prompt.
    let prompt = used["prompt_tokens"].as_u64().unwrap();
    assert!(prompt < 10);
    assert_eq!(cost_in(&rig.log_text()), format!("0.01600000000{prompt}"));
    eventually(|| rig.admin("/status").json()["cost"]["by_client"][0]["model"] == "mine");
    let config = rig.admin("/config").json();
    assert_eq!(config["prices"]["mine"]["aliases"][0], "m");
    assert_eq!(config["prices"]["gpt-4.1"]["output"], 8.0);
}

#[test]
fn the_text_form_of_the_log_has_the_cost() {
    let rig = Rig::with("log: {format: text}");
    let body = QUESTION.replace("\"m\"", "\"gpt-4.1\"");
    assert_eq!(rig.post(CHAT, &body).status, 200);
    eventually(|| rig.log_text().contains(" cost_usd=0.000"));
    // Of which no bill can be made, and that is said.
    let log = rig.directory.path("access.log");
    let output = command(["costs", "--from"]).arg(&log).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("it has to be in JSON"), "{told}");
}

#[test]
fn standard_input_is_a_log_too() {
    let rig = Rig::start();
    let body = QUESTION.replace("\"m\"", "\"gpt-4.1\"");
    rig.post(CHAT, &body);
    rig.wait_log(1);
    let log = rig.log_text();
    let mut child = command(["costs", "--format=csv", "--from", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"message\":\"serving\"}\n").unwrap();
    input.write_all(log.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let told = text(&output.stderr);
    assert!(
        told.starts_with("1 of 2 lines are no lines of the access log"),
        "{told}"
    );
    assert!(told.contains("standard input, line 1: "), "{told}");
    let rows = text(&output.stdout);
    assert!(rows.contains("\nanonymous,gpt-4.1,1,"), "{rows}");
}
