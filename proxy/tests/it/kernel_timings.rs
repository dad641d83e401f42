//! What is told of the kernel's side of a request where no kernel programs run: what `TCP_INFO`
//! knows, under its own name, and nothing made up.

use holysheep_proxy::kernel::Program;
use serde_json::Value;

use crate::harness::{Rig, eventually};

const CHAT: &str = r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"x"}]}"#;
const ROUTE: &str = "/v1/chat/completions";

/// Micro seconds under `kernel` in a log line.
fn kernel<'a>(line: &'a Value, name: &str) -> &'a Value {
    let object = line.get("kernel").unwrap();
    object
        .get(name)
        .unwrap_or_else(|| panic!("no {name} in {object}"))
}

#[test]
fn the_log_has_what_tcp_info_knows_and_null_for_the_rest() {
    let rig = Rig::start();
    rig.wait_metric(
        r#"holysheep_upstream_connections{upstream="holysheep",state="idle"}"#,
        2.0,
    );
    assert_eq!(rig.post(ROUTE, CHAT).status, 200);
    assert_eq!(rig.get("/health").status, 200);
    let lines = rig.wait_log(2);
    let forwarded = &lines[0];
    for known in ["connect_us", "rtt_us"] {
        let micros = kernel(forwarded, known).as_u64();
        // Loopback takes microseconds; a second would be another unit.
        assert!(
            micros.is_some_and(|micros| micros < 1_000_000),
            "{forwarded}"
        );
    }
    for unknown in ["first_byte_us", "wakeup_lag_us", "retransmits"] {
        assert_eq!(kernel(forwarded, unknown), &Value::Null, "{forwarded}");
    }
    // What never went upstream has no kernel side at all.
    for name in [
        "connect_us",
        "rtt_us",
        "first_byte_us",
        "wakeup_lag_us",
        "retransmits",
    ] {
        assert_eq!(kernel(&lines[1], name), &Value::Null, "{}", lines[1]);
    }
}

#[test]
fn metrics_say_where_figures_come_from_and_show_no_others() {
    let rig = Rig::start();
    assert_eq!(rig.post(ROUTE, CHAT).status, 200);
    let connects =
        r#"holysheep_kernel_connect_seconds_count{upstream="holysheep",source="tcp_info"}"#;
    let idle = r#"holysheep_upstream_connections{upstream="holysheep",state="idle"}"#;
    eventually(|| rig.metric(connects) >= 2.0 && rig.metric(idle) >= 2.0);
    let text = rig.admin("/metrics").text();
    let unbounded = text
        .lines()
        .find(|line| line.starts_with("holysheep_kernel_connect_seconds_bucket{le=\"+Inf\""));
    let count = text.lines().find_map(|line| line.strip_prefix(connects));
    let last = unbounded.and_then(|line| line.rsplit(' ').next());
    assert_eq!(last, count.map(str::trim), "{text}");
    assert!(
        text.contains(r#"_kernel_retransmits_total{upstream="holysheep",source="tcp_info"} 0"#)
    );
    for absent in [
        r#"source="ebpf""#,
        // Somebody chose so; 0 would say that something is missing.
        "holysheep_kernel_program_attached{",
        "holysheep_kernel_connect_failures_total{",
        "holysheep_kernel_accept_queue_seconds_count",
        "holysheep_kernel_first_byte_seconds_count",
        "holysheep_kernel_wakeup_lag_seconds_count",
        "holysheep_kernel_map_entries{",
    ] {
        assert!(!text.contains(absent), "{absent}");
    }
}

#[test]
fn status_says_why_programs_do_not_run() {
    let rig = Rig::start();
    let status: Value = serde_json::from_str(&rig.admin("/status").text()).unwrap();
    let programs = status["kernel"]["programs"].as_array().unwrap();
    assert_eq!(programs.len(), Program::ALL.len(), "{status}");
    for program in programs {
        assert_eq!(program["attached"], false);
        assert_eq!(program["reasons"][0], "switched off");
    }
    assert!(
        rig.admin("/")
            .text()
            .contains("socket_timing off (switched off")
    );
}

#[test]
fn server_timing_is_sent_where_allowed_and_asked_for() {
    let timing = [("x-holysheep-timing", "1")];
    for (config, fields, sent) in [
        ("timing_header: true", &timing[..], true),
        ("timing_header: true", &[], false),
        ("", &timing[..], false),
    ] {
        let rig = Rig::with(config);
        rig.wait_metric(
            r#"holysheep_upstream_connections{upstream="holysheep",state="idle"}"#,
            2.0,
        );
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(fields);
        let reply = rig.client().request("POST", ROUTE, &all, CHAT.as_bytes());
        assert_eq!(reply.status, 200);
        let value = reply.header("server-timing");
        assert_eq!(value.is_some(), sent, "{config:?} {fields:?}: {value:?}");
        assert!(
            value.is_none_or(|value| value.contains("rtt;dur=0.")),
            "{value:?}"
        );
        let upstream = rig.last_request();
        assert_eq!(
            upstream.header("x-holysheep-timing"),
            None,
            "it is the proxy's own"
        );
    }
}
