//! Heads as a whole; their grammar has its own tests.

use super::*;

fn request(text: &str) -> Result<Head, HeadError> {
    let mut head = Head::default();
    let parsed = head.parse_request(text.as_bytes(), 0);
    parsed.map(|len| {
        assert_eq!(len, Some(text.len()));
        head
    })
}

#[test]
fn a_request_is_read_by_range() {
    let text = "POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\nX-Api-Key:  k \r\n\r\n";
    let head = request(text).unwrap();
    let view = head.view(text.as_bytes());
    assert_eq!(view.method(), b"POST");
    assert_eq!(view.target(), b"/v1/x?a=b");
    assert_eq!(view.field(FieldName::XApiKey), Some(&b"k"[..]));
    assert_eq!(view.fields().count(), 2);
}

#[test]
fn a_head_is_complete_whichever_way_it_is_cut() {
    let text = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for first in 1..text.len() {
        let mut head = Head::default();
        assert_eq!(head.parse_request(&text[..first], 0), Ok(None));
        for seen in first..text.len() - 1 {
            assert!(head.parse_request(&text[..=seen], seen).is_ok());
        }
        let len = head.parse_request(text, text.len() - 1).unwrap();
        assert_eq!(len, Some(text.len()));
        assert!(head.parse_request(b"GET / HTTP/1.1\nHost", 14).is_err());
    }
}

#[test]
fn lines_are_copied_as_they_came_or_put_right() {
    let text = "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC:3\r\nD: 4 \r\nE: 5\r\nF: 6\r\n\r\n";
    let head = request(text).unwrap();
    let mut pieces = 0;
    let mut copied = Vec::new();
    head.view(text.as_bytes()).copy_fields(
        |name, text, _| name != FieldName::Host && text != b"E",
        |part| {
            pieces += usize::from(!part.is_empty());
            copied.extend_from_slice(part);
        },
    );
    assert_eq!(copied, b"A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nF: 6\r\n");
    assert_eq!(pieces, 1 + 4 + 4 + 1);
}

#[test]
fn values_are_those_of_the_name_only() {
    let text = "GET / HTTP/1.1\r\nHost: h\r\nConnection: a\r\nX: x\r\nConnection: b\r\n\r\n";
    let head = request(text).unwrap();
    let view = head.view(text.as_bytes());
    let values = |name| view.values(name).collect::<Vec<_>>();
    assert_eq!(values(FieldName::Connection), [b"a", b"b"]);
    assert_eq!(values(FieldName::Host), [b"h"]);
    assert!(values(FieldName::Expect).is_empty());
}

#[test]
fn what_parsers_disagree_about_is_refused() {
    for text in [
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: h\r\n\r\n",
        "GE T / HTTP/1.1\r\n\r\n",
    ] {
        assert!(request(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_assembled_head_reads_like_a_parsed_one() {
    let mut bytes = Vec::new();
    let mut head = Head::default();
    head.begin(Version::Http2, 0);
    head.set_request_line(&mut bytes, b"GET", b"/v1/models");
    head.push_field(&mut bytes, b"user-agent", b"x");
    let view = head.view(&bytes);
    assert_eq!(view.target(), b"/v1/models");
    assert_eq!(view.field(FieldName::UserAgent), Some(&b"x"[..]));
}
