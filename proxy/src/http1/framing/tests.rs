//! Tests of `framing.rs`.

use super::super::head::Head;
use super::*;

fn request(fields: &str) -> Result<Framing, FramingError> {
    let text = format!("POST / HTTP/1.1\r\n{fields}\r\n");
    let mut head = Head::default();
    assert!(head.parse_request(text.as_bytes(), 0).unwrap().is_some());
    of_request(&head.view(text.as_bytes()))
}

#[test]
fn lengths_that_can_be_read_in_one_way_are_accepted() {
    assert_eq!(request(""), Ok(Framing::None));
    assert_eq!(request("Content-Length: 0\r\n"), Ok(Framing::None));
    assert_eq!(request("Content-Length: 17\r\n"), Ok(Framing::Length(17)));
    assert_eq!(
        request("Transfer-Encoding: Chunked\r\n"),
        Ok(Framing::Chunked)
    );
}

#[test]
fn lengths_that_can_be_read_in_two_ways_are_refused() {
    for fields in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
    ] {
        assert!(request(fields).is_err(), "{fields:?}");
    }
}

#[test]
fn persistence_follows_version_and_connection() {
    let keep = |text: &str| {
        let mut head = Head::default();
        assert!(head.parse_request(text.as_bytes(), 0).unwrap().is_some());
        keeps_alive(&head.view(text.as_bytes()))
    };
    assert!(keep("GET / HTTP/1.1\r\n\r\n"));
    assert!(!keep("GET / HTTP/1.0\r\n\r\n"));
    assert!(keep("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    assert!(!keep(
        "GET / HTTP/1.1\r\nConnection: foo, Close\r\nConnection: keep-alive\r\n\r\n"
    ));
}
