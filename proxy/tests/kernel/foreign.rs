//! Somebody else's programs: a `sock_ops` on the same cgroup, where neither takes the other's callbacks away, and an
//! `sk_lookup` on the same network namespace, where the one that was there first chooses.

use std::net::IpAddr;

use aya::maps::{Array, SockMap};
use aya::programs::{CgroupAttachMode, SkLookup, SockOps};
use holysheep_proxy::kernel::{Kernel, Steering};

use crate::lab::{self, Lab};
use crate::{Outcome, steering};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/foreign.bpf.o"));

/// How the foreign program sets its flag (`proxy-ebpf/src/bin/foreign.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    NotAtAll = 0,
    BesideOthers = 1,
    InPlaceOfOthers = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Before,
    Behind,
}

pub(crate) fn both(lab: &Lab) -> Outcome {
    use Manner::{BesideOthers, InPlaceOfOthers, NotAtAll};
    for order in [Order::Before, Order::Behind] {
        for manner in [NotAtAll, BesideOthers, InPlaceOfOthers] {
            one(lab, order, manner);
        }
    }
    Ok(())
}

fn one(lab: &Lab, order: Order, manner: Manner) {
    let mut foreign = aya::EbpfLoader::new()
        .override_global("MANNER", &(manner as u8), true)
        .load(OBJECT)
        .unwrap();
    let mut attach = || {
        let cgroup = std::fs::File::open(&lab.cgroup).unwrap();
        let program: &mut SockOps = foreign.program_mut("foreign").unwrap().try_into().unwrap();
        program.load().unwrap();
        program.attach(cgroup, CgroupAttachMode::Single).unwrap();
    };
    // Programs run in the order in which they were attached.
    let kernel = match order {
        Order::Before => {
            attach();
            lab.kernel()
        }
        Order::Behind => {
            let kernel = lab.kernel();
            attach();
            kernel
        }
    };
    let flows = kernel.flows().unwrap();
    pings(&kernel);
    let ours = kernel.snapshot().unwrap().upstreams[0].rtt.count();
    let seen = Array::<_, u64>::try_from(foreign.map("SEEN").unwrap()).unwrap();
    let count = |op: u32| seen.get(&op, 0).unwrap();
    // From `enum` in linux/bpf.h: BPF_SOCK_OPS_TCP_CONNECT_CB and BPF_SOCK_OPS_RTT_CB.
    let (connects, theirs) = (count(3), count(12));
    println!(
        "  foreign {order:?} ours, sets its flag {manner:?}: round trips ours {ours}, theirs {theirs}"
    );
    assert_eq!(connects, 1);
    assert!(ours > 10, "ours: {ours}");
    // Callbacks go to all programs, whoever asked; the foreign one also sees the server's side if it asked for it.
    assert!(theirs >= ours, "ours {ours}, theirs {theirs}");
    if (order, manner) != (Order::Behind, Manner::InPlaceOfOthers) {
        lab::eventually("the end of the connection is seen", || {
            flows.occupied() == 0
        });
    }
}

fn pings(kernel: &Kernel) {
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    let peer = lab::echo(listener);
    let flows = kernel.flows().unwrap();
    let (mut stream, cookie) = lab::connect(&flows, address, 0);
    for _ in 0..50 {
        lab::ping(&mut stream);
    }
    assert!(flows.connection(cookie).connect.is_some());
    drop(stream);
    peer.join().unwrap();
}

/// Two programs choose a listener: the first one's choice stands, and ours counts that it was too late.
pub(crate) fn chooses(_: &Lab) -> Outcome {
    let pair = steering::pair()?;
    let pod = pair.pod();
    let from: IpAddr = pair.node().ipv4().into();
    let [data, probes, chosen] = [(); 3].map(|()| steering::listen(pod, pod.ipv4()));
    let address = data.local_addr().unwrap();
    for order in [Order::Before, Order::Behind] {
        let mut foreign = aya::Ebpf::load(OBJECT).unwrap();
        let map = foreign.map_mut("CHOSEN").unwrap();
        SockMap::try_from(map).unwrap().set(0, &chosen, 0).unwrap();
        let mut attach = || {
            let program = foreign.program_mut("foreign_lookup").unwrap();
            let program: &mut SkLookup = program.try_into().unwrap();
            program.load().unwrap();
            let namespace = std::fs::File::open(pod.namespace()).unwrap();
            program.attach(namespace).unwrap();
        };
        if order == Order::Before {
            attach();
        }
        let sources = steering::sources(&pair);
        let ours = pod.run(|| Steering::attach(&sources)).unwrap();
        let mut ours = ours.unwrap_or_else(|reason| panic!("{reason}"));
        ours.listener(&probes).unwrap();
        ours.port(address.port()).unwrap();
        if order == Order::Behind {
            attach();
        }
        let all = [&data, &probes, &chosen];
        let (taken, _) = steering::taken_by(&pair, from, address, &all);
        let counts = steering::counts(&ours);
        println!("  foreign {order:?} ours: taken by {taken}, steered and left {counts:?}");
        match order {
            Order::Before => assert_eq!((taken, counts), (2, (0, 1))),
            Order::Behind => assert_eq!((taken, counts), (1, (1, 0))),
        }
    }
    Ok(())
}
