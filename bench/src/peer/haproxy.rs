//! HAProxy, as its experts would set it up.
//!
//! Its access log goes to standard output, the form used in containers and the
//! one that leaves the lines in a file, as the other peers do.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Launch, Site, configure, version};

/// HAProxy with one thread, in the foreground; with `no_delay` it sends each piece of a response at once.
pub(super) fn launch(
    site: &Site<'_>,
    directory: &Path,
    port: u16,
    no_delay: bool,
) -> Result<Launch> {
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
    let no_delay = match no_delay {
        true => {
            "option http-no-delay            # events of a stream must not wait for a full packet"
        }
        false => {
            "# no http-no-delay: a piece of a response may wait for a full packet, some 200 ms"
        }
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
            ("CONNECTIONS", (2 * site.clients + 96).to_string()),
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
