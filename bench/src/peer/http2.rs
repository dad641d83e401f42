//! h2 on one side of a peer, so that its cost can be measured against the same peer without.

use anyhow::Result;

use super::haproxy::Sides;
use super::holysheep::Variant;
use super::{Launch, Site, haproxy, holysheep, nginx};
use crate::load::Target;

/// A peer with h2 on one side and HTTP/1.1 on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http2 {
    /// Clients speak it to nginx.
    NginxClients,
    /// Clients speak it to HAProxy.
    HaProxyClients,
    /// Clients speak it to the product.
    Clients,
    /// HAProxy speaks it to upstream.
    HaProxyUpstream,
    /// The product speaks it to upstream.
    Upstream,
}

impl Http2 {
    /// All of them, in the order of the table. nginx cannot speak it to upstream.
    pub(crate) const ALL: [Self; 5] = [
        Self::NginxClients,
        Self::HaProxyClients,
        Self::Clients,
        Self::HaProxyUpstream,
        Self::Upstream,
    ];

    /// The name of the peer.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NginxClients => "nginx-h2",
            Self::HaProxyClients => "haproxy-h2",
            Self::Clients => "holysheep-h2",
            Self::HaProxyUpstream => "haproxy-h2-up",
            Self::Upstream => "holysheep-h2-up",
        }
    }

    /// The one with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Whether it is the product.
    pub(crate) fn is_product(self) -> bool {
        matches!(self, Self::Clients | Self::Upstream)
    }

    /// Whether it is clients that speak it.
    pub(crate) const fn is_for_clients(self) -> bool {
        match self {
            Self::NginxClients | Self::HaProxyClients | Self::Clients => true,
            Self::HaProxyUpstream | Self::Upstream => false,
        }
    }

    /// How it is started, in `directory`; `place` is that one's name.
    pub(super) fn launch(
        self,
        site: &Site<'_>,
        directory: &std::path::Path,
        port: u16,
        place: &str,
    ) -> Result<Launch> {
        let launch = match self {
            Self::NginxClients => nginx::http2(site, directory, port),
            Self::HaProxyClients => haproxy::launch(site, directory, port, Sides::Http2Clients),
            Self::Clients => holysheep::launch(site, port, place, Variant::Usual),
            Self::HaProxyUpstream => haproxy::launch(site, directory, port, Sides::Http2Upstream),
            Self::Upstream => holysheep::launch(site, port, place, Variant::Http2),
        }?;
        let target = self
            .is_for_clients()
            .then(|| Target::plain(port).over_http2());
        Ok(Launch { target, ..launch })
    }
}
