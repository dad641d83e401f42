//! Spans of requests: complete, linked, and received; and what becomes of `traceparent`.

use std::time::Duration;

use holysheep_emulator::FaultScope;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::Value;

use crate::harness::client::request;
use crate::harness::endpoints::Endpoints;
use crate::harness::{CHAT, QUESTION, Rig, RigBuilder, STREAMED, eventually};
use crate::webhook::receiver::Receiver;

const TEXT: &str = r#"{"model":"text-embedding-3-small","input":"hello"}"#;
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

fn builder(receiver: &Receiver, more: &str, rest: &str) -> RigBuilder {
    let endpoint = receiver.address;
    Rig::builder().config(format!(
        "traces: {{endpoint: 'http://{endpoint}', attributes: {{zone: a}}, {more}}}\n{rest}"
    ))
}

/// What OTLP's own types make of each batch: whatever they do not understand is not there.
fn batches(receiver: &Receiver) -> Vec<Value> {
    let read = receiver.received().into_iter().map(|received| {
        assert!(received.head.starts_with("POST /v1/traces HTTP/1.1\r\n"));
        assert_eq!(received.values("content-type"), ["application/json"]);
        let request: ExportTraceServiceRequest = serde_json::from_slice(&received.body).unwrap();
        serde_json::to_value(request).unwrap()
    });
    read.collect()
}

/// All spans that have been received, by whatever batch.
fn spans(receiver: &Receiver) -> Vec<Value> {
    let spans = batches(receiver).into_iter().flat_map(|batch| {
        let scope = &batch["resourceSpans"][0]["scopeSpans"][0];
        scope["spans"].as_array().unwrap().clone()
    });
    spans.collect()
}

fn wait_spans(receiver: &Receiver, count: usize) -> Vec<Value> {
    eventually(|| spans(receiver).len() >= count);
    let spans = spans(receiver);
    assert_eq!(spans.len(), count, "{spans:#?}");
    spans
}

/// An attribute's value, whatever its type; null if there is none.
fn attribute(span: &Value, key: &str) -> Value {
    let all = span["attributes"].as_array().unwrap();
    let found = all.iter().find(|attribute| attribute["key"] == key);
    let value = found.and_then(|found| found["value"].as_object()?.values().next().cloned());
    value.unwrap_or_default()
}

fn nanos(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

fn exported(result: &str) -> String {
    format!("holysheep_trace_spans_total{{result=\"{result}\"}}")
}

fn post(rig: &Rig, body: &str, fields: &[(&str, &str)]) -> u16 {
    let reply = rig.client().request("POST", CHAT, fields, body.as_bytes());
    reply.status
}

/// What upstream was told, request by request.
fn told(rig: &Rig, name: &str) -> Vec<Option<String>> {
    let requests = rig.emulator.requests().into_iter();
    let asked = requests.filter(|request| request.path_and_query == CHAT);
    let field = |headers: &http::HeaderMap| Some(headers.get(name)?.to_str().unwrap().to_owned());
    asked.map(|request| field(&request.headers)).collect()
}

#[test]
fn a_stream_has_a_server_span_and_a_client_span_below_it() {
    let receiver = Receiver::start();
    let rig = builder(&receiver, "", "").start();
    // Only of bodies said to be JSON upstream is asked for the usage.
    let fields = [
        ("traceparent", SAMPLED),
        ("content-type", "application/json"),
    ];
    assert_eq!(post(&rig, STREAMED, &fields), 200);
    let all = wait_spans(&receiver, 2);
    let [server, client] = &all[..] else {
        unreachable!()
    };
    assert_eq!(server["name"], "POST /v1/chat/completions");
    assert_eq!(server["kind"], 2);
    assert_eq!(server["traceId"], TRACE);
    assert_eq!(server["parentSpanId"], PARENT);
    assert_eq!(client["name"], "chat m");
    assert_eq!(client["kind"], 3);
    assert_eq!(client["traceId"], TRACE);
    assert_eq!(client["parentSpanId"], server["spanId"]);
    assert_eq!(attribute(server, "http.route"), CHAT);
    assert_eq!(attribute(server, "url.scheme"), "http");
    let port = rig.emulator.addr().port().to_string();
    for (key, value) in [
        ("gen_ai.operation.name", Value::from("chat")),
        ("gen_ai.provider.name", "holysheep".into()),
        ("gen_ai.request.model", "m".into()),
        ("gen_ai.request.stream", true.into()),
        ("http.response.status_code", "200".into()),
        ("server.address", "localhost".into()),
        ("server.port", port.into()),
        ("error.type", Value::Null),
    ] {
        assert_eq!(attribute(client, key), value, "{key} in {client:#}");
    }
    for key in ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
        assert!(attribute(client, key).is_string(), "{key} in {client:#}");
    }
    let events = client["events"].as_array().unwrap();
    let names: Vec<_> = events.iter().map(|event| &event["name"]).collect();
    assert_eq!(names.first().unwrap(), &"request.sent", "{names:?}");
    assert_eq!(names.last().unwrap(), &"gen_ai.first_token", "{names:?}");
    let mut times = vec![&server["startTimeUnixNano"], &client["startTimeUnixNano"]];
    times.extend(events.iter().map(|event| &event["timeUnixNano"]));
    times.extend([&client["endTimeUnixNano"], &server["endTimeUnixNano"]]);
    assert!(times.iter().map(|at| nanos(at)).is_sorted(), "{all:#?}");
    assert!(!format!("{all:?}").contains("hello"), "a prompt in a span");
    let resource = &batches(&receiver)[0]["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), "holysheep-proxy");
    assert_eq!(attribute(resource, "zone"), "a");
    assert_eq!(rig.wait_log(1).remove(0)["trace_id"], TRACE);
    rig.wait_metric(&exported("exported"), 2.0);
    let status = rig.admin("/status").json();
    assert_eq!(status["traces"]["exported"], 2);
    assert_eq!(
        told(&rig, "traceparent"),
        [None],
        "not unless it is asked for"
    );
}

#[test]
fn each_attempt_has_a_span_and_upstream_is_told_of_it() {
    let receiver = Receiver::start();
    let rig = builder(&receiver, "propagate: true", "retries: {backoff: 1ms}").start();
    rig.fault("503", FaultScope::Next(1));
    let fields = [
        ("traceparent", SAMPLED),
        ("tracestate", "a=1"),
        ("Tracestate", "b=2"),
    ];
    assert_eq!(post(&rig, QUESTION, &fields), 200);
    let all = wait_spans(&receiver, 3);
    let [server, first, second] = &all[..] else {
        unreachable!()
    };
    let name = |span: &Value| {
        let id = span["spanId"].as_str().unwrap();
        Some(format!("00-{TRACE}-{id}-01"))
    };
    assert_eq!(told(&rig, "traceparent"), [name(first), name(second)]);
    let state = Some("a=1,b=2".to_owned());
    assert_eq!(told(&rig, "tracestate"), [state.clone(), state]);
    for attempt in [first, second] {
        assert_eq!(attempt["parentSpanId"], server["spanId"]);
    }
    assert_ne!(first["spanId"], second["spanId"]);
    assert_eq!(attribute(first, "error.type"), "503");
    assert_eq!(attribute(first, "http.response.status_code"), "503");
    assert_eq!(first["status"]["code"], 2);
    assert_eq!(attribute(second, "http.request.resend_count"), "1");
    assert_eq!(attribute(second, "error.type"), Value::Null);
    assert!(nanos(&first["endTimeUnixNano"]) <= nanos(&second["startTimeUnixNano"]));
}

#[test]
fn an_error_is_on_both_spans() {
    let receiver = Receiver::start();
    // No connection may be there before there is the fault.
    let config = "retries: {attempts: 1}\nupstream: {min_idle: 0}";
    let rig = builder(&receiver, "", config).start();
    rig.fault("reset-on-accept", FaultScope::Always);
    let status = post(&rig, QUESTION, &[]);
    assert!(status >= 500, "{status}");
    let all = wait_spans(&receiver, 2);
    let code = rig.wait_log(1).remove(0)["error"].clone();
    for span in &all {
        assert_eq!(attribute(span, "error.type"), code, "{span:#}");
        assert_eq!(span["status"]["code"], 2);
    }
    assert_eq!(all[0]["parentSpanId"], "", "the trace begins here");
}

#[test]
fn of_two_at_once_one_is_outrun() {
    let receiver = Receiver::start();
    let config = format!(
        "routes: {{/v1/embeddings: {{hedge_after: 50ms}}}}\n\
         traces: {{endpoint: 'http://{}', propagate: true}}",
        receiver.address
    );
    let endpoints = Endpoints::start(2, "min_idle: 2", &config);
    endpoints.fault(0, "stall-before-headers");
    eventually(|| {
        let reply = endpoints.rig.post("/v1/embeddings", TEXT);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.header("x-holysheep-attempts") == Some("2")
    });
    let is_first = |span: &Value| attribute(span, "error.type") == "hedge_lost";
    eventually(|| spans(&receiver).iter().any(is_first));
    let all = spans(&receiver);
    let at = all.iter().position(is_first).unwrap();
    let [server, first, second] = &all[at - 1..=at + 1] else {
        unreachable!()
    };
    for attempt in [first, second] {
        assert_eq!(attempt["parentSpanId"], server["spanId"]);
        assert_eq!(attempt["name"], "embeddings text-embedding-3-small");
    }
    assert_eq!(first["status"]["code"], 0, "that is no error");
    assert_eq!(attribute(first, "network.peer.address"), "127.0.0.2");
    assert_eq!(attribute(second, "network.peer.address"), "127.0.0.3");
    assert_eq!(attribute(second, "error.type"), Value::Null);
    assert!(nanos(&second["startTimeUnixNano"]) <= nanos(&first["endTimeUnixNano"]));
    let told: Vec<_> = (0..2)
        .map(|index| {
            let last = endpoints.emulator(index).requests().pop().unwrap();
            let told = last.headers.get("traceparent").unwrap().to_str().unwrap();
            Value::from(&told[36..52])
        })
        .collect();
    assert_eq!(told, [first["spanId"].clone(), second["spanId"].clone()]);
}

#[test]
fn a_client_that_leaves_ends_both_spans_and_is_nobodys_error() {
    let receiver = Receiver::start();
    let builder = builder(&receiver, "", "");
    let rig = builder
        .emulator(|emulator| emulator.token_interval(Duration::from_millis(20)))
        .start();
    let mut client = rig.client();
    let body = STREAMED.replace("\"stream\"", "\"max_tokens\":100000,\"stream\"");
    client.send(request("POST", CHAT, &[], body.as_bytes()));
    assert_eq!(client.head().status, 200);
    client.chunk(&mut Vec::new()).unwrap();
    drop(client);
    let all = wait_spans(&receiver, 2);
    let [server, client] = &all[..] else {
        unreachable!()
    };
    assert_eq!(attribute(server, "holysheep.end"), "cancelled");
    assert_eq!(server["status"]["code"], 0, "a server is not to blame");
    assert_eq!(client["parentSpanId"], server["spanId"]);
    for span in [server, client] {
        assert_eq!(attribute(span, "error.type"), "client_closed");
        assert_eq!(attribute(span, "http.response.status_code"), "200");
    }
    let usage = attribute(client, "gen_ai.usage.output_tokens");
    assert_eq!(usage, Value::Null, "nobody has said it");
}

#[test]
fn without_traces_what_clients_say_passes_as_it_came() {
    let rig = Rig::start();
    let fields = [("traceparent", SAMPLED), ("tracestate", "a=1")];
    assert_eq!(post(&rig, QUESTION, &fields), 200);
    assert_eq!(told(&rig, "traceparent"), [Some(SAMPLED.to_owned())]);
    assert_eq!(told(&rig, "tracestate"), [Some("a=1".to_owned())]);
    assert!(rig.admin("/status").json()["traces"].is_null());
    assert!(rig.wait_log(1).remove(0).get("trace_id").is_none());
}

#[test]
fn clients_decide_and_else_the_share() {
    let receiver = Receiver::start();
    let rig = builder(&receiver, "sample: 0, propagate: true", "").start();
    assert_eq!(post(&rig, QUESTION, &[]), 200);
    assert_eq!(post(&rig, QUESTION, &[("traceparent", UNSAMPLED)]), 200);
    assert_eq!(post(&rig, QUESTION, &[("traceparent", SAMPLED)]), 200);
    let all = wait_spans(&receiver, 2);
    assert_eq!(all[0]["traceId"], TRACE);
    let log = rig.wait_log(3);
    assert!(log[0].get("trace_id").is_none(), "{}", log[0]);
    assert_eq!(log[1]["trace_id"], TRACE);
    let told = told(&rig, "traceparent");
    assert_eq!(told[..2], [None, Some(UNSAMPLED.to_owned())]);
}

#[test]
fn what_is_not_received_is_sent_again() {
    let receiver = Receiver::start();
    receiver.answers(503);
    let rig = builder(&receiver, "", "").start();
    assert_eq!(post(&rig, QUESTION, &[]), 200);
    eventually(|| !receiver.received().is_empty());
    receiver.answers(200);
    rig.wait_metric(&exported("exported"), 2.0);
    let [first, second] = &receiver.received()[..] else {
        panic!("{} batches", receiver.received().len());
    };
    assert_eq!(first.body.len(), second.body.len());
    assert!(rig.metric(&exported("failed")) == 0.0);
}

#[test]
fn what_is_refused_is_counted() {
    let receiver = Receiver::start();
    receiver.answers(400);
    let rig = builder(&receiver, "", "").start();
    assert_eq!(post(&rig, QUESTION, &[]), 200);
    rig.wait_metric(&exported("failed"), 2.0);
    assert_eq!(receiver.received().len(), 1, "that does not help");
}

#[test]
fn what_is_refused_of_a_batch_is_counted() {
    let receiver = Receiver::start();
    receiver.says(r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}"#);
    let rig = builder(&receiver, "", "").start();
    assert_eq!(post(&rig, QUESTION, &[]), 200);
    rig.wait_metric(&exported("failed"), 1.0);
    rig.wait_metric(&exported("exported"), 1.0);
}

#[test]
fn a_receiver_that_does_not_answer_holds_nobody_up() {
    let receiver = Receiver::start();
    receiver.hold();
    let rig = builder(&receiver, "", "").start();
    let mut client = rig.client();
    // More than may wait, with those under way.
    for _ in 0..2300 {
        let reply = client.request("POST", CHAT, &[], QUESTION.as_bytes());
        assert_eq!(reply.status, 200);
    }
    eventually(|| rig.metric(&exported("dropped")) > 0.0);
    let dropped = rig.metric(&exported("dropped"));
    assert!(dropped <= 2.0 * (2300.0 - 2048.0 + 64.0), "{dropped}");
    receiver.release();
    let rest = 4600.0 - dropped;
    eventually(|| rig.metric(&exported("exported")) >= rest);
    assert!(rig.metric(&exported("exported")) <= rest);
}

#[test]
fn what_is_left_is_exported_at_the_end() {
    let receiver = Receiver::start();
    let mut rig = builder(&receiver, "", "").start();
    assert_eq!(post(&rig, QUESTION, &[]), 200);
    rig.stop();
    assert_eq!(spans(&receiver).len(), 2);
}
