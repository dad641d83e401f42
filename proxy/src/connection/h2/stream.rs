//! One h2 stream as the pipeline's [`Downstream`]: the request body comes from
//! hyper, the response goes into a [`Cell`].

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use hyper::Response;
use hyper::body::Incoming;

use super::super::timer::Timer;
use super::response::Cell;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::http1::{FieldName, Framing, HeadView};
use crate::upstream::RequestBody;

/// Response bytes waiting for h2's flow control.
const HIGH_WATER: usize = 64 * 1024;

/// One stream as the pipeline's client.
#[derive(Debug)]
pub(super) struct H2Stream {
    cell: Rc<RefCell<Cell>>,
    incoming: Option<Incoming>,
    current: Bytes,
    read: u64,
    limit: u64,
    /// The request was `HEAD`: its response ends with its head.
    head_only: bool,
    response: Response<()>,
    timer: Timer,
}

impl H2Stream {
    /// A stream of which only the head has been read.
    pub(super) fn new(
        cell: Rc<RefCell<Cell>>,
        incoming: Incoming,
        limit: u64,
        head_only: bool,
    ) -> Self {
        Self {
            cell,
            incoming: Some(incoming),
            current: Bytes::new(),
            read: 0,
            limit,
            head_only,
            response: Response::new(()),
            timer: Timer::default(),
        }
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        self.cell.borrow_mut().break_off();
    }
}

impl RequestBody for H2Stream {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        self.current.clear();
        while let Some(incoming) = &mut self.incoming {
            match ready!(Pin::new(incoming).poll_frame(cx)) {
                None => self.incoming = None,
                Some(Err(_)) => return Poll::Ready(Err(ProxyError::ClientClosed)),
                Some(Ok(frame)) => {
                    self.current = frame.into_data().unwrap_or_default();
                    self.read += self.current.len() as u64;
                    if self.read > self.limit {
                        let limit = self.limit;
                        return Poll::Ready(Err(ProxyError::RequestTooLarge { limit }));
                    }
                    if !self.current.is_empty() {
                        break;
                    }
                }
            }
        }
        Poll::Ready(Ok(&self.current))
    }
}

impl Downstream for H2Stream {
    fn body_read(&self) -> u64 {
        self.read
    }

    fn start_head(&mut self, status: u16) {
        let status = http::StatusCode::from_u16(status);
        *self.response.status_mut() = status.unwrap_or(http::StatusCode::BAD_GATEWAY);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let parsed = (
            http::HeaderName::from_bytes(name),
            http::HeaderValue::from_bytes(value),
        );
        // What HTTP/1.1 allows and h2 does not is left out.
        if let (Ok(name), Ok(value)) = parsed {
            self.response.headers_mut().append(name, value);
        }
    }

    fn fields<'a>(
        &mut self,
        head: &HeadView<'a>,
        mut keep: impl FnMut(FieldName, &'a [u8], &'a [u8]) -> bool,
    ) {
        for (name, text, value) in head.fields() {
            if keep(name, text, value) {
                self.field(text, value);
            }
        }
    }

    fn end_head(&mut self, framing: Framing) {
        let mut cell = self.cell.borrow_mut();
        if let Framing::Length(length) = framing {
            cell.declared = Some(length);
            let fields = self.response.headers_mut();
            fields.insert(http::header::CONTENT_LENGTH, length.into());
        }
        cell.head = Some(std::mem::take(&mut self.response));
        cell.wake_reader();
    }

    fn switch(&mut self) {
        // The pipeline asks no upstream for it; should it come all the same, the stream breaks off.
        self.truncate();
    }

    fn refuse_body(&mut self) {
        self.incoming = None;
    }

    fn close_after(&mut self) {
        // A stream ends by itself.
    }

    fn has_room(&self) -> bool {
        self.cell.borrow().data.len() < HIGH_WATER
    }

    fn push(&mut self, data: &[u8]) {
        if self.head_only {
            return;
        }
        let mut cell = self.cell.borrow_mut();
        cell.data.extend_from_slice(data);
        cell.wake_reader();
    }

    fn end(&mut self) {
        let mut cell = self.cell.borrow_mut();
        cell.ended = true;
        cell.wake_reader();
    }

    fn truncate(&mut self) {
        let mut cell = self.cell.borrow_mut();
        cell.broken = true;
        cell.wake_reader();
    }

    fn progress(&self) -> u64 {
        self.cell.borrow().data.len() as u64
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let mut cell = self.cell.borrow_mut();
        if cell.data.is_empty() || cell.broken {
            return Poll::Ready(Ok(()));
        }
        if cell.abandoned {
            return Poll::Ready(Err(ProxyError::ClientClosed));
        }
        cell.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut cell = self.cell.borrow_mut();
        if cell.abandoned {
            return Poll::Ready(());
        }
        cell.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}
