//! A container's view: a cgroup namespace of its own, and a mount it cannot write to.

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

pub(crate) fn private(_: &Lab) -> Outcome {
    let own = std::env::current_exe().unwrap();
    // Namespaces are made by a program, because making them from here takes `unsafe`.
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--mount", "--cgroup", "sh", "-c", SCRIPT])
        .arg(own)
        .arg(CHILD);
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

pub(crate) fn child() {
    let (directory, _) = kernel::own_cgroup().unwrap();
    assert_eq!(directory, std::path::Path::new("/mnt/cgroup/"));
    std::fs::create_dir(directory.join("x")).expect_err("it is read-only");
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
