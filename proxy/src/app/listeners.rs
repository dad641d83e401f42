//! All listening sockets, and what the kernel programs are told of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result};
use ipnet::IpNet;

use crate::config::Config;
use crate::kernel::Kernel;
use crate::listener;
use crate::takeover::{Handed, Kind, Sockets};
use crate::tls::Acceptor;

/// A socket with what makes it speak TLS.
pub(super) type Speaking = (TcpListener, Option<Acceptor>);

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
    /// What another process has `handed` over is used where the addresses are the same.
    pub(super) fn open(
        config: &Config,
        sources: &[IpNet],
        mut handed: Option<&mut Handed>,
    ) -> Result<Self> {
        let mut several = |kind, address, count| {
            let taken = handed.as_mut().map(|handed| handed.take(kind, address));
            listener::extend(taken.unwrap_or_default(), address, count)
        };
        let plain = several(Kind::Data, config.listen, config.workers)?;
        let tls = match &config.tls {
            Some(tls) => several(Kind::Tls, tls.listen, config.workers)?,
            None => Vec::new(),
        };
        let mut one = |kind, address| {
            let mut listeners = several(kind, address, 1)?;
            listeners.pop().context("no listener")
        };
        let admin = one(Kind::Admin, config.admin_listen)?;
        let probe = config
            .probes
            .listen
            .map(|address| one(Kind::Probe, address));
        let probe = probe.transpose()?;
        let steered = steered(sources, |address| one(Kind::Steered, address));
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
            steered,
        })
    }

    /// Whether there is any for probes alone.
    pub(super) fn take_probes(&self) -> bool {
        self.probe.is_some() || !self.steered.is_empty()
    }

    /// The same sockets once more, to be handed to another process.
    pub(super) fn copies(&self) -> Result<Sockets> {
        let all = [
            (Kind::Data, &self.plain[..]),
            (Kind::Tls, &self.tls[..]),
            (Kind::Admin, std::slice::from_ref(&self.admin)),
            (Kind::Probe, self.probe.as_slice()),
            (Kind::Steered, &self.steered[..]),
        ];
        let sockets = all
            .into_iter()
            .flat_map(|(kind, sockets)| sockets.iter().map(move |socket| (kind, socket)));
        let copies = sockets.map(|(kind, socket)| Ok((kind, socket.try_clone()?)));
        copies.collect()
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

/// Gives each worker its sockets: one of each port, and more where another process had more workers.
pub(super) fn dealt(
    workers: usize,
    plain: impl Iterator<Item = Speaking>,
    tls: impl Iterator<Item = Speaking>,
) -> Vec<Vec<Speaking>> {
    let mut dealt: Vec<Vec<Speaking>> = (0..workers).map(|_| Vec::new()).collect();
    let dealing = plain.enumerate().chain(tls.enumerate());
    for (number, socket) in dealing {
        if let Some(own) = dealt.get_mut(number % workers.max(1)) {
            own.push(socket);
        }
    }
    dealt
}

/// A listener on loopback for each family that probes come from. Nobody has to reach it: the kernel puts connections there.
fn steered(
    sources: &[IpNet],
    mut open: impl FnMut(SocketAddr) -> Result<TcpListener>,
) -> Vec<TcpListener> {
    let families: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let wanted = families.into_iter().filter(|loopback| {
        let mut sources = sources.iter().map(IpNet::addr);
        sources.any(|source| source.is_ipv4() == loopback.is_ipv4())
    });
    let open = |loopback| {
        let listener = open(SocketAddr::new(loopback, 0));
        listener
            .inspect_err(|error| tracing::warn!("probes of this family are not steered: {error:#}"))
            .ok()
    };
    wanted.filter_map(open).collect()
}
