//! Listening sockets, one for each worker and address.
//!
//! With `SO_REUSEPORT` the kernel spreads new connections over the workers'
//! sockets, so no worker waits for another's accept queue.

mod backlog;

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

pub use backlog::Backlog;

/// Connections that may wait to be accepted; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// Opens `count` sockets on one address. Port 0 is chosen once and shared.
///
/// # Errors
/// The address and the system's reason. An address another process listens on
/// is refused, although `SO_REUSEPORT` would let the two share it: half of the
/// requests would go to whoever was forgotten there.
pub fn bind(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    let mut address = address;
    let fail = |address| move |reason| BindError { address, reason };
    if address.port() != 0 {
        reserve(address).map_err(fail(address))?;
    }
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let listener = open(address).map_err(fail(address))?;
        address = listener.local_addr().map_err(fail(address))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The same where another process has handed over what it listens with: all of that is used, and what is missing opened
/// beside it.
///
/// # Errors
/// The address and the system's reason.
pub fn extend(
    handed: Vec<TcpListener>,
    address: SocketAddr,
    count: usize,
) -> Result<Vec<TcpListener>, BindError> {
    let Some(first) = handed.first() else {
        return bind(address, count);
    };
    let fail = |reason| BindError { address, reason };
    let bound = first.local_addr().map_err(fail)?;
    let mut listeners = handed;
    while listeners.len() < count {
        listeners.push(open(bound).map_err(fail)?);
    }
    Ok(listeners)
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}; {}", remedy(.reason.kind()))]
pub struct BindError {
    address: SocketAddr,
    reason: io::Error,
}

const fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "stop what listens there (`ss -ltnp` names it), choose another address, or have both processes \
             started with the same --take-over PATH"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one"
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address",
        _ => "choose another address with --listen, --admin-listen or --probe-listen",
    }
}

/// Binds an address without sharing it, and lets go again.
fn reserve(address: SocketAddr) -> io::Result<()> {
    socket(address)?.bind(&address.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_refused_even_if_it_could_be_shared() {
        let first = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = first[0].local_addr().unwrap();
        assert_eq!(first[1].local_addr().unwrap(), address);
        let error = bind(address, 1).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
    }
}
