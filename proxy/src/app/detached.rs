//! A worker by itself, without a thread, listeners, connections or kernel programs.
//!
//! It decides about requests, accounts for them and writes their log lines as any other, and sends none. For benches, which
//! look at the parts of a request without its sockets.

use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;

use super::accounts;
use crate::account::log_thread::{self, LogThread};
use crate::config::Config;
use crate::drain::{self, DrainTrigger};
use crate::health::Health;
use crate::kernel::{Kernel, Sockets};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::upstream;
use crate::worker::{Shared, Worker};

/// The worker, with what has to outlive it.
#[derive(Debug)]
pub struct Detached {
    /// The worker; it shows what it does in its metrics.
    pub worker: Rc<Worker>,
    _log: LogThread,
    _trigger: DrainTrigger,
}

/// Makes one of a configuration, in which kernel programs count as switched off.
///
/// # Errors
/// If a file that the configuration names cannot be read, or the log not be opened.
pub fn detached(config: Config) -> Result<Detached> {
    let config = Arc::new(config);
    let links = Arc::new(ArcSwap::from_pointee(accounts::upstreams(&config)?));
    let clients = accounts::clients(&config)?;
    let (quotas, _) = accounts::limits(&config, clients.as_deref())?;
    let (trigger, drain) = drain::channel();
    let health = Arc::new(Health::new(1, config.probes.worker_limit, drain.clone()));
    let (sender, log) = log_thread::start(&config.access_log, &health)?;
    let kernel = Arc::new(Kernel::off(None));
    let sockets = Sockets::of(&kernel);
    let metrics = Metrics::new(1, kernel, Arc::clone(&quotas), false);
    let metrics = Arc::new(metrics);
    let own = metrics.worker(0).context("a worker has no metrics")?;
    let tls: Result<Vec<_>, _> = config.all_upstreams().map(upstream::tls::client).collect();
    let readiness = Arc::new(Readiness {
        config: ArcSwap::new(Arc::clone(&config)),
        links: Arc::clone(&links),
        metrics,
        health: Arc::clone(&health),
        drain: drain.clone(),
    });
    let shared = Shared {
        config,
        links,
        clients: clients.map(|book| book.clients.load_full()),
        models: Arc::default(),
        quotas,
        webhook: None,
        health,
        readiness,
        drain,
        log: sender,
        tracer: None,
        sockets,
    };
    Ok(Detached {
        worker: Rc::new(Worker::new(0, &shared, own, tls?)),
        _log: log,
        _trigger: trigger,
    })
}
