//! HAProxy, as its experts would set it up.
//!
//! Its access log goes to standard output, the form used in containers and the
//! one that leaves the lines in a file, as the other peers do.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Launch, Site, configure, version};

/// How it differs from the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sides {
    /// Not at all: HTTP/1.1 on both sides.
    Usual,
    /// It sends each piece of a response at once.
    NoDelay,
    /// Clients speak h2.
    Http2Clients,
    /// It speaks h2 to upstream.
    Http2Upstream,
}

/// HAProxy with one thread, in the foreground.
pub(super) fn launch(site: &Site<'_>, directory: &Path, port: u16, sides: Sides) -> Result<Launch> {
    let program = Path::new("haproxy");
    let version = version(program, "-v", "apt-get install haproxy")?;
    let (global_log, log) = if site.access_log {
        (
            "log stdout format raw local0 info",
            "log global\n    option httplog",
        )
    } else {
        ("# no log", "# no log")
    };
    let no_delay = match sides {
        Sides::NoDelay => {
            "option http-no-delay            # events of a stream must not wait for a full packet"
        }
        _ => "# no http-no-delay: a piece of a response may wait for a full packet, some 200 ms",
    };
    let protocol = match sides {
        Sides::Http2Clients => " proto h2",
        _ => "",
    };
    let alpn = match sides {
        Sides::Http2Upstream => "h2",
        _ => "http/1.1",
    };
    let configuration = directory.join("haproxy.cfg");
    configure(
        &configuration,
        include_str!("haproxy.cfg"),
        &[
            ("GLOBAL_LOG", global_log.to_owned()),
            ("LOG", log.to_owned()),
            ("NO_DELAY", no_delay.to_owned()),
            ("PORT", port.to_string()),
            ("PROTOCOL", protocol.to_owned()),
            ("ALPN", alpn.to_owned()),
            ("CONNECTIONS", (2 * site.clients + 96).to_string()),
            ("POOL", site.pool.to_string()),
            ("UPSTREAM", site.upstream.to_string()),
            ("CA", site.ca.display().to_string()),
        ],
    )?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(&configuration);
    Ok(Launch {
        command,
        version,
        admin: None,
        target: None,
    })
}
