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
fn h2_has_the_same_fields_but_no_connection() {
    let (response, body) = Answers::default().multiplexed();
    let text = String::from_utf8(Answers::default().completion(false).to_vec()).unwrap();
    let (head, completion) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, completion);
    // The status line and `connection` are not among the fields.
    assert_eq!(response.headers().len(), head.lines().count() - 2);
    assert_eq!(response.headers()["content-length"], body.len().to_string());
    assert!(!response.headers().contains_key("connection"));
}
