//! The TUN device of a host: made, given addresses, brought up.

use std::io;
use std::net::{Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio_tun::Tun;

use crate::{Error, Host, now};

/// The same on both hosts: a namespace each has its own names.
pub(crate) const NAME: &str = "path0";

/// Packets the kernel keeps for us: more than the largest window, so that it drops none by itself.
const QUEUE: &str = "20000";

/// For an address to become usable, which takes less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes the host's device; packets are read from and written to the descriptor, one a call.
pub(crate) fn create(host: &Host, mtu: u16) -> Result<OwnedFd, Error> {
    let device = host.run(open)?.map_err(|source| Error::Tun { source })?;
    // A host may have been told to come up without IPv6.
    host.set_sysctl(&format!("net.ipv6.conf.{NAME}.disable_ipv6"), "0")?;
    let (ipv4, ipv6) = (host.ipv4().to_string(), host.ipv6().to_string());
    host.ip(&["addr", "add", &format!("{ipv4}/24"), "dev", NAME])?;
    let mtu = mtu.to_string();
    // Only words that busybox knows, too.
    host.ip(&["link", "set", NAME, "mtu", &mtu, "qlen", QUEUE])?;
    host.ip(&["link", "set", NAME, "up"])?;
    // Last, as a device that is taken down loses them.
    host.ip(&["-6", "addr", "add", &format!("{ipv6}/64"), "dev", NAME])?;
    host.run(|| wait_for(host.ipv6()))??;
    Ok(device)
}

/// Waits until an IPv6 address can be used. On a device without ARP duplicates are not looked for, but that this
/// is so the kernel decides a moment after it has added the address.
fn wait_for(address: Ipv6Addr) -> Result<(), Error> {
    let deadline = now() + PATIENCE;
    loop {
        match UdpSocket::bind((address, 0)) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && now() < deadline => {
                thread::park_timeout(Duration::from_micros(200));
            }
            Err(source) => {
                let what = "using the new IPv6 address";
                return Err(Error::System { what, source });
            }
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    // The crate registers what it opens with tokio; the relay needs neither.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _entered = runtime.enter();
    let devices = Tun::builder().name(NAME).build().map_err(as_io)?;
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
pub(crate) fn overruns(host: &Host) -> Result<u64, Error> {
    let read = || std::fs::read_to_string("/proc/thread-self/net/dev");
    let text = host.run(read)?.map_err(|source| Error::System {
        what: "reading the devices' statistics",
        source,
    })?;
    dropped(&text).ok_or(Error::Setting("somebody has removed the path's device"))
}

/// The column of dropped outgoing packets in our device's line.
fn dropped(text: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::trim_start);
    let line = lines.find_map(|line| line.strip_prefix(NAME)?.strip_prefix(':'))?;
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
        assert_eq!(dropped(text), Some(12));
        assert_eq!(dropped("lo: 1"), None);
    }
}
