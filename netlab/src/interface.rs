//! What every device of a host needs, whatever made it: the host's addresses, being up, and usable at once.

use std::io;
use std::net::{Ipv6Addr, UdpSocket};
use std::thread;
use std::time::Duration;

use crate::{Error, Host, now};

/// For an address to become usable, which takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives the device the host's addresses and brings it up. All words for `ip` are such that busybox knows them, too.
pub(crate) fn bring_up(host: &Host, name: &str) -> Result<(), Error> {
    // A host may have been told to come up without IPv6.
    host.set_sysctl(&format!("net.ipv6.conf.{name}.disable_ipv6"), "0")?;
    // Whoever made both hosts knows that no address is there twice; looking for it takes a second or two.
    for scope in ["all", name] {
        host.set_sysctl(&format!("net.ipv6.conf.{scope}.accept_dad"), "0")?;
    }
    let (ipv4, ipv6) = (host.ipv4().to_string(), host.ipv6().to_string());
    host.ip(&["addr", "add", &format!("{ipv4}/24"), "dev", name])?;
    host.ip(&["link", "set", name, "up"])?;
    // Last, as a device that is taken down loses them.
    host.ip(&["-6", "addr", "add", &format!("{ipv6}/64"), "dev", name])
}

/// Waits until the host can be reached. Its IPv6 address is ready last: when the device has a carrier, and the
/// kernel has seen, a moment after the address was added, that it need not look for duplicates.
pub(crate) fn wait_until_usable(host: &Host) -> Result<(), Error> {
    host.run(|| wait_for(host.ipv6()))?
}

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
