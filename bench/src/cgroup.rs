//! A cgroup of the bench's own making, for the peer that is to be alone in it.

use std::path::{Path, PathBuf};

/// A directory of the cgroup2 hierarchy, removed when dropped.
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

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes have ended; should one be left, the directory stays, which harms nobody.
        let _ = std::fs::remove_dir(&self.0);
    }
}
