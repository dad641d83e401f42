//! What becomes of a request whose client leaves, where the route has it read on.

use std::time::Duration;

use holysheep_emulator::Profile;
use http_body_util::BodyExt;

use crate::harness::client::request;
use crate::harness::h2::{self, H2, full};
use crate::harness::metrics::IDLE;
use crate::harness::{CHAT, MESSAGES, QUESTION, Rig};

const DRAIN: &str = "responses: {client_leaves: drain}";
/// A stream of 25 tokens, 20 ms apart.
const LONG: &str = r#"{"model":"m","stream":true,"max_tokens":25,"messages":[]}"#;

fn paced(config: &str) -> Rig {
    Rig::builder()
        .config(config)
        .emulator(|emulator| emulator.token_interval(Duration::from_millis(20)))
        .start()
}

fn slow(config: &str) -> Rig {
    Rig::builder()
        .config(config)
        .emulator(|emulator| emulator.profile(Profile::Fixed(Duration::from_millis(300))))
        .start()
}

/// A client that leaves after the first piece of its answer.
fn leave_mid_stream(rig: &Rig, path: &str) {
    let mut client = rig.client();
    let json = [("content-type", "application/json")];
    client.send(request("POST", path, &json, LONG.as_bytes()));
    assert_eq!(client.head().status, 200);
    client.chunk(&mut Vec::new()).unwrap();
}

#[track_caller]
fn wait_left(rig: &Rig, what: &str) {
    let sample = format!("holysheep_http_clients_left_total{{upstream=\"{what}\"}}");
    rig.wait_metric(&sample, 1.0);
}

#[test]
fn a_drained_stream_is_read_to_its_usage() {
    let rig = paced(DRAIN);
    leave_mid_stream(&rig, CHAT);
    wait_left(&rig, "drained");
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["end"], "cancelled", "{line}");
    assert_eq!(line["error"], "client_closed", "{line}");
    assert_eq!(line["usage"]["source"], "reported", "{line}");
    assert_eq!(line["usage"]["output"], 25, "{line}");
    rig.wait_metric("holysheep_usage_requests_total{source=\"reported\"}", 1.0);
    let tokens = "holysheep_usage_tokens_total{type=\"output\",source=\"reported\"}";
    rig.wait_metric(tokens, 25.0);
    rig.wait_stats(|stats| stats.in_flight == 0 && stats.cancelled == 0);
    // Its connection is used again.
    let before = rig.emulator.stats().connections_accepted;
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(rig.emulator.stats().connections_accepted, before);
}

#[test]
fn a_drained_answer_is_read_before_its_first_byte() {
    let rig = slow(DRAIN);
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], QUESTION.as_bytes()));
    rig.wait_stats(|stats| stats.in_flight == 1);
    drop(client);
    wait_left(&rig, "drained");
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["status"], 499, "{line}");
    assert_eq!(line["bytes_out"], 0, "{line}");
    assert_eq!(line["usage"]["source"], "reported", "{line}");
    rig.wait_stats(|stats| stats.cancelled == 0);
}

#[test]
fn a_drain_has_an_end() {
    let rig = paced("responses: {client_leaves: {drain_for: 150ms}}");
    leave_mid_stream(&rig, CHAT);
    wait_left(&rig, "given_up");
    rig.wait_stats(|stats| stats.cancelled == 1 && stats.in_flight == 0);
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["usage"]["source"], "estimated", "{line}");
    let output = line["usage"]["output"].as_u64().unwrap();
    assert!((2..25).contains(&output), "{line}");
    rig.wait_metric("holysheep_usage_requests_total{source=\"estimated\"}", 1.0);
}

#[test]
fn the_limits_hold_while_nobody_waits() {
    let rig = Rig::with(
        "{responses: {client_leaves: drain}, timeouts: {idle: 200ms, first_byte: 200ms}}",
    );
    for (fault, body) in [
        ("stall-after-headers", crate::harness::STREAMED),
        ("stall-before-headers", QUESTION),
    ] {
        let mut client = rig.client();
        let fields = [("x-emulator-fault", fault)];
        client.send(request("POST", CHAT, &fields, body.as_bytes()));
        rig.wait_stats(|stats| stats.in_flight == 1);
        drop(client);
        rig.wait_stats(|stats| stats.in_flight == 0);
    }
    let sample = "holysheep_http_clients_left_total{upstream=\"given_up\"}";
    rig.wait_metric(sample, 2.0);
    rig.wait_metric("holysheep_usage_requests_total{source=\"unknown\"}", 2.0);
    rig.wait_metric(IDLE, 2.0);
}

#[test]
fn both_versions_of_http_on_both_sides() {
    for protocol in ["http1", "http2"] {
        let config =
            format!("{{responses: {{client_leaves: drain}}, upstream: {{protocol: {protocol}}}}}");
        let rig = paced(&config);
        let client = H2::connect(rig.data_addr());
        let mut answer = client.send(h2::request("POST", CHAT, full(LONG))).unwrap();
        client.run(answer.body_mut().frame()).unwrap().unwrap();
        drop(answer);
        wait_left(&rig, "drained");
        assert_eq!(client.get("/health").status(), 200, "the connection lives");
        leave_mid_stream(&rig, CHAT);
        let sample = "holysheep_http_clients_left_total{upstream=\"drained\"}";
        rig.wait_metric(sample, 2.0);
        for line in rig.wait_log(3).iter().filter(|line| line["route"] == CHAT) {
            assert_eq!(line["end"], "cancelled", "{line}");
            assert_eq!(line["error"], "client_closed", "{line}");
        }
        rig.wait_stats(|stats| stats.in_flight == 0 && stats.cancelled == 0);
    }
}

#[test]
fn each_route_has_its_own() {
    let rig = paced("routes: {/v1/messages: {client_leaves: drain}}");
    leave_mid_stream(&rig, MESSAGES);
    wait_left(&rig, "drained");
    leave_mid_stream(&rig, CHAT);
    wait_left(&rig, "cancelled");
    rig.wait_stats(|stats| stats.cancelled == 1 && stats.in_flight == 0);
}

#[test]
fn a_request_that_is_not_complete_ends_at_once() {
    let rig = Rig::with(DRAIN);
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[("content-length", "1000")], b"{"));
    rig.wait_stats(|stats| stats.in_flight == 1);
    drop(client);
    wait_left(&rig, "cancelled");
    rig.wait_stats(|stats| stats.cancelled == 1 && stats.in_flight == 0);
}
