//! Tests of `upstream.rs`.

use super::*;

#[test]
fn head_tells_length_and_wish_to_close() {
    let text =
        b"POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let (request, framing, length) = parse_head(text).unwrap().unwrap();
    assert_eq!(
        request,
        Request {
            stream: None,
            close: true,
            body: 0,
            think: None,
        }
    );
    assert_eq!(framing, Framing::Length(2));
    assert_eq!(length, text.len() - 2);
}

#[test]
fn incomplete_head_waits_for_more() {
    assert!(parse_head(b"POST /v1 HTTP/1.1\r\nHost:").unwrap().is_none());
}

#[test]
fn query_selects_the_stream() {
    let text = b"POST /v1/chat/completions?stream HTTP/1.1\r\n\r\n";
    let (request, ..) = parse_head(text).unwrap().unwrap();
    assert!(request.stream == Some(Pacing::AT_ONCE) && !request.close);
}

#[test]
fn query_asks_to_close() {
    let text = b"POST /v1/chat/completions?close HTTP/1.1\r\n\r\n";
    let (request, ..) = parse_head(text).unwrap().unwrap();
    assert!(request.close && request.stream.is_none());
}

#[test]
fn what_stands_for_the_query_in_a_body_is_understood() {
    let (mut request, ..) = parse_head(b"POST /v1/x HTTP/1.1\r\n\r\n").unwrap().unwrap();
    request.ask("think=5");
    assert_eq!(request.think, Some(Duration::from_micros(5)));
    request.ask("stream=2,30");
    assert!(request.stream.is_some_and(|pacing| pacing.events == 2) && request.think.is_none());
    request.ask("bench");
    assert!(request.stream.is_none() && request.think.is_none());
}

#[test]
fn query_says_for_how_long_to_think() {
    let think = |query: &str| {
        let text = format!("POST /v1/chat/completions?{query} HTTP/1.1\r\n\r\n");
        let (request, ..) = parse_head(text.as_bytes()).unwrap().unwrap();
        request.think
    };
    assert_eq!(think("think=6450"), Some(Duration::from_micros(6_450)));
    for other in ["think=", "think=x", "think=-1", "rethink=5", "close"] {
        assert_eq!(think(other), None, "{other}");
    }
}
