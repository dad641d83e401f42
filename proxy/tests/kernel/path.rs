//! Over an emulated path, whose delays and losses its own journal has noted packet by packet.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

use holysheep_proxy::kernel::{FlowTable, Sent, TcpInfo, now_ns};
use netlab::{Direction, Path};

use crate::Outcome;
use crate::lab::{self, Lab};

/// In milliseconds. Where the processor is emulated, waking the relay takes so long that the shortest says nothing.
fn round_trips() -> &'static [u64] {
    if lab::is_emulated() {
        &[30, 100]
    } else {
        &[5, 30, 100]
    }
}

/// For each round trip and family; the median counts, so that an interrupt between two moments is no failure.
const CONNECTIONS: usize = 9;

/// Every so many data segments one is lost.
const NTH: u64 = 7;

/// The path, or what this machine lacks for one.
pub(crate) fn start(builder: netlab::Builder) -> Result<Path, String> {
    builder.start().map_err(|error| {
        assert!(error.is_lack(), "{error}");
        error.to_string()
    })
}

/// A registered connection along the path, and its other end.
fn connect(path: &Path, flows: &FlowTable, to: IpAddr) -> (TcpStream, u64, TcpStream) {
    let listener = path.server().run(|| TcpListener::bind((to, 0)));
    let listener = listener.unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let (stream, cookie) = path
        .client()
        .run(|| lab::connect(flows, address, 0))
        .unwrap();
    let peer = listener.accept().unwrap().0;
    peer.set_nodelay(true).unwrap();
    (stream, cookie, peer)
}

pub(crate) fn delays(lab: &Lab) -> Outcome {
    for &millis in round_trips() {
        let round_trip = Duration::from_millis(millis);
        let path = start(Path::builder().round_trip(round_trip))?;
        for to in path.server().addresses() {
            let kernel = lab.kernel();
            let flows = kernel.flows().unwrap();
            let (mut connects, mut first_bytes) = (Vec::new(), Vec::new());
            for _ in 0..CONNECTIONS {
                let (mut stream, cookie, mut peer) = connect(&path, &flows, to);
                flows.begin(cookie);
                let before_ns = now_ns();
                stream.write_all(b"r").unwrap();
                let after_ns = now_ns();
                peer.read_exact(&mut [0]).unwrap();
                peer.write_all(b"a").unwrap();
                stream.read_exact(&mut [0]).unwrap();
                let sent = Sent {
                    before_ns,
                    after_ns,
                };
                let ours = flows.timeline(cookie, Some(sent), 0, now_ns());
                let passed = path.journal().flow(stream.local_addr().unwrap().port());
                let request = passed.data(Direction::ToServer, Duration::ZERO).unwrap();
                let answer = passed.data(Direction::ToClient, Duration::ZERO).unwrap();
                let first_byte = answer.left().unwrap() - request.came;
                let add = |values: &mut Vec<_>, ours: Option<Duration>, theirs: Duration| {
                    let ours = ours.unwrap();
                    values.push((ours.abs_diff(theirs), ours, theirs));
                };
                add(
                    &mut connects,
                    ours.connect,
                    passed.syn_round_trip().unwrap(),
                );
                match ours.first_byte {
                    Some(_) => add(&mut first_bytes, ours.first_byte, first_byte),
                    // Writing took too long to say when the request left.
                    None => assert!(
                        lab::between(before_ns, after_ns) / 2
                            > Duration::from_micros(50) + first_byte / 100
                    ),
                }
            }
            assert_eq!(path.overruns().unwrap(), 0);
            let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
            assert!(lab::is_emulated() || first_bytes.len() > CONNECTIONS / 2);
            for (what, values) in [("connect", connects), ("first byte", first_bytes)] {
                if values.is_empty() {
                    println!("  {millis:>3} ms {family} {what} unknown: writing took too long");
                    continue;
                }
                let name = format!("{millis:>3} ms {family} {what:<10}");
                let (_, theirs) = lab::agree(&name, "the path", values);
                assert!(theirs >= round_trip, "{theirs:?}");
            }
        }
    }
    Ok(())
}

pub(crate) fn losses(lab: &Lab) -> Outcome {
    let round_trip = Duration::from_millis(5);
    let path = start(Path::builder().round_trip(round_trip).drop_every(NTH))?;
    for to in path.server().addresses() {
        let kernel = lab.kernel();
        let flows = kernel.flows().unwrap();
        let (mut stream, cookie, mut peer) = connect(&path, &flows, to);
        let port = stream.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let mut request = vec![0; REQUEST];
            while peer.read_exact(&mut request).is_ok() {
                peer.write_all(b"a").unwrap();
            }
        });
        let mut counted = 0;
        for _ in 0..REQUESTS {
            flows.begin(cookie);
            stream.write_all(&vec![7; REQUEST]).unwrap();
            stream.read_exact(&mut [0]).unwrap();
            counted += u64::from(flows.connection(cookie).retransmits.unwrap());
        }
        let told = u64::from(TcpInfo::of(&stream).unwrap().total_retransmits);
        let passed = path.journal().flow(port);
        drop(stream);
        server.join().unwrap();
        let again = passed.retransmissions(Direction::ToServer);
        let lost = passed.dropped(Direction::ToServer).len() as u64;
        lab::eventually("the connection's end is seen", || flows.occupied() == 0);
        let total = kernel.snapshot().unwrap().upstreams[0].retransmits;
        let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
        println!(
            "  {family}: {lost} segments lost, {again} sent again on the path; counted in {REQUESTS} requests {counted}, \
             in all {total}; TCP_INFO {told}"
        );
        assert!(lost > 0, "nothing was lost");
        assert_eq!((counted, total, told), (again, again, again));
    }
    Ok(())
}

const REQUESTS: usize = 40;
const REQUEST: usize = 20_000;
