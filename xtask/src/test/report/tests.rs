//! Tests of `report.rs`.

use super::*;

fn row(name: &'static str, outcome: Outcome) -> Row {
    Row {
        name,
        outcome: outcome.or_remedy("mend it"),
        time: Duration::from_millis(1500),
    }
}

#[test]
fn the_closing_line_stands_alone_and_sums_up() {
    let mut tests = Outcome::passed(41);
    tests.fail("one test".to_owned());
    let skipped = Outcome::skipped("offline\nfor long".to_owned());
    let text = render(&[row("test", tests), row("advisories", skipped)]);
    assert!(
        text.lines()
            .any(|line| line == "41 passed, 1 failed, 1 skipped"),
        "{text}"
    );
    assert!(
        text.contains("test        FAILED      1.5 s  41 passed, 1 failed\n"),
        "{text}"
    );
    assert!(text.contains("- offline\n"), "{text}");
    assert!(
        text.ends_with("What to do next:\n  test: mend it\n"),
        "{text}"
    );
}

#[test]
fn skipping_is_not_called_well() {
    let rows = [
        row("fmt", Outcome::passed(1)),
        row("sdk", Outcome::skipped("x".to_owned())),
    ];
    assert!(render(&rows).contains("NOT checked"));
    assert!(render(&rows[..1]).contains("nothing was skipped"));
}
