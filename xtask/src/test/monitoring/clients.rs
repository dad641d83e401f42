//! A file of clients for one of the proxies, made by the proxy's own command, and a client that keeps to it and does not.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use super::SCRATCH;
use super::load::{self, Ports};
use crate::command;
use crate::workspace::Workspace;

/// Someone with a key.
pub(super) struct Client {
    /// The file that has what the key is told by.
    pub(super) file: PathBuf,
    /// Where what it has asked is counted.
    pub(super) redis: SocketAddr,
    key: String,
}

impl Client {
    /// Makes a key for one path, with an end that is far away.
    pub(super) fn make(workspace: &Workspace, redis: SocketAddr) -> Result<Self> {
        let file = workspace.scratch(SCRATCH)?.join("clients.yaml");
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let mut program = Command::new(workspace.binary("debug", "holysheep-proxy"));
        command::without_settings(&mut program);
        program.args(["client", "add", "team-a", "--expires", "90d", "--route"]);
        program.args([load::CHAT_PATH, "--file"]).arg(&file);
        let output = program.output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "no key was made: {told}");
        let key = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Self { file, redis, key })
    }

    /// A request that it may send, and one that it may not.
    pub(super) fn round(&self, ports: Ports) {
        load::as_client(ports, &self.key);
    }
}
