//! One h2 connection as the gauges and the next request see it.

use std::cell::Cell;
use std::rc::Rc;

use crate::upstream::Local;

/// Counts as idle while no stream is open on it, as active otherwise.
#[derive(Debug)]
pub(super) struct Session {
    endpoint: Rc<Local>,
    streams: Cell<usize>,
    open: Cell<bool>,
    retired: Cell<bool>,
}

impl Session {
    /// A connection that has just been made; it counts until the [`Open`] is dropped.
    pub(super) fn new(endpoint: Rc<Local>) -> (Rc<Self>, Open) {
        let session = Rc::new(Self {
            endpoint,
            streams: Cell::new(0),
            open: Cell::new(true),
            retired: Cell::new(false),
        });
        session.count(1);
        (Rc::clone(&session), Open(session))
    }

    /// Takes no further requests: upstream has said so.
    pub(super) fn retire(&self) {
        self.retired.set(true);
    }

    /// Whether it takes requests, as far as is known.
    pub(super) fn takes_requests(&self) -> bool {
        let has_left = self.endpoint.gone.get() || self.endpoint.is_ejected();
        self.open.get() && !self.retired.get() && !has_left
    }

    /// Where it leads.
    pub(super) const fn endpoint(&self) -> &Rc<Local> {
        &self.endpoint
    }

    /// Counts a stream in; the guard counts it out.
    pub(super) fn begin(self: &Rc<Self>) -> Stream {
        self.set_streams(self.streams.get() + 1);
        self.endpoint.load().begin();
        Stream(Rc::clone(self))
    }

    fn set_streams(&self, streams: usize) {
        self.count(-1);
        self.streams.set(streams);
        self.count(1);
    }

    /// Counts the connection in or out, as it stands.
    fn count(&self, amount: i64) {
        let gauges = self.endpoint.metrics();
        if !self.open.get() {
            return;
        }
        if self.streams.get() == 0 {
            gauges.idle.add(amount);
        } else {
            gauges.active.add(amount);
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Open(Rc<Session>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count(-1);
        self.0.open.set(false);
    }
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream(Rc<Session>);

impl Stream {
    /// The connection it is on.
    pub(super) fn session(&self) -> &Session {
        &self.0
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.set_streams(self.0.streams.get().saturating_sub(1));
        self.0.endpoint.load().end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metrics::WorkerMetrics;
    use crate::upstream::Endpoints;

    #[test]
    fn a_connection_is_idle_or_active_and_then_gone() {
        let metrics = Arc::<WorkerMetrics>::default();
        let counts = || {
            (
                metrics.upstream(0).idle.get(),
                metrics.upstream(0).active.get(),
            )
        };
        let all = Arc::new(Endpoints::new(1));
        let endpoint = all.adopt(&["127.0.0.1:1".parse().unwrap()]).remove(0);
        let local = Local::new(endpoint, &all, &metrics, (0, 0));
        let (session, open) = Session::new(local);
        assert_eq!(counts(), (1, 0));
        let streams = [session.begin(), session.begin()];
        assert_eq!(counts(), (0, 1));
        drop(streams);
        assert_eq!(counts(), (1, 0));
        let stream = session.begin();
        drop(open);
        assert_eq!(counts(), (0, 0));
        drop(stream);
        assert_eq!(counts(), (0, 0));
        assert!(!session.takes_requests());
    }
}
