//! The network a container runs in: a namespace with loopback and nothing else, held by the emulator, which is the
//! upstream there.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::{Group, bound_to_us};
use crate::services::{self, Emulator};

const PATIENCE: Duration = Duration::from_secs(5);

/// A network with an emulator in it. It ends with the emulator.
pub(super) struct Network {
    pub(super) emulator: Emulator,
    /// What podman joins.
    pub(super) namespace: PathBuf,
}

impl Network {
    /// Starts the emulator in a namespace of its own; `unshare` and `ip` make that, and become it.
    pub(super) fn start(group: &mut Group, binary: &Path, directory: &Path) -> Result<Self> {
        let script = r#"ip link set lo up && echo "namespace $$" && exec "$0" "$@""#;
        let mut command = bound_to_us("unshare");
        command.args(["--net", "sh", "-c", script]).arg(binary);
        let mut namespace = None;
        let emulator = Emulator::start_by(group, command, &directory.join("ca.pem"), |line| {
            if let Some(pid) = line.strip_prefix("namespace ") {
                namespace = Some(PathBuf::from(format!("/proc/{pid}/ns/net")));
            }
        })?;
        let namespace = namespace.context("the emulator's namespace is not known")?;
        Ok(Self {
            emulator,
            namespace,
        })
    }

    /// Sends a request from inside and gives back status and body.
    pub(super) fn request(&self, port: u16, head: &str, body: &str) -> Result<(u16, String)> {
        let namespace = File::open(&self.namespace).context("the network is gone")?;
        // A thread of its own, which ends with the request: it cannot be trusted to come back from a namespace.
        let talk = move || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network)?;
            exchange(port, head, body)
        };
        thread::scope(|scope| scope.spawn(talk).join())
            .map_err(|_| anyhow!("the thread that sends requests has panicked"))?
    }

    /// A `GET`.
    pub(super) fn get(&self, port: u16, path: &str) -> Result<(u16, String)> {
        self.request(port, &format!("GET {path} HTTP/1.1\r\n"), "")
    }
}

fn exchange(port: u16, head: &str, body: &str) -> Result<(u16, String)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let length = body.len();
    let request =
        format!("{head}host: proxy\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    Ok(services::talk(address, PATIENCE, &request)?)
}
