//! Client connections, counted while they are there.

use std::rc::Rc;

use super::Worker;

impl Worker {
    /// Counts a connection in; the guard counts it out.
    pub fn enter_connection(self: &Rc<Self>) -> ConnectionGuard {
        self.connections.set(self.connections.get() + 1);
        self.metrics.http.connections.inc();
        self.metrics.http.open_connections.add(1);
        ConnectionGuard(Rc::clone(self))
    }
}

/// Counts a connection out when dropped.
#[derive(Debug)]
pub struct ConnectionGuard(Rc<Worker>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0
            .connections
            .set(self.0.connections.get().saturating_sub(1));
        self.0.connection_ended.notify_one();
        self.0.metrics.http.open_connections.add(-1);
    }
}
