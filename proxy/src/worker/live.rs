//! Settings that change while a worker runs: they come as a job and are read as plain memory.

use std::cell::Ref;
use std::rc::Rc;
use std::sync::Arc;

use super::Worker;
use crate::clients::ANONYMOUS;
use crate::config::{Auth, ClientLimits, Config, Live, ModelMap, Treatment};
use crate::cost::Catalogue;
use crate::limits::{Quotas, Remote, Terms};
use crate::route::RouteId;

impl Worker {
    /// Settings that can change, as they are now. Whoever takes one field reads only that.
    #[inline]
    pub const fn live(&self) -> Live {
        self.live.get()
    }

    /// How a request of this route is treated; of none, as one of the first.
    #[inline]
    pub fn treatment(&self, route: Option<RouteId>) -> Treatment {
        let treatments = self.treatments.borrow();
        let index = route.map_or(0, RouteId::index);
        *treatments.get(index).unwrap_or(&treatments[0])
    }

    /// What models cost.
    #[inline]
    pub fn prices(&self) -> Ref<'_, Catalogue> {
        self.prices.borrow()
    }

    /// Which upstreams serve which models.
    pub fn model_map(&self) -> Rc<ModelMap> {
        Rc::clone(&self.model_map.borrow())
    }

    /// Takes over what can change.
    pub fn adopt(&self, config: &Config) {
        *self.terms.borrow_mut() = terms(&self.quotas, config);
        self.live.set(config.live());
        self.limit_clients(&config.limits.per_client);
        *self.treatments.borrow_mut() = config.routes.by_route();
        *self.prices.borrow_mut() = config.prices.clone();
        *self.model_map.borrow_mut() = Rc::new(config.models.clone());
        self.max_in_flight.set(share(config));
        for origin in self.origins().iter() {
            origin.adopt(config);
        }
    }
}

/// What holds for all clients together where they have no names.
pub fn terms(quotas: &Quotas, config: &Config) -> Arc<Terms> {
    let limits = match config.auth {
        Auth::Open | Auth::Passthrough => config.limits.per_client,
        // Nobody gets anything without a name.
        Auth::Clients => ClientLimits::default(),
    };
    quotas.set(ANONYMOUS, limits)
}

/// One worker's share of the requests in flight.
pub(super) fn share(config: &Config) -> usize {
    config.limits.in_flight.div_ceil(config.workers.max(1))
}

/// A connection to where replicas count together, if they do.
pub(super) fn remote(quotas: &Quotas, worker: usize) -> Option<Rc<Remote>> {
    let remote = Remote::new(quotas.redis.as_ref()?, worker);
    let failed = |error: &_| tracing::error!(%error, "limits are this worker's own");
    remote.inspect_err(failed).ok()
}
