//! The listening port, which can be closed and opened again without losing its number.
//!
//! `builder.rs` binds it, `server.rs` accepts from the listeners it hands over, and the `refuse`
//! fault closes it. Both directions take effect before the call returns, so a test needs no waiting.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Enough for a burst of clients; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

pub(crate) struct Port {
    address: SocketAddr,
    /// Bound but never listening: keeps the number ours while the port is closed.
    _guard: Socket,
    workers: Vec<UnboundedSender<TcpListener>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Vec<Socket>,
    /// Counts the closings, so that a timed opening does not undo a later closing.
    closings: u64,
}

impl Port {
    /// Binds `address` and opens it. Each receiver gets a listener at every opening; with several,
    /// the kernel spreads connections over them (`SO_REUSEPORT`).
    pub(crate) fn bind(
        address: SocketAddr,
        workers: usize,
    ) -> io::Result<(Self, Vec<UnboundedReceiver<TcpListener>>)> {
        let guard = socket(address, workers)?;
        let bound = guard.local_addr()?.as_socket();
        let (workers, receivers) = (0..workers).map(|_| unbounded_channel()).unzip();
        let port = Self {
            address: bound.unwrap_or(address),
            _guard: guard,
            workers,
            state: Mutex::default(),
        };
        port.open()?;
        Ok((port, receivers))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens again; nothing happens to an open port.
    pub(crate) fn open(&self) -> io::Result<()> {
        self.open_if(|_| true)
    }

    /// Opens the port unless it was closed again since the closing that returned `closing`.
    pub(crate) fn open_after(&self, closing: u64) -> io::Result<()> {
        self.open_if(|state| state.closings == closing)
    }

    fn open_if(&self, wanted: impl Fn(&State) -> bool) -> io::Result<()> {
        let mut state = self.lock();
        if !state.open.is_empty() || !wanted(&state) {
            return Ok(());
        }
        for worker in &self.workers {
            let socket = socket(self.address, self.workers.len())?;
            socket.listen(BACKLOG)?;
            state.open.push(socket.try_clone()?);
            // A worker that is gone is shutting down.
            let _gone = worker.send(socket.into());
        }
        Ok(())
    }

    /// Stops listening: from here on the kernel refuses connections, and those not yet accepted are
    /// reset. Open connections stay. Returns the number of this closing.
    pub(crate) fn close(&self) -> u64 {
        let mut state = self.lock();
        for socket in state.open.drain(..) {
            // On Linux this takes a listening socket out of the listening state at once, whoever
            // else holds it; the worker's accept then fails with EINVAL.
            let _closed = socket.shutdown(Shutdown::Both);
        }
        state.closings += 1;
        state.closings
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker's end: accepts until the listener is closed, then waits for the next.
pub(crate) async fn accept_all(
    mut listeners: UnboundedReceiver<TcpListener>,
    mut each: impl FnMut(tokio::net::TcpStream),
) {
    while let Some(listener) = listeners.recv().await {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => each(stream),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
                // Out of file descriptors, or a connection that died in the queue: others may work.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

fn socket(address: SocketAddr, workers: usize) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    // Lets the guard and the listeners share the number, and a closed port open again at once.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(workers > 1)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
