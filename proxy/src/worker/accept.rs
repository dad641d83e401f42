//! A worker's listeners: accepting, and looking at how many connections wait.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use std::{io, net};

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::Worker;
use crate::connection;
use crate::kernel::TcpInfo;
use crate::listener::Backlog;
use crate::metrics::QueueMetrics;
use crate::tls::Acceptor;

/// Pause after `accept` failed for want of descriptors or memory.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listening socket.
#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    tls: Option<Acceptor>,
    backlog: RefCell<Backlog>,
}

impl Listening {
    pub(super) fn new(listener: net::TcpListener, tls: Option<Acceptor>) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            tls,
            backlog: RefCell::new(Backlog::new(Instant::now().into_std())),
        })
    }

    fn queue<'a>(&self, worker: &'a Worker) -> &'a QueueMetrics {
        match self.tls {
            None => &worker.metrics.queue,
            Some(_) => &worker.metrics.queue_tls,
        }
    }

    /// Looks at the queue; one system call.
    pub(super) fn look(&self, worker: &Worker, now: Instant) {
        let queue = self.queue(worker);
        if let Ok(info) = TcpInfo::of(&self.listener) {
            let mut backlog = self.backlog.borrow_mut();
            let wait = backlog.look(now.into_std(), info.unacked, queue.accepted.get());
            queue.looked([info]);
            queue.expects(wait);
        }
    }
}

/// Accepts connections until the task is aborted.
pub(super) async fn run(worker: Rc<Worker>, listening: Rc<Listening>) {
    loop {
        match listening.listener.accept().await {
            Ok((stream, peer)) => {
                listening
                    .queue(&worker)
                    .accepted(worker.sockets.waited(&stream));
                let worker = Rc::clone(&worker);
                let tls = listening.tls.clone();
                tokio::task::spawn_local(connection::serve(worker, stream, peer, tls));
            }
            Err(error) => {
                // The client gave up, or the process is out of descriptors.
                tracing::warn!(%error, "accept failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
