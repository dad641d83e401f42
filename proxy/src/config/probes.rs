//! `probes:`: where health probes are answered, where they come from, and what counts as ill.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Problem;
use super::file::{self, Span};
use super::shapes::Address;

/// A heartbeat, and a look at the accept queues, comes every tenth of a second; below this a busy machine would look ill.
const SHORTEST: Duration = Duration::from_millis(500);

/// Where probes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeSource {
    /// The addresses of the node this runs on.
    Node,
    /// These addresses.
    Network(IpNet),
}

impl FromStr for ProbeSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "node" {
            return Ok(Self::Node);
        }
        let address = text.parse::<IpAddr>().map(IpNet::from);
        match address.or_else(|_| text.parse::<IpNet>()) {
            Ok(network) if network.prefix_len() > 0 => Ok(Self::Network(network.trunc())),
            Ok(_) => Err(format!(
                "{text:?} is every address; expected those that probes come from, such as `node`"
            )),
            Err(_) => Err(format!(
                "{text:?} is no source of probes; expected `node`, an address, or a network such as 10.0.0.0/8"
            )),
        }
    }
}

impl fmt::Display for ProbeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for ProbeSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for ProbeSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `probes:` as it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProbesFile {
    /// A port for probes only.
    #[schemars(with = "Option<Address>", example = &"0.0.0.0:8081")]
    pub listen: Option<SocketAddr>,
    /// Probes from there are steered past the data ports' queues: `node`, addresses, networks.
    #[schemars(example = ["node", "10.0.0.0/8"])]
    pub sources: Option<Vec<ProbeSource>>,
    /// A worker that has not run for so long fails liveness; at least 500ms.
    pub worker_limit: Option<Span>,
    /// Ready for so long after the last connection to upstream succeeded.
    pub upstream_limit: Option<Span>,
    /// Connections that wait longer to be accepted fail readiness; at least 500ms.
    pub accept_limit: Option<Span>,
    /// Set from the environment only.
    #[serde(skip)]
    pub node: Vec<IpAddr>,
}

/// Health probes.
#[derive(Clone, Debug, Serialize)]
pub struct Probes {
    /// A port that serves nothing but probes.
    pub listen: Option<SocketAddr>,
    /// Where probes to the data ports come from, which the kernel then steers past their queues.
    pub sources: Vec<ProbeSource>,
    /// A worker that has not run for so long fails liveness.
    #[serde(serialize_with = "file::as_text")]
    pub worker_limit: Duration,
    /// Without a connection to upstream the proxy stays ready for so long after one could be made.
    #[serde(serialize_with = "file::as_text")]
    pub upstream_limit: Duration,
    /// A worker whose new connections wait longer than this to be accepted fails readiness.
    #[serde(serialize_with = "file::as_text")]
    pub accept_limit: Duration,
    /// The node's addresses, as Kubernetes' Downward API tells them (`HOST_IP`, `HOST_IPS`).
    pub node: Vec<IpAddr>,
}

impl ProbesFile {
    pub(super) fn checked(self, problems: &mut Vec<Problem>) -> Probes {
        let or = |given: Option<Span>, seconds| given.map_or(Duration::from_secs(seconds), |d| d.0);
        let probes = Probes {
            listen: self.listen,
            sources: self.sources.unwrap_or_default(),
            worker_limit: or(self.worker_limit, 5),
            upstream_limit: or(self.upstream_limit, 5),
            accept_limit: or(self.accept_limit, 10),
            node: self.node,
        };
        for (field, limit) in [
            ("probes.worker_limit", probes.worker_limit),
            ("probes.accept_limit", probes.accept_limit),
        ] {
            if limit < SHORTEST {
                let [limit, shortest] = [limit, SHORTEST].map(humantime::format_duration);
                let message = format!("{limit} is too short; expected at least {shortest}");
                problems.push(Problem {
                    field: field.into(),
                    message,
                });
            }
        }
        probes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_people_write_them() {
        for (given, shown) in [
            ("node", "node"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("fd00::1", "fd00::1/128"),
            ("fd00::1/64", "fd00::/64"),
        ] {
            assert_eq!(given.parse::<ProbeSource>().unwrap().to_string(), shown);
        }
        for wrong in ["", "nodes", "10.0.0.0/33", "0.0.0.0/0", "::/0", "localhost"] {
            let error = wrong.parse::<ProbeSource>().unwrap_err();
            assert!(error.starts_with(&format!("{wrong:?} is ")), "{error}");
        }
    }
}
