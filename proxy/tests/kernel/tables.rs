//! Tables whose places run out: nothing is mixed up, everything lost is counted.

use std::net::TcpStream;
use std::time::Duration;

use holysheep_proxy::kernel::{Kernel, Timeline, cookie};
use proxy_common::{ACCEPT_RECORDS, NO_ENDPOINT, accept_index};
use socket2::SockRef;

use crate::Outcome;
use crate::lab::{self, Lab};

/// More sockets than it takes to come round to the same record, even if some cookies go to others.
const SOCKETS: u32 = 200_000;

fn dropped(kernel: &Kernel, reason: &str) -> u64 {
    let dropped = kernel.snapshot().unwrap().dropped;
    dropped.iter().find(|(name, _)| *name == reason).unwrap().1
}

pub(crate) fn collision(lab: &Lab) -> Outcome {
    let kernel = lab.kernel();
    let flows = kernel.flows().unwrap();
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    let peer = lab::echo(listener);
    let (mut first, cookie) = lab::connect(&flows, address, 0);
    lab::ping(&mut first);
    assert!(flows.connection(cookie).connect.is_some());
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    let other_peer = lab::echo(listener);
    let (socket, other) = (0..SOCKETS)
        .map(|_| lab::socket(address))
        .find(|(_, other)| flows.is_taken(*other))
        .expect("a socket with the same record");
    flows.register(other, 1, 0, NO_ENDPOINT);
    socket.connect(&address.into()).unwrap();
    let mut second: TcpStream = socket.into();
    for _ in 0..20 {
        lab::ping(&mut first);
        lab::ping(&mut second);
    }
    println!("  sockets {cookie} and {other} have the same record");
    assert_eq!(flows.connection(cookie), Timeline::default());
    let newer = flows.connection(other);
    assert!(newer.connect.is_some() && newer.rtt.is_some(), "{newer:?}");
    assert_eq!(dropped(&kernel, "flow_evicted"), 1);
    let upstreams = kernel.snapshot().unwrap().upstreams;
    let counts: Vec<_> = upstreams.iter().map(|one| one.connect.count()).collect();
    assert_eq!(counts, [1, 1, 0]);
    drop((first, second));
    peer.join().unwrap();
    other_peer.join().unwrap();
    lab::eventually("the record is free again", || flows.occupied() == 0);
    Ok(())
}

pub(crate) fn overwritten(lab: &Lab) -> Outcome {
    let mut kernel = lab.kernel();
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    kernel.listens_on(address.port()).unwrap();
    let mut connections = 0;
    let mut sockets = 0;
    let connect = || {
        let client = TcpStream::connect(address).unwrap();
        // Accepted, but nobody asks how long it has waited. Reset, so that ports do not run out.
        SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        cookie(&listener.accept().unwrap().0)
    };
    let first = connect();
    loop {
        assert!(
            sockets < 10 * SOCKETS,
            "records are overwritten without being counted"
        );
        // Sockets that are never connected use up cookies until it is nearly the first one's turn again.
        let (_, cookie) = lab::socket(address);
        sockets += 1;
        let ahead = accept_index(first).wrapping_sub(accept_index(cookie)) % ACCEPT_RECORDS;
        if (1..16).contains(&ahead) {
            connect();
            connections += 1;
            // Only connections are counted, and a snapshot looks at every record: not once for each socket.
            if dropped(&kernel, "accept_overwritten") > 0 {
                break;
            }
        }
    }
    let snapshot = kernel.snapshot().unwrap();
    let (_, used, of) = snapshot.maps[1];
    println!(
        "  overwritten by one of {connections} connections, {sockets} sockets later; {used} of {of} in use"
    );
    assert!(used > 0 && used <= of);
    Ok(())
}
