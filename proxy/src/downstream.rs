//! What the pipeline needs of a client, whichever HTTP version it speaks.

use std::task::{Context, Poll};

use crate::connection::timer::Timer;
use crate::error::ProxyError;
use crate::http1::{FieldName, Framing, HeadView};
use crate::upstream::RequestBody;

/// One request's client: its body comes from here, its response goes there.
pub trait Downstream: RequestBody {
    /// Bytes of the request body read so far.
    fn body_read(&self) -> u64;

    /// Begins the response head.
    fn start_head(&mut self, status: u16);

    /// Adds a field to the response head.
    fn field(&mut self, name: &[u8], value: &[u8]);

    /// Adds fields that `write` appends as they stand in HTTP/1.1, each `name: value` with its line end.
    fn lines(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut lines = Vec::new();
        write(&mut lines);
        let fields = lines.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
        });
        fields.for_each(|(name, value)| self.field(name, value));
    }

    /// Adds the fields of `head` that `keep` wants; see [`HeadView::copy_fields`].
    fn fields<'a>(
        &mut self,
        head: &HeadView<'a>,
        keep: impl FnMut(FieldName, &'a [u8], &'a [u8]) -> bool,
    );

    /// Ends the response head. [`Framing::UntilClose`] stands for a length
    /// nobody knows; the client's HTTP version decides how that is said.
    fn end_head(&mut self, framing: Framing);

    /// Ends the head of a response that switches protocols: from here on, bytes of any kind go both ways. Only for clients
    /// of HTTP/1.1.
    fn switch(&mut self);

    /// The proxy answers without the rest of the request body. What has come of
    /// it is dropped; if more is to follow, no other request can.
    fn refuse_body(&mut self);

    /// No other request may follow this one; said before the head is ended.
    fn close_after(&mut self);

    /// Whether more body bytes should be pushed now.
    fn has_room(&self) -> bool;

    /// Adds bytes of the response body.
    fn push(&mut self, data: &[u8]);

    /// The response is complete.
    fn end(&mut self);

    /// The response breaks off; the client must be able to tell.
    fn truncate(&mut self);

    /// Gives memory back that small events far apart do not need. The response goes on.
    fn rest(&mut self) {}

    /// A number that changes whenever the client takes some of what has been added.
    fn progress(&self) -> u64;

    /// Sends what has been added.
    ///
    /// # Errors
    /// [`ProxyError::ClientClosed`].
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>>;

    /// Ready when the client has gone away.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// The deadline of whatever is being waited for.
    fn timer(&mut self) -> &mut Timer;
}
