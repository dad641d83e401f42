//! A host: a network namespace without a name, held by a descriptor.
//!
//! Named namespaces (`ip netns`) outlive the process that made them; these end with their last descriptor,
//! thread and socket, whatever becomes of us.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{fs, panic, thread};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::Error;

/// One end of a path or a pair. Clones mean the same host.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: Arc<OwnedFd>,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
}

impl Host {
    /// A new, empty namespace with loopback up.
    pub(crate) fn new(ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> Result<Self, Error> {
        let namespace = on_thread(new_namespace)?;
        let host = Self {
            namespace: Arc::new(namespace),
            ipv4,
            ipv6,
        };
        // The first thing for which CAP_NET_ADMIN is needed.
        host.ip(&["link", "set", "lo", "up"])
            .map_err(|error| match error {
                Error::Ip { message, .. } if message.contains("not permitted") => {
                    let what = "bringing loopback up";
                    Error::Privilege { what }
                }
                other => other,
            })?;
        Ok(host)
    }

    /// The same host, by the addresses it has on another path.
    pub(crate) fn at(&self, ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> Self {
        Self {
            namespace: Arc::clone(&self.namespace),
            ipv4,
            ipv6,
        }
    }

    /// Its address on the path or pair.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        self.ipv4
    }

    /// Its address on the path or pair.
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        self.ipv6
    }

    /// Both addresses, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.ipv4.into(), self.ipv6.into()]
    }

    /// A file that stands for the namespace while this process lives, e.g. for `nsenter --net=FILE`.
    #[must_use]
    pub fn namespace(&self) -> PathBuf {
        let (pid, descriptor) = (std::process::id(), self.namespace.as_raw_fd());
        format!("/proc/{pid}/fd/{descriptor}").into()
    }

    /// Runs `work` on a fresh thread inside the namespace and waits for its result.
    ///
    /// Sockets it makes, threads and children it starts belong to this host, and stay so when they leave the closure.
    /// A panic in `work` goes on in the caller.
    ///
    /// # Errors
    /// When the thread cannot enter the namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        on_thread(|| {
            self.enter()?;
            Ok(work())
        })
    }

    /// Starts `work` on a thread of its own inside the namespace, e.g. a server.
    ///
    /// # Errors
    /// When the thread cannot enter the namespace.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<thread::JoinHandle<T>, Error> {
        // Started from inside: a new thread is in the namespace of the one that starts it.
        self.run(|| thread::spawn(work))
    }

    /// Runs `ip` with these arguments in the namespace, e.g. to add an address.
    ///
    /// # Errors
    /// When there is no `ip`, or it fails; its own message is in the error.
    pub fn ip(&self, arguments: &[&str]) -> Result<(), Error> {
        let output = self.run(|| {
            let mut command = Command::new("ip");
            command.args(arguments).stdin(Stdio::null()).output()
        })?;
        let output = output.map_err(|source| Error::NoIp { source })?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Ip {
            command: format!("ip {}", arguments.join(" ")),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Sets a kernel parameter of this host, e.g. `net.ipv4.tcp_slow_start_after_idle`.
    ///
    /// # Errors
    /// When there is no such parameter in a namespace, or the kernel refuses the value.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<(), Error> {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        self.run(|| fs::write(file, value))?
            .map_err(|source| Error::System {
                what: "setting a kernel parameter",
                source,
            })
    }

    fn enter(&self) -> Result<(), Error> {
        let namespace = self.namespace.as_fd();
        move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
            .map_err(Error::system("entering a network namespace"))
    }
}

#[expect(
    deprecated,
    reason = "only CLONE_FILES makes unshare unsafe; with CLONE_NEWNET the safe function is right"
)]
fn new_namespace() -> Result<OwnedFd, Error> {
    rustix::thread::unshare(UnshareFlags::NEWNET)
        .map_err(Error::system("making a network namespace"))?;
    let file = File::open("/proc/thread-self/ns/net").map_err(|source| Error::System {
        what: "opening the new network namespace (is /proc mounted?)",
        source,
    })?;
    Ok(file.into())
}

/// Runs `work` on a thread that ends with it, since a thread cannot be trusted to come back from a namespace.
fn on_thread<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let name = thread::current().name().unwrap_or("netlab").to_owned();
        let thread = thread::Builder::new().name(name);
        let started = thread.spawn_scoped(scope, work);
        let started = started.map_err(|source| Error::System {
            what: "starting a thread",
            source,
        })?;
        // A panic of a test's closure is the test's.
        started
            .join()
            .unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    })
}
