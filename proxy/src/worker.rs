//! A worker: one thread with its own runtime, listeners and upstream pool.
//!
//! Nothing a request needs is shared with another thread but atomics and
//! snapshots. What is shared arrives in [`Shared`] from [`crate::app`].

mod accept;
mod budget;
mod clients;
mod clock;
mod cut;
mod guard;
mod inbox;
mod live;
mod origins;
mod sample;
mod spans;
mod spare;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::runtime::LocalOptions;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::account::RecordText;
use crate::account::access_log::Batch;
use crate::account::log_thread::LogSender;
use crate::clients::{Clients, Table};
use crate::config::{Config, Live, ModelMap, Treatment};
use crate::cost::Catalogue;
use crate::drain::Drain;
use crate::health::Health;
use crate::kernel::Sockets;
use crate::limits::{Quotas, Remote, Terms};
use crate::metrics::WorkerMetrics;
use crate::metrics::cost::Ledger;
use crate::metrics::gen_ai::Models;
use crate::models::ModelsCache;
use crate::readiness::Readiness;
use crate::route::ROUTES;
use crate::takeover::Gate;
use crate::tls::Acceptor;
use crate::traces::{Finished, Tracer};
use crate::upstream::tls::ClientTls;
use crate::upstream::{Origin, SharedLinks, Slots};
use crate::webhook::Webhook;
pub use accept::ACCEPT_PAUSE;
pub use budget::Budget;
pub use guard::ConnectionGuard;
pub use inbox::{Inbox, Jobs, channel as inbox};
pub use live::terms;
pub use spare::Spare;

type JoinTask = tokio::task::JoinHandle<()>;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    /// The configuration at the start.
    pub config: Arc<Config>,
    /// The upstreams.
    pub links: SharedLinks,
    /// The clients at the start, where they have keys of their own.
    pub clients: Option<Arc<Clients>>,
    /// The model list.
    pub models: Arc<ModelsCache>,
    /// What clients have had of late.
    pub quotas: Arc<Quotas>,
    /// Notices of payments, if they are taken.
    pub webhook: Option<Arc<Webhook>>,
    /// Heartbeats.
    pub health: Arc<Health>,
    /// Whether traffic should come.
    pub readiness: Arc<Readiness>,
    /// The end of it all.
    pub drain: Drain,
    /// Where access-log batches go.
    pub log: LogSender,
    /// Where spans go, if there are any.
    pub tracer: Option<Arc<Tracer>>,
    /// The kernel's view of sockets.
    pub sockets: Sockets,
}

/// What one worker is started with.
#[derive(Debug)]
pub struct Inputs {
    /// Its number, from 0.
    pub id: usize,
    /// What it shares.
    pub shared: Arc<Shared>,
    /// Its own metrics.
    pub metrics: Arc<WorkerMetrics>,
    /// TLS towards each upstream, with a session cache of its own.
    pub upstream_tls: Vec<Option<ClientTls>>,
    /// Its listeners, with what makes the TLS one speak TLS.
    pub listeners: Vec<(TcpListener, Option<Acceptor>)>,
    /// What other threads want done on this one.
    pub jobs: Jobs,
    /// Told once it accepts connections; dropped if it never will.
    pub started: mpsc::Sender<()>,
    /// When to begin with that.
    pub gate: Gate,
}

/// One worker's state, seen by its tasks.
#[derive(Debug)]
pub struct Worker {
    id: usize,
    /// The configuration at the start. What can change since is in `live`.
    pub config: Arc<Config>,
    live: Cell<Live>,
    treatments: RefCell<[Treatment; ROUTES.len()]>,
    model_map: RefCell<Rc<ModelMap>>,
    prices: RefCell<Catalogue>,
    /// Its way to the series of what requests cost.
    pub ledger: Ledger,
    clients: RefCell<Option<Rc<Table>>>,
    origins: RefCell<Rc<[Rc<Origin>]>>,
    /// What may take their place soon.
    prepared: RefCell<Vec<Rc<Origin>>>,
    /// Its way to the series of each upstream's models.
    pub models_asked: Slots<Models>,
    /// What all clients together may ask for, and have asked for.
    terms: RefCell<Arc<Terms>>,
    quotas: Arc<Quotas>,
    /// The way to what all replicas count together.
    pub remote: Option<Rc<Remote>>,
    /// What is left of the budget for repeated requests.
    pub budget: Budget,
    /// The same for second requests beside first ones.
    pub hedges: Budget,
    /// The model list.
    pub models: Arc<ModelsCache>,
    /// Notices of payments, if they are taken.
    pub webhook: Option<Arc<Webhook>>,
    /// Heartbeats of all workers.
    pub health: Arc<Health>,
    /// Whether traffic should come.
    pub readiness: Arc<Readiness>,
    /// The end of it all.
    pub drain: Drain,
    /// This worker's metrics.
    pub metrics: Arc<WorkerMetrics>,
    /// The kernel's view of its sockets.
    pub sockets: Sockets,
    log: LogSender,
    batch: RefCell<Batch>,
    /// Where spans go, if there are any.
    pub tracer: Option<Arc<Tracer>>,
    finished: RefCell<Vec<Finished>>,
    /// Memory that is used again.
    pub spare: Spare,
    in_flight: Cell<usize>,
    max_in_flight: Cell<usize>,
    connections: Cell<usize>,
    connection_ended: Notify,
    cut: cut::Cut,
    sample: sample::Sample,
    now: Cell<Instant>,
    random: RefCell<fastrand::Rng>,
}

/// Starts a worker's thread.
///
/// # Errors
/// If thread or runtime cannot be made.
pub fn start(inputs: Inputs) -> io::Result<JoinHandle<()>> {
    let name = format!("worker-{}", inputs.id);
    let health = Arc::clone(&inputs.shared.health);
    std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            let _watched = health.watch(name);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => match runtime.block_on(run(inputs)) {
                    Ok(worker) => {
                        // Drops what did not finish in time; its records end here.
                        drop(runtime);
                        worker.flush_log();
                        worker.flush_spans();
                    }
                    Err(error) => tracing::error!(%error, "a worker has no listener"),
                },
                Err(error) => tracing::error!(%error, "a worker has no runtime"),
            }
        })
}

/// Serves until the drain is over; gives the worker back for its last lines.
async fn run(inputs: Inputs) -> io::Result<Rc<Worker>> {
    let Inputs {
        id,
        shared,
        metrics,
        upstream_tls,
        listeners,
        jobs,
        started,
        gate,
    } = inputs;
    let worker = Rc::new(Worker::new(id, &shared, metrics, upstream_tls));
    worker
        .origins()
        .iter()
        .for_each(|origin| origin.keep_ready());
    let mut tasks = Vec::new();
    let mut listening = Vec::new();
    for (listener, tls) in listeners {
        let socket = Rc::new(accept::Listening::new(listener, tls)?);
        let (gate, accepts) = (
            gate.clone(),
            accept::run(Rc::clone(&worker), Rc::clone(&socket)),
        );
        let accepts = async move {
            gate.opened().await;
            accepts.await;
        };
        tasks.push(worker.watched("accepting", accepts));
        listening.push(socket);
    }
    tasks.push(worker.watched(
        "looking at the queues",
        clock::look(Rc::clone(&worker), listening),
    ));
    let taking_jobs = worker.watched("taking jobs", inbox::run(Rc::clone(&worker), jobs));
    drop(worker.watched("the heartbeat", clock::tick(Rc::clone(&worker))));
    worker.health.beat(id);
    // Whoever started this has not necessarily waited.
    let _ = started.send(());
    drop(started);
    let mut draining = worker.drain.wait();
    let is_handed_over = tokio::select! {
        () = &mut draining => false,
        () = worker.drain.handed_over() => true,
    };
    for task in tasks {
        task.abort();
    }
    if is_handed_over {
        draining.await;
    }
    taking_jobs.abort();
    worker.finish_connections().await;
    Ok(worker)
}

impl Worker {
    pub(crate) fn new(
        id: usize,
        shared: &Shared,
        metrics: Arc<WorkerMetrics>,
        upstream_tls: Vec<Option<ClientTls>>,
    ) -> Self {
        let config = Arc::clone(&shared.config);
        let links = shared.links.load_full();
        let seen = (&metrics, &shared.sockets);
        let limits = &config.limits.per_client;
        let clients = shared.clients.clone();
        let clients = clients.map(|clients| Table::new(clients, limits, &shared.quotas));
        let origins = links.iter().zip(upstream_tls);
        let origins = origins.map(|(link, tls)| Origin::new(link, id, tls, &config, seen));
        Self {
            id,
            origins: RefCell::new(origins.map(Rc::new).collect()),
            prepared: RefCell::default(),
            models_asked: Slots::default(),
            terms: RefCell::new(terms(&shared.quotas, &config)),
            quotas: Arc::clone(&shared.quotas),
            remote: live::remote(&shared.quotas, id),
            budget: Budget::default(),
            hedges: Budget::default(),
            models: Arc::clone(&shared.models),
            webhook: shared.webhook.clone(),
            health: Arc::clone(&shared.health),
            readiness: Arc::clone(&shared.readiness),
            drain: shared.drain.clone(),
            metrics,
            sockets: shared.sockets.clone(),
            log: shared.log.clone(),
            batch: RefCell::new(Batch::new(config.log_format, &links)),
            tracer: shared.tracer.clone(),
            finished: RefCell::default(),
            spare: Spare::default(),
            in_flight: Cell::new(0),
            max_in_flight: Cell::new(live::share(&config)),
            live: Cell::new(config.live()),
            treatments: RefCell::new(config.routes.by_route()),
            model_map: RefCell::new(Rc::new(config.models.clone())),
            prices: RefCell::new(config.prices.clone()),
            ledger: Ledger::default(),
            clients: RefCell::new(clients.map(Rc::new)),
            connections: Cell::new(0),
            connection_ended: Notify::new(),
            cut: cut::Cut::default(),
            sample: sample::Sample::default(),
            now: Cell::new(Instant::now()),
            random: RefCell::default(),
            config,
        }
    }

    /// Whether one more request than the cap is in flight.
    pub const fn is_overloaded(&self) -> bool {
        self.in_flight.get() > self.max_in_flight.get()
    }

    /// The time, at most a heartbeat old: good enough for deadlines, and free.
    pub const fn now(&self) -> Instant {
        self.now.get()
    }

    /// Starts a task that has to last until the drain; its end before that fails liveness.
    fn watched(&self, does: &str, task: impl Future<Output = ()> + 'static) -> JoinTask {
        let watched = self.health.watch(format!("worker-{}: {does}", self.id));
        tokio::task::spawn_local(async move {
            let _watched = watched;
            task.await;
        })
    }

    /// Counts a request in.
    pub fn begin_request(&self, now: Instant) {
        self.now.set(now);
        self.in_flight.set(self.in_flight.get() + 1);
        self.metrics.http.in_flight.add(1);
    }

    /// Counts a request out and takes its text buffer back.
    pub fn end_request(&self, text: RecordText, now: Instant) {
        self.now.set(now);
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.metrics.http.in_flight.add(-1);
        self.spare.keep_text(text);
    }

    /// Hands the batch to the log thread.
    pub fn flush_log(&self) {
        let batch = self.batch.borrow_mut().take();
        if let Some((lines, count)) = batch
            && !self.log.send(lines)
        {
            self.metrics.log_dropped.add(count);
        }
    }

    /// Calls `with` with the value of a `Date` field.
    pub fn with_date(&self, with: impl FnOnce(&str)) {
        with(self.batch.borrow_mut().http_date());
    }

    /// A number around 1, so that not all do the same at once.
    pub fn chance(&self) -> f32 {
        0.5 + self.random.borrow_mut().f32()
    }

    /// Makes a request id of 32 hexadecimal digits in `buffer`.
    pub fn make_request_id<'a>(&self, buffer: &'a mut [u8; 32]) -> &'a [u8] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut bits = self.random.borrow_mut().u128(..);
        for digit in buffer.iter_mut() {
            *digit = HEX.get((bits & 15) as usize).copied().unwrap_or(b'0');
            bits >>= 4;
        }
        buffer
    }
}
