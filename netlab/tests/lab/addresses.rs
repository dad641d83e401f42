//! Both hosts have what a pod has: IPv4, IPv6, loopback, and the congestion control that was asked for.

use std::fs;
use std::io::{Read, Seek, Write};
use std::net::{TcpListener, TcpStream};

use netlab::{Path, or_skip};

use crate::traffic;

const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";

#[test]
fn both_families_pass_and_so_does_loopback() {
    let Some(path) = or_skip(Path::builder().start()) else {
        return;
    };
    for address in path.server().addresses() {
        let (client, server) = traffic::connect(&path, address);
        traffic::send(&client, &server, 100_000);
    }
    let looped = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).is_ok()
    };
    assert!(path.client().run(looped).unwrap());
    assert_eq!(path.overruns().unwrap(), 0);
}

#[test]
fn hosts_use_cubic_and_this_machine_is_as_before() {
    let before = or_skip(Path::builder().start()).map(|_| allowed(&mut lock()));
    let Some(before) = before else {
        return;
    };
    let path = Path::builder().start().unwrap();
    let read = || fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap();
    for host in [path.client(), path.server()] {
        assert_eq!(host.run(read).unwrap().trim(), "cubic");
    }
    assert_eq!(allowed(&mut lock()), before);
}

/// What a process leaves that is killed in the moment in which the list is widened.
#[test]
fn what_a_killed_process_left_is_put_back() {
    if or_skip(Path::builder().start()).is_none() {
        return;
    }
    let mut kept = lock();
    let before = allowed(&mut kept);
    kept.write_all(before.as_bytes()).unwrap();
    fs::write(ALLOWED, format!("{before} cubic")).unwrap();
    drop(kept);
    let path = Path::builder().start().unwrap();
    let mut kept = lock();
    assert_eq!(kept.metadata().unwrap().len(), 0);
    assert_eq!(allowed(&mut kept), before);
    drop((kept, path));
}

/// The file behind which paths change this machine's list.
fn lock() -> fs::File {
    let mut options = fs::File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let kept = options.open("/run/holysheep-netlab.allowed").unwrap();
    rustix::fs::flock(&kept, rustix::fs::FlockOperation::LockExclusive).unwrap();
    kept
}

/// This machine's list, as it is when nobody is changing it.
fn allowed(kept: &mut fs::File) -> String {
    let mut text = String::new();
    kept.read_to_string(&mut text).unwrap();
    if text.is_empty() {
        text = fs::read_to_string(ALLOWED).unwrap();
    }
    kept.rewind().unwrap();
    text.trim().to_owned()
}

#[test]
fn an_unknown_congestion_control_is_a_lack_that_names_the_remedy() {
    if or_skip(Path::builder().start()).is_none() {
        return;
    }
    let error = Path::builder().congestion_control(Some("nosuch")).start();
    let error = error.unwrap_err();
    assert!(error.is_lack());
    assert!(error.to_string().contains("modprobe tcp_nosuch"), "{error}");
}
