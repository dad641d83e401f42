//! A name server that knows one name: the addresses of all endpoints.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use netlab::Host;

/// How often it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Seconds for which its answers hold: longer than a run.
const TTL: u32 = 600;
/// Length of the head of a message (RFC 1035 section 4.1.1), and what follows a question's name.
const HEAD: usize = 12;
const TYPE_AND_CLASS: usize = 4;
/// The type of records with IPv4 addresses.
const A: [u8; 2] = [0, 1];

/// A running name server; dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Starts one on the loopback of `host`. It says the same of any name.
    ///
    /// # Errors
    /// When there can be no socket or thread.
    pub(super) fn start(host: &Host, addresses: Vec<Ipv4Addr>) -> Result<Self> {
        let socket = host.run(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)))??;
        Self::serve(socket, addresses)
    }

    /// The same on a socket.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(crate) fn serve(socket: UdpSocket, addresses: Vec<Ipv4Addr>) -> Result<Self> {
        socket.set_read_timeout(Some(LOOK))?;
        let address = socket.local_addr()?;
        let stop = Arc::<AtomicBool>::default();
        let thread = std::thread::Builder::new().name("names".to_owned());
        let thread = thread.spawn({
            let stop = Arc::clone(&stop);
            move || serve(&socket, &addresses, &stop)
        })?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, addresses: &[Ipv4Addr], stop: &AtomicBool) {
    let mut packet = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        // Nobody asks most of the time.
        let Ok((length, peer)) = socket.recv_from(&mut packet) else {
            continue;
        };
        if let Some(answer) = packet
            .get(..length)
            .and_then(|query| answer(query, addresses))
        {
            // Whoever asked may be gone, and asks again if not.
            let _ = socket.send_to(&answer, peer);
        }
    }
}

/// The answer to a query with one question; none to anything else.
fn answer(query: &[u8], addresses: &[Ipv4Addr]) -> Option<Vec<u8>> {
    let mut end = HEAD;
    loop {
        match usize::from(*query.get(end)?) {
            0 => break,
            label => end += 1 + label,
        }
    }
    let question = query.get(HEAD..=end + TYPE_AND_CLASS)?;
    let kind = question.get(question.len() - TYPE_AND_CLASS..)?;
    let known = if kind.starts_with(&A) { addresses } else { &[] };
    let count = u16::try_from(known.len()).ok()?;
    // An answer with authority; recursion was desired and is available.
    let mut answer = [query.get(..2)?, &[0x85, 0x80, 0, 1]].concat();
    answer.extend(count.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(question);
    for address in known {
        // The question's name, type A, class IN.
        answer.extend([0xc0, HEAD as u8, 0, 1, 0, 1]);
        answer.extend(TTL.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(kind: u8) -> Vec<u8> {
        let head = [7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        [&head[..], b"\x02up\x04test\0", &[0, kind, 0, 1], b"more"].concat()
    }

    #[test]
    fn addresses_are_told_to_those_who_ask_for_addresses() {
        let told = answer(&query(1), &[Ipv4Addr::new(192, 0, 2, 2)]).unwrap();
        assert_eq!(told[..12], [7, 9, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(told[12..25], query(1)[12..25]);
        assert!(told.ends_with(&[0, 4, 192, 0, 2, 2]));
        let told = answer(&query(28), &[Ipv4Addr::LOCALHOST]).unwrap();
        assert_eq!((told[7], told.len()), (0, query(1).len() - 4));
        assert_eq!(answer(b"short", &[]), None);
    }
}
