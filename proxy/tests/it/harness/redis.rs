//! A real Redis on a free port of the loopback, in a directory of its own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{Directory, eventually};

/// Debian's package redis-tools has the server under this name; which of its programs it is, it goes by what it is called.
const PROGRAM: &str = "redis-check-rdb";

pub(crate) struct Redis {
    address: SocketAddr,
    child: Option<Child>,
    directory: Directory,
    arguments: Vec<String>,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With further arguments.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        // Whoever gets the port in between makes the test fail, not pass.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut redis = Self {
            address,
            child: None,
            directory: Directory::new(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        };
        redis.restart();
        redis
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Starts it, empty, where it was before.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let port = self.address.port().to_string();
        let directory = self.directory.path("");
        let child = Command::new(PROGRAM)
            .arg0("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port,
                "--save",
                "",
                "--dir",
            ])
            .arg(directory)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!("{PROGRAM}: {error}; `cargo xtask setup` installs it (Debian's redis-tools)")
        }));
        eventually(|| TcpStream::connect(self.address).is_ok());
    }

    /// Stops it where it is: connections stay, and get no answer. What it was asked it answers when it is thawed.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Ends it at once, with all it knows.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
