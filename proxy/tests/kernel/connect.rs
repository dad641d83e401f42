//! Connect times and round trips against `TCP_INFO` of the same socket.

use std::time::Duration;

use holysheep_proxy::kernel::TcpInfo;

use crate::Outcome;
use crate::lab::{self, FAMILIES, Lab};

/// Connections for each family; single ones are disturbed by whatever else the machine does.
const CONNECTIONS: usize = 15;
const PINGS: usize = 40;

pub(crate) fn agree(lab: &Lab) -> Outcome {
    for (family, bind, to) in FAMILIES {
        let kernel = lab.kernel();
        let flows = kernel.flows().unwrap();
        let mut connects = Vec::new();
        let mut round_trips = Vec::new();
        for _ in 0..CONNECTIONS {
            let (listener, address) = lab::listen(bind, to);
            let peer = lab::echo(listener);
            let (mut stream, cookie) = lab::connect(&flows, address, 0);
            // Nothing but the handshake has been measured so far.
            let handshake = Duration::from_micros(TcpInfo::of(&stream).unwrap().rtt_us.into());
            let ours = flows.connection(cookie).connect.expect("a connect time");
            connects.push((ours.abs_diff(handshake), ours, handshake));
            let mut previous = handshake;
            for _ in 0..PINGS {
                lab::ping(&mut stream);
                let theirs = Duration::from_micros(TcpInfo::of(&stream).unwrap().rtt_us.into());
                let ours = flows.connection(cookie).rtt.expect("a round trip");
                // Before 6.10 a program is told the estimate before the one just made.
                let difference = ours.abs_diff(theirs).min(ours.abs_diff(previous));
                round_trips.push((difference, ours, theirs));
                previous = theirs;
            }
            drop(stream);
            peer.join().unwrap();
        }
        lab::agree(&format!("{family:<9} connect"), "TCP_INFO", connects);
        lab::agree(&format!("{family:<9} rtt"), "TCP_INFO", round_trips);
        let snapshot = kernel.snapshot().unwrap();
        let first = snapshot.upstreams[0];
        assert_eq!(first.connect.count(), CONNECTIONS as u64);
        assert_eq!(first.connect_failures, 0);
        assert!(first.rtt.count() >= CONNECTIONS as u64, "{first:?}");
        // What the histograms say of themselves has to fit together.
        let (sum, last) = (first.connect.sum_seconds(), first.connect.buckets()[23]);
        assert!(sum > 0.0 && sum < 1.0 && last.1 == 0, "{first:?}");
    }
    Ok(())
}

pub(crate) fn slots(lab: &Lab) -> Outcome {
    let kernel = lab.kernel();
    let flows = kernel.flows().unwrap();
    for (upstream, connections) in [(0, 1), (1, 2), (2, 3), (usize::MAX, 1)] {
        for _ in 0..connections {
            let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
            let peer = lab::echo(listener);
            lab::ping(&mut lab::connect(&flows, address, upstream).0);
            peer.join().unwrap();
        }
    }
    // One that nobody registered is nobody's.
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    std::net::TcpStream::connect(address).unwrap();
    drop(listener);
    let upstreams = kernel.snapshot().unwrap().upstreams;
    let counts: Vec<_> = upstreams.iter().map(|one| one.connect.count()).collect();
    assert_eq!(counts, [1, 2, 4], "the last is all others together");
    lab::eventually("every record is free again", || flows.occupied() == 0);
    Ok(())
}
