//! The table of clients as this worker has it: it comes as a job, and is read as plain memory.

use std::rc::Rc;
use std::sync::Arc;

use super::Worker;
use crate::account::RequestRecord;
use crate::clients::{Clients, Known, Table};
use crate::config::ClientLimits;
use crate::error::ProxyError;
use crate::limits::Terms;

impl Worker {
    /// Takes over another table. Requests that are under way keep theirs.
    pub fn know(&self, clients: Arc<Clients>) {
        let table = Table::new(clients, &self.live().limits.per_client, &self.quotas);
        *self.clients.borrow_mut() = Some(Rc::new(table));
    }

    /// Takes over what clients may ask for that have no limits of their own.
    pub(super) fn limit_clients(&self, limits: &ClientLimits) {
        let mut clients = self.clients.borrow_mut();
        if let Some(table) = clients.as_mut() {
            *table = Rc::new(table.under(limits, &self.quotas));
        }
    }

    /// Calls `with` with what the client of a request may ask for, and has had. Whoever needs a handle of it makes one, which
    /// writes to memory that all workers share.
    #[inline]
    pub fn with_terms<R>(&self, record: &RequestRecord, with: impl FnOnce(&Arc<Terms>) -> R) -> R {
        match record.client.as_ref().and_then(Known::terms) {
            Some(terms) => with(terms),
            None => with(&self.terms.borrow()),
        }
    }

    /// The client that a key belongs to.
    ///
    /// # Errors
    /// If there is none, or it is refused.
    pub fn client_of(&self, key: &[u8]) -> Result<Known, ProxyError> {
        let clients = self.clients.borrow();
        // Where there is no table nobody is known.
        let clients = clients.as_ref().ok_or(ProxyError::InvalidApiKey)?;
        let place = clients.find(key)?;
        Ok(Known::new(Rc::clone(clients), place))
    }

    /// Counts a request of a client that ended with this status.
    pub fn count_client(&self, client: &Known, status: u16) {
        client.count(self.id, status);
    }
}
