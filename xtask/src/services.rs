//! The emulator and the proxy as processes on this machine, for `run` and the SDK test.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::{Group, bound_to_us};

/// Far more than a start takes.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running emulator, as it announced itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Emulator {
    /// For OpenAI clients, with `/v1`.
    pub(crate) base_url: String,
    /// The key it accepts.
    pub(crate) key: String,
    /// Certificate to trust.
    pub(crate) ca: PathBuf,
}

impl Emulator {
    /// Starts the program `binary` on a free port of loopback.
    pub(crate) fn start(group: &mut Group, binary: &Path, ca: &Path) -> Result<Self> {
        Self::start_by(group, bound_to_us(binary), ca, |_| {})
    }

    /// The same by a command that becomes the emulator, such as one that gives it a network of its own. What it says before
    /// goes to `told`.
    pub(crate) fn start_by(
        group: &mut Group,
        mut command: Command,
        ca: &Path,
        mut told: impl FnMut(&str),
    ) -> Result<Self> {
        command
            .args(["--listen", "127.0.0.1:0", "--record", "256", "--ca-out"])
            .arg(ca)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        group.start("emulator", &mut command)?;
        group.wait_for("the emulator's address", START_LIMIT, |line| {
            let line = line?;
            told(line);
            Self::parse(line)
        })
    }

    fn parse(line: &str) -> Option<Self> {
        let (base_url, rest) = line.split_once("  key ")?;
        let (key, ca) = rest.split_once("  CA ")?;
        Some(Self {
            base_url: base_url.to_owned(),
            key: key.to_owned(),
            ca: ca.into(),
        })
    }

    /// The base URL without `/v1`.
    pub(crate) fn origin(&self) -> &str {
        self.base_url.trim_end_matches("/v1")
    }

    /// Makes a proxy forward to this emulator, whatever the environment says.
    pub(crate) fn as_upstream_of<'a>(&self, proxy: &'a mut Command) -> &'a mut Command {
        proxy
            .args(["--upstream", &self.base_url, "--upstream-ca"])
            .arg(&self.ca)
            .env_remove("HOLYSHEEP_API_KEY_FILE")
            .env("HOLYSHEEP_API_KEY", &self.key)
    }
}

/// `holysheep-proxy serve` with its two ports.
pub(crate) fn serve(binary: &Path, listen: SocketAddr, admin: SocketAddr) -> Command {
    let mut command = bound_to_us(binary);
    command.args(["serve", "--listen", &listen.to_string()]);
    command.args(["--admin-listen", &admin.to_string()]);
    command.stdin(Stdio::null());
    command
}

/// How long a proxy that answers may take to be ready, too, before that is worth telling.
const SETTLE: Duration = Duration::from_secs(3);

/// Waits until the proxy answers, and a little longer for it to be ready.
///
/// Gives back what it waits for itself, if anything: upstream may come later.
pub(crate) fn wait_until_up(group: &mut Group, admin: SocketAddr) -> Result<Option<String>> {
    up(group, admin, SETTLE)
}

fn up(group: &mut Group, admin: SocketAddr, settle: Duration) -> Result<Option<String>> {
    let mut answers_since = None;
    group.wait_for("the proxy to answer", START_LIMIT, |_| {
        let (status, body) = get(admin, "/readyz").ok()?;
        if status == 200 {
            return Some(None);
        }
        let since = *answers_since.get_or_insert_with(Instant::now);
        let reasons = body.trim().lines().collect::<Vec<_>>().join("; ");
        (since.elapsed() >= settle).then_some(Some(reasons))
    })
}

/// Waits until the proxy takes requests, and else says what it waits for itself.
pub(crate) fn wait_until_ready(group: &mut Group, admin: SocketAddr) -> Result<()> {
    match up(group, admin, START_LIMIT / 2)? {
        None => Ok(()),
        Some(reason) => bail!("the proxy is not ready: {reason}"),
    }
}

/// The address to write in a URL: a server that listens everywhere is reached on loopback.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    address
}

/// A port of loopback that nobody listens on now: below those that connections get, any of which could take it meanwhile.
pub(crate) fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const PORTS: std::ops::Range<u16> = 20_000..32_000;
    let count = PORTS.len() as u32;
    for _ in 0..count {
        // Runs beside each other begin at different places.
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let offset = (std::process::id().wrapping_mul(97) + step) % count;
        let port = PORTS.start + u16::try_from(offset)?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no free port from {} to {}", PORTS.start, PORTS.end)
}

/// Status and body of a small answer.
fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    talk(reachable(address), Duration::from_secs(1), &request)
}

/// Sends a request that asks for the connection to be closed, and gives back status and body of the answer.
pub(crate) fn talk(
    address: SocketAddr,
    patience: Duration,
    request: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse_answer(&answer).ok_or_else(|| std::io::Error::other("no HTTP answer"))
}

fn parse_answer(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests;
