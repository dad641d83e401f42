//! The names of what can be measured.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::feature::{Feature, Grown};
use super::http2::Http2;

/// The name of the least that a proxy can be made of hyper.
pub(crate) const BARE: &str = "hyper-bare";

/// The name of the product without kernel programs.
pub(crate) const NO_EBPF: &str = "holysheep-no-ebpf";

/// The name of the product with limits for its clients.
pub(crate) const LIMITS: &str = "holysheep-limits";

/// The name of HAProxy that sends what it has at once.
pub(crate) const NO_DELAY: &str = "haproxy-no-delay";

/// The name of the product that leaves the windows of its connections to upstream as the system has them.
pub(crate) const SYSTEM_WINDOW: &str = "holysheep-off";

/// The name of the product with an ingress before it.
pub(crate) const INGRESS: &str = "holysheep-ingress";

/// How long a peer may take from its start to its first correct answer.
const START: Duration = Duration::from_secs(10);

/// The same of an AI gateway, which on a busy CPU reads its program for half a minute.
const GATEWAY_START: Duration = Duration::from_secs(120);

/// For how long an AI gateway is loaded before it is measured: Node compiles code anew that has run often, and Portkey's
/// takes less than half of its first CPU time for a request after some thousand of them.
pub(crate) const GATEWAY_WARM_UP: Duration = Duration::from_secs(8);

/// What can be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No proxy: the load generator speaks TLS to the upstream itself.
    Direct,
    /// The least that a proxy can be made of hyper: the floor.
    Bare,
    /// nginx with the article's configuration.
    NginxArticle,
    /// nginx with working keep-alive.
    Nginx,
    /// HAProxy.
    HaProxy,
    /// HAProxy that does not wait until a packet is full, for streams.
    HaProxyNoDelay,
    /// The product, as it is run in production.
    HolySheep,
    /// The product without kernel programs.
    HolySheepNoEbpf,
    /// The product without its own care for windows towards upstream.
    HolySheepOff,
    /// The product with limits for its clients.
    HolySheepLimits,
    /// The product behind nginx as an ingress controller sets it up.
    HolySheepIngress,
    /// LiteLLM's proxy.
    LiteLlm,
    /// Portkey's gateway.
    Portkey,
    /// The product with one thing more.
    With(Feature),
    /// The product with so many of something.
    Grown(Grown),
    /// A peer with h2 on one side.
    Http2(Http2),
    /// Any other program, given as a name and a command line with placeholders.
    Extra { name: String, command: String },
}

impl Kind {
    /// Everything that has a name of its own, in the order of the table.
    pub(crate) const KNOWN: [Self; 13] = [
        Self::Direct,
        Self::Bare,
        Self::NginxArticle,
        Self::Nginx,
        Self::HaProxy,
        Self::HaProxyNoDelay,
        Self::HolySheep,
        Self::HolySheepNoEbpf,
        Self::HolySheepOff,
        Self::HolySheepLimits,
        Self::HolySheepIngress,
        Self::LiteLlm,
        Self::Portkey,
    ];

    /// AI gateways: they read requests and answers and write them anew, and do more with them than a proxy.
    pub(crate) const GATEWAYS: [Self; 2] = [Self::LiteLlm, Self::Portkey];

    /// Whether it is one of these, which carry some hundred requests a second and not tens of thousands.
    pub(crate) fn is_gateway(&self) -> bool {
        Self::GATEWAYS.contains(self)
    }

    /// How long it may take from its start to its first correct answer.
    pub(super) fn patience(&self) -> Duration {
        match self.is_gateway() {
            true => GATEWAY_START,
            false => START,
        }
    }

    /// What `cpu` measures unless told otherwise: everything that differs from the product by more than a flag.
    pub(crate) const USUAL: [Self; 6] = [
        Self::Direct,
        Self::Bare,
        Self::NginxArticle,
        Self::Nginx,
        Self::HaProxy,
        Self::HolySheep,
    ];

    /// What is measured of h2: each peer with it beside itself without.
    pub(crate) const HTTP2: [Self; 8] = [
        Self::Nginx,
        Self::Http2(Http2::NginxClients),
        Self::HaProxy,
        Self::Http2(Http2::HaProxyClients),
        Self::Http2(Http2::HaProxyUpstream),
        Self::HolySheep,
        Self::Http2(Http2::Clients),
        Self::Http2(Http2::Upstream),
    ];

    /// The name in options and tables.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Direct => "direct",
            Self::Bare => BARE,
            Self::NginxArticle => "nginx-article",
            Self::Nginx => "nginx",
            Self::HaProxy => "haproxy",
            Self::HaProxyNoDelay => NO_DELAY,
            Self::HolySheep => "holysheep",
            Self::HolySheepNoEbpf => NO_EBPF,
            Self::HolySheepOff => SYSTEM_WINDOW,
            Self::HolySheepLimits => LIMITS,
            Self::HolySheepIngress => INGRESS,
            Self::LiteLlm => "litellm",
            Self::Portkey => "portkey",
            Self::With(feature) => feature.name(),
            Self::Grown(grown) => grown.name,
            Self::Http2(http2) => http2.name(),
            Self::Extra { name, .. } => name,
        }
    }

    /// Reads `NAME=COMMANDLINE`.
    ///
    /// # Errors
    /// When the command is empty or the name is not fit for a directory.
    pub(crate) fn parse_extra(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((name, command)) if is_plain(name) && !command.trim().is_empty() => {
                Ok(Self::Extra {
                    name: name.to_owned(),
                    command: command.to_owned(),
                })
            }
            _ => bail!(
                "expected NAME=COMMANDLINE with a name of letters, digits, - and _, got {text:?}"
            ),
        }
    }
}

impl Kind {
    /// Everything that can be asked for by its name.
    fn named() -> impl Iterator<Item = Self> {
        let features = Feature::ALL.map(Self::With);
        let http2 = Http2::ALL.map(Self::Http2);
        let grown = Grown::ALL.map(Self::Grown);
        let known = Self::KNOWN.into_iter();
        known.chain(features).chain(http2).chain(grown)
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = Self::named;
        let known = || {
            let names: Vec<_> = all().map(|kind| kind.name().to_owned()).collect();
            names.join(", ")
        };
        all()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| anyhow!("no peer {text:?}; there are {}", known()))
    }
}

/// Whether a name can be that of a directory.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in Kind::named() {
            assert_eq!(kind.name().parse::<Kind>().unwrap(), kind);
        }
        assert!("apache".parse::<Kind>().is_err());
    }

    #[test]
    fn extra_needs_name_and_command() {
        let kind = Kind::parse_extra("mine=./mine --port {port} --x=y").unwrap();
        assert_eq!(kind.name(), "mine");
        assert!(Kind::parse_extra("mine").is_err());
        assert!(Kind::parse_extra("=x").is_err());
        assert!(Kind::parse_extra("../up=x").is_err());
        assert!(Kind::parse_extra("mine= ").is_err());
    }
}
