//! A pod and its node reach each other, are otherwise apart, and leave nothing.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, stdin};
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use netlab::{Host, Pair, now, or_skip};

use crate::{cleanup, traffic};

#[test]
fn both_ends_connect_and_see_each_others_address() {
    let Some(pair) = or_skip(Pair::new()) else {
        return;
    };
    for [from, to] in [[pair.node(), pair.pod()], [pair.pod(), pair.node()]] {
        for (own, address) in from.addresses().into_iter().zip(to.addresses()) {
            let (client, server) = traffic::connect_hosts(from, to, address);
            assert_eq!(client.peer_addr().unwrap().ip(), address);
            assert_eq!(client.local_addr().unwrap().ip(), own);
            assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
            traffic::send(&client, &server, 100_000);
        }
    }
}

/// To addresses that are of none of the pod's networks.
#[test]
fn the_pods_default_routes_lead_to_the_node() {
    let Some(pair) = or_skip(Pair::new()) else {
        return;
    };
    for (family, network) in [("-4", "198.51.100.0/24"), ("-6", "2001:db8::/64")] {
        // Whole networks that are the node's: unlike addresses they can be used at once.
        let add = [family, "route", "add", "local", network, "dev", "lo"];
        pair.node().ip(&add).unwrap();
    }
    let listen = || TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let listener = pair.node().run(listen).unwrap();
    let port = listener.local_addr().unwrap().port();
    let far: [IpAddr; 2] = ["198.51.100.7", "2001:db8::7"].map(|to| to.parse().unwrap());
    for (to, pod) in far.into_iter().zip(pair.pod().addresses()) {
        let connect = || TcpStream::connect((to, port)).unwrap();
        let client = pair.pod().run(connect).unwrap();
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_canonical(), pod);
        traffic::send(&client, &server, 1000);
    }
}

#[test]
fn a_parameter_of_the_pod_is_not_the_nodes() {
    let Some(pair) = or_skip(Pair::new()) else {
        return;
    };
    let read = || fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let (outside, before) = (read(), pair.node().run(read).unwrap());
    assert_ne!(before.trim(), "17");
    pair.pod().set_sysctl("net.core.somaxconn", "17").unwrap();
    assert_eq!(pair.pod().run(read).unwrap().trim(), "17");
    assert_eq!(pair.node().run(read).unwrap(), before);
    assert_eq!(read(), outside);
}

#[test]
fn pairs_do_not_see_each_other() {
    let (Some(one), Some(other)) = (or_skip(Pair::new()), or_skip(Pair::new())) else {
        return;
    };
    // The same addresses in both.
    for pair in [&one, &other] {
        traffic::connect_hosts(pair.node(), pair.pod(), pair.pod().ipv4().into());
    }
    drop(one);
    traffic::connect_hosts(other.pod(), other.node(), other.node().ipv6().into());
}

#[test]
fn a_dropped_pair_leaves_nothing() {
    let before = cleanup::devices();
    let Some(pair) = or_skip(Pair::new()) else {
        return;
    };
    let address = pair.pod().ipv4().into();
    let (client, server) = traffic::connect_hosts(pair.node(), pair.pod(), address);
    traffic::send(&client, &server, 1000);
    let inodes = [pair.pod(), pair.node()].map(cleanup::inode);
    assert_ne!(inodes[0], inodes[1]);
    assert_eq!(cleanup::devices(), before, "the devices are inside");
    drop((client, server, pair));
    cleanup::assert_gone(inodes);
    assert_eq!(cleanup::devices(), before);
}

/// A pod that is still held keeps no end of the cable when its node goes.
#[test]
fn the_devices_go_with_either_host() {
    let (Some(one), Some(other)) = (or_skip(Pair::new()), or_skip(Pair::new())) else {
        return;
    };
    let (pod, node) = (one.pod().clone(), other.node().clone());
    for (host, device) in [(&pod, "eth0"), (&node, "veth0")] {
        assert!(has(host, device), "{device}");
    }
    drop((one, other));
    for (host, device) in [(&pod, "eth0"), (&node, "veth0")] {
        // The kernel takes namespaces apart when it has time for it.
        let deadline = now() + Duration::from_secs(20);
        while has(host, device) {
            assert!(now() < deadline, "{device} is still there");
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}

fn has(host: &Host, device: &str) -> bool {
    let read = || fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let text = host.run(read).unwrap();
    let names = text.lines().filter_map(|line| line.split_once(':'));
    names.into_iter().any(|(name, _)| name.trim() == device)
}

/// Says to this very program, started again, that it is to be killed.
const VICTIM: &str = "NETLAB_PAIR_VICTIM";

#[test]
fn a_killed_process_leaves_nothing() {
    let Some(pair) = or_skip(Pair::new()) else {
        return;
    };
    if env::var_os(VICTIM).is_some() {
        let [pod, node] = [pair.pod(), pair.node()].map(cleanup::inode);
        println!("\nholds {pod} {node}");
        // Until it is killed; or until the other one has gone.
        stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    // Not the thread's name, which is that of the program where tests run one after the other.
    let test = "pair::a_killed_process_leaves_nothing";
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(VICTIM, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let said = lines
        .map(Result::unwrap)
        .find(|line| line.starts_with("holds"));
    let said = said.expect("the other process has a pair");
    let inodes: Vec<u64> = said
        .split(' ')
        .skip(1)
        .map(|inode| inode.parse().unwrap())
        .collect();
    victim.kill().unwrap();
    victim.wait().unwrap();
    cleanup::assert_gone(inodes.try_into().unwrap());
}
