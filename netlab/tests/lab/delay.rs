//! Packets are as late as they are told to be, and the journal's times are those of the kernel.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use netlab::{Direction, Path, now, or_skip};

use crate::traffic;

const ROUND_TRIPS: [u64; 4] = [1, 5, 30, 100];

/// Requests and answers over each path, fewer over long ones.
const TURNS: usize = 100;

/// The most that a path's turns may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How late the median packet may be; the issue that asked for the lab allows measurements 50 µs.
const MEDIAN: Duration = Duration::from_micros(50);

#[test]
fn packets_leave_when_they_are_due() {
    for milliseconds in ROUND_TRIPS {
        let round_trip = Duration::from_millis(milliseconds);
        let Some(path) = or_skip(Path::builder().round_trip(round_trip).start()) else {
            return;
        };
        let (client, server) = traffic::connect(&path, path.server().ipv4().into());
        let fitting = PATIENCE.as_millis() / round_trip.as_millis();
        for _ in 0..fitting.min(TURNS as u128) {
            turn(&client, &server);
        }
        let journal = path.journal();
        for direction in [Direction::ToServer, Direction::ToClient] {
            let lateness = journal.lateness(direction);
            assert!(lateness.len() > 30);
            let [p50, p99] = [50, 99].map(|percent| lateness[lateness.len() * percent / 100]);
            let worst = lateness[lateness.len() - 1];
            println!(
                "{milliseconds} ms {direction}: late by p50 {p50:?} p99 {p99:?} max {worst:?}"
            );
            assert!(p50 < MEDIAN, "the median packet is late by {p50:?}");
        }
        for record in journal.records() {
            let left = record.left().unwrap();
            assert!(left >= record.came + round_trip / 2, "{record:?} is early");
        }
    }
}

/// What the kernel's own clock says of `connect()` is the journal's round trip and the ways to and from the device.
#[test]
fn the_journal_knows_the_handshake_the_client_saw() {
    let Some(path) = or_skip(Path::builder().round_trip(Duration::from_millis(5)).start()) else {
        return;
    };
    let (mut to_relay, mut from_relay) = (Vec::new(), Vec::new());
    for address in path.server().addresses() {
        let listen = || std::net::TcpListener::bind((address, 0)).unwrap();
        let listener = path.server().run(listen).unwrap();
        let target = listener.local_addr().unwrap();
        for _ in 0..TURNS {
            let connect = || {
                let before = now();
                let stream = TcpStream::connect(target).unwrap();
                (before, stream, now())
            };
            let (before, stream, after) = path.client().run(connect).unwrap();
            let flow = path.journal().flow(stream.local_addr().unwrap().port());
            let seen = flow.syn_round_trip().unwrap();
            assert!(seen >= Duration::from_millis(5));
            let syn = flow.packets(Direction::ToServer).next().unwrap().0.came;
            let answer = flow.packets(Direction::ToClient).next().unwrap().0;
            assert!(before < syn && answer.left().unwrap() < after);
            to_relay.push(syn - before);
            from_relay.push(after - answer.left().unwrap());
        }
    }
    for (what, mut times) in [("to", to_relay), ("from", from_relay)] {
        times.sort_unstable();
        let [p50, p99] = [50, 99].map(|percent| times[times.len() * percent / 100]);
        println!("connect(): {what} the relay p50 {p50:?} p99 {p99:?}");
    }
}

fn turn(mut client: &TcpStream, mut server: &TcpStream) {
    client.write_all(b"?").unwrap();
    server.read_exact(&mut [0]).unwrap();
    server.write_all(b"!").unwrap();
    client.read_exact(&mut [0]).unwrap();
}
