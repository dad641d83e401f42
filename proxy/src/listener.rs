//! Listening sockets, one for each worker and address.
//!
//! With `SO_REUSEPORT` the kernel spreads new connections over the workers'
//! sockets, so no worker waits for another's accept queue.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// Opens `count` sockets on one address. Port 0 is chosen once and shared.
///
/// # Errors
/// The address and the system's reason.
pub fn bind(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    let mut address = address;
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let listener = open(address).map_err(|source| BindError { address, source })?;
        if address.port() == 0 {
            address = listener
                .local_addr()
                .map_err(|source| BindError { address, source })?;
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
