//! The proxy's own cgroup, as a directory of a mounted cgroup2 hierarchy.
//!
//! Programs attached to it see the proxy's sockets and those of its neighbours in the same cgroup, nobody else's. A
//! read-only mount is enough. On hybrid hosts the hierarchy lies beside those of version 1, often at
//! `/sys/fs/cgroup/unified`; in a container with a cgroup namespace of its own both the path and the mount begin at it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Why the cgroup cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CgroupError {
    /// The kernel has no cgroup2, or this process is not in it.
    #[error(
        "this process is in no cgroup2 hierarchy; the kernel needs CONFIG_CGROUPS and CONFIG_CGROUP_BPF"
    )]
    NoHierarchy,
    /// It has, but it cannot be seen from here.
    #[error(
        "no cgroup2 hierarchy is mounted; mount one, read-only is enough: mount -t cgroup2 none /sys/fs/cgroup"
    )]
    NotMounted,
    /// What is mounted shows other cgroups only.
    #[error("the mounted cgroup2 hierarchies ({mounts}) do not show this process' cgroup {path}")]
    Elsewhere {
        /// Where hierarchies are mounted.
        mounts: String,
        /// The cgroup, as the kernel calls it.
        path: String,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
}

/// Finds and opens this process' cgroup.
///
/// # Errors
/// What is missing.
pub fn open() -> Result<(PathBuf, File), CgroupError> {
    let path = own_path(&read("/proc/self/cgroup")?).ok_or(CgroupError::NoHierarchy)?;
    let mounts = mounts(&read("/proc/self/mountinfo")?);
    visible(&path, &mounts).or_else(|error| detached(&path).map_err(|_| error))
}

/// By a mount of the proxy's own, which is in no mount table and goes with the descriptor. The system's may be hidden:
/// `ip netns exec` puts another `/sys` in its place. Takes `CAP_SYS_ADMIN`.
fn detached(path: &str) -> io::Result<(PathBuf, File)> {
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // The path of the root is a slash alone.
    let below = format!(".{path}");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(&root, below, flags, Mode::empty())?;
    Ok((format!("cgroup2:{path}").into(), File::from(directory)))
}

/// By a mount that can be seen.
fn visible(path: &str, mounts: &[Mount]) -> Result<(PathBuf, File), CgroupError> {
    if mounts.is_empty() {
        return Err(CgroupError::NotMounted);
    }
    let candidates = mounts.iter().filter_map(|mount| mount.directory(path));
    let mut last = None;
    for directory in candidates {
        match File::open(&directory) {
            Ok(file) => return Ok((directory, file)),
            Err(error) => last = Some(unreadable(&directory, &error)),
        }
    }
    Err(last.unwrap_or_else(|| {
        let points = mounts.iter().map(|mount| mount.point.display().to_string());
        CgroupError::Elsewhere {
            mounts: points.collect::<Vec<_>>().join(", "),
            path: path.to_owned(),
        }
    }))
}

/// A mounted cgroup2 hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// Which cgroup is seen at `point`.
    root: String,
    point: PathBuf,
}

impl Mount {
    /// Where the cgroup `path` is seen, if it is.
    fn directory(&self, path: &str) -> Option<PathBuf> {
        let below = match path.strip_prefix(self.root.trim_end_matches('/')) {
            Some(below) if below.is_empty() || below.starts_with('/') => below,
            _ => return None,
        };
        // A path above the namespace's root leads to where the mount may not.
        if below.split('/').any(|part| part == "..") {
            return None;
        }
        Some(self.point.join(below.trim_start_matches('/')))
    }
}

/// The path in the line of version 2, which has the number 0 and no controllers.
fn own_path(cgroups: &str) -> Option<String> {
    let line = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    // The kernel says so when the cgroup has been removed meanwhile.
    Some(line.trim_end_matches(" (deleted)").to_owned())
}

/// The cgroup2 lines of a mount table (proc(5)): id, parent, device, root, mount point, options, and after a dash the type.
fn mounts(table: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (right.split(' ').next()? == "cgroup2").then(|| Mount {
            root: unescape(root),
            point: PathBuf::from(unescape(point)),
        })
    };
    table.lines().filter_map(mount).collect()
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(code) if code.is_ascii() => {
                plain.push(char::from(code));
                plain.push_str(part.get(3..).unwrap_or_default());
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

fn read(path: &str) -> Result<String, CgroupError> {
    fs::read_to_string(path).map_err(|error| unreadable(Path::new(path), &error))
}

fn unreadable(path: &Path, error: &io::Error) -> CgroupError {
    CgroupError::Unreadable {
        path: path.to_path_buf(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
