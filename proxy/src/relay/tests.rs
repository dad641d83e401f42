//! How long the relay waits for a client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::ending::flush_within;
use super::*;
use crate::connection::timer::Timer;
use crate::http1::{FieldName, HeadView};
use crate::upstream::RequestBody;

const LIMIT: Duration = Duration::from_secs(10);

/// A client that takes a byte at a time, with a pause before each.
struct Reader {
    left: u64,
    pause: Duration,
    paused: Pin<Box<Sleep>>,
    timer: Timer,
}

impl Reader {
    fn new(left: u64, pause: Duration) -> Self {
        Self {
            left,
            pause,
            paused: Box::pin(sleep(pause)),
            timer: Timer::default(),
        }
    }
}

impl RequestBody for Reader {
    fn poll_data(&mut self, _: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        Poll::Ready(Ok(&[]))
    }
}

impl Downstream for Reader {
    fn body_read(&self) -> u64 {
        0
    }
    fn start_head(&mut self, _: u16) {}
    fn field(&mut self, _: &[u8], _: &[u8]) {}
    fn fields<'a>(
        &mut self,
        _: &HeadView<'a>,
        _: impl FnMut(FieldName, &'a [u8], &'a [u8]) -> bool,
    ) {
    }
    fn end_head(&mut self, _: Framing) {}
    fn switch(&mut self) {}
    fn refuse_body(&mut self) {}
    fn close_after(&mut self) {}
    fn has_room(&self) -> bool {
        true
    }
    fn push(&mut self, _: &[u8]) {}
    fn end(&mut self) {}
    fn truncate(&mut self) {}
    fn progress(&self) -> u64 {
        self.left
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        while self.left > 0 {
            ready!(self.paused.as_mut().poll(cx));
            self.paused.as_mut().reset(Instant::now() + self.pause);
            self.left -= 1;
        }
        Poll::Ready(Ok(()))
    }
    fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_but_steady_reader_gets_the_end_of_its_response() {
    let mut client = Reader::new(20, LIMIT / 2);
    let start = Instant::now();
    let result = flush_within(LIMIT, Instant::now, &mut client).await;
    assert_eq!(result, Ok(()));
    assert!(start.elapsed() >= LIMIT * 10);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_is_given_up() {
    let mut client = Reader::new(20, LIMIT * 2);
    let result = flush_within(LIMIT, Instant::now, &mut client).await;
    assert_eq!(result, Err(ProxyError::ClientClosed));
    assert_eq!(client.left, 20);
}
