//! Upstream as a thread of the bench, with a listener in each host's namespace that asks for one.
//!
//! It reads a request to its end, thinks, and answers as [`super`] does. What it saw of the request it tells the bench:
//! whether a connection was the one that was to be measured is not left to belief.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
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

use super::answer::Answers;
use super::{BUFFER, fill, read_request};
use crate::alarm::Alarm;

/// What upstream saw of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Bytes of the body.
    pub(crate) body: u64,
    /// Which request of its connection it was, from 1.
    pub(crate) number: u64,
    /// From the end of the connection's handshakes to the request's first TLS record.
    pub(crate) age: Duration,
}

/// What it saw of the requests to one listener since it was asked last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<Seen>>>);

impl Notes {
    fn add(&self, seen: Seen) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(seen);
    }

    /// Forgets what it saw so far.
    pub(crate) fn clear(&self) {
        self.take_all();
    }

    /// All requests since the last call.
    pub(crate) fn take_all(&self) -> Vec<Seen> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *all)
    }

    /// The one request since the last call.
    ///
    /// # Errors
    /// When there were none, or several.
    pub(crate) fn take(&self) -> Result<Seen> {
        let seen = self.take_all();
        ensure!(seen.len() == 1, "one request was {} upstream", seen.len());
        Ok(seen[0])
    }
}

/// How it answers, and for how long it keeps an idle connection.
#[derive(Debug, Clone, Copy)]
struct Manner {
    thinks: Duration,
    keeps: Duration,
}

/// A running upstream; dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Taken only when it is dropped.
    listeners: Option<UnboundedSender<(TcpListener, Notes)>>,
    thread: Option<thread::JoinHandle<Result<()>>>,
}

impl Upstream {
    /// Starts it, without a listener so far; it thinks for so long before each answer.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(crate) fn start(acceptor: TlsAcceptor, thinks: Duration) -> Result<Self> {
        Self::keeping(acceptor, thinks, Duration::MAX)
    }

    /// The same with connections that it closes when they have been idle for so long.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(crate) fn keeping(
        acceptor: TlsAcceptor,
        thinks: Duration,
        keeps: Duration,
    ) -> Result<Self> {
        let (listeners, coming) = unbounded_channel();
        let thread = thread::Builder::new().name("upstream".to_owned());
        let thread = thread.spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build_local(LocalOptions::default())?;
            runtime.block_on(accept(coming, acceptor, Manner { thinks, keeps }));
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
    pub(crate) fn listen(&self, host: &Host) -> Result<(SocketAddr, Notes)> {
        self.serve(host.run(|| TcpListener::bind((host.ipv4(), 0)))??)
    }

    /// The same on loopback, where this process is.
    ///
    /// # Errors
    /// When it cannot.
    pub(crate) fn listen_here(&self) -> Result<(SocketAddr, Notes)> {
        self.serve(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
    }

    fn serve(&self, listener: TcpListener) -> Result<(SocketAddr, Notes)> {
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

async fn accept(
    mut coming: UnboundedReceiver<(TcpListener, Notes)>,
    acceptor: TlsAcceptor,
    manner: Manner,
) {
    while let Some((listener, notes)) = coming.recv().await {
        tokio::task::spawn_local(listen(listener, notes, acceptor.clone(), manner));
    }
}

/// Serves all connections to one listener; its end is that of all its requests, which are missed.
async fn listen(
    listener: TcpListener,
    notes: Notes,
    acceptor: TlsAcceptor,
    manner: Manner,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, notes) = (acceptor.clone(), notes.clone());
        tokio::task::spawn_local(async move {
            // A client that leaves is no failure; a request that fails is seen by who sent it.
            let _ = serve(stream, &acceptor, &notes, manner).await;
        });
    }
}

/// Serves one connection until the peer closes it or asks to.
async fn serve(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    notes: &Notes,
    manner: Manner,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let (opened, answers) = (Instant::now(), Answers::default());
    let alarm = Alarm::new()?;
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let mut number = 0;
    loop {
        // One that nobody uses any more is closed like one whose client has left.
        let filled = tokio::time::timeout(manner.keeps, fill(&mut stream, &mut buffer)).await;
        if !filled.unwrap_or(Ok(false))? {
            break;
        }
        let age = opened.elapsed();
        let Some(request) = read_request(&mut stream, &mut buffer).await? else {
            break;
        };
        number += 1;
        match request.think {
            Some(time) => alarm.until(Instant::now() + time).await?,
            None => think(manner.thinks),
        }
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

/// Keeps the whole thread waiting: who does not ask for a time sends one request at a time, and nothing is sharper.
fn think(time: Duration) {
    let until = Instant::now() + time;
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
            age: Duration::from_millis(1),
        };
        notes.add(seen);
        assert_eq!(notes.take().unwrap(), seen);
        notes.add(seen);
        notes.add(seen);
        assert!(notes.take().is_err());
        assert!(notes.take().is_err());
    }
}
