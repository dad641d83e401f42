//! A worker's way to what the kernel knows of its sockets, with kernel programs or without.
//!
//! With them, sockets are followed in the shared tables ([`FlowTable`], [`AcceptTable`]). Without, `TCP_INFO` is asked now
//! and then: it knows the round trip and the segments sent again, and nothing of single requests.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxy_common::NO_PATH;
use rustix::net::sockopt;

use super::{
    AcceptTable, FlowTable, Kernel, Program, Sent, TcpInfo, Timeline, Windows, cookie, nanos_at,
    now_ns,
};

/// What a worker follows its sockets with.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    flows: Option<Arc<FlowTable>>,
    accepts: Option<Arc<AcceptTable>>,
    windows: Option<Arc<Windows>>,
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
            congestion: kernel.congestion.clone(),
            timed: kernel.runs(Program::SocketTiming),
        }
    }

    /// Follows and prepares a socket that is about to be connected to `endpoint`, which is one of the upstream's with this index. Costs a
    /// system call, once for each connection.
    pub fn follow(&self, socket: impl AsFd, upstream: usize, endpoint: IpAddr) -> Followed<'_> {
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
            let path = windows.map_or(NO_PATH, |windows| windows.path_to(endpoint));
            flows.register(cookie, upstream, path);
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
