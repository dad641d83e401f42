//! What is dropped is counted, listed, and equals what the kernel has sent again.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::time::Duration;

use netlab::{Direction, Link, Loss, Path, or_skip};

use crate::traffic;

const BYTES: usize = 3_000_000;

/// A path that loses data on its way to the server only.
fn losing(loss: Loss) -> Option<Path> {
    let delay = Duration::from_millis(5);
    let link = Link {
        delay,
        loss,
        rate: None,
    };
    let builder = Path::builder().round_trip(2 * delay);
    let path = or_skip(builder.link(Direction::ToServer, link).start())?;
    // No tail loss probes: on a machine that stalls they are sent without a loss.
    let host = path.client();
    host.set_sysctl("net.ipv4.tcp_early_retrans", "0").unwrap();
    Some(path)
}

fn check(path: &Path) {
    let (client, server) = traffic::connect(path, path.server().ipv6().into());
    let (port, server_port) = (
        client.local_addr().unwrap().port(),
        server.local_addr().unwrap().port(),
    );
    traffic::send(&client, &server, BYTES);

    let kernel = traffic::retransmits(path.client(), client.local_addr().unwrap());
    let journal = path.journal();
    let flow = journal.flow(port);
    let lost = journal.counts(Direction::ToServer).lost;
    let seen = flow.retransmissions(Direction::ToServer);
    println!(
        "lost {lost}, sent again as seen {seen}, TCP_INFO {:?}, host {}",
        kernel.tcp_info, kernel.host
    );
    assert!(lost > 0);
    // All that was lost, by number.
    let dropped = flow.dropped(Direction::ToServer);
    assert_eq!(dropped.len() as u64, lost);
    assert_eq!(journal.dropped_to(server_port).count() as u64, lost);
    // Each was sent at least once more after its loss.
    let mut sent = HashMap::new();
    for (_, segment) in flow.packets(Direction::ToServer) {
        *sent.entry(segment.sequence).or_insert(0) += 1;
    }
    assert!(dropped.iter().all(|sequence| sent[sequence] > 1));
    // The journal and the kernel count the same retransmissions, needed or not.
    assert_eq!(kernel.host, seen);
    assert!(kernel.tcp_info.is_none_or(|count| count == seen));
    // And without reordering every one of them was needed.
    assert_eq!(seen, lost, "retransmissions that no loss explains");
    assert_eq!(path.overruns().unwrap(), 0);
}

#[test]
fn every_nth_segment_is_dropped_and_sent_again() {
    for nth in [20, 101] {
        let Some(path) = losing(Loss::Every(nth)) else {
            return;
        };
        check(&path);
        let journal = path.journal();
        let data = journal
            .records()
            .iter()
            .filter(|one| one.direction == Direction::ToServer && one.has_data());
        let lost = journal.counts(Direction::ToServer).lost;
        assert_eq!(lost, data.count() as u64 / nth, "exactly every {nth}th");
    }
}

#[test]
fn random_losses_are_counted_as_exactly() {
    let Some(path) = losing(Loss::Random {
        share: 0.01,
        seed: 1,
    }) else {
        return;
    };
    check(&path);
}

#[test]
fn a_path_without_losses_loses_nothing() {
    let Some(path) = losing(Loss::None) else {
        return;
    };
    let (client, server) = traffic::connect(&path, path.server().ipv4().into());
    traffic::send(&client, &server, BYTES);
    let local = client.local_addr().unwrap();
    assert_eq!(traffic::retransmits(path.client(), local).host, 0);
    let journal = path.journal();
    assert_eq!(journal.flow(local.port()).dropped(Direction::ToServer), []);
    let counts = journal.counts(Direction::ToServer);
    assert_eq!((counts.lost, counts.overflowed, counts.refused), (0, 0, 0));
}

#[test]
fn a_full_journal_still_counts() {
    let Some(path) = or_skip(Path::builder().records(10).start()) else {
        return;
    };
    let (client, server) = traffic::connect(&path, path.server().ipv4().into());
    traffic::send(&client, &server, 100_000);
    let journal = path.journal();
    let counts = journal.counts(Direction::ToServer);
    let kept = journal.records().iter();
    let kept = kept
        .filter(|one| one.direction == Direction::ToServer)
        .count() as u64;
    assert_eq!(kept, 10);
    assert_eq!(counts.unrecorded, counts.left - 10);
}

#[test]
fn a_cut_path_loses_everything_until_it_heals() {
    let Some(path) = losing(Loss::None) else {
        return;
    };
    let (mut client, mut server) = traffic::connect(&path, path.server().ipv4().into());
    path.cut(Direction::ToServer);
    client.write_all(b"x").unwrap();
    let lost = || path.journal().counts(Direction::ToServer).lost;
    // The segment, and one sent again.
    while lost() < 2 {
        std::thread::yield_now();
    }
    path.heal();
    server.read_exact(&mut [0]).unwrap();
    let lost = lost();
    traffic::send(&client, &server, 10_000);
    assert_eq!(path.journal().counts(Direction::ToServer).lost, lost);
    assert_eq!(path.journal().counts(Direction::ToClient).lost, 0);
}
