//! The one place where parts are made and wired together.

mod accounts;
mod control;
mod detached;
mod kernel_side;
mod listeners;
mod memory;
mod succession;
mod summary;
mod windows;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::oneshot;

use crate::account::log_thread::{self, LogThread};
use crate::admin::Admin;
use crate::clients::follow::{Book, Follower};
use crate::config::Config;
use crate::drain::{self, DrainTrigger};
use crate::health::Health;
use crate::kernel::{Kernel, Sockets};
use crate::limits::budget::{Keeper, Store};
use crate::metrics::Metrics;
use crate::probe;
use crate::readiness::Readiness;
use crate::reload::{Reloader, Reloads, Source};
use crate::takeover::{Gate, Offer};
use crate::tls::Acceptor;
use crate::traces::{Exporter, Tracer};
use crate::upstream;
use crate::webhook::{Courier, Webhook};
use crate::worker::{self, Inbox, Inputs, Shared};
use control::Followers;
pub use detached::{Detached, detached};
pub use listeners::Addresses;
use listeners::{Listeners, Speaking, dealt};
use succession::Succession;

/// A thread, and what tells it to end.
type Stoppable = (JoinHandle<()>, oneshot::Sender<()>);

/// A running proxy.
#[derive(Debug)]
pub struct App {
    addresses: Addresses,
    trigger: DrainTrigger,
    readiness: Arc<Readiness>,
    reloads: Arc<Reloads>,
    clients: Option<Arc<Book>>,
    workers: Vec<JoinHandle<()>>,
    inboxes: Vec<Inbox>,
    control: Option<Stoppable>,
    probe: Option<Stoppable>,
    log: Option<LogThread>,
}

/// What parts share, as it comes into being.
struct Parts {
    shared: Arc<Shared>,
    readiness: Arc<Readiness>,
    kernel: Arc<Kernel>,
    acceptor: Option<Acceptor>,
    sources: Vec<IpNet>,
    source: Option<Source>,
    courier: Option<Courier>,
    exporter: Option<Exporter>,
    store: Store,
    gate: Gate,
    offer: Option<Offer>,
}

impl App {
    /// Starts everything; the proxy serves when this returns.
    ///
    /// # Errors
    /// What cannot be had: an address, a file, a thread.
    pub fn start(config: Config) -> Result<Self> {
        Self::start_from(config, None)
    }

    /// The same, and follows the file the configuration comes from.
    ///
    /// # Errors
    /// What cannot be had: an address, a file, a thread.
    pub fn start_from(config: Config, source: Option<Source>) -> Result<Self> {
        let config = Arc::new(config);
        let links = Arc::new(ArcSwap::from_pointee(accounts::upstreams(&config)?));
        let clients = accounts::clients(&config)?;
        let (webhook, courier) = Webhook::new(&config)?.unzip();
        let acceptor = config.tls.as_ref().map(Acceptor::new).transpose()?;
        let (mut succession, gate, offered) = Succession::begin(&config)?;
        // Before any other thread starts, so that all of them lack the capabilities given up here,
        // and before the first `listen`: sockets keep the cgroup they were made in.
        let (mut kernel, sources) = kernel_side::start(&config)?;
        let listeners = Listeners::open(&config, &sources, succession.handed())?;
        listeners.announce(&mut kernel)?;
        kernel.give_up_capabilities();
        let kernel = Arc::new(kernel);
        let (trigger, drain) = drain::channel();
        let offer = succession::offer(&config, &listeners, offered, (&trigger, &drain), &kernel)?;
        let limit = config.probes.worker_limit;
        let health = Arc::new(Health::new(config.workers, limit, drain.clone()));
        let (log_sender, log) = log_thread::start(&config.access_log, &health)
            .context("the access log cannot be opened")?;
        let (quotas, store) = accounts::limits(&config, clients.as_deref())?;
        let metrics = Arc::new(Metrics::new(
            config.workers,
            Arc::clone(&kernel),
            Arc::clone(&quotas),
            listeners.take_probes(),
        ));
        let (tracer, exporter) = Tracer::new(&config, &links, &metrics.control().traces)?.unzip();
        let readiness = Arc::new(Readiness {
            config: ArcSwap::new(Arc::clone(&config)),
            links: Arc::clone(&links),
            metrics,
            health: Arc::clone(&health),
            drain: drain.clone(),
        });
        let shared = Arc::new(Shared {
            config,
            links,
            clients: clients.as_ref().map(|book| book.clients.load_full()),
            models: Arc::default(),
            quotas,
            webhook,
            health,
            readiness: Arc::clone(&readiness),
            drain,
            log: log_sender,
            tracer,
            sockets: Sockets::of(&kernel),
        });
        let mut app = Self {
            addresses: listeners.addresses,
            trigger,
            readiness: Arc::clone(&readiness),
            reloads: Arc::new(Reloads::new(source.as_ref())),
            clients,
            workers: Vec::new(),
            inboxes: Vec::new(),
            control: None,
            probe: None,
            log: Some(log),
        };
        let parts = Parts {
            shared,
            readiness: Arc::clone(&readiness),
            kernel,
            acceptor,
            sources,
            source,
            courier,
            exporter,
            store,
            gate,
            offer,
        };
        app.start_threads(listeners, parts)?;
        succession.complete(&readiness)?;
        Ok(app)
    }

    fn start_threads(&mut self, listeners: Listeners, parts: Parts) -> Result<()> {
        let Listeners {
            plain,
            tls,
            admin,
            probe,
            steered,
            ..
        } = listeners;
        let acceptor = parts.acceptor.as_ref();
        let (started, starts) = mpsc::channel();
        let plain = plain.into_iter().map(|listener| (listener, None));
        let tls = tls
            .into_iter()
            .map(|listener| (listener, acceptor.cloned()));
        let workers = parts.shared.config.workers;
        for (id, own) in dealt(workers, plain, tls).into_iter().enumerate() {
            self.start_worker(id, own, &parts, started.clone())?;
        }
        drop(started);
        if let Some(metrics) = parts.readiness.metrics.probe() {
            let inputs = probe::Inputs {
                port: probe,
                steered,
                tls: self
                    .addresses
                    .tls
                    .map(|address| address.port())
                    .zip(acceptor.cloned()),
                inboxes: self.inboxes.clone(),
                readiness: Arc::clone(&parts.readiness),
                sockets: parts.shared.sockets.clone(),
                metrics: Arc::clone(metrics),
                gate: parts.gate.clone(),
            };
            let started = probe::start(inputs);
            self.probe = Some(started.context("the probe thread cannot be started")?);
        }
        let reloader = parts.source.map(|source| Reloader {
            source,
            readiness: Arc::clone(&parts.readiness),
            inboxes: self.inboxes.clone(),
            reloads: Arc::clone(&self.reloads),
        });
        let state = Admin {
            readiness: parts.readiness,
            kernel: parts.kernel,
            addresses: self.addresses,
            acceptor: parts.acceptor,
            sources: parts.sources,
            reloads: Arc::clone(&self.reloads),
            webhook: parts.shared.webhook.clone(),
            clients: self.clients.clone(),
            started: std::time::Instant::now(),
            history: RefCell::default(),
        };
        let follower = self.clients.clone().map(|book| Follower {
            book,
            inboxes: self.inboxes.clone(),
        });
        let followers = Followers {
            reloader,
            follower,
            courier: parts.courier,
            keeper: Keeper::new(Arc::clone(&parts.shared.quotas), parts.store)?,
            offer: parts.offer,
            exporter: parts.exporter,
        };
        self.control = Some(control::start(state, admin, followers, parts.gate)?);
        let count = starts.iter().count();
        ensure!(count == self.workers.len(), "a worker did not start");
        Ok(())
    }

    fn start_worker(
        &mut self,
        id: usize,
        listeners: Vec<Speaking>,
        parts: &Parts,
        started: mpsc::Sender<()>,
    ) -> Result<()> {
        let (inbox, jobs) = worker::inbox();
        let metrics = parts.readiness.metrics.worker(id);
        let upstreams = parts.shared.config.all_upstreams();
        let tls: Result<Vec<_>, _> = upstreams.map(upstream::tls::client).collect();
        let inputs = Inputs {
            id,
            shared: Arc::clone(&parts.shared),
            metrics: metrics.context("a worker has no metrics")?,
            upstream_tls: tls?,
            listeners,
            jobs,
            started,
            gate: parts.gate.clone(),
        };
        let started = worker::start(inputs);
        self.workers
            .push(started.context("a worker cannot be started")?);
        self.inboxes.push(inbox);
        Ok(())
    }

    /// Where it listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Address of the data port.
    pub const fn data_addr(&self) -> SocketAddr {
        self.addresses.data
    }

    /// Address of the TLS data port.
    pub const fn tls_addr(&self) -> Option<SocketAddr> {
        self.addresses.tls
    }

    /// Address of the admin port.
    pub const fn admin_addr(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// The way to a worker, by its number.
    pub fn inbox(&self, worker: usize) -> Option<&Inbox> {
        self.inboxes.get(worker)
    }

    /// How long everything is served after a stop was asked for.
    pub fn drain_delay(&self) -> Duration {
        self.readiness.config.load().timeouts.drain_delay
    }

    /// Asks for the stop, which begins with `timeouts.drain_delay`; [`App::join`] waits for its end.
    pub fn stop(&self) {
        self.trigger.begin(self.drain_delay());
    }

    /// What ends running requests, each with an error that says so, and the process with them; for use beside
    /// [`App::join`].
    pub fn hurrying(&self) -> impl Fn() + Send + use<> {
        let trigger = self.trigger.clone();
        move || trigger.hurry()
    }

    /// Waits until another process has taken the listening sockets over; the drain has been asked for then.
    pub async fn handed_over(&self) {
        self.readiness.drain.handed_over().await;
    }

    /// Has the access log's file opened again.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Reads the configuration file again, and that of clients, if there is one.
    pub fn reload(&self) {
        self.reloads.ask();
        if let Some(clients) = &self.clients {
            clients.ask();
        }
    }

    /// Waits until the proxy has stopped.
    pub fn join(mut self) {
        self.end();
    }

    fn end(&mut self) {
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
        // Those that tell how it goes are the last to go.
        for (thread, stop) in self.control.take().into_iter().chain(self.probe.take()) {
            // It ends with its last task, or already has.
            let _ = stop.send(());
            if thread.join().is_err() {
                tracing::error!("a thread has panicked");
            }
        }
        if let Some(log) = self.log.take() {
            log.join();
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop();
        self.end();
    }
}
