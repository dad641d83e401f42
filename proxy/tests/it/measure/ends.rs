//! How `measure` ends: objectives, failures, targets that do not answer, wrong usage.

use std::net::TcpListener;
use std::process::Stdio;

use holysheep_emulator::FaultScope;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{directly, ends, number, parsed, proxy, thinking};
use crate::harness::Rig;
use crate::harness::program::{command, run, text};

#[test]
fn objectives_decide_how_it_ends() {
    let rig = thinking();
    let few = ["--samples=10", "--rate=50", "--warm-up=1", "--handshakes=0"];
    let with = |slo: &[&str], code| {
        let mut command = directly(&rig, &few);
        parsed(command.args(proxy(&rig)).args(slo), code)
    };
    let met = with(
        &["--slo=p95=1m", "--slo=errors=1%", "--slo=direct:mean=1m"],
        0,
    );
    assert_eq!(met["verdict"], "met");
    assert_eq!(met["slo"].as_array().unwrap().len(), 5);
    let missed = with(&["--slo=proxy:p50=1ms", "--slo=p99=1m"], 3);
    assert_eq!(missed["verdict"], "missed");
    let verdicts = missed["slo"].as_array().unwrap().iter();
    let verdicts: Vec<_> = verdicts.map(|one| (&one["target"], &one["met"])).collect();
    let [direct, proxied] = [json!("direct"), json!("proxy")];
    let [yes, no] = [json!(true), json!(false)];
    assert_eq!(
        verdicts,
        [(&proxied, &no), (&direct, &yes), (&proxied, &yes)]
    );
    let output = ends(directly(&rig, &few).arg("--slo=p50=1ms"), 3);
    let table = text(&output.stdout);
    assert!(table.contains("MISSED  direct  p50=1ms"), "{table}");
}

#[test]
fn failures_are_counted_by_code_and_in_no_latency() {
    let rig = Rig::start();
    let mut command = directly(&rig, &["--samples=10", "--rate=50", "--handshakes=0"]);
    let command = command.args(["--warm-up=0", "--slo=p95=1m", "--slo=errors=40%"]);
    let refuse = || "status;code=503".parse().unwrap();
    rig.emulator
        .set_fault(refuse(), FaultScope::Next(3))
        .unwrap();
    let report = parsed(command, 3);
    let target = &report["targets"][0];
    assert_eq!((&target["sent"], &target["good"]), (&json!(10), &json!(7)));
    assert_eq!(target["errors"], json!({"503": 3}));
    assert_eq!(target["latency_ms"]["count"], 7);
    assert_eq!(target["failed"], Value::Null);
    // Three of ten never came, so there is no 95th percentile; 30 % of errors were allowed for.
    assert_eq!(
        (&report["slo"][0]["met"], &report["slo"][1]["met"]),
        (&json!(false), &json!(true))
    );
    rig.emulator
        .set_fault(refuse(), FaultScope::Next(6))
        .unwrap();
    let mut command = directly(&rig, &["--samples=10", "--rate=50", "--handshakes=0"]);
    let output = ends(command.arg("--warm-up=0"), 4);
    let table = text(&output.stdout);
    assert!(
        table.contains("FAIL  direct: 6 of 10 requests failed"),
        "{table}"
    );
    assert!(table.contains("direct: 6 × 503; answered 503"), "{table}");
}

#[test]
fn a_target_that_answers_nothing_good_is_left_alone() {
    let rig = Rig::builder()
        .without_key()
        .config("auth: passthrough")
        .start();
    let wrong = rig.directory.write("wrong", "cr_wrong_key_never_shown");
    let mut command = directly(&rig, &["--samples=10", "--rate=50", "--warm-up=2"]);
    let command = command.args(["--handshakes=1", "--slo=p95=1m"]);
    let command = command.arg(format!("--target=wrong=http://{}/v1", rig.data_addr()));
    let command = command.arg(format!("--api-key-file=wrong={}", wrong.display()));
    let output = ends(command, 4);
    let table = text(&output.stdout);
    assert!(
        table.contains("FAIL  wrong: not measured: to warm up answered 401"),
        "{table}"
    );
    assert!(
        table.contains("→ give the key this target takes"),
        "{table}"
    );
    assert!(table.contains("MISSED  wrong   p95=1m"), "{table}");
    assert!(table.contains("met     direct  p95=1m"), "{table}");
    assert!(!table.contains("cr_wrong"), "{table}");
    assert_eq!(
        rig.emulator.stats().unauthorized,
        2,
        "it is not asked again and again"
    );
}

#[test]
fn a_target_that_is_down_has_a_row_and_keeps_no_other_from_being_measured() {
    let rig = Rig::start();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut both = directly(&rig, &["--samples=10", "--rate=50", "--warm-up=2"]);
    let report = parsed(both.arg(format!("--target=down=http://{port}/v1")), 4);
    assert_eq!(report["verdict"], "failed");
    let [direct, down] = [&report["targets"][0], &report["targets"][1]];
    assert_eq!(
        (&direct["good"], &direct["failed"]),
        (&json!(10), &Value::Null)
    );
    assert_eq!(
        (&down["sent"], &down["latency_ms"]),
        (&json!(0), &Value::Null)
    );
    let failed = down["failed"].as_str().unwrap();
    assert!(failed.contains("refused"), "{failed}");
    let nowhere = format!("--target=nowhere=http://{port}/v1");
    let output = ends(
        &mut command([
            "measure",
            &nowhere,
            "--warm-up=0",
            "--samples=2",
            "--rate=50",
        ]),
        4,
    );
    let table = text(&output.stdout);
    assert!(table.contains("nowhere: 2 × connect; "), "{table}");
    let unnamed = "--target=lost=http://no-such-name.invalid/v1";
    let output = ends(
        &mut command(["measure", unnamed, "--warm-up=1", "--rate=50"]),
        4,
    );
    assert!(text(&output.stdout).contains("FAIL  lost: not measured"));
}

#[test]
fn a_signal_ends_it_with_what_there_is() {
    let rig = Rig::start();
    let few = [
        "--samples=10000",
        "--rate=50",
        "--warm-up=0",
        "--format=json",
    ];
    let mut command = directly(&rig, &few);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    rig.wait_stats(|stats| stats.completed >= 40);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["stopped_early"], true);
    assert!(number(&report["targets"][0]["good"]) >= 1.0, "{report}");
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let target = "--target=a=http://127.0.0.1:9/v1";
    for (args, expected) in [
        (&[][..], "--target"),
        (
            &["--target=http://127.0.0.1:9/v1"],
            "expected such as direct=",
        ),
        (&[target, target], "two are called a"),
        (&[target, "--slo=b:p95=1ms"], "no target is called b"),
        (&[target, "--slo=p95=fast"], "such as p95=50ms"),
        (&[target, "--rate=0"], "from 0.001 to 1000"),
        (&[target, "--path=v1"], "expected a path"),
        (&[target, "--path=/v1", "--body=/none"], "--body /none: "),
        (&[target, "--api-key-file=/none"], "/none"),
        (
            &["--target=a=https://localhost/v1", "--ca-file=/none"],
            "--ca-file /none: ",
        ),
    ] {
        let output = run([&["measure"], args].concat());
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(told.contains(expected), "{args:?}: {told}");
    }
    let mut twice = command(["measure", target]);
    let twice = twice.envs([
        ("HOLYSHEEP_API_KEY", "cr_a"),
        ("HOLYSHEEP_API_KEY_FILE", "/b"),
    ]);
    let output = ends(twice, 2);
    assert!(text(&output.stderr).contains("unset one of the two"));
}
