//! HAProxy, as its experts would set it up.
//!
//! Its access log goes to standard output, the form used in containers and the
//! one that leaves the lines in a file, as the other peers do.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Launch, Site, configure, version};

/// HAProxy with one thread, in the foreground.
pub(super) fn launch(site: &Site<'_>, directory: &Path, port: u16) -> Result<Launch> {
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
    let configuration = directory.join("haproxy.cfg");
    configure(
        &configuration,
        include_str!("haproxy.cfg"),
        &[
            ("GLOBAL_LOG", global_log.to_owned()),
            ("LOG", log.to_owned()),
            ("PORT", port.to_string()),
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
    })
}
