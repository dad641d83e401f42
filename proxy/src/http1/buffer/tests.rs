//! Tests of `buffer.rs`.

use super::*;
use std::task::Waker;

fn fill(buffer: &mut ReadBuffer, mut from: &[u8], limit: usize) -> io::Result<usize> {
    let mut cx = Context::from_waker(Waker::noop());
    match buffer.poll_fill(&mut cx, &mut from, limit) {
        Poll::Ready(result) => result,
        Poll::Pending => Ok(0),
    }
}

#[test]
fn grows_to_the_limit_and_then_refuses() {
    let mut buffer = ReadBuffer::new(4);
    assert_eq!(fill(&mut buffer, b"abcdef", 8).unwrap(), 4);
    assert_eq!(fill(&mut buffer, b"efgh", 8).unwrap(), 4);
    assert!(buffer.is_full(8));
    assert_eq!(buffer.filled(), b"abcdefgh");
    assert!(fill(&mut buffer, b"i", 8).is_err());
}

#[test]
fn reuses_consumed_room_before_growing() {
    let mut buffer = ReadBuffer::new(4);
    fill(&mut buffer, b"abcd", 4).unwrap();
    buffer.consume(3);
    assert_eq!(fill(&mut buffer, b"efg", 4).unwrap(), 3);
    assert_eq!(buffer.filled(), b"defg");
    buffer.consume(4);
    assert!(buffer.filled().is_empty());
    fill(&mut buffer, b"abcdefgh", 8).unwrap();
    buffer.consume(8);
    buffer.shrink();
    assert_eq!(buffer.data.len(), 4);
}

#[test]
fn rests_while_little_comes() {
    let mut buffer = ReadBuffer::new(64);
    fill(&mut buffer, &[b'a'; 40], 256).unwrap();
    buffer.rest(16);
    buffer.consume(40);
    buffer.rest(16);
    assert_eq!(buffer.data.len(), 64, "much came last");
    fill(&mut buffer, b"abc", 256).unwrap();
    buffer.rest(16);
    assert_eq!(buffer.data.len(), 64, "something is waiting");
    buffer.consume(3);
    buffer.rest(16);
    assert_eq!(buffer.data.capacity(), 16);
    // It grows with what comes.
    let much = [b'b'; 100];
    let mut read = 0;
    while read < much.len() {
        read += fill(&mut buffer, &much[read..], 256).unwrap();
    }
    assert_eq!(buffer.filled(), much);
    buffer.consume(100);
    buffer.shrink();
    fill(&mut buffer, b"x", 256).unwrap();
    assert_eq!(buffer.data.len(), 64);
}
