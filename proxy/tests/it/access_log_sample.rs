//! `log.sample`, `log.slow`, and an access log that is moved away.

use std::process::Stdio;

use holysheep_emulator::Emulator;
use rustix::process::Signal;

use crate::harness::program::{Served, command, run, text, with_upstream};
use crate::harness::{CHAT, Client, Directory, EMULATOR_KEY, QUESTION, Rig, eventually};

#[test]
fn a_share_of_what_goes_well_is_written_and_says_so() {
    let rig = Rig::with("log: {sample: 0.25}");
    let mut client = rig.client();
    for _ in 0..40 {
        let reply = client.request("POST", CHAT, &[], QUESTION.as_bytes());
        assert_eq!(reply.status, 200);
    }
    for _ in 0..3 {
        assert_eq!(rig.faulty("status;code=429").status, 429);
    }
    assert_eq!(rig.get("/v1/nothing").status, 404);
    let lines = rig.wait_log(14);
    let sampled = lines.iter().filter(|line| line["sample"] == 0.25);
    assert_eq!(sampled.count(), 10);
    let whole = lines.iter().filter(|line| line.get("sample").is_none());
    assert!(
        whole.clone().all(|line| line["status"] != 200),
        "{lines:#?}"
    );
    assert_eq!(whole.count(), 4);
    rig.wait_metric("holysheep_access_log_left_out_total", 30.0);
    let status = &rig.admin("/status").json()["log"];
    assert_eq!(
        (&status["sample"], &status["left_out"]),
        (&0.25.into(), &30.into())
    );
    // No bill is made from a part of the requests.
    let log = rig.directory.path("access.log");
    let bill = run(["costs", "--from", log.to_str().unwrap()]);
    assert_eq!(bill.status.code(), Some(1));
    let said = text(&bill.stderr);
    assert!(said.contains("10 of 14 lines stand for others"), "{said}");
}

#[test]
fn what_takes_long_is_written_anyway() {
    let rig = Rig::with("log: {sample: 0, slow: 100ms}");
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(rig.faulty("stall-before-headers;ms=150").status, 200);
    let line = rig.wait_log(1).remove(0);
    assert!(line["rt"].as_f64().unwrap() >= 0.1, "{line}");
    assert!(line.get("sample").is_none(), "{line}");
}

#[test]
fn a_text_line_says_it_too() {
    let rig = Rig::with("log: {format: text, sample: 0.5}");
    for _ in 0..2 {
        assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    }
    eventually(|| rig.log_text().lines().count() == 1);
    assert!(rig.log_text().contains(" sample=0.5"), "{}", rig.log_text());
}

#[test]
fn a_file_that_was_moved_away_is_left_at_the_signal() {
    let emulator = Emulator::builder()
        .api_key(EMULATOR_KEY)
        .start_blocking()
        .unwrap();
    let directory = Directory::new();
    let (log, moved) = (directory.path("access.log"), directory.path("access.log.1"));
    let access = format!("log: {{access: '{}'}}", log.display());
    let config = directory.write("config.yaml", &access);
    let mut command = command(["serve", "--listen", "127.0.0.1:0", "--ebpf", "off"]);
    let command = command
        .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
        .arg("--config")
        .arg(config)
        .stdout(Stdio::null());
    let mut served = Served::start(with_upstream(command, &emulator, &directory));
    let ask = |served: &Served| {
        let mut client = Client::connect(served.data_addr());
        client
            .request("POST", CHAT, &[], QUESTION.as_bytes())
            .status
    };
    let lines = |path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
    assert_eq!(ask(&served), 200);
    eventually(|| lines(&log) == 1);
    std::fs::rename(&log, &moved).unwrap();
    served.signal(Signal::USR1);
    // At once, not with the next line: whoever moved it wants to compress it.
    eventually(|| served.logged("the access log was opened again").is_some());
    assert_eq!(ask(&served), 200);
    eventually(|| lines(&log) == 1);
    assert_eq!(lines(&moved), 1);
    served.terminate();
    assert_eq!(served.wait().code(), Some(0));
}
