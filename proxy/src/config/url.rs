//! The upstream's base URL, taken apart once.

use std::fmt;

use http::Uri;
use serde::{Serialize, Serializer};

/// `https://api.holysheep.ai/v1` as scheme, host, port and path prefix.
///
/// The OpenAI paths of the route table begin with `/v1`, and so does the path
/// of the usual base URL; Anthropic's paths hang off the host itself. Both
/// meet when a trailing `/v1` is dropped here and the route's whole path is
/// appended: `https://api.holysheep.ai` + `/v1/messages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    tls: bool,
    host: String,
    port: u16,
    prefix: String,
}

/// Why a text is no base URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no base URL ({reason}); expected such as https://api.holysheep.ai/v1")]
pub struct BaseUrlError {
    text: String,
    reason: &'static str,
}

impl BaseUrlError {
    /// What is wrong, without the text.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

impl BaseUrl {
    /// Parses a base URL.
    ///
    /// # Errors
    /// If scheme, host or path cannot be used.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let fail = |reason| BaseUrlError {
            text: without_userinfo(text),
            reason,
        };
        if !text.is_ascii() {
            return Err(fail(
                "not ASCII; a name of other letters is written in Punycode, xn--…",
            ));
        }
        let uri: Uri = text.parse().map_err(|_| fail("not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(fail("the scheme is neither https nor http")),
        };
        let authority = uri.authority().ok_or_else(|| fail("no host"))?;
        if authority.as_str().contains('@') {
            return Err(fail("user information does not belong in it"));
        }
        if uri.query().is_some() {
            return Err(fail("it has a query"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(fail("no host"));
        }
        // `port_u16` takes a port it cannot read for none.
        let written = authority.as_str().rsplit_once(':').map(|(_, port)| port);
        let port = match written.filter(|port| !port.ends_with(']')) {
            None if tls => 443,
            None => 80,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| fail("the port is not a number from 1 to 65535"))?,
        };
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            tls,
            host,
            port,
            prefix: path.strip_suffix("/v1").unwrap_or(path).to_owned(),
        })
    }

    /// Stands in while other problems are collected; never used to connect.
    pub(super) fn placeholder() -> Self {
        Self {
            tls: true,
            host: String::new(),
            port: 0,
            prefix: String::new(),
        }
    }

    /// Whether connections are encrypted.
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What stands before the route's path.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The `Host` field: brackets around IPv6, no default port.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

fn without_userinfo(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}…{}", &text[..scheme + 3], &text[at..])
        }
        _ => text.to_owned(),
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}/v1", self.authority(), self.prefix)
    }
}

impl Serialize for BaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
