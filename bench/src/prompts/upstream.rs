//! Upstream for all lanes: one thread with a listener in each server host's namespace.
//!
//! It reads a request to its end, thinks, and answers as the upstream of the other benches does. What it saw of the
//! request it tells the lane: whether the connection is the one that was to be measured is not left to belief.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use netlab::Host;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

use super::paths::THINK;
use crate::upstream::answer::Answers;
use crate::upstream::{BUFFER, fill, read_request};

/// What upstream saw of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Bytes of the body.
    pub(super) body: u64,
    /// Which request of its connection it was, from 1.
    pub(super) number: u64,
    /// From the end of the connection's handshakes to the request's first TLS record.
    pub(super) age: Duration,
}

/// What it saw of the requests of one lane since it was asked last.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Vec<Seen>>>);

impl Notes {
    fn add(&self, seen: Seen) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(seen);
    }

    /// Forgets what it saw so far.
    pub(super) fn clear(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.clear();
    }

    /// The one request since the last call.
    ///
    /// # Errors
    /// When there were none, or several.
    pub(super) fn take(&self) -> Result<Seen> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = std::mem::take(&mut *all);
        ensure!(seen.len() == 1, "one request was {} upstream", seen.len());
        Ok(seen[0])
    }
}

/// A running upstream; dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Upstream {
    /// Taken only when it is dropped.
    listeners: Option<UnboundedSender<(TcpListener, Notes)>>,
    thread: Option<thread::JoinHandle<Result<()>>>,
}

impl Upstream {
    /// Starts it, without a listener so far.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(acceptor: TlsAcceptor) -> Result<Self> {
        let (listeners, coming) = unbounded_channel();
        let thread = thread::Builder::new().name("upstream".to_owned());
        let thread = thread.spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build_local(LocalOptions::default())?;
            runtime.block_on(accept(coming, acceptor));
            Ok(())
        })?;
        Ok(Self {
            listeners: Some(listeners),
            thread: Some(thread),
        })
    }

    /// Listens in this host's namespace, too; where, and what it sees there.
    ///
    /// # Errors
    /// When it cannot.
    pub(super) fn listen(&self, host: &Host) -> Result<(SocketAddr, Notes)> {
        let listener = host.run(|| TcpListener::bind((host.ipv4(), 0)))??;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let notes = Notes::default();
        let sender = self.listeners.as_ref().context("no upstream")?;
        let sent = sender.send((listener, notes.clone()));
        sent.ok().context("the upstream has ended")?;
        Ok((address, notes))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.listeners.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that its lanes have not seen.
            let _ = thread.join();
        }
    }
}

async fn accept(mut coming: UnboundedReceiver<(TcpListener, Notes)>, acceptor: TlsAcceptor) {
    while let Some((listener, notes)) = coming.recv().await {
        tokio::task::spawn_local(listen(listener, notes, acceptor.clone()));
    }
}

/// Serves all connections to one lane's listener; its end is that of all its requests, which are missed.
async fn listen(listener: TcpListener, notes: Notes, acceptor: TlsAcceptor) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, notes) = (acceptor.clone(), notes.clone());
        tokio::task::spawn_local(async move {
            // A client that leaves is no failure; a request that fails is seen by who sent it.
            let _ = serve(stream, &acceptor, &notes).await;
        });
    }
}

/// Serves one connection until the peer closes it or asks to.
async fn serve(stream: TcpStream, acceptor: &TlsAcceptor, notes: &Notes) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let (opened, answers) = (Instant::now(), Answers::default());
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let mut number = 0;
    while fill(&mut stream, &mut buffer).await? {
        let age = opened.elapsed();
        let Some(request) = read_request(&mut stream, &mut buffer).await? else {
            break;
        };
        number += 1;
        think();
        notes.add(Seen {
            body: request.body,
            number,
            age,
        });
        stream.write_all(&answers.completion(request.close)).await?;
        stream.flush().await?;
        if request.close {
            break;
        }
    }
    stream.shutdown().await?;
    Ok(())
}

/// Keeps the whole thread waiting: there is no other request meanwhile, and a timer of tokio's may be late by a
/// millisecond.
fn think() {
    let until = Instant::now() + THINK;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_told_of_exactly_one_request() {
        let notes = Notes::default();
        assert!(notes.take().is_err());
        let seen = Seen {
            body: 1,
            number: 2,
            age: THINK,
        };
        notes.add(seen);
        assert_eq!(notes.take().unwrap(), seen);
        notes.add(seen);
        notes.add(seen);
        assert!(notes.take().is_err());
        assert!(notes.take().is_err());
    }
}
