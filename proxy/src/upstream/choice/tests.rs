//! Tests of `choice.rs`.

use super::*;

fn local() -> Rc<Local> {
    let all = Arc::new(Endpoints::new(1));
    let endpoint = all.adopt(&["127.0.0.1:1".parse().unwrap()]).remove(0);
    Local::new(endpoint, &all, &Arc::default(), (0, 0))
}

#[test]
fn a_slow_endpoint_is_dearer_until_nothing_was_heard_of_it_for_a_while() {
    let (slow, fast, now) = (local(), local(), Instant::now());
    slow.answered(Duration::from_millis(400), now);
    fast.answered(Duration::from_millis(20), now);
    assert!(slow.cost(now, false) > 10.0 * fast.cost(now, false));
    let later = now + Duration::from_secs(10);
    fast.answered(Duration::from_millis(20), later);
    assert!(slow.cost(later, false) < fast.cost(later, false));
    // But not while it has a request that it does not answer.
    slow.load().begin();
    assert!(slow.cost(later, false) > 10.0 * fast.cost(later, false));
}

#[test]
fn one_late_answer_does_not_spoil_the_average() {
    let (local, now) = (local(), Instant::now());
    local.answered(Duration::from_millis(20), now);
    local.answered(Duration::from_secs(7), now + Duration::from_secs(3));
    assert!(local.load().first_byte() < 60_000);
    // Many do.
    for _ in 0..100 {
        local.answered(Duration::from_secs(7), now + Duration::from_secs(3));
    }
    assert!(local.load().first_byte() > 1_000_000);
}

#[test]
fn failures_make_dearer_for_a_moment() {
    let (failing, other, now) = (local(), local(), Instant::now());
    for local in [&failing, &other] {
        local.answered(Duration::from_millis(20), now);
    }
    let limits = crate::upstream::circuit::Limits {
        failures: 100,
        pause: Duration::from_secs(1),
        max_pause: Duration::from_secs(1),
    };
    failing.failed(&limits, now);
    assert!(failing.cost(now, false) > 4.0 * other.cost(now, false));
    let later = now + Duration::from_secs(4);
    assert!(failing.cost(later, false) < 2.0 * other.cost(later, false));
}

#[test]
fn what_the_kernel_sees_makes_dearer_within_bounds() {
    let (near, far, now) = (local(), local(), Instant::now());
    let ms = Duration::from_millis;
    for local in [&near, &far] {
        local.answered(ms(100), now);
    }
    let view = |rtt, retransmits| EndpointView {
        rtt: Some(ms(rtt)),
        retransmits,
        ..EndpointView::default()
    };
    near.look(&view(5, 0), ms(5));
    far.look(&view(80, 0), ms(5));
    let ratio = far.cost(now, false) / near.cost(now, false);
    assert!((3.9..4.1).contains(&ratio), "{ratio}");
    far.look(&view(80, 1000), ms(5));
    let ratio = far.cost(now, false) / near.cost(now, false);
    assert!((7.9..8.1).contains(&ratio), "{ratio}");
    // Nothing new, again and again: it is forgotten.
    for _ in 0..10 {
        far.look(&view(5, 1000), ms(5));
    }
    let ratio = far.cost(now, false) / near.cost(now, false);
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
}

#[test]
fn an_endpoint_that_acknowledges_nothing_is_gone() {
    let view = EndpointView {
        unanswered: 3,
        since_acked: Some(Duration::from_secs(1)),
        since_lost: Some(Duration::from_millis(10)),
        ..EndpointView::default()
    };
    assert!(local().look(&view, Duration::ZERO));
    let acked = EndpointView {
        since_acked: Some(Duration::from_millis(1)),
        ..view
    };
    assert!(!local().look(&acked, Duration::ZERO));
    let few = EndpointView {
        unanswered: 2,
        ..view
    };
    assert!(!local().look(&few, Duration::ZERO));
}

#[test]
fn what_was_sent_before_the_last_sign_of_life_may_have_been_received() {
    let (local, start) = (local(), Instant::now());
    let at = |millis| start + Duration::from_millis(millis);
    for millis in (0..=1000).step_by(100) {
        local.hears(at(millis));
    }
    assert!(local.may_have_received(at(990)));
    assert!(local.may_have_received(at(600)));
    assert!(
        local.may_have_received(at(1050)),
        "it was there a moment before"
    );
    assert!(
        !local.may_have_received(at(1100)),
        "nothing came for a while"
    );
    // It went on for so long that only the request's own connection can be dead.
    assert!(!local.may_have_received(at(450)));
    // Back from a silence: what was sent before may have been received before that.
    local.hears(at(3000));
    local.hears(at(3100));
    for sent in [450, 990, 1000, 2999, 3050] {
        assert!(local.may_have_received(at(sent)), "{sent}");
    }
    assert!(!local.may_have_received(at(3200)));
}
