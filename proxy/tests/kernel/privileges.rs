//! Which capabilities are needed, shown by taking all others away.
//!
//! A process loses them for good by leaving them out of its bounding set and starting a program: so the tests start
//! themselves, twice.

use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use holysheep_proxy::kernel::{self, Capabilities, Kernel, Reason, Settings};
use rustix::thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set};

use crate::lab::{self, CHILD, Lab};
use crate::{Outcome, steering};

const BOTH: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::NET_ADMIN);

pub(crate) fn enough(_: &Lab) -> Outcome {
    lab::run_child("drop");
    Ok(())
}

pub(crate) fn named(_: &Lab) -> Outcome {
    lab::run_child("none");
    Ok(())
}

pub(crate) fn drop_and_go_on() {
    leave(BOTH);
    go_on("enough");
}

pub(crate) fn drop_all_and_go_on() {
    leave(CapabilitySet::empty());
    go_on("named");
}

/// Bounds what this thread and its children may ever have.
pub(crate) fn leave(left: CapabilitySet) {
    for capability in CapabilitySet::all().difference(left).iter() {
        // Younger kernels know more of them than older ones.
        let _ = remove_capability_from_bounding_set(capability);
    }
}

fn go_on(job: &str) {
    panic!(
        "{}",
        Command::new("/proc/self/exe").args([CHILD, job]).exec()
    );
}

/// With exactly both: everything runs, and goes on running without them.
pub(crate) fn child_with_both() {
    let effective = capabilities(None).unwrap().effective;
    assert_eq!(effective, BOTH, "{effective:?}");
    let settings = lab::settings();
    let mut kernel = Kernel::start(&settings).unwrap_or_else(|missing| panic!("{missing}"));
    let (probes, _) = lab::listen("127.0.0.1:0", "127.0.0.1");
    let (_data, steered) = lab::listen("127.0.0.1:0", "127.0.0.1");
    kernel.steers_to(&probes).unwrap();
    kernel.steers(steered.port()).unwrap();
    kernel.give_up_capabilities();
    println!(
        "all programs run with CAP_BPF and CAP_NET_ADMIN alone: {:?}",
        kernel.capabilities()
    );
    let left = capabilities(None).unwrap();
    assert_eq!(
        kernel.capabilities(),
        Some(&Capabilities::Dropped),
        "{left:?}"
    );
    assert!(
        left.effective.is_empty() && left.permitted.is_empty(),
        "{left:?}"
    );
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    kernel.listens_on(address.port()).unwrap();
    let (flows, accepts) = (kernel.flows().unwrap(), kernel.accepts().unwrap());
    let (stream, cookie) = lab::connect(&flows, address, 0);
    let accepted: TcpStream = listener.accept().unwrap().0;
    assert!(accepts.take(kernel::cookie(&accepted)).is_some());
    assert!(flows.connection(cookie).connect.is_some());
    assert_eq!(kernel.snapshot().unwrap().upstreams[0].connect.count(), 1);
    drop(stream);
    let from = "127.0.0.9".parse().unwrap();
    let _probe = steering::connect_here(from, steered, Duration::from_secs(5)).unwrap();
    let (probe, _) = probes.accept().unwrap();
    assert_eq!(probe.local_addr().unwrap(), steered);
    assert_eq!(kernel.snapshot().unwrap().probes_steered, Some(1));
    println!("and without any, maps are still read, shared and changed");
}

/// With neither: the proxy says so, and runs without unless it must not.
pub(crate) fn child_without() {
    let settings = Settings {
        upstreams: 1,
        required: true,
        ..Settings::default()
    };
    let settings = Settings {
        probe_sources: lab::settings().probe_sources,
        ..settings
    };
    let missing = Kernel::start(&settings).expect_err("no capabilities");
    assert_eq!(missing.0.len(), 3);
    println!("{missing}");
    let expected = ["CAP_BPF", "CAP_NET_ADMIN"].map(Reason::Capability);
    for (program, reasons) in &missing.0 {
        assert_eq!(reasons, &expected, "{program:?}");
    }
    let kernel = Kernel::start(&Settings {
        required: false,
        ..settings
    })
    .unwrap();
    assert!(kernel.flows().is_none() && kernel.accepts().is_none());
    assert_eq!(kernel.snapshot().unwrap(), kernel::Snapshot::default());
}
