//! What the log says at the start: one screen, with what holds and why something is off.

use std::process::Stdio;

use serde_json::json;

use crate::harness::Directory;
use crate::harness::program::{Served, command};

/// A screen, less a few lines for what was there before.
const LINES: usize = 20;

#[test]
fn the_start_is_summed_up_on_one_screen() {
    let directory = Directory::new();
    let key = directory.write("key", "cr_supersecret");
    let config = format!(
        "upstream: {{base_url: 'http://127.0.0.1:9', api_key_file: '{}'}}\n\
         limits: {{in_flight: 77, per_client: {{concurrent: 3, usd_per_day: 2.5}}}}\n\
         state_dir: '{}'\n\
         log: {{access: off, sample: 0.5}}\n",
        key.display(),
        directory.path("").display()
    );
    let config = directory.write("config.yaml", &config);
    let mut command = command(["serve", "--listen", "127.0.0.1:0", "--ebpf", "off"]);
    command
        .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--workers", "2", "--config"])
        .arg(config)
        .stdout(Stdio::null());
    let served = Served::start(&mut command);
    let said = |message: &str, field: &str| served.logged(message).unwrap()[field].take();
    assert_eq!(said("upstream", "url"), "http://127.0.0.1:9/v1");
    assert_eq!(said("upstream", "keys"), 1);
    assert_eq!(said("clients", "auth"), "open");
    assert_eq!(said("limits of the process", "in_flight"), 77);
    let each = "limits of each client";
    assert_eq!(said(each, "concurrent"), 3);
    assert_eq!(said(each, "usd_per_day"), "2.5");
    assert_eq!(said(each, "counted_in"), "process");
    assert_eq!(said(each, "budgets_kept_in"), "file");
    assert_eq!(said(each, "requests_per_minute"), json!(null));
    assert_eq!(said("kernel programs", "on"), "none");
    let why = "kernel programs off: socket_timing, payload_timing, upstream_window, probe_steering: switched off";
    assert_eq!(served.times_logged(why), 1);
    assert_eq!(said("access log", "to"), "off");
    assert_eq!(said("access log", "sample"), 0.5);
    assert_eq!(said("serving", "workers"), 2);
    let log = served.log();
    let end = log.iter().position(|line| line.contains("\"serving\""));
    assert!(end.unwrap() < LINES, "{log:#?}");
    assert!(!log.concat().contains("supersecret"));
}
