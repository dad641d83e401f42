//! All listening sockets, and what the kernel programs are told of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result};
use ipnet::IpNet;

use crate::config::Config;
use crate::kernel::Kernel;
use crate::listener;

/// The data ports with a socket for each worker, and the others.
pub(super) struct Listeners {
    pub(super) plain: Vec<TcpListener>,
    pub(super) tls: Vec<TcpListener>,
    pub(super) admin: TcpListener,
    pub(super) probe: Option<TcpListener>,
    /// Where steered connections come: one for each family.
    pub(super) steered: Vec<TcpListener>,
    pub(super) addresses: Addresses,
}

/// Where they listen.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The data port.
    pub data: SocketAddr,
    /// The TLS data port.
    pub tls: Option<SocketAddr>,
    /// The admin port.
    pub admin: SocketAddr,
    /// The port for probes.
    pub probe: Option<SocketAddr>,
}

impl Listeners {
    /// Opens them; `sources` of probes only if they are steered.
    pub(super) fn open(config: &Config, sources: &[IpNet]) -> Result<Self> {
        let plain = listener::bind(config.listen, config.workers)?;
        let tls = match &config.tls {
            Some(tls) => listener::bind(tls.listen, config.workers)?,
            None => Vec::new(),
        };
        let admin = one(config.admin_listen)?;
        let probe = config.probes.listen.map(one).transpose()?;
        let address = |listener: &TcpListener| listener.local_addr();
        Ok(Self {
            addresses: Addresses {
                data: plain.first().context("no data listener")?.local_addr()?,
                tls: tls.first().map(address).transpose()?,
                admin: admin.local_addr()?,
                probe: probe.as_ref().map(address).transpose()?,
            },
            plain,
            tls,
            admin,
            probe,
            steered: steered(sources),
        })
    }

    /// Tells the kernel programs which connections are the proxy's, and which are probes. Listening came first: what was
    /// accepted before is not timed.
    pub(super) fn announce(&self, kernel: &mut Kernel) -> Result<()> {
        let data = || self.plain.first().into_iter().chain(self.tls.first());
        // Not the ports that are steered to: connections keep the port they were meant for, and one of upstream's
        // might come from a port of that number.
        for listener in data().chain(&self.probe) {
            kernel.listens_on(listener.local_addr()?.port())?;
        }
        for listener in &self.steered {
            kernel.steers_to(listener)?;
        }
        // Last, as it begins the steering.
        for listener in data() {
            kernel.steers(listener.local_addr()?.port())?;
        }
        Ok(())
    }
}

/// A listener on loopback for each family that probes come from. Nobody has to reach it: the kernel puts connections there.
fn steered(sources: &[IpNet]) -> Vec<TcpListener> {
    let families: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let wanted = families.into_iter().filter(|loopback| {
        let mut sources = sources.iter().map(IpNet::addr);
        sources.any(|source| source.is_ipv4() == loopback.is_ipv4())
    });
    let open = |loopback| {
        let listener = one(SocketAddr::new(loopback, 0));
        listener
            .inspect_err(|error| tracing::warn!("probes of this family are not steered: {error:#}"))
            .ok()
    };
    wanted.filter_map(open).collect()
}

fn one(address: SocketAddr) -> Result<TcpListener> {
    let mut listeners = listener::bind(address, 1)?;
    listeners.pop().context("no listener")
}
