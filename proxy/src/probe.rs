//! The thread that answers health probes, so that they wait for nothing a user does.
//!
//! It has a runtime and listeners of its own: a port for probes (`probes.listen`), and listeners on loopback that the
//! kernel gives connections from probe sources to, whatever data port they were meant for (`probe_steering`). The
//! source alone does not make a probe: `connection` looks at the first request, and what asks for anything else goes
//! to a worker, which serves it as if it had come the usual way. Answers come from [`crate::health`] and
//! [`crate::readiness`], which look at time stamps; nobody is asked who might not answer.

mod connection;
pub mod node;
mod spare;

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::LocalOptions;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::connection::peer::Peer;
use crate::connection::{self as client, Begun};
use crate::health::BEAT;
use crate::kernel::{Sockets, TcpInfo};
use crate::metrics::ProbeMetrics;
use crate::readiness::Readiness;
use crate::takeover::Gate;
use crate::tls::Acceptor;
use crate::worker::{ACCEPT_PAUSE, Inbox};
use spare::Spares;

/// A worker whose stamp is younger than this takes connections that are handed over.
const FRESH: Duration = Duration::from_millis(500);

/// What the thread is started with.
#[derive(Debug)]
pub struct Inputs {
    /// The port for probes.
    pub port: Option<TcpListener>,
    /// Where steered connections come.
    pub steered: Vec<TcpListener>,
    /// The TLS data port, on which steered connections begin with a handshake.
    pub tls: Option<(u16, Acceptor)>,
    /// The workers, to hand connections over to.
    pub inboxes: Vec<Inbox>,
    /// What there is to say.
    pub readiness: Arc<Readiness>,
    /// How long connections waited.
    pub sockets: Sockets,
    /// What is counted.
    pub metrics: Arc<ProbeMetrics>,
    /// When to begin with accepting.
    pub gate: Gate,
}

/// What all connections share.
#[derive(Debug)]
struct Probe {
    tls: Option<(u16, Acceptor)>,
    inboxes: Vec<Inbox>,
    readiness: Arc<Readiness>,
    sockets: Sockets,
    metrics: Arc<ProbeMetrics>,
    /// Connections whose first request has not come.
    waiting: Cell<usize>,
    next: Cell<usize>,
    spares: Spares,
}

/// How a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// To the port for probes: nothing else is served.
    Direct,
    /// By steering, to a data port.
    Steered,
    /// By steering, to the TLS data port.
    SteeredTls,
}

/// One listening socket.
#[derive(Debug)]
struct Listening {
    listener: tokio::net::TcpListener,
    /// Its own address; that of a steered connection is another.
    address: SocketAddr,
    steered: bool,
}

/// Starts the thread; it ends when it is told to, or the other end of that is dropped.
///
/// # Errors
/// If the thread cannot be started.
pub fn start(inputs: Inputs) -> io::Result<(JoinHandle<()>, oneshot::Sender<()>)> {
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("probe".to_owned())
        .spawn(move || {
            let _watched = inputs.readiness.health.watch("probe");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            let served = runtime.and_then(|runtime| runtime.block_on(run(inputs, stopped)));
            if let Err(error) = served {
                tracing::error!(%error, "the probe thread cannot serve");
            }
        })?;
    Ok((thread, stop))
}

async fn run(inputs: Inputs, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let health = Arc::clone(&inputs.readiness.health);
    let probe = Rc::new(Probe {
        tls: inputs.tls,
        inboxes: inputs.inboxes,
        readiness: inputs.readiness,
        sockets: inputs.sockets,
        metrics: inputs.metrics,
        waiting: Cell::new(0),
        next: Cell::new(0),
        spares: Spares::default(),
    });
    let mut listening = Vec::new();
    let port = inputs.port.into_iter().map(|listener| (listener, false));
    for (listener, steered) in port.chain(inputs.steered.into_iter().map(|l| (l, true))) {
        let socket = Rc::new(Listening {
            address: listener.local_addr()?,
            listener: tokio::net::TcpListener::from_std(listener)?,
            steered,
        });
        let watched = health.watch("probe: accepting");
        let accepts = accept(Rc::clone(&probe), Rc::clone(&socket));
        let (gate, drain) = (inputs.gate.clone(), probe.readiness.drain.clone());
        tokio::task::spawn_local(async move {
            let _watched = watched;
            gate.opened().await;
            tokio::select! {
                () = accepts => {}
                () = drain.handed_over() => {}
            }
        });
        listening.push(socket);
    }
    let drain = probe.readiness.drain.clone();
    let mut stopped = stopped;
    tokio::select! {
        () = look(&probe, &listening) => {}
        () = drain.handed_over() => {
            // Another process has them.
            drop(listening);
            let _ = stopped.await;
        }
        // Told to stop, or the app is gone: the same.
        _ = &mut stopped => {}
    }
    Ok(())
}

async fn accept(probe: Rc<Probe>, listening: Rc<Listening>) {
    loop {
        match listening.listener.accept().await {
            Ok((stream, peer)) => {
                let waited = probe.sockets.waited(&stream);
                probe.metrics.queue.accepted(waited);
                let came = probe.came(&listening, &stream);
                let peer = Peer::new(peer.ip());
                let probe = Rc::clone(&probe);
                tokio::task::spawn_local(async move {
                    connection::serve(Rc::clone(&probe), stream, peer, came).await;
                    probe.spares.fill();
                });
            }
            Err(error) if probe.spares.give_way(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed on a probe listener");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Looks at the queues now and then, and at the spare descriptors.
async fn look(probe: &Probe, listening: &[Rc<Listening>]) {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        probe.spares.fill();
        let infos = listening.iter().map(|one| TcpInfo::of(&one.listener));
        probe.metrics.queue.looked(infos.filter_map(Result::ok));
    }
}

impl Probe {
    /// A steered connection still has the address its client connected to.
    fn came(&self, listening: &Listening, stream: &TcpStream) -> Came {
        let meant = stream.local_addr().ok();
        match meant.filter(|_| listening.steered) {
            Some(meant) if meant != listening.address => match &self.tls {
                Some((port, _)) if *port == meant.port() => Came::SteeredTls,
                _ => Came::Steered,
            },
            _ => Came::Direct,
        }
    }

    /// Gives a connection to the next worker that runs, or to the next one if none does.
    fn hand_over(&self, begun: Begun, peer: Peer) {
        let count = self.inboxes.len();
        let first = self.next.get();
        let health = &self.readiness.health;
        let mut turns = (0..count).map(|turn| (first + turn) % count.max(1));
        let worker = turns
            .find(|worker| health.age(*worker) < FRESH)
            .unwrap_or(first);
        self.next.set((worker + 1) % count.max(1));
        if let Some(inbox) = self.inboxes.get(worker) {
            self.metrics.handed_over.inc();
            inbox.send(move |worker| {
                tokio::task::spawn_local(client::resume(Rc::clone(worker), begun, peer));
            });
        }
    }
}
