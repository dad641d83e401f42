use super::*;

/// A request to each of three endpoints every 30 ms, but to the bad one only when `uses` says so.
fn arrivals(uses: impl Fn(f64) -> bool) -> Vec<Arrival> {
    let mut all = Vec::new();
    for round in -50..200 {
        let at_ms = f64::from(round) * 30.0;
        let is_bad = uses(at_ms);
        for is_bad in [false, is_bad, false] {
            all.push(Arrival { at_ms, is_bad });
        }
    }
    all
}

const SPAN: Span = Span {
    begin_ms: -1000.0,
    healed_ms: 2000.0,
    heals: true,
    end_ms: 5000.0,
};

fn figures(observed: &Observed) -> Figures {
    Figures::of(observed, SPAN)
}

#[test]
fn times_until_it_is_left_alone_and_used_again() {
    let observed = Observed {
        arrivals: arrivals(|at| !(310.0..=3000.0).contains(&at)),
        ..Observed::default()
    };
    let figures = figures(&observed);
    let left_alone = figures.left_alone_ms.unwrap();
    // Two more in half a second are less than a twentieth.
    assert!((left_alone - 240.0).abs() < 0.1, "{left_alone}");
    // A window in which it gets a quarter of all begins before it gets a third.
    let again = figures.used_again_ms.unwrap();
    assert!((900.0..=1030.0).contains(&again), "{again}");
    assert_eq!(figures.shares.len(), 22);
    let third = figures.shares[0].unwrap();
    assert!((third - 1.0 / 3.0).abs() < 0.01, "{third}");
    assert_eq!(figures.shares[6], Some(0.0));
}

#[test]
fn what_does_not_happen_has_no_time() {
    let always = Observed {
        arrivals: arrivals(|_| true),
        ..Observed::default()
    };
    let used = figures(&always);
    assert_eq!(used.left_alone_ms, None);
    assert_eq!(used.used_again_ms, Some(0.0));
    let never = Observed {
        arrivals: arrivals(|at| at < 0.0),
        ..Observed::default()
    };
    let figures = figures(&never);
    assert_eq!(
        (figures.left_alone_ms, figures.used_again_ms),
        (Some(0.0), None)
    );
}

#[test]
fn failures_are_told_by_whether_they_cost_something() {
    let answer = |id: &str, at_ms, first_byte_ms| Answered {
        id: id.to_owned(),
        at_ms,
        first_byte_ms,
    };
    let failed = || Err("status 502".to_owned());
    let observed = Observed {
        answers: vec![
            answer("early", -2000.0, failed()),
            answer("good", -1.0, Ok(26.0)),
            answer("billed", 1.0, failed()),
            answer("free", 2.0, failed()),
            answer("late", 2500.0, Ok(30.0)),
        ],
        billed: ["good", "billed", "late", "late"]
            .map(str::to_owned)
            .to_vec(),
        ..Observed::default()
    };
    let figures = figures(&observed);
    assert_eq!(
        (figures.requests, figures.failed, figures.unbilled),
        (4, 2, 1)
    );
    assert_eq!(figures.billed_twice, 1);
    assert_eq!(figures.reasons, [("status 502".to_owned(), 2)]);
    let parts = [&figures.before, &figures.during, &figures.after];
    assert_eq!(parts.map(|part| part.took_ms.len()), [1, 0, 1]);
}
