//! Tests of `response.rs`.

use super::super::idle::Streams;
use super::*;

fn pair() -> (Rc<RefCell<Cell>>, ResponseBody) {
    let cell = Rc::new(RefCell::new(Cell::new(Streams::new().open())));
    (Rc::clone(&cell), ResponseBody(cell))
}

#[tokio::test]
async fn a_response_that_will_not_come_is_an_error() {
    let (cell, end) = pair();
    let mut head = std::pin::pin!(end.head());
    let early = poll_fn(|cx| Poll::Ready(head.as_mut().poll(cx))).await;
    assert!(early.is_pending());
    // What dropping the pipeline's end does.
    cell.borrow_mut().break_off();
    assert!(head.await.is_err());
}

#[tokio::test]
async fn a_head_that_came_is_taken_also_when_the_rest_broke_off() {
    let (cell, end) = pair();
    cell.borrow_mut().head = Some(Response::new(()));
    cell.borrow_mut().break_off();
    let mut response = end.head().await.unwrap();
    let frame = poll_fn(|cx| Pin::new(response.body_mut()).poll_frame(cx)).await;
    assert!(frame.unwrap().is_err());
}
