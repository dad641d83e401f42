//! Cgroups of the bench's own making, for peers that are to be alone in theirs.

use std::path::{Path, PathBuf};

/// A directory of the cgroup2 hierarchy with one for each peer in it, removed when dropped.
#[derive(Debug)]
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one below this process' own; `None` where that is not allowed.
    pub(crate) fn create() -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let is_cgroup2 = |line: &&str| line.contains(" - cgroup2 ");
        let point = mounts.lines().find(is_cgroup2)?.split(' ').nth(4)?;
        let name = format!("holysheep-bench-{}", std::process::id());
        let path = Path::new(point).join(own).join(name);
        std::fs::create_dir(&path).ok()?;
        Some(Self(path))
    }

    /// The one of a peer, made when it is asked for the first time.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn of(&self, peer: &str) -> std::io::Result<PathBuf> {
        let path = self.0.join(peer);
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(path),
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes have ended; should one be left, the directory stays, which harms nobody.
        for peer in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(peer.path());
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}
