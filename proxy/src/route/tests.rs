//! Tests of `route.rs`.

use super::*;

fn template(path: &str) -> Option<&'static str> {
    find(path.as_bytes()).map(|id| id.get().template)
}

#[test]
fn paths_find_their_template() {
    assert_eq!(
        template("/v1/chat/completions"),
        Some("/v1/chat/completions")
    );
    assert_eq!(template("/v1/models/gpt-4.1"), Some("/v1/models/{id}"));
    assert_eq!(
        template("/v1/models/deepseek-ai/v3"),
        Some("/v1/models/{id}")
    );
    assert_eq!(
        template("/v1/models/deepseek-ai%2Fv3"),
        Some("/v1/models/{id}")
    );
    assert_eq!(template("/v1/files/file-1/content"), Some("/v1/files/*"));
    assert_eq!(template("/v1/files"), Some("/v1/files"));
    for name in [
        "a%25b", "100%25", "a;b=c", "...", "..a", "%", "%2", "a%252Fb",
    ] {
        let path = format!("/v1/files/{name}/content");
        assert_eq!(template(&path), Some("/v1/files/*"), "{name}");
    }
}

#[test]
fn look_alikes_find_none() {
    for path in [
        "/",
        "",
        "/v1",
        "/v1/chat/completions/",
        "/V1/models",
        "/v1/models/",
        "/v1/models/a//b",
        "/v1/files/",
        "/v1/files//x",
        "/v1/files/../x",
        "/v1/files/%2e%2e/x",
        "/v1/files/%2E./x",
        "/v1/files/a%2f..%2Fb",
        "/v1/files/..\\x",
        "/v1/files/..;/x",
        "/v1/files/..;a=b/x",
        "/v1/files/.;/x",
        "/v1/files/;/x",
        "/v1/files/%2e%2E%3b/x",
        "/v1/files/%252e%252e/x",
        "/v1/files/.%25252E/x",
        "/v1/files/a%252f..%255Cx",
        "/v1/files/..%253B/x",
        "/v1/models/..;x",
        "/v1/chat%2fcompletions",
    ] {
        assert_eq!(template(path), None, "{path}");
    }
}

#[test]
fn methods_are_matched_whole() {
    let files = find(b"/v1/files").unwrap().get();
    assert!(allows(files, b"POST"));
    assert!(!allows(files, b"DELETE"));
    assert!(!allows(files, b"POS"));
    assert!(!allows(files, b"post"));
}
