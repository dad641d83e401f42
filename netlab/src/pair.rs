//! Two hosts joined by a cable: a veth pair, whose ends are as those of a pod and its node.

use std::net::{Ipv4Addr, Ipv6Addr};

use rustix::thread::gettid;

use crate::{Error, Host, interface};

/// Private addresses, RFC 1918 and RFC 4193, that no network of a cluster or of a container engine is likely to have.
const NODE: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(10, 78, 0, 1),
    Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 1),
);
const POD: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(10, 78, 0, 2),
    Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 2),
);

/// The pod's end, named as in a pod.
const POD_DEVICE: &str = "eth0";

/// The node's end: the kernel's own name for the first device of its kind, since busybox' `ip` can name one end only.
const NODE_DEVICE: &str = "veth0";

/// Two hosts that are joined by a veth pair, as a pod and its node are.
///
/// Nothing is between them but the kernel: no delay, no loss, no journal. For those, take a [`Path`](crate::Path).
///
/// Dropping it takes the devices and namespaces away, unless a socket, thread or child of yours still holds one. With
/// either namespace both ends of the pair go.
#[derive(Debug)]
pub struct Pair {
    pod: Host,
    node: Host,
}

impl Pair {
    /// Sets everything up.
    ///
    /// # Errors
    /// When this machine lacks something ([`Error::is_lack`]), or the kernel refuses.
    pub fn new() -> Result<Self, Error> {
        let pod = Host::new(POD.0, POD.1)?;
        let node = Host::new(NODE.0, NODE.1)?;
        connect(&pod, &node)?;
        interface::bring_up(&node, NODE_DEVICE)?;
        interface::bring_up(&pod, POD_DEVICE)?;
        // An end has a carrier only when both are up.
        interface::wait_until_usable(&node)?;
        interface::wait_until_usable(&pod)?;
        let (ipv4, ipv6) = (node.ipv4().to_string(), node.ipv6().to_string());
        for (family, via) in [("-4", ipv4), ("-6", ipv6)] {
            pod.ip(&[
                family, "route", "add", "default", "via", &via, "dev", POD_DEVICE,
            ])?;
        }
        Ok(Self { pod, node })
    }

    /// The pod: 10.78.0.2 and `fd78::2` on `eth0`, and default routes to the node.
    #[must_use]
    pub fn pod(&self) -> &Host {
        &self.pod
    }

    /// The node: 10.78.0.1 and `fd78::1` on `veth0`. It forwards nothing unless told to.
    #[must_use]
    pub fn node(&self) -> &Host {
        &self.node
    }
}

/// Makes the devices in the node's namespace, which so far has none, and passes one on to the pod's.
fn connect(pod: &Host, node: &Host) -> Result<(), Error> {
    node.ip(&["link", "add", POD_DEVICE, "type", "veth"])
        .map_err(|error| match error {
            // There the names are free, and loopback was brought up: what is missing is the kind of device.
            Error::Ip { message, .. } => Error::Veth { message },
            other => other,
        })?;
    // `ip` wants a process for its namespace; a thread will do, as this one, which is in the pod's while it waits.
    pod.run(|| {
        let thread = gettid().to_string();
        node.ip(&["link", "set", POD_DEVICE, "netns", &thread])
    })?
}
