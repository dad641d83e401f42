use super::*;

fn terms(requests: Option<Rate>, tokens: Option<Rate>, concurrent: Option<u32>) -> Arc<Terms> {
    let limits = ClientLimits {
        requests,
        tokens,
        concurrent,
        expected_output: 0,
        ..ClientLimits::default()
    };
    Quotas::new(None, "process").set("a", limits)
}

#[test]
fn a_refusal_takes_nothing() {
    let rate = |burst| Some(Rate::new(60, burst));
    let terms = terms(rate(3), rate(10), Some(2));
    let now = terms.quota.started;
    let six = terms.take_share(6, now, 1).unwrap();
    let exceeded = terms.take_share(6, now, 1).unwrap_err();
    assert_eq!(exceeded.limit, Limit::Tokens);
    assert_eq!(exceeded.retry_after, Duration::from_secs(2));
    terms.take_share(4, now, 1).unwrap();
    let exceeded = terms.take_share(0, now, 1).unwrap_err();
    assert_eq!(exceeded.limit, Limit::Concurrent);
    let state = terms.state(now);
    assert_eq!(state.requests.unwrap().1.remaining, 1);
    assert_eq!(state.tokens.unwrap().1.remaining, 0);
    assert_eq!(state.concurrent, Some((2, 2)));
    terms.settle(six, 1, None, now);
    assert_eq!(terms.state(now).tokens.unwrap().1.remaining, 5);
    let none = terms.take_share(0, now, 1).unwrap();
    terms.settle(none, 0, None, now);
    let exceeded = terms.take_share(0, now, 1).unwrap_err();
    assert_eq!(exceeded.limit, Limit::Requests);
    assert_eq!(terms.quota.in_flight(), 1);
    let refused = Limit::ALL.map(|limit| terms.quota.refused(limit));
    assert_eq!(refused, [1, 1, 1, 0, 0]);
}

#[test]
fn what_was_used_beyond_what_was_taken_is_owed() {
    let rate = Rate::new(60, 10);
    let terms = terms(None, Some(rate), None);
    let now = terms.quota.started;
    let five = terms.take_share(5, now, 1).unwrap();
    terms.settle(five, 25, None, now);
    let exceeded = terms.take_share(1, now, 1).unwrap_err();
    assert_eq!(exceeded.retry_after, Duration::from_secs(16));
}

#[test]
fn what_a_client_has_had_outlives_a_change_of_its_limits() {
    let quotas = Quotas::new(None, "process");
    let limits = |most| ClientLimits {
        concurrent: Some(most),
        ..ClientLimits::default()
    };
    let before = quotas.set("b", limits(2));
    let first = before.take_share(0, quotas.started, 1).unwrap();
    assert!(Arc::ptr_eq(&before, &quotas.set("b", limits(2))));
    let after = quotas.set("b", limits(1));
    let exceeded = after.take_share(0, quotas.started, 1).unwrap_err();
    assert_eq!(exceeded.limit, Limit::Concurrent);
    // One that began under other limits ends as any.
    before.settle(first, 0, None, quotas.started);
    after.take_share(0, quotas.started, 1).unwrap();
    quotas.set("a", limits(1));
    quotas.set("unlimited", ClientLimits::default());
    let all = quotas.all();
    let names: Vec<_> = all.iter().map(|terms| terms.quota.name()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn shares_together_are_the_whole() {
    let rate = Rate::new(600, 90);
    let quotas = [(); 3].map(|()| terms(Some(rate), None, Some(7)));
    let now = quotas[0].quota.started;
    // All have had a third of the burst, as all know.
    for terms in &quotas {
        terms
            .quota
            .adopt([Duration::from_secs(3), Duration::ZERO], 0, now);
    }
    let granted = quotas.each_ref().map(|terms| {
        let mut granted = 0;
        while let Ok(taken) = terms.take_share(0, now, 3) {
            terms.settle(taken, 0, None, now);
            granted += 1;
        }
        granted
    });
    assert_eq!(granted, [20; 3]);
    let limits = quotas[0].limits.share(3);
    assert_eq!(limits.concurrent, Some(2));
    assert_eq!(limits.share(1000).requests.unwrap().burst, 1);
}
