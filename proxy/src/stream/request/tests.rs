//! Tests of `request.rs`.

use super::*;

fn scan(body: &str, step: usize) -> Option<String> {
    let mut scanner = RequestScanner::default();
    body.as_bytes()
        .chunks(step)
        .find_map(|piece| scanner.feed(piece))
        .map(Into::into)
}

#[test]
fn the_model_is_found_at_every_cut() {
    let body = r#" {"messages":[{"role":"user","content":"say \"model\":\"x\" \\"}],
        "nested":{"model":"wrong"},"n":1,"model" : "gpt-4.1","z":"model"}"#;
    for step in 1..body.len() {
        assert_eq!(scan(body, step).as_deref(), Some("gpt-4.1"), "step {step}");
    }
}

#[test]
fn what_is_no_model_name_is_not_one() {
    for body in [
        "",
        "[]",
        "model",
        r#"{"model":5,"x":"model"}"#,
        r#"{"a":"model","b":"c"}"#,
        r#"{"model":"a\u0062"}"#,
        "--boundary\r\n{\"model\":\"x\"}",
        r#"{"model":{"model":"x"}}"#,
    ] {
        assert_eq!(scan(body, 64), None, "{body}");
    }
    let long = format!(r#"{{"model":"{}"}}"#, "a".repeat(500));
    assert_eq!(scan(&long, 64), None);
}
