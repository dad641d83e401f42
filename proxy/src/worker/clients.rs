//! The table of clients as this worker has it: it comes as a job, and is read as plain memory.

use std::rc::Rc;
use std::sync::Arc;

use super::Worker;
use crate::clients::{Client, Clients, Known, Table};
use crate::error::ProxyError;

impl Worker {
    /// Takes over another table. Requests that are under way keep theirs.
    pub fn know(&self, clients: Arc<Clients>) {
        *self.clients.borrow_mut() = Some(Rc::new(Table::new(clients)));
    }

    /// The client that a key belongs to.
    ///
    /// # Errors
    /// If there is none, or it is refused.
    pub fn client_of(&self, key: &[u8]) -> Result<Known, ProxyError> {
        let clients = self.clients.borrow();
        // Where there is no table nobody is known.
        let clients = clients.as_ref().ok_or(ProxyError::InvalidApiKey)?;
        let position = clients.find(key)?;
        Ok(Known::new(Rc::clone(clients), position))
    }

    /// Counts a request of a client that ended with this status.
    pub fn count_client(&self, client: &Client, status: u16) {
        if let Some(counters) = client.counts.of(self.id) {
            counters.count(status);
        }
    }
}
