//! Tests of `open_loop.rs`.

use super::*;
use crate::upstream::acceptor;
use crate::upstream::hosted::{Notes, Upstream};

/// Upstream on loopback, for as long as it is kept.
struct Far {
    _upstream: Upstream,
    target: Target,
    notes: Notes,
}

/// Its certificate authority is in a file of this test's own until both sides have read it.
fn far(test: &str) -> Far {
    let file = format!("holysheep-bench-{}-{test}.pem", std::process::id());
    let ca = std::env::temp_dir().join(file);
    let acceptor = acceptor(&ca, &["localhost"]).unwrap();
    let upstream = Upstream::start(acceptor, Duration::ZERO).unwrap();
    let (address, notes) = upstream.listen_here().unwrap();
    let target = Target::tls(address, &ca).unwrap();
    std::fs::remove_file(ca).unwrap();
    Far {
        target,
        _upstream: upstream,
        notes,
    }
}

fn shot(number: usize, think: Duration) -> Shot {
    Shot {
        at: Duration::ZERO,
        think: Some(think),
        number: Some(number),
    }
}

#[tokio::test(flavor = "local")]
async fn what_waits_for_a_connection_is_counted_from_when_it_was_due() {
    let far = far("due");
    let clients = Clients::open(&far.target, None, 1).await.unwrap();
    let think = Duration::from_millis(20);
    let shots = [shot(0, think), shot(1, think), shot(2, think)];
    clients.play(&shots, 0).await.unwrap();
    let results = clients.take();
    assert_eq!((results.errors, results.queued), (0, 2));
    assert_eq!(results.late_us.len(), 3);
    for (number, took) in results.latencies {
        let least = think * u32::try_from(number + 1).unwrap();
        assert!(took >= least, "request {number} took {took:?}");
    }
    let seen = far.notes.take_all();
    assert_eq!(seen.iter().filter(|one| one.number == 1).count(), 1);
    assert_eq!(seen.len(), 3);
}

#[tokio::test(flavor = "local")]
async fn what_does_not_count_is_sent_and_left_out() {
    let far = far("counts");
    let clients = Clients::open(&far.target, None, 4).await.unwrap();
    let mut shots = vec![shot(0, Duration::ZERO)];
    shots.extend(super::super::schedule::burst(8, None));
    clients.play(&shots, 0).await.unwrap();
    let results = clients.take();
    assert_eq!((results.latencies.len(), results.errors), (1, 0));
    assert_eq!(far.notes.take_all().len(), 9);
    assert!(clients.take().latencies.is_empty());
}
