//! `dns:`: who is asked for upstream's addresses, and how often.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::Problem;
use super::file::{self, Span};
use super::shapes::Positive;

/// The port of name servers.
const PORT: u16 = 53;
/// More often than that nobody needs to know.
const SHORTEST: Duration = Duration::from_millis(100);
/// A resolver gives up at last, so that what it has to say is heard.
const MOST_ATTEMPTS: usize = 10;

/// A name server as it is written: an address, with a port if it is not 53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server(pub SocketAddr);

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = text.parse::<SocketAddr>();
        let address = address.or_else(|_| text.parse().map(|ip: IpAddr| (ip, PORT).into()));
        match address {
            Ok(address) if address.port() != 0 => Ok(Self(address)),
            _ => Err(serde::de::Error::custom(format!(
                "{text:?} is no address; expected such as 10.96.0.10, 10.96.0.10:5353, fd00::a or [fd00::a]:5353"
            ))),
        }
    }
}

/// `dns:` as it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsFile {
    /// Name servers, port 53 unless they say; those of the system's `resolv.conf` unless set.
    #[schemars(example = ["10.96.0.10", "[fd00::a]:5353"])]
    pub servers: Vec<Server>,
    /// Addresses are asked for again after so long at the earliest, however short their TTL; at least 100ms.
    pub min_ttl: Option<Span>,
    /// Addresses are asked for again after so long at the latest; no less than `min_ttl`.
    pub max_ttl: Option<Span>,
    /// How long one query may take.
    #[schemars(with = "Option<Positive>")]
    pub timeout: Option<Span>,
    /// How often a query is sent before it has failed.
    #[schemars(range(min = 1, max = MOST_ATTEMPTS))]
    pub attempts: Option<usize>,
}

/// How upstream's name is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// Name servers; those of the system's `resolv.conf` if there are none.
    pub servers: Vec<SocketAddr>,
    /// Addresses are asked for again after so long at the earliest.
    #[serde(serialize_with = "file::as_text")]
    pub min_ttl: Duration,
    /// And after so long at the latest.
    #[serde(serialize_with = "file::as_text")]
    pub max_ttl: Duration,
    /// How long one query may take.
    #[serde(serialize_with = "file::as_text")]
    pub timeout: Duration,
    /// How often a query is sent before it has failed.
    pub attempts: usize,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
            timeout: Duration::from_secs(2),
            attempts: 2,
        }
    }
}

impl DnsFile {
    pub(super) fn checked(&self, problems: &mut Vec<Problem>) -> Dns {
        let or = |given: Option<Span>, default| given.map_or(default, |span| span.0);
        let default = Dns::default();
        let dns = Dns {
            servers: self.servers.iter().map(|server| server.0).collect(),
            min_ttl: or(self.min_ttl, default.min_ttl),
            max_ttl: or(self.max_ttl, default.max_ttl),
            timeout: or(self.timeout, default.timeout),
            attempts: self.attempts.unwrap_or(default.attempts),
        };
        let mut require = |holds: bool, field: &'static str, message: String| {
            if !holds {
                problems.push(Problem {
                    field: field.into(),
                    message,
                });
            }
        };
        let text = humantime::format_duration;
        require(
            dns.min_ttl >= SHORTEST,
            "dns.min_ttl",
            format!(
                "{} is too short; expected at least 100ms",
                text(dns.min_ttl)
            ),
        );
        require(
            dns.max_ttl >= dns.min_ttl,
            "dns.max_ttl",
            format!(
                "{} is less than dns.min_ttl, which is {}",
                text(dns.max_ttl),
                text(dns.min_ttl)
            ),
        );
        require(
            !dns.timeout.is_zero(),
            "dns.timeout",
            "0s would end every query at once; expected such as 2s".to_owned(),
        );
        require(
            (1..=MOST_ATTEMPTS).contains(&dns.attempts),
            "dns.attempts",
            format!(
                "{} is out of range; expected 1 to {MOST_ATTEMPTS}",
                dns.attempts
            ),
        );
        dns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigFile};

    fn built(yaml: &str) -> Result<Dns, String> {
        let file = ConfigFile::parse(yaml)?;
        let config = Config::build(file).map_err(|error| error.to_string())?;
        Ok(config.dns)
    }

    #[test]
    fn servers_have_the_usual_port_unless_they_say() {
        let dns =
            built("dns: {servers: [10.96.0.10, '10.96.0.10:5353', 'fd00::a', '[fd00::a]:5353']}");
        let servers = dns.unwrap().servers;
        let shown: Vec<_> = servers.iter().map(ToString::to_string).collect();
        let expected = [
            "10.96.0.10:53",
            "10.96.0.10:5353",
            "[fd00::a]:53",
            "[fd00::a]:5353",
        ];
        assert_eq!(shown, expected);
        assert_eq!(built("dns: {servers: []}").unwrap(), Dns::default());
    }

    #[test]
    fn what_is_no_server_is_told_with_its_place() {
        for server in ["dns.example.com", "10.96.0.10:0", "10.96.0", "''"] {
            let error = built(&format!("dns: {{servers: [127.0.0.1, {server}]}}")).unwrap_err();
            assert!(error.starts_with("dns.servers[1]: "), "{error}");
            assert!(error.contains("is no address"), "{error}");
        }
    }

    #[test]
    fn limits_that_nothing_can_keep_are_refused() {
        for (yaml, expected) in [
            ("{min_ttl: 99ms}", "dns.min_ttl: 99ms is too short"),
            (
                "{min_ttl: 2s, max_ttl: 1s}",
                "dns.max_ttl: 1s is less than dns.min_ttl, which is 2s",
            ),
            ("{timeout: 0s}", "dns.timeout: 0s would end"),
            ("{attempts: 0}", "dns.attempts: 0 is out of range"),
            ("{attempts: 11}", "dns.attempts: 11 is out of range"),
        ] {
            let error = built(&format!("dns: {yaml}")).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
