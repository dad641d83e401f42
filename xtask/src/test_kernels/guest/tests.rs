//! Tests of `guest.rs`.

use super::*;

fn read(lines: &[&str]) -> Report {
    let mut reading = Reading::default();
    for line in lines {
        reading.line(line, Duration::from_secs(3));
    }
    reading.end(&[])
}

#[test]
fn a_guest_that_comes_to_its_end_has_passed() {
    let report = read(&[
        "@@ kernel 6.1.0-56-cloud-amd64",
        "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        "@@ suite kernel 0",
        "@@ end",
    ]);
    assert_eq!(report.release.as_deref(), Some("6.1.0-56-cloud-amd64"));
    assert_eq!(report.booted, Some(Duration::from_secs(3)));
    assert_eq!((report.outcome.passed, report.outcome.failed), (3, 0));
}

#[test]
fn a_panic_a_kill_and_a_crash_have_not() {
    assert_eq!(read(&["Kernel panic - not syncing"]).outcome.failed, 1);
    assert_eq!(read(&["@@ suite kernel 137", "@@ end"]).outcome.failed, 1);
    assert_eq!(read(&["@@ suite kernel 101", "@@ end"]).outcome.failed, 1);
}
