//! Tests of `events.rs`.

use super::*;

/// The data of each event of `stream` that comes in pieces of `step` bytes; `DONE` where that is it.
fn events(stream: &str, step: usize) -> Vec<String> {
    let mut events = Events::default();
    let (mut all, mut event) = (Vec::new(), String::new());
    for piece in stream.as_bytes().chunks(step) {
        events.feed(piece, |line| match line {
            Line::Data(data) => event.push_str(std::str::from_utf8(data).unwrap()),
            Line::Done => event = "DONE".to_owned(),
            Line::EventEnd => all.push(std::mem::take(&mut event).trim().to_owned()),
        });
    }
    all
}

#[track_caller]
fn assert_events(stream: &str, expected: &[&str]) {
    for end in ["\n", "\r", "\r\n"] {
        let stream = stream.replace('\n', end);
        for step in 1..=stream.len() {
            assert_eq!(events(&stream, step), expected, "{stream:?} by {step}");
        }
    }
}

#[test]
fn data_of_events_at_every_cut_and_with_every_line_end() {
    assert_events("data: a\n\ndata:b\n\n", &["a", "b"]);
    assert_events("event: x\nid: 1\ndata: a\ndata: b\n\n", &["a\n b"]);
}

#[test]
fn what_is_no_data_is_passed_over() {
    assert_events(": keep-alive\n\ndata: a\n\n", &["", "a"]);
    assert_events("\n\n\ndata: a\n\n\n\n", &["a"]);
    assert_events("dat: x\ndatas: y\nDATA: z\ndata\ndata: a\n\n", &["a"]);
    assert_events("data: a", &[]);
}

#[test]
fn the_end_of_the_stream_is_told() {
    assert_events("data: [DONE]\n\n", &["DONE"]);
    assert_events("data:[DONE]\n\n", &["DONE"]);
    assert_events(
        "data: [DONE] \n\ndata: [DON\n\ndata: x[DONE]\n\n",
        &["[DONE]", "[DON", "x[DONE]"],
    );
}
