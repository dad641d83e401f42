//! The image in a container, by podman.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::Signal;

use super::network::Network;
use super::node::Node;
use crate::image::engine::Engine;
use crate::process::{Event, Group, bound_to_us};

/// Far more than a start or a stop takes.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// How a container runs.
pub(super) struct Container<'a> {
    engine: &'a Engine,
    tag: &'a str,
    /// podman's; also what the log's file is called.
    pub(super) name: String,
    log: PathBuf,
    pub(super) node: &'a Node,
}

impl<'a> Container<'a> {
    /// `directory` is for the log.
    pub(super) fn new(
        engine: &'a Engine,
        tag: &'a str,
        profile: &str,
        node: &'a Node,
        directory: &Path,
    ) -> Self {
        Self {
            engine,
            tag,
            name: format!("holysheep-image-test-{}-{profile}", std::process::id()),
            log: directory.join(format!("{profile}.log")),
            node,
        }
    }

    /// Starts it, with these of podman's arguments.
    pub(super) fn start(
        &self,
        group: &mut Group,
        network: &Network,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<()> {
        let mut podman = bound_to_us("podman");
        podman
            .env("CONTAINERS_CONF", self.engine.settings())
            .arg("--hooks-dir")
            .arg(&self.node.hooks)
            .args(["run", "--rm", "--name", &self.name, "--read-only"])
            // Of its own it would make tmpfs writable in places the image does not have.
            .args(["--read-only-tmpfs=false", "--cgroupns", "private"])
            .arg(format!("--network=ns:{}", network.namespace.display()))
            .args(arguments);
        for (name, value) in environment {
            podman.arg(format!("--env={name}={value}"));
        }
        let log = File::create(&self.log)?;
        podman
            .arg(self.tag)
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log);
        group.start("container", &mut podman)
    }

    /// Waits for its end, and gives back its exit code.
    pub(super) fn wait(&self, group: &mut Group) -> Result<Option<i32>> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match group.next(deadline.saturating_duration_since(Instant::now())) {
                Some(Event::Exited {
                    name: "container",
                    status,
                }) => return Ok(status.code()),
                Some(Event::Line { .. }) => {}
                Some(Event::Exited { name, status }) => bail!("the {name} ended ({status})"),
                Some(Event::Stop { .. }) => bail!("interrupted"),
                None => bail!("the container did not end within {} s", LIMIT.as_secs()),
            }
        }
    }

    /// Asks it to stop, as a node does: by the image's own signal.
    pub(super) fn stop(&self, group: &mut Group) -> Result<Option<i32>> {
        // podman passes it on.
        group.signal("container", Signal::TERM);
        self.wait(group)
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // Gone already, unless something went wrong.
        let mut podman = self.engine.podman();
        podman.args(["rm", "--force", "--ignore", &self.name]);
        let _ = podman.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
