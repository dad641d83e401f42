//! Tests of `request.rs`.

use super::*;

fn tokens(body: &str) -> (u64, u64) {
    let request: Request<'_> = serde_json::from_str(body).unwrap();
    (request.prompt_tokens(), request.completion_tokens())
}

#[test]
fn prompt_tokens_count_text_wherever_it_is() {
    let message = r#"{"messages":[{"role":"user","content":"12345"}]}"#;
    assert_eq!(tokens(message), (2, 16));
    let parts = r#"{"system":"1234","messages":[{"role":"user","name":null,
        "content":[{"type":"text","text":"12345678"},{"type":"image_url","image_url":{}}]}],
        "max_tokens":7}"#;
    assert_eq!(tokens(parts), (3, 7));
    assert_eq!(tokens(r#"{"input":"é","max_output_tokens":0}"#), (1, 0));
    assert_eq!(tokens(r#"{"prompt":["1234","5678"]}"#), (2, 16));
    assert_eq!(
        tokens(r#"{"prompt":null,"max_tokens":9999999}"#),
        (0, 131_072)
    );
}

#[test]
fn inputs_are_told_apart() {
    let items = |body: &str| -> (usize, u64) {
        let request: Request<'_> = serde_json::from_str(body).unwrap();
        (request.input.items, request.prompt_tokens())
    };
    assert_eq!(items(r#"{"input":"a"}"#), (1, 1));
    assert_eq!(items(r#"{"input":["a","b"]}"#), (2, 1));
    assert_eq!(items(r#"{"input":[1,2,3]}"#), (1, 3));
    assert_eq!(items(r#"{"input":[[1,2],[3]]}"#), (2, 3));
}
