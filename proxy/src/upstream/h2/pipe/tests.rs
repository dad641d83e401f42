//! Tests of `pipe.rs`.

use super::*;

/// What hyper would get now.
fn drain(pipe: &Rc<Pipe>) -> Vec<u8> {
    let mut body = PipeBody(Rc::clone(pipe));
    let mut cx = Context::from_waker(Waker::noop());
    let mut bytes = Vec::new();
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) {
        bytes.extend_from_slice(frame.into_data().unwrap().chunk());
    }
    bytes
}

fn pipe(framing: Framing, keep: usize) -> Rc<Pipe> {
    let message = Message::new(crate::http1::Guarded::default(), framing, keep);
    Rc::new(Pipe::of_message(&message))
}

#[test]
fn a_body_that_is_kept_can_be_had_again() {
    let pipe = pipe(Framing::Chunked, 100);
    pipe.put(b"first ");
    pipe.put(b"second ");
    assert_eq!(drain(&pipe), b"first second ");
    pipe.put(b"third ");
    assert_eq!(pipe.rewind().unwrap(), b"first second third ");
    assert!(pipe.is_drained() && drain(&pipe).is_empty(), "it has ended");
    assert!(pipe.rewind().is_none());
}

#[test]
fn what_has_come_of_a_body_goes_first() {
    let head = crate::http1::Guarded::default();
    let mut message = Message::new(head, Framing::Chunked, 100);
    message.append(b"first ");
    let pipe = Rc::new(Pipe::of_message(&message));
    pipe.put(b"second");
    pipe.put(b"");
    assert_eq!(drain(&pipe), b"first second");
    assert!(pipe.is_drained());
}

#[test]
fn a_longer_one_cannot_and_is_not_kept() {
    const KEPT: usize = 1000;
    let pipe = pipe(Framing::Length(2 * KEPT as u64), KEPT);
    let piece = [b'x'; KEPT];
    pipe.put(&piece);
    assert_eq!(drain(&pipe).len(), KEPT);
    pipe.put(&piece);
    assert_eq!(drain(&pipe).len(), KEPT);
    assert!(pipe.pieces.borrow().queue.is_empty());
    assert!(pipe.rewind().is_none());
}

#[test]
fn once_upstream_has_answered_nothing_is_kept() {
    let pipe = pipe(Framing::Chunked, 100);
    pipe.put(b"taken ");
    drain(&pipe);
    pipe.put(b"waiting");
    pipe.forget();
    assert_eq!(drain(&pipe), b"waiting");
    assert!(pipe.rewind().is_none());
}
