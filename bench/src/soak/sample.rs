//! What the kernel says of a process: memory, descriptors, threads, and which BPF objects it holds.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use super::scrape::Scrape;

/// A program, map or link of the kernel, by the number that the kernel never gives again.
pub(super) type Object = (&'static str, u32);

/// What one process held at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Held {
    pub(super) rss_kib: f64,
    /// Of that, what is no file's.
    pub(super) anonymous_kib: f64,
    pub(super) threads: f64,
    pub(super) sockets: f64,
    /// Descriptors that are neither sockets nor BPF objects.
    pub(super) other_descriptors: f64,
    #[serde(skip)]
    pub(super) objects: BTreeSet<Object>,
    pub(super) bpf_objects: f64,
}

/// A moment of one process.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    /// Seconds since the soak began.
    pub(super) at_s: f64,
    pub(super) line: usize,
    pub(super) generation: usize,
    pub(super) held: Held,
    /// What the proxy said; `None` of a process that another one has taken the place of.
    pub(super) said: Option<Scrape>,
}

impl Sample {
    /// Sockets that are no connections: listeners, and what the control thread has.
    pub(super) fn other_sockets(&self) -> Option<f64> {
        let said = self.said.as_ref()?;
        let connections = said.connections + said.upstream_idle + said.upstream_active;
        Some(self.held.sockets - connections)
    }
}

impl Held {
    /// Reads it.
    ///
    /// # Errors
    /// When the process is gone.
    pub(super) fn read(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mut held = Self {
            rss_kib: field(&status, "VmRSS:")?,
            anonymous_kib: field(&status, "RssAnon:")?,
            threads: field(&status, "Threads:")?,
            ..Self::default()
        };
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
            let entry = entry?;
            // One that was closed since is none.
            let Ok(target) = fs::read_link(entry.path()) else {
                continue;
            };
            let target = target.to_string_lossy();
            if target.starts_with("socket:") {
                held.sockets += 1.0;
            } else if target.starts_with("anon_inode:bpf") {
                let number = entry.file_name();
                let info = format!("/proc/{pid}/fdinfo/{}", number.to_string_lossy());
                let info = fs::read_to_string(info).unwrap_or_default();
                held.objects.extend(object(&info));
            } else {
                held.other_descriptors += 1.0;
            }
        }
        held.bpf_objects = held.objects.len() as f64;
        Ok(held)
    }
}

/// All objects of the kernel there are, of whomever.
///
/// # Errors
/// When the kernel does not tell, for want of root above all.
pub(super) fn census() -> Result<BTreeSet<Object>> {
    let mut all = BTreeSet::new();
    for program in aya::programs::loaded_programs() {
        all.insert(("prog_id", program.context("programs")?.id()));
    }
    for map in aya::maps::loaded_maps() {
        all.insert(("map_id", map.context("maps")?.id()));
    }
    for link in aya::programs::loaded_links() {
        all.insert(("link_id", link.context("links")?.id()));
    }
    Ok(all)
}

fn field(status: &str, name: &str) -> Result<f64> {
    let mut lines = status.lines();
    let rest = lines.find_map(|line| line.strip_prefix(name));
    let value = rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("no {name}"))
}

/// The object of a descriptor. A link's own number comes before that of its program.
fn object(info: &str) -> Option<Object> {
    let of = |name: &'static str| {
        let mut lines = info.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some((name, value.trim().parse().ok()?))
    };
    of("link_id")
        .or_else(|| of("map_id"))
        .or_else(|| of("prog_id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read() {
        let held = Held::read(std::process::id()).unwrap();
        assert!(held.rss_kib >= held.anonymous_kib && held.anonymous_kib > 0.0);
        let before = (held.sockets, held.other_descriptors);
        let _socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let _file = fs::File::open("/proc/self/status").unwrap();
        let held = Held::read(std::process::id()).unwrap();
        // Other tests of this process open and close some, too.
        assert!(
            held.sockets >= 1.0 && held.other_descriptors >= 1.0,
            "{before:?}"
        );
        assert!(Held::read(u32::MAX).is_err());
    }

    #[test]
    fn objects_have_the_number_of_their_own_kind() {
        let link = "pos:\t0\nlink_type:\tcgroup\nlink_id:\t7\nprog_tag:\tx\nprog_id:\t9\n";
        assert_eq!(object(link), Some(("link_id", 7)));
        assert_eq!(object("map_type:\t1\nmap_id:\t3\n"), Some(("map_id", 3)));
        assert_eq!(object("prog_id:\t4\n"), Some(("prog_id", 4)));
        assert_eq!(object("pos:\t0\n"), None);
    }
}
