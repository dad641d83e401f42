//! Tests of `cargo.rs`.

use super::*;

fn count(lines: &[&str]) -> (usize, usize, usize) {
    let mut tests = Tests::default();
    lines.iter().for_each(|line| tests.line(line));
    let Outcome {
        passed,
        failed,
        skipped,
        ..
    } = tests.outcome;
    (passed, failed, skipped)
}

#[test]
fn results_of_several_programs_add_up() {
    let counted = count(&[
        "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        "test some::thing ... ok",
        "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.23s",
    ]);
    assert_eq!(counted, (7, 2, 1));
}

#[test]
fn a_test_that_says_it_cannot_run_has_not_passed() {
    let counted = count(&[
        "SKIPPED: delay::late: no TUN device",
        "SKIPPED: delay::late: no TUN device",
        "test delay::late ... ok",
        "test result: ok. 3 passed; 0 failed; 0 ignored",
        "test result: ok. 3 passed; 0 failed; 0 ignored",
    ]);
    assert_eq!(counted, (5, 0, 1));
}
