//! Nothing of a path outlives it. How that is seen, [`pair`](crate::pair) uses, too.

use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use netlab::{Host, Path, now, or_skip};

use crate::traffic;

/// Every thread and descriptor of this machine that keeps this namespace alive.
fn holders(inode: u64) -> Vec<PathBuf> {
    let list = |directory: PathBuf| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    };
    let processes = list("/proc".into()).filter(|path| path.join("task").exists());
    let links = processes.flat_map(|process| {
        let threads = list(process.join("task")).map(|thread| thread.join("ns/net"));
        threads.chain(list(process.join("fd"))).collect::<Vec<_>>()
    });
    let wanted = format!("net:[{inode}]");
    let is_it = |link: &PathBuf| fs::read_link(link).is_ok_and(|to| to.to_string_lossy() == wanted);
    links.filter(is_it).collect()
}

/// By which a host's namespace is known, also when it is gone.
pub(crate) fn inode(host: &Host) -> u64 {
    let inode = fs::metadata(host.namespace()).unwrap().st_ino();
    assert!(!holders(inode).is_empty(), "the search finds nothing");
    inode
}

/// Nothing holds these namespaces, or nothing does in a moment.
pub(crate) fn assert_gone(inodes: [u64; 2]) {
    for inode in inodes {
        // A child of another test may hold copies of our descriptors between its fork and its exec.
        let deadline = now() + Duration::from_secs(5);
        loop {
            let left = holders(inode);
            if left.is_empty() {
                break;
            }
            assert!(now() < deadline, "still held by {left:?}");
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for inode in inodes {
        assert!(!mounts.contains(&format!("net:[{inode}]")));
    }
}

/// The devices of this machine, outside of the hosts.
pub(crate) fn devices() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_dropped_path_leaves_nothing() {
    let before = devices();
    let Some(path) = or_skip(Path::builder().round_trip(Duration::from_millis(1)).start()) else {
        return;
    };
    let (client, server) = traffic::connect(&path, path.server().ipv4().into());
    traffic::send(&client, &server, 1000);
    let inodes = [path.client(), path.server()].map(inode);
    assert_ne!(inodes[0], inodes[1]);
    assert_eq!(devices(), before, "the devices are inside");
    drop((client, server, path));
    assert_gone(inodes);
}

#[test]
fn paths_do_not_see_each_other() {
    let (Some(one), Some(other)) = (
        or_skip(Path::builder().start()),
        or_skip(Path::builder().start()),
    ) else {
        return;
    };
    // The same addresses in both.
    for path in [&one, &other] {
        let (client, server) = traffic::connect(path, path.server().ipv4().into());
        traffic::send(&client, &server, 1000);
    }
    drop(one);
    let (client, server) = traffic::connect(&other, other.server().ipv6().into());
    traffic::send(&client, &server, 1000);
}
