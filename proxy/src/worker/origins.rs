//! A worker's side of the upstreams, and how it gets others.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Worker;
use crate::config::Config;
use crate::upstream::tls::ClientTls;
use crate::upstream::{ConnectError, Link, Links, Origin};

/// Which upstream could not be connected to, and why.
type Failed = (Arc<Link>, ConnectError);

impl Worker {
    /// Its side of each upstream, in the configuration's order; those of [`Worker::model_map`] are positions here.
    #[inline]
    pub fn origins(&self) -> Rc<[Rc<Origin>]> {
        Rc::clone(&self.origins.borrow())
    }

    /// Whether there are several.
    #[inline]
    pub fn has_upstreams(&self) -> bool {
        self.origins.borrow().len() > 1
    }

    /// Its side of the upstream with this slot, if there still is one of that name.
    #[inline]
    pub fn origin(&self, slot: usize) -> Option<Rc<Origin>> {
        let origins = self.origins.borrow();
        let mut origins = origins.iter();
        origins.find(|origin| origin.link.slot == slot).cloned()
    }

    /// Connects to upstreams that are to be used soon, and tells when that is done, or why it cannot be.
    pub fn prepare(
        self: &Rc<Self>,
        links: Vec<(Arc<Link>, Option<ClientTls>)>,
        config: Arc<Config>,
        tell: oneshot::Sender<Result<(), Failed>>,
    ) {
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let mut result = Ok(());
            for (link, tls) in links {
                let seen = (&worker.metrics, &worker.sockets);
                let origin = Rc::new(Origin::new(&link, worker.id, tls, &config, seen));
                worker.prepared.borrow_mut().push(Rc::clone(&origin));
                if let Err(error) = origin.connect().await {
                    result = Err((link, error));
                    break;
                }
                origin.keep_ready();
            }
            // Whoever has gone does not need it.
            let _ = tell.send(result);
        });
    }

    /// What was prepared is not used.
    pub fn drop_prepared(&self) {
        for origin in self.prepared.take() {
            origin.retire();
        }
    }

    /// Uses these upstreams from now on, of which the new ones have been prepared. Requests that are on their way to others
    /// go on.
    pub fn take_upstreams(&self, links: &Arc<Links>) {
        let old = self.origins();
        let prepared = self.prepared.take();
        let known = || old.iter().chain(&prepared);
        let of = |link| known().find(|origin| Arc::ptr_eq(&origin.link, link));
        let new = links.iter().map(|link| of(link).cloned());
        let Some(new) = new.collect::<Option<Rc<[_]>>>() else {
            tracing::error!(worker = self.id, "an upstream was not prepared");
            return;
        };
        let is_used = |origin: &&Rc<Origin>| links.has(&origin.link);
        let unused: Vec<_> = known().filter(|origin| !is_used(origin)).collect();
        unused.into_iter().for_each(|origin| origin.retire());
        *self.origins.borrow_mut() = Rc::clone(&new);
        self.batch.borrow_mut().know(links);
        self.models.forget();
    }
}
