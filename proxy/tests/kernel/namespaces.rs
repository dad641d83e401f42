//! Other views of the cgroups: a container's, with a namespace of its own and a mount it cannot write to, and that of
//! `ip netns exec`, without any mount.

use std::path::Path;
use std::process::Command;

use holysheep_proxy::kernel::{self, Kernel, Settings};

use crate::Outcome;
use crate::lab::{self, CHILD, Lab};

/// Mounts as a container runtime does, then starts the tests again in there.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs none /mnt
mkdir /mnt/cgroup
mount -t cgroup2 -o ro none /mnt/cgroup
exec "$0" "$1" private
"#;

/// Hides what is mounted below `/sys`, as `ip netns exec` does.
const HIDE: &str = r#"
set -e
umount -l /sys
mount -t sysfs none /sys
exec "$0" "$1" hidden
"#;

pub(crate) fn private(_: &Lab) -> Outcome {
    again(&["--mount", "--cgroup", "sh", "-c", SCRIPT])
}

pub(crate) fn hidden(_: &Lab) -> Outcome {
    again(&["--mount", "sh", "-c", HIDE])
}

/// Starts the tests again by `unshare` with these arguments.
fn again(arguments: &[&str]) -> Outcome {
    let own = std::env::current_exe().unwrap();
    // Namespaces are made by a program, because making them from here takes `unsafe`.
    let mut unshare = Command::new("unshare");
    unshare.args(arguments).arg(own).arg(CHILD);
    if Command::new("unshare")
        .args(["--cgroup", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        lab::run(&mut unshare);
        return Ok(());
    }
    Err("no `unshare` that makes cgroup namespaces".to_owned())
}

pub(crate) fn child_in_private() {
    let (directory, _) = kernel::own_cgroup().unwrap();
    assert_eq!(directory, Path::new("/mnt/cgroup/"));
    std::fs::create_dir(directory.join("x")).expect_err("it is read-only");
    runs(&directory);
}

pub(crate) fn child_with_hidden() {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains(" - cgroup2 "), "{table}");
    let (directory, _) = kernel::own_cgroup().unwrap();
    assert!(directory.to_string_lossy().starts_with("cgroup2:"));
    runs(&directory);
}

/// The programs see a connection.
fn runs(directory: &Path) {
    let kernel = Kernel::start(&Settings {
        required: true,
        upstreams: 1,
        ..Settings::default()
    });
    let kernel = kernel.unwrap_or_else(|missing| panic!("{missing}"));
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    let flows = kernel.flows().unwrap();
    let (_stream, cookie) = lab::connect(&flows, address, 0);
    drop(listener);
    let connect = flows.connection(cookie).connect;
    println!(
        "attached to {}, connect time {connect:?}",
        directory.display()
    );
    assert!(connect.is_some());
}
