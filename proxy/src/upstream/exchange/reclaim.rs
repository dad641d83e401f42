//! Whether a request was received, and taking it back if it was not, or if it is wanted once more.

use super::{Exchange, Receipt};
use crate::kernel::{ConnectionEnd, Sockets, TcpInfo};
use crate::upstream::Message;

impl Exchange {
    /// Whether upstream's system has acknowledged anything of the request by now.
    pub fn receipt(&self, sockets: &Sockets) -> Receipt {
        let end = self.ended.unwrap_or(ConnectionEnd::TimedOut);
        let io = &self.connection.io;
        let is_silent = self.seen == 0 && self.connection.input.is_empty();
        if !is_silent || !sockets.unacknowledged(io.tcp(), io.cookie(), self.written_before, end) {
            return Receipt::Possible;
        }
        let endpoint = self.lease.endpoint();
        let may_have = |sent| endpoint.may_have_received(sent);
        match end == ConnectionEnd::TimedOut && self.started.is_some_and(may_have) {
            true => Receipt::Doubtful,
            false => Receipt::None,
        }
    }

    /// Whether upstream, having ended the connection in good order, has reset it since. That is what closing comes to if a part of
    /// the request is there and was not read; whoever has read all of it has nothing more to say.
    pub fn was_left_unread(&self) -> bool {
        self.has_ended_in_silence()
            && TcpInfo::of(self.connection.io.tcp()).is_ok_and(|info| info.is_over())
    }

    /// Whether upstream has ended the connection in good order and sent nothing before.
    pub fn has_ended_in_silence(&self) -> bool {
        let is_silent = self.seen == 0 && self.connection.input.is_empty();
        is_silent && self.ended == Some(ConnectionEnd::Closed)
    }

    /// Takes the request back if upstream has certainly not read it: no byte has left, its system has acknowledged
    /// none, or closing found a part of it unread. Not after the response has begun.
    pub fn reclaim(&mut self, sockets: &Sockets) -> Option<Message> {
        let io = &self.connection.io;
        let has_left = io.written() > self.written_before;
        if has_left && self.receipt(sockets) != Receipt::None && !self.was_left_unread() {
            return None;
        }
        if has_left && self.ended.is_none() {
            // What is on its way, or waits to be sent again, must not get there after all: a reset, and no orderly end.
            io.abort().ok()?;
        }
        self.take_back()
    }

    /// The whole request once more, if all of it has come and is still here.
    pub fn copy(&self) -> Option<Message> {
        let bytes = self.connection.output.whole()?.copy();
        let request = &self.request;
        request.is_complete.then(|| Message { bytes, ..*request })
    }

    /// Has the request end with a reset, so that nothing of it gets to upstream that has not yet.
    pub fn abort(&self) {
        // It is about to be dropped in any case.
        let _ = self.connection.io.abort();
    }

    /// Takes the request back, whatever upstream has had of it, if all of it is still here.
    pub fn take_back(&mut self) -> Option<Message> {
        let bytes = self.connection.output.take_whole()?;
        // What has not left need not leave any more.
        self.write_failed |= !self.request.is_complete;
        let request = &self.request;
        Some(Message { bytes, ..*request })
    }
}
