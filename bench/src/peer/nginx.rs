//! nginx: as the article configures it, as its experts would, and as an ingress before the product.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Launch, Site, configure, version};

/// nginx with the article's configuration.
pub(super) fn article(site: &Site<'_>, directory: &Path, port: u16) -> Result<Launch> {
    // The article's log is not buffered.
    launch(
        site,
        directory,
        port,
        include_str!("nginx-article.conf"),
        "main",
    )
}

/// nginx with working keep-alive.
pub(super) fn tuned(site: &Site<'_>, directory: &Path, port: u16) -> Result<Launch> {
    let log = "main buffer=64k flush=1s";
    launch(site, directory, port, include_str!("nginx.conf"), log)
}

/// The same with clients that speak h2, and nothing else.
pub(super) fn http2(site: &Site<'_>, directory: &Path, port: u16) -> Result<Launch> {
    let log = "main buffer=64k flush=1s";
    let template = include_str!("nginx.conf").replace("@PROTOCOL@", " http2");
    launch(site, directory, port, &template, log)
}

/// nginx before the product, whose port on loopback is upstream here.
pub(super) fn ingress(site: &Site<'_>, directory: &Path, port: u16) -> Result<Launch> {
    let log = "main buffer=64k flush=1s";
    launch(
        site,
        directory,
        port,
        include_str!("nginx-ingress.conf"),
        log,
    )
}

fn launch(
    site: &Site<'_>,
    directory: &Path,
    port: u16,
    template: &str,
    log: &str,
) -> Result<Launch> {
    let program = Path::new("nginx");
    let version = version(program, "-v", "apt-get install nginx")?;
    let path = directory.display();
    let access_log = if site.access_log {
        format!("{path}/access.log {log}")
    } else {
        "off".to_owned()
    };
    let configuration = directory.join("nginx.conf");
    configure(
        &configuration,
        template,
        &[
            ("DIRECTORY", path.to_string()),
            ("ACCESS_LOG", access_log),
            ("PORT", port.to_string()),
            ("PROTOCOL", String::new()),
            ("CONNECTIONS", (2 * site.clients + 96).to_string()),
            ("POOL", site.pool.to_string()),
            ("UPSTREAM", site.upstream.to_string()),
            ("CA", site.ca.display().to_string()),
        ],
    )?;
    let mut command = Command::new(program);
    command
        .arg("-p")
        .arg(directory)
        .arg("-e")
        .arg(directory.join("error.log"))
        .arg("-c")
        .arg(&configuration)
        // As in the article's image; it also keeps the master in our process group.
        .args(["-g", "daemon off;"]);
    Ok(Launch {
        command,
        version,
        admin: None,
        target: None,
    })
}
