//! Tests of `framing.rs`.

use super::*;

fn header<'a>(name: &'a str, value: &'a str) -> httparse::Header<'a> {
    httparse::Header {
        name,
        value: value.as_bytes(),
    }
}

#[test]
fn length_stops_at_the_end_of_the_body() {
    let mut framing = Framing::of(&[header("Content-Length", "5")]).unwrap();
    let step = framing.advance_into(b"abc", |_| ()).unwrap();
    assert_eq!(
        step,
        Step {
            consumed: 3,
            body: 3,
            complete: false
        }
    );
    let step = framing.advance_into(b"deHTTP/1.1", |_| ()).unwrap();
    assert_eq!(
        step,
        Step {
            consumed: 2,
            body: 2,
            complete: true
        }
    );
}

#[test]
fn no_body_is_complete_at_once() {
    let step = Framing::of(&[]).unwrap().advance_into(b"", |_| ()).unwrap();
    assert!(step.complete);
}

#[test]
fn chunks_are_counted_however_they_are_split() {
    let wire = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n";
    for size in 1..=wire.len() {
        let mut framing = Framing::of(&[header("transfer-encoding", "chunked")]).unwrap();
        let (mut buffer, mut body, mut complete) = (Vec::new(), 0, false);
        for piece in wire.chunks(size) {
            buffer.extend_from_slice(piece);
            let step = framing.advance_into(&buffer, |_| ()).unwrap();
            buffer.drain(..step.consumed);
            body += step.body;
            complete = step.complete;
        }
        assert_eq!(
            (body, complete, buffer.len()),
            (11, true, 0),
            "pieces of {size}"
        );
    }
}

#[test]
fn broken_chunks_are_errors() {
    let mut framing = Framing::Chunked(Chunk::Size);
    assert!(framing.advance_into(b"zz\r\n", |_| ()).is_err());
    let mut framing = Framing::Chunked(Chunk::Size);
    assert!(framing.advance_into(b"2\r\nabc\r\n", |_| ()).is_err());
}
