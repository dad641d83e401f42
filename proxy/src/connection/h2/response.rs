//! Where the pipeline's response waits for hyper: the pipeline's end is
//! [`super::stream::H2Stream`], hyper's is [`ResponseBody`]. Both are on one
//! thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::Response;

use super::idle::OpenStream;

/// Where the pipeline's response waits for hyper.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) head: Option<Response<()>>,
    pub(super) declared: Option<u64>,
    pub(super) data: BytesMut,
    pub(super) ended: bool,
    pub(super) broken: bool,
    /// hyper has dropped its end: the client reset the stream or is gone.
    pub(super) abandoned: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    _open: OpenStream,
}

impl Cell {
    /// An empty one; it keeps the stream counted until both ends are gone.
    pub(super) fn new(open: OpenStream) -> Self {
        Self {
            head: None,
            declared: None,
            data: BytesMut::new(),
            ended: false,
            broken: false,
            abandoned: false,
            reader: None,
            writer: None,
            _open: open,
        }
    }

    /// Whatever was not said to be complete is not.
    pub(super) fn break_off(&mut self) {
        self.broken |= !self.ended;
        self.wake_reader();
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The response body as hyper sees it.
#[derive(Debug)]
pub(super) struct ResponseBody(pub(super) Rc<RefCell<Cell>>);

/// A response that broke off; hyper resets the stream.
#[derive(Debug, thiserror::Error)]
#[error("the response broke off")]
pub(super) struct Broken;

impl ResponseBody {
    /// Waits for the response head.
    ///
    /// # Errors
    /// If the pipeline has ended without one.
    pub(super) async fn head(self) -> Result<Response<Self>, Broken> {
        let head = poll_fn(|cx| {
            let mut cell = self.0.borrow_mut();
            match cell.head.take() {
                Some(head) => Poll::Ready(Ok(head)),
                None if cell.broken => Poll::Ready(Err(Broken)),
                None => {
                    cell.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        });
        let head = head.await?;
        Ok(head.map(|()| self))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut cell = self.0.borrow_mut();
        if !cell.data.is_empty() {
            let data = cell.data.split().freeze();
            if let Some(writer) = cell.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if cell.broken {
            return Poll::Ready(Some(Err(Broken)));
        }
        if cell.ended {
            return Poll::Ready(None);
        }
        cell.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let cell = self.0.borrow();
        cell.ended && !cell.broken && cell.data.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .borrow()
            .declared
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let mut cell = self.0.borrow_mut();
        cell.abandoned = true;
        if let Some(writer) = cell.writer.take() {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests;
