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

#[test]
fn a_short_body_can_be_read_again_and_goes_on() {
    let pipe = Rc::new(Pipe::new(Framing::Chunked));
    pipe.put(b"first ");
    pipe.put(b"second ");
    assert_eq!(drain(&pipe), b"first second ");
    pipe.put(b"third ");
    let again = Rc::new(pipe.rewind().unwrap());
    assert!(
        pipe.is_drained() && drain(&pipe).is_empty(),
        "the old one has ended"
    );
    again.put(b"fourth");
    again.put(b"");
    assert_eq!(drain(&again), b"first second third fourth");
    assert!(again.is_drained());
    let last = Rc::new(again.rewind().unwrap());
    assert_eq!(drain(&last), b"first second third fourth");
}

#[test]
fn a_long_one_cannot_and_is_not_kept() {
    let pipe = Rc::new(Pipe::new(Framing::Length(2 * KEPT as u64)));
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
    let pipe = Rc::new(Pipe::new(Framing::Chunked));
    pipe.put(b"taken ");
    drain(&pipe);
    pipe.put(b"waiting");
    pipe.forget();
    assert_eq!(drain(&pipe), b"waiting");
    assert!(pipe.rewind().is_none());
}
