//! What can keep a network from being set up, each with its remedy.

use std::io;

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// We may not do what a network needs.
    #[error(
        "{what} is not permitted: run as root, in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN"
    )]
    Privilege {
        /// What was tried.
        what: &'static str,
    },
    /// There is no TUN device to be had.
    #[error("no TUN device ({source}): run `modprobe tun`; in a container, pass /dev/net/tun in")]
    Tun {
        /// What opening or configuring it gave.
        source: io::Error,
    },
    /// There are no veth devices to be had.
    #[error("no veth devices ({message}): run `modprobe veth`, in a container on its host")]
    Veth {
        /// What `ip` said.
        message: String,
    },
    /// There is no `ip` program.
    #[error(
        "there is no `ip` program ({source}): install iproute2, or busybox with `ip` on the PATH"
    )]
    NoIp {
        /// What starting it gave.
        source: io::Error,
    },
    /// `ip` did not do as told.
    #[error("`{command}` failed: {message}")]
    Ip {
        /// The command line.
        command: String,
        /// What it wrote to standard error.
        message: String,
    },
    /// The kernel does not offer the congestion control, or not here.
    #[error(
        "congestion control `{name}` cannot be had ({source}): run `modprobe tcp_{name}`; in a container that may not \
         write /proc/sys, allow it on the host: `sysctl -w net.ipv4.tcp_allowed_congestion_control='… {name}'`"
    )]
    CongestionControl {
        /// As the kernel calls it.
        name: String,
        /// What setting it gave.
        source: io::Error,
    },
    /// A setting of the path makes no sense.
    #[error("{0}")]
    Setting(&'static str),
    /// Anything else the kernel refused.
    #[error("{what} failed: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// Whether this machine lacks something, so that a test cannot run rather than fails.
    #[must_use]
    pub fn is_lack(&self) -> bool {
        match self {
            Self::Privilege { .. }
            | Self::Tun { .. }
            | Self::Veth { .. }
            | Self::NoIp { .. }
            | Self::CongestionControl { .. } => true,
            Self::Ip { .. } | Self::Setting(_) | Self::System { .. } => false,
        }
    }

    /// For the error of a system call; says what it was for.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| match errno {
            rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => Self::Privilege { what },
            errno => Self::System {
                what,
                source: errno.into(),
            },
        }
    }
}
