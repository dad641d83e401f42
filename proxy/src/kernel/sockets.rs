//! A worker's way to what the kernel knows of its sockets, with kernel programs or without.
//!
//! With them, sockets are followed in the shared tables ([`FlowTable`], [`AcceptTable`]). Without, `TCP_INFO` is asked now
//! and then: it knows the round trip and the segments sent again, and nothing of single requests.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxy_common::{NO_ENDPOINT, NO_PATH};
use rustix::net::sockopt;

use super::endpoints::Endpoints;
use super::{
    AcceptTable, EndpointView, FlowTable, Kernel, Program, Sent, TcpInfo, Timeline, Windows,
    cookie, nanos_at, now_ns,
};

/// What a worker follows its sockets with.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    flows: Option<Arc<FlowTable>>,
    accepts: Option<Arc<AcceptTable>>,
    windows: Option<Arc<Windows>>,
    endpoints: Option<Arc<Endpoints>>,
    /// The congestion control of connections to upstream, where no program sets it.
    congestion: Option<Arc<str>>,
    /// Whether connections are timed by a program, so that `TCP_INFO` need not be asked.
    timed: bool,
}

/// A socket the kernel programs follow, from before it is connected. Forgotten when dropped early: that nobody waits
/// for a connection any more does not mean that connecting failed.
#[derive(Debug)]
pub struct Followed<'a> {
    flows: Option<&'a FlowTable>,
    cookie: u64,
}

/// Where and when the first byte of a response was read, and when its request had left.
#[derive(Clone, Copy, Debug)]
pub struct FirstByte {
    /// Bytes read from the socket before it, or before the TLS record it came in.
    pub offset: u64,
    /// When the read returned.
    pub read: Instant,
    /// Before and after the request's first byte was written.
    pub sent: Option<(Instant, Instant)>,
}

/// How a connection ended, or what it was given up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// A read returned the end of the stream: the peer's FIN has come.
    Closed,
    /// A read or write failed because the peer has reset the connection (`ECONNRESET`, or `EPIPE` behind its FIN).
    Reset,
    /// The kernel gave up sending (`ETIMEDOUT`), or we gave up waiting.
    TimedOut,
}

/// The SYN of a connection we have opened is acknowledged like a byte.
const SYN: u64 = 1;

/// What `TCP_INFO` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The smoothed round trip; `None` before one was measured.
    pub rtt: Option<Duration>,
    /// Segments sent again since the connection began.
    pub retransmits: u32,
}

impl Sockets {
    /// What this kernel side offers.
    pub fn of(kernel: &Kernel) -> Self {
        Self {
            flows: kernel.flows(),
            accepts: kernel.accepts(),
            windows: kernel.windows(),
            // `payload_timing` alone tells too little.
            endpoints: kernel
                .running
                .as_ref()
                .filter(|_| kernel.runs(Program::SocketTiming))
                .map(|running| Arc::clone(&running.endpoints)),
            congestion: kernel.congestion.clone(),
            timed: kernel.runs(Program::SocketTiming),
        }
    }

    /// Follows and prepares a socket that is about to be connected to `endpoint`, which is one of the upstream's with this index. Costs a
    /// system call, once for each connection.
    pub fn follow(&self, socket: impl AsFd, upstream: usize, endpoint: SocketAddr) -> Followed<'_> {
        if let Some(name) = &self.congestion
            && let Err(error) = sockopt::set_tcp_congestion(&socket, name)
        {
            // Said once at the start; the connection is as good as any other.
            tracing::debug!(%error, "no congestion control {name}");
        }
        let flows = self.flows.as_deref();
        let cookie = flows.map_or(0, |_| cookie(socket));
        if let Some(flows) = flows.filter(|_| cookie != 0) {
            let windows = self.windows.as_ref();
            let path = windows.map_or(NO_PATH, |windows| windows.path_to(endpoint.ip()));
            let endpoints = self.endpoints.as_ref();
            let number = endpoints.map(|endpoints| endpoints.number_of(endpoint, now_ns()));
            flows.register(cookie, upstream, path, number.unwrap_or(NO_ENDPOINT));
        }
        Followed { flows, cookie }
    }

    /// Whether another live socket is followed in this one's place, so that a new one should be opened instead.
    pub fn is_taken(&self, socket: impl AsFd) -> bool {
        let flows = self.flows.as_deref();
        flows.is_some_and(|flows| flows.is_taken(cookie(socket)))
    }

    /// Says that the next byte written to this socket begins a request.
    #[inline]
    pub fn begin(&self, cookie: u64) {
        if let Some(flows) = &self.flows {
            flows.begin(cookie);
        }
    }

    /// See [`FlowTable::timeline`].
    #[inline]
    pub fn timeline(&self, cookie: u64, first: FirstByte) -> Timeline {
        match &self.flows {
            Some(flows) => {
                let sent = first.sent.map(|(before, after)| Sent {
                    before_ns: nanos_at(before),
                    after_ns: nanos_at(after),
                });
                flows.timeline(cookie, sent, first.offset, nanos_at(first.read))
            }
            None => Timeline::default(),
        }
    }

    /// See [`FlowTable::connection`].
    pub fn connection(&self, cookie: u64) -> Timeline {
        match &self.flows {
            Some(flows) => flows.connection(cookie),
            None => Timeline::default(),
        }
    }

    /// How long a connection that has just been accepted had waited for it.
    pub fn waited(&self, socket: impl AsFd) -> Option<Duration> {
        let accepts = self.accepts.as_deref()?;
        let established = accepts.take(cookie(socket))?;
        now_ns().checked_sub(established).map(Duration::from_nanos)
    }

    /// What connections to this endpoint met, by the kernel's account. `None` without programs that tell, or if none was
    /// opened. Takes no lock and no system call.
    pub fn view(&self, endpoint: SocketAddr) -> Option<EndpointView> {
        self.endpoints.as_deref()?.view(endpoint, now_ns())
    }

    /// Whether [`Sockets::view`] tells anything.
    pub const fn sees_endpoints(&self) -> bool {
        self.endpoints.is_some()
    }

    /// Whether the peer has certainly acknowledged nothing of what was written to a connection of ours after its first
    /// `written_before` bytes, counted as the socket took them, in TLS records where there is TLS. To be asked after the
    /// connection has ended and before the socket is closed; one system call.
    ///
    /// Not acknowledged is not always unread. After [`ConnectionEnd::TimedOut`] the peer may have read everything, if only its own
    /// segments are lost. After the other two it takes a peer that ends its own direction and reads on, or the loss of the very
    /// segment with which it ended the connection right after reading, before it had acknowledged anything.
    pub fn unacknowledged(
        &self,
        socket: impl AsFd,
        cookie: u64,
        written_before: u64,
        end: ConnectionEnd,
    ) -> bool {
        let acked = TcpInfo::of(socket).ok().and_then(|info| info.bytes_acked);
        let none = acked.is_some_and(|acked| acked <= written_before.saturating_add(SYN));
        let flows = self.flows.as_deref();
        none && match end {
            // A FIN carries the acknowledgement of all that the peer's kernel had.
            ConnectionEnd::Closed | ConnectionEnd::TimedOut => true,
            // What a reset acknowledges is not counted. One that acknowledges nothing is of a host without the connection,
            // where nobody can have read anything; a program that aborts acknowledges what it may have read.
            ConnectionEnd::Reset => flows.is_some_and(|flows| flows.was_reset_without_ack(cookie)),
        }
    }

    /// Asks `TCP_INFO`, unless a program counts already; one system call.
    pub fn sample(&self, socket: impl AsFd) -> Option<Sample> {
        if self.timed {
            return None;
        }
        let info = TcpInfo::of(socket).ok()?;
        let rtt = u64::from(info.rtt_us);
        Some(Sample {
            rtt: (rtt != 0).then(|| Duration::from_micros(rtt)),
            retransmits: info.total_retransmits,
        })
    }
}

impl Followed<'_> {
    /// The socket's name in the kernel, or 0 if nobody follows it. To be called once it is clear what became of
    /// connecting: from here on the kernel's account stands.
    pub fn settle(mut self) -> u64 {
        self.flows = None;
        self.cookie
    }
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        if let Some(flows) = self.flows {
            flows.forget(self.cookie);
        }
    }
}

#[cfg(test)]
mod tests;
