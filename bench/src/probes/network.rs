//! A network of the bench's own, so that its queues and counters are nobody else's.
//!
//! The namespace is that of the main thread; what is started from it afterwards,
//! processes and threads, is inside, too. It goes with the last of them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::thread::UnshareFlags;

/// Where the kernel caps the length of accept queues.
const SOMAXCONN: &str = "/proc/sys/net/core/somaxconn";
/// Clients leave from any port, so that they do not run out of them.
const PORTS: (&str, &str) = ("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535");

/// Moves this thread to a new network namespace that has loopback only; `somaxconn` if given, the kernel's otherwise.
///
/// # Errors
/// Without root, or without a program `ip`.
#[expect(
    deprecated,
    reason = "only CLONE_FILES makes unshare unsafe; with CLONE_NEWNET the safe function is right"
)]
pub(super) fn enter(somaxconn: Option<u32>) -> Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWNET).context(
        "cannot make a network namespace: this bench needs root, for that and for the kernel program it measures",
    )?;
    let output = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .output()
        .context("no program ip (Debian: iproute2)")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip link set lo up: {message}");
    let (file, range) = PORTS;
    fs::write(file, range).context(file)?;
    if let Some(limit) = somaxconn {
        fs::write(SOMAXCONN, limit.to_string()).context(SOMAXCONN)?;
    }
    Ok(())
}

/// The longest accept queue there can be here.
///
/// # Errors
/// When the kernel does not say.
pub(super) fn somaxconn() -> Result<u32> {
    let text = fs::read_to_string(SOMAXCONN).context(SOMAXCONN)?;
    text.trim().parse().context(SOMAXCONN)
}
