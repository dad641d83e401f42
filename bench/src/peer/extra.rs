//! Any program that proxies, given on the command line.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Launch, Site};

/// Fills the placeholders of `command`, whose words are separated by white space only.
pub(super) fn launch(command: &str, site: &Site<'_>, port: u16) -> Result<Launch> {
    let mut words = command.split_ascii_whitespace().map(|word| {
        word.replace("{port}", &port.to_string())
            .replace("{upstream_port}", &site.upstream.port().to_string())
            .replace("{ca}", &site.ca.to_string_lossy())
    });
    let program = words.next().context("empty command line")?;
    // The peer's own directory becomes the current one; a bare name is left for PATH.
    let path = if program.contains('/') {
        std::path::absolute(&program)?
    } else {
        PathBuf::from(&program)
    };
    let version = path.display().to_string();
    let mut command = Command::new(path);
    command.args(words).env("HOLYSHEEP_API_KEY", "cr_bench");
    Ok(Launch {
        command,
        version,
        admin: None,
        target: None,
    })
}
