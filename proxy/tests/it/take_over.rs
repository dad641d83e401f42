//! `take_over`: a process that is started takes the listening sockets of the one that runs.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use holysheep_emulator::Emulator;

use crate::harness::client::request;
use crate::harness::program::{Served, command, text, with_upstream};
use crate::harness::{CHAT, Client, Directory, EMULATOR_KEY, QUESTION, Reply, eventually, metrics};
use crate::operating::Ends;

/// How a process of the test is started.
struct Setup<'a> {
    emulator: &'a Emulator,
    directory: &'a Directory,
}

impl Setup<'_> {
    fn command(&self, data: SocketAddr, admin: SocketAddr, workers: &str) -> Command {
        let mut command = command(["serve", "--ebpf", "off", "--log-format", "json"]);
        command
            .args(["--listen", &data.to_string()])
            .args(["--admin-listen", &admin.to_string()])
            .args(["--workers", workers, "--take-over"])
            .arg(self.path())
            .stdout(Stdio::null());
        with_upstream(&mut command, self.emulator, self.directory);
        command
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path("take-over.sock")
    }

    fn first(&self, workers: &str) -> Served {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let served = Served::start(&mut self.command(free, free, workers));
        wait_offered(&self.path());
        served
    }

    fn next(&self, before: &Served, workers: &str) -> Served {
        let (data, admin) = (before.data_addr(), before.admin_addr());
        let served = Served::start(&mut self.command(data, admin, workers));
        assert_eq!((served.data_addr(), served.admin_addr()), (data, admin));
        served
    }
}

fn wait_offered(path: &Path) {
    eventually(|| path.exists());
}

fn ask(client: &mut Client) -> Option<Reply> {
    client.send(request("POST", CHAT, &[], QUESTION.as_bytes()));
    let mut reply = client.try_head()?;
    client.body(&mut reply);
    Some(reply)
}

/// Take-overs as the process counts them: begun with, and come to nothing.
fn counted(served: &Served) -> (f64, f64) {
    let text = Client::connect(served.admin_addr()).request("GET", "/metrics", &[], b"");
    let of = |result: &str| {
        let sample = format!("holysheep_take_overs_total{{result=\"{result}\"}}");
        metrics::sample(&text.text(), &sample).unwrap()
    };
    (of("taken"), of("failed"))
}

/// A new connection for each request, as fast as it goes.
fn load(address: SocketAddr, over: &AtomicBool, answered: &AtomicU32, failed: &AtomicU32) {
    while !over.load(SeqCst) {
        let reply = ask(&mut Client::connect(address));
        match reply.is_some_and(|reply| reply.status == 200 && reply.complete) {
            true => answered.fetch_add(1, SeqCst),
            false => failed.fetch_add(1, SeqCst),
        };
    }
}

#[test]
fn no_connection_is_refused_or_reset_whatever_the_number_of_workers() {
    let emulator = Emulator::builder()
        .api_key(EMULATOR_KEY)
        .start_blocking()
        .unwrap();
    let directory = Directory::new();
    let setup = Setup {
        emulator: &emulator,
        directory: &directory,
    };
    let mut serving = setup.first("2");
    let data = serving.data_addr();
    let (over, answered, failed) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let ends = Ends(&over);
        for _ in 0..4 {
            scope.spawn(|| load(data, &over, &answered, &failed));
        }
        for workers in ["3", "1", "2"] {
            let before = answered.load(SeqCst);
            eventually(|| answered.load(SeqCst) > before + 50);
            let next = setup.next(&serving, workers);
            let mut old = std::mem::replace(&mut serving, next);
            assert_eq!(old.wait().code(), Some(0), "{:?}", old.log());
            let before = answered.load(SeqCst);
            eventually(|| answered.load(SeqCst) > before + 50);
        }
        drop(ends);
    });
    assert_eq!(failed.load(SeqCst), 0, "of {}", answered.load(SeqCst));
    // The admin port is the new process', too.
    let admin = |path| Client::connect(serving.admin_addr()).request("GET", path, &[], b"");
    assert_eq!(admin("/readyz").status, 200);
    assert_eq!(counted(&serving), (1.0, 0.0));
    let status = &admin("/status").json()["take_over"];
    assert_eq!(status["took_over"], true, "{status}");
    assert_eq!(status["socket"], setup.path().to_str().unwrap());
}

#[test]
fn connections_of_the_old_process_are_served_and_told_to_move() {
    let emulator = Emulator::builder()
        .api_key(EMULATOR_KEY)
        .start_blocking()
        .unwrap();
    let directory = Directory::new();
    let setup = Setup {
        emulator: &emulator,
        directory: &directory,
    };
    let mut old = setup.first("1");
    let mut kept = Client::connect(old.data_addr());
    assert_eq!(ask(&mut kept).unwrap().header("connection"), None);
    let mut slow = Client::connect(old.data_addr());
    let fields = [("x-emulator-fault", "stall-before-headers;ms=3000")];
    slow.send(request("POST", CHAT, &fields, QUESTION.as_bytes()));
    eventually(|| emulator.stats().in_flight == 1);
    let new = setup.next(&old, "1");
    eventually(|| {
        old.logged("another process has taken the listening sockets over")
            .is_some()
    });
    assert!(new.logged("listening sockets were taken over").is_some());
    let reply = ask(&mut kept).unwrap();
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close"))
    );
    kept.expect_close();
    let reply = slow.reply();
    assert_eq!((reply.status, reply.complete), (200, true));
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(
        ask(&mut Client::connect(new.data_addr())).unwrap().status,
        200
    );
}

#[test]
fn a_process_that_does_not_get_ready_takes_nothing() {
    let emulator = Emulator::builder()
        .api_key(EMULATOR_KEY)
        .start_blocking()
        .unwrap();
    let directory = Directory::new();
    let setup = Setup {
        emulator: &emulator,
        directory: &directory,
    };
    let old = setup.first("2");
    // Its certificate file is missing.
    let bad = directory.write(
        "bad.yaml",
        "tls: {listen: '127.0.0.1:0', certificate: c, key: k}",
    );
    let mut command = setup.command(old.data_addr(), old.admin_addr(), "2");
    let output = command.arg("--config").arg(bad).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    // One that goes away with the sockets in its hands.
    let stream = std::os::unix::net::UnixStream::connect(setup.path()).unwrap();
    drop(stream);
    eventually(|| old.times_logged("a take-over did not come about, this process goes on") >= 1);
    eventually(|| counted(&old).1 >= 1.0);
    assert_eq!(counted(&old).0, 0.0);
    for _ in 0..20 {
        assert_eq!(
            ask(&mut Client::connect(old.data_addr())).unwrap().status,
            200
        );
    }
    let new = setup.next(&old, "2");
    assert_eq!(
        ask(&mut Client::connect(new.data_addr())).unwrap().status,
        200
    );
}

#[test]
fn a_socket_file_that_was_left_behind_is_no_process() {
    let emulator = Emulator::builder()
        .api_key(EMULATOR_KEY)
        .start_blocking()
        .unwrap();
    let directory = Directory::new();
    let setup = Setup {
        emulator: &emulator,
        directory: &directory,
    };
    drop(setup.first("1"));
    assert!(setup.path().exists(), "a killed process cannot remove it");
    let served = setup.first("1");
    assert_eq!(
        ask(&mut Client::connect(served.data_addr()))
            .unwrap()
            .status,
        200
    );
    // Without the path, the address is somebody else's.
    let mut command = command(["serve", "--ebpf", "off", "--upstream", emulator.base_url()]);
    let output = command
        .args(["--listen", &served.data_addr().to_string()])
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("--take-over"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
