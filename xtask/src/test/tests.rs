//! Tests of `test.rs`.

use super::*;

#[test]
fn every_needed_tool_exists() {
    let known = |name: &&str| tools::ALL.iter().any(|tool| tool.name == *name);
    assert!(STEPS.iter().all(|step| step.needs.iter().all(known)));
}

#[test]
fn a_missing_tool_fails_or_skips_the_steps_that_need_it() {
    let lack = |name: &str| Lack {
        tool: tools::ALL.iter().find(|tool| tool.name == name).unwrap(),
        reason: "offline".to_owned(),
    };
    let missing = [lack("cargo-deny"), lack("python-sdks")];
    let outcome = |name: &str| {
        let step = STEPS.iter().find(|step| step.name == name).unwrap();
        blocked(step, &missing).map(|outcome| (outcome.failed, outcome.skipped))
    };
    assert_eq!(outcome("fmt"), None);
    assert_eq!(outcome("deny"), Some((1, 0)));
    assert_eq!(outcome("sdk"), Some((0, 1)));
}

#[test]
fn steps_are_chosen_by_name() {
    let options = Options {
        only: vec!["fmt".to_owned(), "deny".to_owned()],
        skip: vec!["deny".to_owned()],
    };
    let chosen = STEPS.iter().filter(|step| options.wants(step.name));
    assert_eq!(chosen.map(|step| step.name).collect::<Vec<_>>(), ["fmt"]);
}
