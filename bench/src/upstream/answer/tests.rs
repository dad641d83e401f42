//! Tests of `answer.rs`.

use super::*;

#[test]
fn completion_is_about_a_kilobyte_of_json() {
    assert!(
        (900..1200).contains(&COMPLETION_LENGTH),
        "{COMPLETION_LENGTH}"
    );
    serde_json::from_str::<serde_json::Value>(COMPLETION).unwrap();
}

#[test]
fn answer_carries_its_length() {
    let answer = Answers::default().completion(true);
    let text = std::str::from_utf8(&answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("connection: close"));
    assert!(head.ends_with(&format!("content-length: {}", body.len())));
}

#[test]
fn stream_ends_with_done_and_the_last_chunk() {
    let pieces = Answers::stream();
    assert_eq!(pieces.len(), EVENTS + 3);
    assert!(pieces[EVENTS + 1].ends_with(b"[DONE]\n\n\r\n"));
}
