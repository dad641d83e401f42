//! What a client's FIN means: asked by [`super::h1_stream`] while it serves a request.
//!
//! TCP has one signal for two intentions. `shutdown(SHUT_WR)` says "I have sent everything and
//! read on", `close` says "I am gone"; only the answer to a write tells them apart. Programs
//! half-close together with their request; nobody does it in the middle of an answer. So what
//! a FIN is taken for depends on when it comes, see ARCHITECTURE.md.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// How long nothing may happen after a FIN before it is acted on. What is on its way from upstream, or made by the proxy,
/// comes within it; for longer, an answer that costs money is not made for nobody.
const GRACE: Duration = Duration::from_millis(4);
/// How often a connection nobody reads from is looked at for a reset.
const RESET_CHECK: Duration = Duration::from_millis(100);
/// The first look after something was written to find out; then twice as long each time.
const FIRST_CHECK: Duration = Duration::from_millis(1);

/// The client's half of a connection. Costs nothing until it has closed.
#[derive(Debug)]
pub(super) struct HalfClose {
    fin: Option<Fin>,
    reset_check: Option<Pin<Box<Sleep>>>,
    /// The next look but one comes so long after the next.
    pause: Duration,
}

impl Default for HalfClose {
    fn default() -> Self {
        Self {
            fin: None,
            reset_check: None,
            pause: RESET_CHECK,
        }
    }
}

#[derive(Debug)]
struct Fin {
    /// It came before the response began.
    early: bool,
    /// The interim response has been asked for.
    asked: bool,
    /// Bytes the socket had taken when the silence began.
    taken: u64,
    silence: Pin<Box<Sleep>>,
}

/// Where the response stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Its head has been written.
    pub(super) begun: bool,
    /// Nothing of it waits for the client's socket.
    pub(super) flushed: bool,
    /// Bytes the socket has taken since it was opened.
    pub(super) taken: u64,
}

/// What is to be done about a FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write something: a closed socket answers with a reset.
    Ask,
    /// Nobody waits for the response.
    Gone,
}

impl HalfClose {
    /// Whether the client has sent FIN.
    pub(super) const fn is_closed(&self) -> bool {
        self.fin.is_some()
    }

    /// The client has sent FIN.
    pub(super) fn closed(&mut self, progress: Progress) {
        self.fin = Some(Fin {
            early: !progress.begun,
            asked: false,
            taken: progress.taken,
            silence: Box::pin(sleep(GRACE)),
        });
    }

    /// Another request begins, of those sent before the FIN.
    pub(super) fn next_request(&mut self) {
        if let Some(fin) = &mut self.fin {
            fin.early = true;
            fin.asked = false;
            fin.silence.as_mut().reset(Instant::now() + GRACE);
        }
    }

    /// Ready when something is to be done about a FIN.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, progress: Progress) -> Poll<Verdict> {
        let Some(fin) = &mut self.fin else {
            return Poll::Pending;
        };
        if fin.early {
            if progress.begun || fin.asked {
                // What has been written tells.
                return Poll::Pending;
            }
            ready!(fin.silence.as_mut().poll(cx));
            fin.asked = true;
            self.pause = FIRST_CHECK;
            self.reset_check = None;
            return Poll::Ready(Verdict::Ask);
        }
        if !progress.flushed || progress.taken != fin.taken {
            fin.taken = progress.taken;
            fin.silence.as_mut().reset(Instant::now() + GRACE);
        }
        fin.silence.as_mut().poll(cx).map(|()| Verdict::Gone)
    }

    /// Looks now and then whether the client has reset the connection, while
    /// nothing is read that would tell.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>, tcp: &TcpStream) -> Poll<()> {
        let check = self
            .reset_check
            .get_or_insert_with(|| Box::pin(sleep(self.pause)));
        while check.as_mut().poll(cx).is_ready() {
            if !matches!(tcp.take_error(), Ok(None)) {
                return Poll::Ready(());
            }
            self.pause = (2 * self.pause).min(RESET_CHECK);
            check.as_mut().reset(Instant::now() + self.pause);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
