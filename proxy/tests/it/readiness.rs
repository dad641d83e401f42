//! `/readyz` follows upstream: not ready while it cannot be reached, ready again without a request.

use holysheep_emulator::FaultScope;

use crate::harness::{CHAT, EMULATOR_KEY, QUESTION, Rig, eventually};

/// A proxy whose upstream refuses connections from the start.
fn in_front_of_nothing(yaml: &str) -> Rig {
    Rig::builder()
        .config(yaml)
        .workers(2)
        .edit(|_, _, emulator| emulator.stop_accepting())
        .start()
}

/// Waits until the proxy is not ready for one reason, which has to name the upstream and `why`.
#[track_caller]
fn wait_not_ready(rig: &Rig, why: &str) {
    eventually(|| rig.admin("/readyz").status == 503);
    let reason = rig.admin("/readyz").text();
    assert!(
        reason.starts_with("upstream holysheep cannot be reached: "),
        "{reason}"
    );
    assert!(
        reason.contains(why) && reason.lines().count() == 1,
        "{reason}"
    );
    assert!(!reason.contains(EMULATOR_KEY));
    let status = rig.admin("/status").json();
    assert_eq!(status["ready"], false);
    assert!(status["not_ready"][0].as_str().unwrap().contains(why));
    assert_eq!(rig.admin("/livez").status, 200, "a restart would not help");
}

#[test]
fn while_upstream_cannot_be_reached_the_proxy_is_not_ready() {
    let yaml = ["", "upstream: {min_idle: 5}", "upstream: {protocol: http2}"];
    for yaml in yaml {
        let rig = in_front_of_nothing(yaml);
        wait_not_ready(&rig, "refused");
        rig.emulator.resume_accepting().unwrap();
        eventually(|| rig.admin("/readyz").status == 200);
        assert_eq!(rig.admin("/status").json()["ready"], true);
    }
}

#[test]
fn without_connections_ahead_of_need_it_recovers_too() {
    let yaml = [
        "upstream: {min_idle: 0}",
        "upstream: {min_idle: 0, max_idle: 0}",
    ];
    for yaml in yaml {
        let rig = in_front_of_nothing(yaml);
        assert_eq!(rig.admin("/readyz").status, 200, "nothing is known yet");
        assert_eq!(rig.post(CHAT, QUESTION).status, 502);
        wait_not_ready(&rig, "refused");
        rig.emulator.resume_accepting().unwrap();
        eventually(|| rig.admin("/readyz").status == 200);
        assert_eq!(rig.emulator.stats().requests, 0, "without a request");
    }
}

#[test]
fn a_certificate_that_is_not_valid_is_a_reason() {
    for yaml in ["", "upstream: {protocol: http2}"] {
        let rig = Rig::builder()
            .config(yaml)
            .edit(|_, _, emulator| {
                let expired = "expired-certificate".parse().unwrap();
                emulator.set_fault(expired, FaultScope::Always).unwrap();
            })
            .start();
        wait_not_ready(&rig, "the certificate has expired");
        rig.emulator.clear_faults().unwrap();
        eventually(|| rig.admin("/readyz").status == 200);
    }
}

#[test]
fn with_a_connection_left_it_stays_ready() {
    let rig = Rig::with("upstream: {min_idle: 2}");
    eventually(|| rig.admin("/status").json()["upstream"]["idle"] == 2);
    rig.emulator.stop_accepting();
    let fields = [("x-emulator-fault", "close-after;requests=1")];
    let reply = rig
        .client()
        .request("POST", CHAT, &fields, QUESTION.as_bytes());
    assert_eq!(reply.status, 200);
    let failures = |status: &serde_json::Value| status["upstream"]["connect_failures"].as_u64();
    eventually(|| failures(&rig.admin("/status").json()) >= Some(1));
    assert_eq!(rig.admin("/readyz").status, 200, "one is still open");
}
