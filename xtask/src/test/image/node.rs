//! What makes containers of this machine like those of a node of today: their cgroups, and the system calls they may use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// podman's list of system calls, in the places it looks for it.
const SECCOMP: [&str; 2] = [
    "/etc/containers/seccomp.json",
    "/usr/share/containers/seccomp.json",
];

/// For podman's arguments.
pub(super) struct Node {
    /// A directory.
    pub(super) hooks: PathBuf,
    /// `--security-opt` for containers that are not privileged.
    pub(super) seccomp: Option<String>,
}

impl Node {
    pub(super) fn new(directory: &Path) -> Result<Self> {
        let hooks = directory.join("hooks");
        fs::create_dir_all(&hooks)?;
        // Where it exists version 2 is alone, and the container's runtime mounts it by itself.
        if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            cgroup_hook(&hooks)?;
        }
        let seccomp = directory.join("seccomp.json");
        let list = SECCOMP
            .iter()
            .find_map(|file| fs::read_to_string(file).ok());
        if let Some(list) = &list {
            let list = serde_json::from_str(list).context("podman's seccomp.json is no JSON")?;
            fs::write(&seccomp, with_bpf(list).to_string())?;
        }
        Ok(Self {
            hooks,
            seccomp: list.map(|_| format!("--security-opt=seccomp={}", seccomp.display())),
        })
    }
}

/// Where version 1 is there, too, runc mounts only that. A hook mounts the other one beside it, from within the container's
/// namespaces, read-only, as runc does where there is nothing else.
fn cgroup_hook(directory: &Path) -> Result<()> {
    let script = directory.join("cgroup2.sh");
    fs::write(&script, include_str!("cgroup2.sh"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let path = script
        .to_str()
        .context("the target directory is no UTF-8")?;
    let hook = json!({
        "version": "1.0.0",
        "hook": {"path": path, "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
        "when": {"always": true},
        "stages": ["createContainer"],
    });
    fs::write(directory.join("cgroup2.json"), hook.to_string())?;
    Ok(())
}

/// With `bpf()` for those who have `CAP_BPF`, as `RuntimeDefault` of Kubernetes has it. Debian 12's podman is older than that, and
/// asks for `CAP_SYS_ADMIN`.
fn with_bpf(mut list: Value) -> Value {
    let rules = list.get_mut("syscalls").and_then(Value::as_array_mut);
    let Some(rules) = rules else {
        return list;
    };
    for rule in rules
        .iter_mut()
        .filter(|rule| rule["action"] == "SCMP_ACT_ERRNO")
    {
        if let Some(names) = rule.get_mut("names").and_then(Value::as_array_mut) {
            names.retain(|name| name != "bpf");
        }
    }
    rules.push(json!({
        "names": ["bpf"],
        "action": "SCMP_ACT_ALLOW",
        "args": [],
        "includes": {"caps": ["CAP_BPF"]},
        "excludes": {},
    }));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bpf_is_refused_by_nothing_and_permitted_to_its_capability() {
        let list = json!({"syscalls": [
            {"names": ["bpf", "mount"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
        ]});
        let list = with_bpf(list);
        assert_eq!(list["syscalls"][0]["names"], json!(["mount"]));
        assert_eq!(list["syscalls"][2]["includes"]["caps"], json!(["CAP_BPF"]));
    }
}
