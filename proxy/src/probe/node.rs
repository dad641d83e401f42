//! Which addresses the node's own processes, the kubelet among them, connect from.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::{ProbeSource, Probes};

/// The networks that probes come from, `node` replaced by what it means here.
pub fn networks(probes: &Probes) -> Vec<IpNet> {
    let mut networks = BTreeSet::new();
    for source in &probes.sources {
        match source {
            ProbeSource::Network(network) => {
                networks.insert(*network);
            }
            ProbeSource::Node => networks.extend(node(&probes.node).into_iter().map(IpNet::from)),
        }
    }
    networks.into_iter().collect()
}

/// The node's addresses: on its network all that this namespace has. In a namespace of its own those it was told, and
/// its gateways: with bridges between node and pod the kubelet's packets come from there.
fn node(told: &[IpAddr]) -> BTreeSet<IpAddr> {
    let own = own_addresses();
    let is_elsewhere = !told.is_empty() && !told.iter().any(|address| own.contains(address));
    if is_elsewhere {
        return told.iter().copied().chain(gateways()).collect();
    }
    if told.is_empty() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        tracing::warn!(
            "HOST_IP is not set, so probes.sources: node means the pod's own addresses; set it from \
             status.hostIP by the Downward API, unless the pod is on the host's network"
        );
    }
    own
}

fn own_addresses() -> BTreeSet<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().inspect_err(|error| {
        tracing::warn!(%error, "this machine's addresses cannot be read");
    });
    let addresses = interfaces
        .into_iter()
        .flatten()
        .filter_map(|one| one.address);
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
    };
    addresses.filter_map(ip).collect()
}

/// The gateways of the default routes.
fn gateways() -> Vec<IpAddr> {
    // Without IPv6 there is no second file.
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let v4 = read("/proc/thread-self/net/route");
    let v6 = read("/proc/thread-self/net/ipv6_route");
    let v4 = v4.lines().filter_map(ipv4_gateway).map(IpAddr::from);
    let v6 = v6.lines().filter_map(ipv6_gateway).map(IpAddr::from);
    v4.chain(v6).collect()
}

/// Of a line of `route`: interface, destination, gateway, flags, and more; addresses as they lie in memory, in hex.
fn ipv4_gateway(line: &str) -> Option<Ipv4Addr> {
    let mut columns = line.split_whitespace();
    let (destination, gateway) = (columns.nth(1)?, columns.next()?);
    let gateway = u32::from_str_radix(gateway, 16).ok()?;
    (destination == "00000000" && gateway != 0).then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
}

/// Of a line of `ipv6_route`: destination, its length, source, its length, gateway, and more; in hex.
fn ipv6_gateway(line: &str) -> Option<Ipv6Addr> {
    let mut columns = line.split_whitespace();
    let (destination, length) = (columns.next()?, columns.next()?);
    let gateway = u128::from_str_radix(columns.nth(2)?, 16).ok()?;
    let is_default = length == "00" && destination.bytes().all(|digit| digit == b'0');
    (is_default && gateway != 0).then(|| Ipv6Addr::from(gateway))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(sources: &str, told: &[&str]) -> Vec<String> {
        let file = crate::config::ConfigFile::parse(&format!("probes: {{sources: {sources}}}"));
        let mut probes = crate::config::Config::build(file.unwrap()).unwrap().probes;
        probes.node = told
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        networks(&probes).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn node_is_what_the_pod_was_told_and_its_gateways() {
        let found = probes("[node, 10.1.0.0/16]", &["192.0.2.7", "2001:db8::7"]);
        for expected in ["192.0.2.7/32", "2001:db8::7/128", "10.1.0.0/16"] {
            assert!(found.iter().any(|f| f == expected), "{found:?}");
        }
        assert!(!found.iter().any(|f| f.starts_with("127.")), "{found:?}");
    }

    #[test]
    fn on_the_hosts_network_node_is_all_its_addresses() {
        for told in [&["127.0.0.1"] as &[_], &[]] {
            let found = probes("[node]", told);
            assert!(found.contains(&"127.0.0.1/32".to_owned()), "{found:?}");
        }
    }

    #[test]
    fn gateways_are_those_of_default_routes() {
        let line = "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0";
        let expected = u32::from_str_radix("0100A8C0", 16).unwrap().to_ne_bytes();
        assert_eq!(ipv4_gateway(line), Some(Ipv4Addr::from(expected)));
        assert_eq!(ipv4_gateway("Iface Destination Gateway Flags"), None);
        assert_eq!(ipv4_gateway("eth0 0000A8C0 00000000 0001"), None);
        let zeros = "0".repeat(32);
        let gateway = "fe800000000000000000000000000001";
        let line =
            format!("{zeros} 00 {zeros} 00 {gateway} 00000400 00000001 00000000 00450003 eth0");
        assert_eq!(ipv6_gateway(&line), Some("fe80::1".parse().unwrap()));
        let line = format!("{zeros} 80 {zeros} 00 {gateway} 00000400");
        assert_eq!(ipv6_gateway(&line), None);
    }
}
