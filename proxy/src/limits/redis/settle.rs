//! Tells Redis how requests ended. Nobody waits for that, and what is not told in time is not told at all: then a request
//! counts for what was taken for it, and its lease ends by itself.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::Terms;
use super::{PATIENCE, Remote};

/// Requests that are told of at a time.
const AT_ONCE: usize = 256;

/// How a request ended.
#[derive(Debug)]
pub(super) struct Settlement {
    terms: Arc<Terms>,
    lease: u64,
    /// Tokens it has used more than was taken, or less.
    more: i64,
}

impl Remote {
    /// Ends a request that Redis has permitted.
    pub fn settle(&self, terms: &Arc<Terms>, lease: u64, taken: u64, used: u64) {
        let held = self.leases.borrow_mut().remove(&lease).is_some();
        let more = i64::try_from(i128::from(used) - i128::from(taken)).unwrap_or(i64::MAX);
        if held || (more != 0 && terms.limits.tokens.is_some()) {
            let terms = Arc::clone(terms);
            // If nobody receives it, the worker is at its end.
            let _ = self.settlements.send(Settlement { terms, lease, more });
        }
    }

    async fn tell(&self, settlement: &Settlement) {
        let (shared, client) = (&self.shared, settlement.terms.quota.name());
        let rate = settlement
            .terms
            .limits
            .tokens
            .map_or(0, |rate| rate.per_minute);
        let mut settle = shared.settle.key(shared.key(client, "tokens"));
        settle.key(shared.key(client, "running"));
        settle
            .arg(rate)
            .arg(settlement.more)
            .arg(self.lease_name(settlement.lease));
        let mut connection = self.connection.clone();
        let told = settle.invoke_async::<()>(&mut connection);
        // See above.
        let _ = timeout(PATIENCE, told).await;
    }
}

/// Tells of requests, some at a time; those that end while Redis does not answer are not told.
pub(super) async fn run(remote: Rc<Remote>, mut settled: UnboundedReceiver<Settlement>) {
    let mut batch = Vec::new();
    while settled.recv_many(&mut batch, AT_ONCE).await > 0 {
        let mut told = JoinSet::new();
        for settlement in batch.drain(..).filter(|_| remote.is_up.get()) {
            let remote = Rc::clone(&remote);
            told.spawn_local(async move { remote.tell(&settlement).await });
        }
        while told.join_next().await.is_some() {}
    }
}
