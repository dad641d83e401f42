//! One question to the name servers: the addresses of one family.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::RecordType;

use crate::config::Dns;

/// A family of addresses. Each is asked for by itself, so that one that fails costs the other nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// The records that hold its addresses.
    pub(super) const fn record(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
        }
    }
}

/// What a question came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// At least one address, in the order of the answer.
    Found { ips: Vec<IpAddr>, ttl: Duration },
    /// The name exists and has no address of the family; known for so long, if it was said.
    Empty { ttl: Option<Duration> },
    /// There is no such name, or nobody could say.
    Failed(String),
}

/// The resolver for a configuration.
///
/// # Errors
/// If the system's `resolv.conf` is wanted and cannot be used.
pub(super) fn resolver(dns: &Dns) -> Result<TokioResolver, String> {
    let mut builder = if dns.servers.is_empty() {
        TokioResolver::builder_tokio().map_err(unusable)?
    } else {
        let servers = dns.servers.iter().map(|server| {
            let at_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            NameServerConfig::new(server.ip(), true, connections.map(at_port).into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = dns.timeout;
    // Hickory counts those after the first.
    options.attempts = dns.attempts - 1;
    // Its cache would answer a refresh ahead of expiry with what is about to expire.
    options.cache_size = 0;
    builder.build().map_err(unusable)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function of errors"
)]
fn unusable(error: NetError) -> String {
    format!("the system's resolver configuration cannot be used: {error}")
}

/// Asks for the addresses of one family.
pub(super) async fn lookup(resolver: &TokioResolver, host: &str, family: Family) -> Answer {
    // An absolute name: no search list, whose `ndots:5` costs five lookups in a pod.
    let name = format!("{}.", host.trim_end_matches('.'));
    let found = match resolver.lookup(name, family.record()).await {
        Ok(found) => found,
        Err(error) => return unsuccessful(&error),
    };
    let records = found.answers();
    let ips: Vec<_> = records
        .iter()
        .filter(|record| record.record_type() == family.record())
        .filter_map(|record| record.data.ip_addr())
        .collect();
    // Of the aliases on the way, too.
    let ttl = records.iter().map(|record| record.ttl).min();
    match ttl.filter(|_| !ips.is_empty()) {
        Some(seconds) => Answer::Found {
            ips,
            ttl: Duration::from_secs(seconds.into()),
        },
        None => Answer::Empty { ttl: None },
    }
}

/// In words that are the same each time, so that they are logged once.
fn unsuccessful(error: &NetError) -> Answer {
    Answer::Failed(match error {
        _ if error.is_nx_domain() => "the name does not exist".to_owned(),
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            let ttl = none.negative_ttl;
            return Answer::Empty {
                ttl: ttl.map(|seconds| Duration::from_secs(seconds.into())),
            };
        }
        NetError::Dns(DnsError::ResponseCode(code)) => format!("the name server said: {code}"),
        NetError::Timeout => "the name servers did not answer in time".to_owned(),
        other => other.to_string(),
    })
}
