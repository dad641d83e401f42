//! The access log and the counters: every request, once, with the right values.

use std::time::{Duration, Instant};

use holysheep_emulator::{FaultScope, Profile};
use serde_json::Value;

use crate::harness::client::request;
use crate::harness::metrics::sum;
use crate::harness::{CHAT, MESSAGES, QUESTION, Rig, STREAMED};

/// Every field of a line, in order.
const FIELDS: [&str; 27] = [
    "time",
    "remote_addr",
    "remote_user",
    "time_local",
    "request",
    "status",
    "body_bytes_sent",
    "http_referer",
    "http_user_agent",
    "rt",
    "uct",
    "uht",
    "urt",
    "request_id",
    "route",
    "client",
    "model",
    "bytes_in",
    "bytes_out",
    "upstream",
    "attempts",
    "end",
    "error",
    "ttft",
    "usage",
    "cost_usd",
    "kernel",
];

fn seconds(line: &Value, field: &str) -> f64 {
    line[field]
        .as_f64()
        .unwrap_or_else(|| panic!("{field} in {line}"))
}

#[test]
fn a_line_has_every_field() {
    let slow = Profile::Fixed(Duration::from_millis(100));
    let rig = Rig::builder()
        .config("upstream: {min_idle: 0, name: sheep}")
        .emulator(move |emulator| emulator.profile(slow))
        .start();
    let fields = [
        ("user-agent", "test/1.0"),
        ("referer", "https://example.test/a?b"),
        ("x-request-id", "id-1"),
    ];
    let body = QUESTION.replace("\"m\"", "\"deepseek-ai/v3.1\"");
    let target = "/v1/chat/completions?secret=query";
    let asked = Instant::now();
    let reply = rig
        .client()
        .request("POST", target, &fields, body.as_bytes());
    let took = asked.elapsed().as_secs_f64();
    assert_eq!(reply.status, 200);
    let line = rig.wait_log(1).remove(0);
    let names: Vec<_> = line
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names.len(), FIELDS.len(), "{names:?}");
    for (field, value) in [
        ("remote_addr", Value::from("127.0.0.1")),
        ("remote_user", "-".into()),
        ("request", "POST /v1/chat/completions HTTP/1.1".into()),
        ("status", 200.into()),
        ("body_bytes_sent", reply.body.len().into()),
        ("http_referer", "https://example.test/a?b".into()),
        ("http_user_agent", "test/1.0".into()),
        ("request_id", "id-1".into()),
        ("route", CHAT.into()),
        ("client", "anonymous".into()),
        ("model", "deepseek-ai/v3.1".into()),
        ("bytes_in", body.len().into()),
        ("bytes_out", reply.body.len().into()),
        ("upstream", "sheep".into()),
        ("attempts", 1.into()),
        ("end", "complete".into()),
        ("error", Value::Null),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    let [rt, uct, uht, urt] = ["rt", "uct", "uht", "urt"].map(|field| seconds(&line, field));
    assert!(uct > 0.0, "a connection was made: {line}");
    // No shorter than upstream's own delay, no longer than what the client saw.
    assert!((0.1..=took).contains(&uht), "{took}: {line}");
    assert!(urt >= uht && rt >= urt && rt >= uct + uht, "{line}");
    let time = line["time"].as_str().unwrap();
    assert!(
        time.len() == 24 && time.ends_with('Z') && time.starts_with("20"),
        "{time}"
    );
    let order: Vec<_> = FIELDS
        .iter()
        .map(|name| rig.log_text().find(&format!("\"{name}\":")))
        .collect();
    assert!(
        order.is_sorted() && order[0].is_some(),
        "{}",
        rig.log_text()
    );
}

#[test]
fn a_request_that_never_went_upstream_has_no_upstream_times() {
    let rig = Rig::start();
    rig.get("/health");
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["route"], "/health");
    assert_eq!(line["attempts"], 0);
    for field in ["uct", "uht", "urt", "upstream", "model", "error"] {
        assert_eq!(line[field], Value::Null, "{field}");
    }
    assert_eq!(line["http_referer"], "-");
    assert_eq!(line["body_bytes_sent"], "healthy\n".len());
}

#[test]
fn uct_is_zero_on_a_warm_connection() {
    let rig = Rig::start();
    rig.wait_metric(
        "holysheep_upstream_connections{upstream=\"holysheep\",state=\"idle\"}",
        2.0,
    );
    rig.post(CHAT, STREAMED);
    let line = rig.wait_log(1).remove(0);
    assert_eq!(seconds(&line, "uct"), 0.0);
    assert!(seconds(&line, "urt") >= seconds(&line, "uht"));
}

#[test]
fn counters_match_the_requests_exactly() {
    let rig = Rig::builder().workers(2).start();
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                let mut client = rig.client();
                for _ in 0..20 {
                    client.request("POST", CHAT, &[], QUESTION.as_bytes());
                    client.request("POST", MESSAGES, &[], STREAMED.as_bytes());
                    client.request("GET", "/nope", &[], b"");
                }
            });
        }
    });
    rig.wait_log(300);
    let count = |route: &str, status: u16| {
        let labels = format!("route=\"{route}\",status=\"{status}\"");
        let requests = rig.metric(&format!("holysheep_http_requests_total{{{labels}}}"));
        let name = "holysheep_http_request_duration_seconds_count";
        assert_eq!(rig.metric(&format!("{name}{{{labels}}}")), requests);
        requests
    };
    assert_eq!(
        (
            count(CHAT, 200),
            count(MESSAGES, 200),
            count("unknown", 404)
        ),
        (100.0, 100.0, 100.0)
    );
    rig.wait_rejected("unknown_route", 100);
    let text = rig.admin("/metrics").text();
    assert_eq!(sum(&text, "holysheep_http_requests_total"), 300.0);
    assert_eq!(sum(&text, "holysheep_upstream_requests_total"), 200.0);
    assert_eq!(
        sum(&text, "holysheep_upstream_first_byte_seconds_count"),
        200.0
    );
    assert_eq!(sum(&text, "holysheep_proxy_overhead_seconds_count"), 200.0);
    assert_eq!(sum(&text, "holysheep_http_connections_accepted_total"), 5.0);
    for gauge in [
        "holysheep_http_requests_in_flight",
        "holysheep_http_connections",
    ] {
        rig.wait_metric(gauge, 0.0);
    }
    assert_eq!(sum(&text, "holysheep_access_log_dropped_total"), 0.0);
    assert_eq!(rig.emulator.stats().requests, 200);
}

#[test]
fn every_refused_request_has_its_line() {
    let rig = Rig::with("limits: {body: 100}\nauth: passthrough\ntimeouts: {client_header: 200ms}");
    let long = "x".repeat(40_000);
    let raw = |text: &str| {
        let mut client = rig.client();
        client.send(text);
        client.reply().status
    };
    let mut expected = vec![
        rig.get("/nope").status,
        rig.get(CHAT).status,
        rig.post(CHAT, "{}").status,
        raw("GET /health HTTP/1.1\r\n\r\n"),
        raw(&format!(
            "GET /health HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n"
        )),
        raw("GET /hea"),
    ];
    let key = ("authorization", "Bearer sk-x");
    let fields = [key, ("content-length", "101")];
    expected.push(rig.client().request("POST", CHAT, &fields, b"").status);
    assert_eq!(expected, [404, 405, 401, 400, 431, 408, 413]);
    let lines = rig.wait_log(7);
    for status in expected {
        let found: Vec<_> = lines
            .iter()
            .filter(|line| line["status"] == status)
            .collect();
        assert_eq!(found.len(), 1, "{status}");
        assert!(
            found[0]["error"].is_string() && found[0]["end"] == "error",
            "{}",
            found[0]
        );
        assert_eq!(found[0]["upstream"], Value::Null);
    }
    let text = rig.admin("/metrics").text();
    assert_eq!(sum(&text, "holysheep_rejected_total"), 7.0);
    assert_eq!(sum(&text, "holysheep_http_requests_total"), 7.0);
    assert_eq!(sum(&text, "holysheep_upstream_requests_total"), 0.0);
}

#[test]
fn in_flight_returns_to_zero_after_everything() {
    let rig = Rig::with("timeouts: {first_byte: 200ms, idle: 200ms}");
    let mut clients = Vec::new();
    for fault in [
        "stall-before-headers",
        "stall-after-headers",
        "reset",
        "cut;after=3",
    ] {
        let mut client = rig.client();
        let fields = [("x-emulator-fault", fault)];
        client.send(request("POST", CHAT, &fields, STREAMED.as_bytes()));
        clients.push(client);
    }
    rig.wait_log(4);
    rig.wait_metric("holysheep_http_requests_in_flight", 0.0);
    rig.wait_metric(
        "holysheep_upstream_connections{upstream=\"holysheep\",state=\"active\"}",
        0.0,
    );
    rig.wait_stats(|stats| stats.in_flight == 0);
}

#[test]
fn hostile_bytes_stay_inside_their_line() {
    let rig = Rig::start();
    let body = b"{\"model\":\"\xff\x01\x7f\",\"messages\":[]}";
    for value in [
        &b"quo\"te\\back"[..],
        b"tab\there",
        b"\xff\xfe\x80",
        b"\x1b[31m",
        b"</script>\",\"status\":1,\"x\":\"",
    ] {
        let length = body.len();
        let mut text = format!(
            "POST {CHAT}?\"\\ HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nuser-agent: "
        )
        .into_bytes();
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\nreferer: ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\nx-request-id: ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n\r\n");
        text.extend_from_slice(body);
        let mut client = rig.client();
        client.send(&text);
        assert!(client.reply().status >= 200);
    }
    // A line that is not JSON, or two lines of one request, end here.
    for line in rig.wait_log(5) {
        assert_eq!(line.as_object().unwrap().len(), FIELDS.len(), "{line}");
        assert!(line["status"].as_u64().unwrap() >= 200);
    }
    assert!(rig.log_text().is_ascii());
}

#[test]
fn a_model_name_beyond_ascii_is_logged_as_it_is() {
    let rig = Rig::start();
    rig.post(CHAT, r#"{"model":"模型-é","messages":[]}"#);
    assert_eq!(rig.wait_log(1)[0]["model"], "模型-é");
}

#[test]
fn a_model_name_is_found_wherever_it_is() {
    let rig = Rig::start();
    let long = "x".repeat(100_000);
    for (body, model) in [
        (
            format!("{{\"messages\":[{{\"content\":\"{long}\"}}],\"model\":\"late\"}}"),
            Value::from("late"),
        ),
        (
            "{\"metadata\":{\"model\":\"inner\"},\"model\" : \"outer\"}".to_owned(),
            "outer".into(),
        ),
        ("no json".to_owned(), Value::Null),
    ] {
        let before = rig.log_lines().len();
        rig.post(CHAT, &body);
        assert_eq!(rig.wait_log(before + 1)[before]["model"], model);
    }
}

#[test]
fn no_log_is_written_when_it_is_off() {
    let rig = Rig::with("log: {access: 'off'}");
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert!(!rig.directory.path("access.log").exists());
}

#[test]
fn requests_under_way_are_counted_when_the_proxy_stops() {
    let mut rig = Rig::start();
    rig.fault("stall-before-headers", FaultScope::Always);
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], QUESTION.as_bytes()));
    rig.wait_stats(|stats| stats.in_flight == 1);
    rig.stop();
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["end"], "error", "{line}");
    assert_eq!(line["error"], "proxy_stopping", "{line}");
}
