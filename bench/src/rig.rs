//! What surrounds the peers: the temporary directory, the CPUs, the upstream.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::cgroup::Cgroup;
use crate::peer::Site;
use crate::process::{Process, allowed_cpus, pin};
use crate::upstream::{Announcement, Tally};

/// A running upstream, and a place for files; both go away when it is dropped.
#[derive(Debug)]
pub(crate) struct Rig {
    // Fields are dropped in this order: the process before its directory.
    upstream: Process,
    announcement: Announcement,
    directory: Directory,
    /// The CPU of the load generator and the upstream.
    pub(crate) own_cpu: usize,
    /// The CPU of the peer under test.
    pub(crate) peer_cpu: usize,
}

impl Rig {
    /// Chooses two CPUs, moves this thread to the first, and starts the upstream there too.
    ///
    /// # Errors
    /// With fewer than two CPUs, or when the upstream does not start.
    pub(crate) fn start() -> Result<Self> {
        let (own_cpu, peer_cpu) = take_cpus()?;
        let directory = Directory::create()?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["upstream", "--exit-with-parent", "--ca-out"])
            .arg(directory.ca())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut upstream = Process::spawn(&mut command, Some(own_cpu))?;
        let stdout = upstream.stdout().context("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let announcement = serde_json::from_str(&line).context("the upstream did not start")?;
        Ok(Self {
            upstream,
            announcement,
            directory,
            own_cpu,
            peer_cpu,
        })
    }

    /// What peers are started with here, with access logs; `ca` is [`Rig::ca`].
    pub(crate) fn site<'a>(
        &'a self,
        ca: &'a Path,
        proxy_binary: Option<&'a Path>,
        cgroup: Option<&'a Cgroup>,
    ) -> Site<'a> {
        Site {
            upstream: self.upstream(),
            cpu: Some(self.peer_cpu),
            proxy_binary,
            cgroup,
            ..Site::new(self.directory(), ca)
        }
    }

    /// Where the TLS upstream listens, on loopback.
    pub(crate) fn upstream(&self) -> SocketAddr {
        self.announcement.https
    }

    /// Process id of the upstream.
    pub(crate) fn upstream_id(&self) -> u32 {
        self.upstream.id()
    }

    /// The upstream's certificate authority, PEM.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.ca()
    }

    /// Where peers put their files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The CPU of the load generator and the upstream, and that of the peer.
    pub(crate) fn cpus(&self) -> (usize, usize) {
        (self.own_cpu, self.peer_cpu)
    }

    /// What the upstream has counted so far.
    ///
    /// # Errors
    /// When the upstream is gone.
    pub(crate) async fn tally(&self) -> Result<Tally> {
        let mut text = String::new();
        let mut stream = TcpStream::connect(self.announcement.tally).await?;
        stream.read_to_string(&mut text).await?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// Chooses two CPUs and moves this thread, with what it starts from now on, to the first; the second is the peer's.
///
/// # Errors
/// With fewer than two CPUs.
pub(crate) fn take_cpus() -> Result<(usize, usize)> {
    let cpus = allowed_cpus()?;
    let [own, .., peer] = cpus[..] else {
        bail!("needs two CPUs: one for the peer, one for the load");
    };
    pin(own)?;
    Ok((own, peer))
}

/// A directory of our own, removed when dropped.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes it, for this process, where temporary files go.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn create() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("holysheep-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The file in it for the upstream's certificate authority, PEM.
    pub(crate) fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed now is left to the system's own cleaning of its
        // temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
