//! The real program in a process of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;

use holysheep_emulator::Emulator;

use super::{Directory, EMULATOR_KEY, soon};

/// A command line; the environment has nothing but what is added.
pub(crate) fn command<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holysheep-proxy"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

/// Has a command use an emulator as its upstream.
pub(crate) fn with_upstream<'a>(
    command: &'a mut Command,
    emulator: &Emulator,
    directory: &Directory,
) -> &'a mut Command {
    let ca = directory.write("ca.pem", emulator.authority().unwrap().ca_pem());
    let key = directory.write("key", EMULATOR_KEY);
    command
        .args(["--upstream", emulator.base_url(), "--upstream-ca"])
        .arg(ca)
        .arg("--api-key-file")
        .arg(key)
}

/// Runs a command line to its end.
pub(crate) fn run<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Output {
    command(args).output().unwrap()
}

/// What a program wrote, as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `holysheep-proxy serve`, killed when dropped.
pub(crate) struct Served {
    child: Child,
    data: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Served {
    /// Starts a command that logs in JSON and waits until it serves.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in lines.map_while(Result::ok) {
                    log.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(line);
                }
            }
        });
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut served = Self {
            child,
            data: unspecified,
            admin: unspecified,
            log,
        };
        let mut serving = None;
        let found = soon(|| {
            serving = served.logged("serving");
            serving.is_some()
        });
        assert!(found, "{:?}", served.log());
        let serving = serving.unwrap_or_default();
        let address = |field: &str| serving[field].as_str().unwrap().parse().unwrap();
        served.data = address("listen");
        served.admin = address("admin");
        served
    }

    pub(crate) fn data_addr(&self) -> SocketAddr {
        self.data
    }

    pub(crate) fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The application log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The log line with a message, if there is one.
    pub(crate) fn logged(&self, message: &str) -> Option<Value> {
        self.log()
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["message"] == message)
    }

    /// How many log lines have a message.
    pub(crate) fn times_logged(&self, message: &str) -> usize {
        let log = self.log();
        let lines = log
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).count()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> u64 {
        let directory = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(directory).unwrap().count() as u64
    }

    /// Sets how many descriptors it may have open.
    pub(crate) fn limit_descriptors(&self, limit: u64) {
        let pid = Some(Pid::from_child(&self.child));
        let limit = Rlimit {
            current: Some(limit),
            // It has ours.
            ..getrlimit(Resource::Nofile)
        };
        prlimit(pid, Resource::Nofile, limit).unwrap();
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        soon(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("it does not end: {:?}", self.log()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// What a command has said has a line that begins so.
#[track_caller]
pub(crate) fn assert_line(lines: &str, expected: &str) {
    let found = lines.lines().any(|line| line.starts_with(expected));
    assert!(found, "no {expected:?} in\n{lines}");
}
