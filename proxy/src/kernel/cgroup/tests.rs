//! Tests of `cgroup.rs`.

use super::*;

fn found(cgroups: &str, table: &str) -> Vec<PathBuf> {
    let path = own_path(cgroups).unwrap();
    let mounts = mounts(table);
    mounts
        .iter()
        .filter_map(|mount| mount.directory(&path))
        .collect()
}

#[test]
fn a_pure_host() {
    let table = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    let directories = found("0::/system.slice/proxy.service\n", table);
    assert_eq!(
        directories,
        [Path::new("/sys/fs/cgroup/system.slice/proxy.service")]
    );
}

#[test]
fn a_hybrid_host() {
    let cgroups = "9:name=systemd:/a\n4:memory:/b\n0::/user.slice\n";
    let table = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                 35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                 41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    assert_eq!(
        found(cgroups, table),
        [Path::new("/sys/fs/cgroup/unified/user.slice")]
    );
}

#[test]
fn a_private_namespace_with_a_read_only_mount() {
    let table = "650 640 0:26 / /sys/fs/cgroup ro,nosuid,nodev - cgroup2 cgroup rw\n";
    assert_eq!(found("0::/\n", table), [Path::new("/sys/fs/cgroup/")]);
}

#[test]
fn a_mount_that_begins_at_a_cgroup_above_ours() {
    let table = "650 640 0:26 /kubepods /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    let directories = found("0::/kubepods/pod7/c1\n", table);
    assert_eq!(directories, [Path::new("/sys/fs/cgroup/pod7/c1")]);
    assert!(found("0::/kubepods2/pod7\n", table).is_empty());
}

#[test]
fn the_hosts_mount_seen_from_a_private_namespace_is_of_no_use() {
    let table = "650 640 0:26 /../../.. /host/cgroup ro - cgroup2 cgroup rw\n\
                 651 640 0:26 / /sys/fs/cgroup\\040x ro - cgroup2 cgroup rw\n";
    assert_eq!(found("0::/\n", table), [Path::new("/sys/fs/cgroup x/")]);
    assert!(found("0::/../other\n", table).is_empty());
}

#[test]
fn no_hierarchy_is_told_apart() {
    assert_eq!(own_path("4:memory:/b\n"), None);
    assert_eq!(
        mounts("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"),
        []
    );
}
