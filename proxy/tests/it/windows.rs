//! How much connections may send at once, where no kernel program can look after it: what is left are socket options,
//! and the status says what is lost.

use std::process::Command;

use crate::harness::program::command;
use crate::harness::{CHAT, Directory, QUESTION, Rig};

/// What `ss` says of the sockets connected to upstream.
fn sockets(rig: &Rig) -> String {
    let port = format!("= :{}", rig.emulator.addr().port());
    let output = Command::new("ss").args(["-tin", "dport", &port]).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn without_programs_the_status_says_what_is_lost() {
    let rig = Rig::with("upstream: {tcp: {initial_window: 40}}");
    let status = rig.admin("/status").json();
    let windows = &status["upstream"]["windows"];
    assert_eq!(windows["initial_window"], "40");
    assert_eq!(windows["initial_window_lost"], "switched off", "{windows}");
    assert_eq!(windows["paths"], serde_json::json!([]));
    // What the system does by itself stays: this machine's congestion control may not start over.
    let by = windows["after_idle"]["by"].as_str().unwrap();
    let system = ["system", "congestion_control"].contains(&by);
    assert!(system || by == "nothing", "{windows}");
    assert_eq!(windows["after_idle"]["kept"], system, "{windows}");
    let kept = format!("holysheep_kernel_idle_windows_kept{{by=\"{by}\"}}");
    assert_eq!(rig.metric(&kept), f64::from(u8::from(system)));
    let page = rig.admin("/").text();
    assert!(
        page.contains("the system's default (switched off"),
        "{page}"
    );
    let metrics = rig.admin("/metrics").text();
    let mut samples = metrics.lines().filter(|line| !line.starts_with('#'));
    assert!(!samples.any(|line| line.starts_with("holysheep_kernel_window")));
}

#[test]
fn without_programs_a_congestion_control_is_a_socket_option() {
    // Every kernel has it, and allows it to everybody.
    let rig = Rig::with("upstream: {min_idle: 1, tcp: {congestion_control: reno}}");
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    let told = sockets(&rig);
    assert!(told.contains(" reno "), "{told}");
    assert!(
        !told.contains(" cubic ") && !told.contains(" bbr "),
        "{told}"
    );
}

#[test]
fn a_congestion_control_the_kernel_lacks_is_refused() {
    let directory = Directory::new();
    let file = "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\nupstream: {tcp: {congestion_control: nonesuch}}\n";
    let file = directory.write("config.yaml", file);
    let output = command(["serve", "--config", file.to_str().unwrap()]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = "upstream.tcp.congestion_control: this kernel has no nonesuch";
    assert!(said.contains(expected), "{said}");
}
