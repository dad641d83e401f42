//! Tests of `request.rs`.

use super::*;

fn scan(body: &str, step: usize) -> (RequestScanner, Option<usize>) {
    let mut scanner = RequestScanner::default();
    let mut end = None;
    for (index, piece) in body.as_bytes().chunks(step).enumerate() {
        if let Some(at) = scanner.feed(piece) {
            assert_eq!(end, None, "it ends once");
            end = Some(index * step + at);
        }
    }
    (scanner, end)
}

fn model(body: &str, step: usize) -> Option<String> {
    scan(body, step).0.asked().model.take().map(Into::into)
}

#[test]
fn the_model_is_found_at_every_cut() {
    let body = r#" {"messages":[{"role":"user","content":"say \"model\":\"x\" \\"}],
        "nested":{"model":"wrong"},"n":1,"model" : "gpt-4.1","z":"model"}"#;
    for step in 1..body.len() {
        assert_eq!(model(body, step).as_deref(), Some("gpt-4.1"), "step {step}");
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
        assert_eq!(model(body, 64), None, "{body}");
    }
    let long = format!(r#"{{"model":"{}"}}"#, "a".repeat(500));
    assert_eq!(model(&long, 64), None);
}

#[test]
fn the_end_and_what_is_asked_of_a_stream_are_found_at_every_cut() {
    for (body, is_stream, has_options) in [
        (r#"{"stream":true}"#, true, false),
        (r#"{"stream":false,"stream_options":null}"#, false, true),
        (
            r#"{"m":[{"stream":true}],"x":"{\"stream_options\":1}","stream":true}"#,
            true,
            false,
        ),
        (r#"{"stream_options":{"a":[{}]},"stream":true}"#, true, true),
    ] {
        let with_more = format!("{body} \n}}]");
        for step in 1..with_more.len() {
            let (mut scanner, end) = scan(&with_more, step);
            assert_eq!(end, Some(body.len() - 1), "{body} by {step}");
            let asked = scanner.asked();
            assert_eq!(asked.is_stream, is_stream, "{body} by {step}");
            assert_eq!(asked.has_stream_options, has_options, "{body} by {step}");
        }
    }
    for endless in ["", "[{}]", "{", r#"{"a":{}"#, r#"{"a":"}"#, "--{}"] {
        assert_eq!(scan(endless, 3).1, None, "{endless}");
    }
}

#[test]
fn the_model_is_found_where_it_stands() {
    let long = format!(
        r#"{{"messages":[{{"model":"no","content":"{}"}}],"model":"yes","x":"yes"}}"#,
        "a\\\"".repeat(100)
    );
    for (body, expected) in [
        (r#"{"model":"a"}"#, Some("a")),
        (
            r#"{ "metadata":{"model":"b"}, "model" : "gpt-4o" , "x":1"#,
            Some("gpt-4o"),
        ),
        (&*long, Some("yes")),
        (r#"{"model":1}"#, None),
        (r#"{"model":"cut"#, None),
        ("", None),
    ] {
        let place = place_of_model(body.as_bytes());
        let before = place.clone().map(|place| &body[..place.start]);
        assert_eq!(place.map(|place| &body[place]), expected, "{body}");
        assert!(before.is_none_or(|before| before.trim_end_matches('"').trim_end().ends_with(':')));
    }
}
