//! The TUN device of a host, and what it dropped.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio_tun::Tun;

use crate::{Error, Host, interface};

/// The same on both hosts of a path; a host with several paths has a device for each.
pub(crate) fn name(path: usize) -> String {
    format!("path{path}")
}

/// Packets the kernel keeps for us: more than the largest window, so that it drops none by itself.
const QUEUE: &str = "20000";

/// Makes the host's device; packets are read from and written to the descriptor, one a call.
pub(crate) fn create(host: &Host, name: &str, mtu: u16) -> Result<OwnedFd, Error> {
    let device = host.run(|| open(name))?;
    let device = device.map_err(|source| Error::Tun { source })?;
    let mtu = mtu.to_string();
    host.ip(&["link", "set", name, "mtu", &mtu, "qlen", QUEUE])?;
    interface::bring_up(host, name)?;
    interface::wait_until_usable(host)?;
    Ok(device)
}

fn open(name: &str) -> io::Result<OwnedFd> {
    // The crate registers what it opens with tokio; the relay needs neither.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _entered = runtime.enter();
    let devices = Tun::builder().name(name).build().map_err(as_io)?;
    let device = devices
        .first()
        .ok_or_else(|| io::Error::other("no device"))?;
    // A descriptor of our own for the same device, without `unsafe`: fetched from this very process.
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let descriptor = pidfd_getfd(own, device.as_raw_fd(), PidfdGetfdFlags::empty())?;
    Ok(descriptor)
}

fn as_io(error: tokio_tun::Error) -> io::Error {
    match error {
        tokio_tun::Error::IoError(source) => source,
        tokio_tun::Error::NixError(errno) => errno.into(),
    }
}

/// Packets that the host's device dropped since we did not read them in time.
pub(crate) fn overruns(host: &Host, name: &str) -> Result<u64, Error> {
    let read = || std::fs::read_to_string("/proc/thread-self/net/dev");
    let text = host.run(read)?.map_err(|source| Error::System {
        what: "reading the devices' statistics",
        source,
    })?;
    dropped(&text, name).ok_or(Error::Setting("somebody has removed the path's device"))
}

/// The column of dropped outgoing packets in our device's line.
fn dropped(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::trim_start);
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    // Eight columns of what came in, then bytes, packets and errors of what went out.
    line.split_whitespace().nth(11)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_column_is_read() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes\n    lo: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n \
                    path0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
        assert_eq!(dropped(text, "path0"), Some(12));
        assert_eq!(dropped(text, "path1"), None);
    }
}
