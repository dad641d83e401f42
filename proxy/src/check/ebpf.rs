//! Whether this machine could run kernel programs, and why not.

use std::fs;
use std::path::Path;

use super::Outcome;

/// `CAP_BPF` and `CAP_NET_ADMIN`, from `linux/capability.h`.
const NEEDED: [(u32, &str); 2] = [(39, "CAP_BPF"), (12, "CAP_NET_ADMIN")];
/// `sk_lookup`, the youngest program type planned for, came with 5.9.
const MIN_KERNEL: (u32, u32) = (5, 9);

/// Looks at kernel, BTF, cgroup2 and capabilities.
pub fn possible() -> Outcome {
    let mut missing = Vec::new();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    if version(release).is_none_or(|version| version < MIN_KERNEL) {
        missing.push(format!("kernel {release} is older than 5.9"));
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        missing.push("the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)".to_owned());
    }
    if !has_cgroup2() {
        missing.push("no cgroup2 hierarchy is mounted".to_owned());
    }
    missing.extend(missing_capabilities());
    let built = "kernel programs are not part of this build";
    if missing.is_empty() {
        Outcome::Warn(
            format!("{built}; this machine could run them (kernel {release})"),
            "nothing to do: the proxy works without them".to_owned(),
        )
    } else {
        Outcome::Warn(
            format!("{built}; this machine lacks: {}", missing.join(", ")),
            "nothing to do for a Deployment; the DaemonSet of the chart has what is needed"
                .to_owned(),
        )
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn has_cgroup2() -> bool {
    fs::read_to_string("/proc/self/mountinfo")
        .is_ok_and(|mounts| mounts.lines().any(|line| line.contains(" - cgroup2 ")))
}

fn missing_capabilities() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    NEEDED
        .iter()
        .filter(|(bit, _)| effective >> bit & 1 == 0)
        .map(|(_, name)| format!("capability {name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_are_compared_as_numbers() {
        assert_eq!(version("5.10.0-32-cloud-amd64"), Some((5, 10)));
        assert_eq!(version("6.18.44"), Some((6, 18)));
        assert!(version("5.4.0").unwrap() < MIN_KERNEL);
        assert_eq!(version(""), None);
    }
}
