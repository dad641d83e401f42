//! Tests of `omission.rs`.

use super::*;

/// What is passed on of `body` that comes in pieces of `step` bytes.
fn passed(body: &[u8], step: usize) -> String {
    let (mut omission, mut observed) = (Omission::default(), Observation::new(true));
    let mut out = Vec::new();
    for piece in body.chunks(step) {
        omission.pass(piece, &mut observed, |data| out.extend_from_slice(data));
    }
    omission.finish(|data| out.extend_from_slice(data));
    String::from_utf8(out).unwrap()
}

const TEXT: &str =
    r#"data: {"id":"a","choices":[{"index":0,"delta":{"content":"x"}}],"usage":null}"#;
const USAGE: &str =
    r#"data: {"id":"a","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
const FILTERED: &str = r#"data: {"id":"","choices":[],"prompt_filter_results":[{}]}"#;
const BOTH: &str = r#"data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}"#;

#[test]
fn the_event_of_usage_is_left_out_and_nothing_else_at_every_cut() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = |events: &[&str]| {
            let events = events.iter().map(|event| format!("{event}{end}{end}"));
            events.collect::<String>()
        };
        let all = [
            FILTERED,
            ": a comment",
            TEXT,
            BOTH,
            USAGE,
            TEXT,
            "data: [DONE]",
        ];
        let expected = [FILTERED, ": a comment", TEXT, BOTH, TEXT, "data: [DONE]"];
        let (all, expected) = (stream(&all), stream(&expected));
        for step in 1..=all.len() {
            assert_eq!(passed(all.as_bytes(), step), expected, "{end:?} by {step}");
        }
    }
}

#[test]
fn what_does_not_end_is_passed_on() {
    let cut = format!("{TEXT}\n\n{}", &USAGE[..USAGE.len() - 5]);
    for step in [1, 7, cut.len()] {
        assert_eq!(passed(cut.as_bytes(), step), cut);
    }
}

#[test]
fn an_event_is_passed_on_when_it_is_known_to_be_another() {
    let (mut omission, mut observed) = (Omission::default(), Observation::new(true));
    let mut out = Vec::new();
    let known = TEXT.find("[{").unwrap() + 2;
    let (first, second) = TEXT.as_bytes().split_at(known);
    omission.pass(first, &mut observed, |data| out.extend_from_slice(data));
    assert_eq!(out, first);
    omission.pass(second, &mut observed, |data| out.extend_from_slice(data));
    assert_eq!(out, TEXT.as_bytes());
}

#[test]
fn an_event_that_is_too_long_is_passed_on() {
    let long = format!(
        "data: {{\"x\":\"{}\",{}\n\n",
        "y".repeat(2 * HELD),
        &USAGE[7..]
    );
    assert_eq!(passed(long.as_bytes(), 1000), long);
    let (mut omission, mut observed) = (Omission::default(), Observation::new(true));
    let mut count = 0;
    for piece in long.as_bytes()[..HELD + 2000].chunks(1000) {
        omission.pass(piece, &mut observed, |data| count += data.len());
        assert!(omission.held.len() <= HELD);
    }
    assert!(count > 0);
}
