//! Tests of `script.rs`.

use super::*;

#[test]
fn checks_are_counted() {
    let mut outcome = Outcome::default();
    for line in [
        "ok   chat",
        "FAIL stream: 3 chunks",
        "Traceback",
        "ok   models",
    ] {
        count(line, &mut outcome);
    }
    assert_eq!((outcome.passed, outcome.failed), (2, 1));
}
