//! Accept queues, looked at from outside: `/proc/net/tcp` and the kernel's own counters.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};

/// The listening sockets of this namespace come first in the file, and fit into one read of this many bytes.
const BEGINNING: usize = 4096;
/// How the file calls the state LISTEN.
const LISTEN: &str = "0A";

/// What one look at a queue saw, summed over the listeners of a port.
#[derive(Debug, Default)]
pub(super) struct Looks {
    limit: u64,
    waiting: Vec<u64>,
}

impl Looks {
    /// For a queue in which `limit` connections may wait.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            waiting: Vec::new(),
        }
    }

    /// Looks at the listeners of a port; true if the queue is full.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(super) fn look(&mut self, port: u16) -> Result<bool> {
        let waiting = waiting(port)?;
        self.waiting.push(waiting);
        Ok(waiting >= self.limit)
    }

    /// How many waited, in the middle of all looks.
    pub(super) fn median(&self) -> f64 {
        let waiting = self.waiting.iter().map(|count| *count as f64);
        crate::statistics::Spread::of(waiting).map_or(0.0, |spread| spread.median)
    }

    /// Share of looks at which no more could wait (0 to 1).
    pub(super) fn full(&self) -> f64 {
        let full = self.waiting.iter().filter(|count| **count >= self.limit);
        full.count() as f64 / self.waiting.len().max(1) as f64
    }
}

/// Connections that wait to be accepted on a port.
fn waiting(port: u16) -> Result<u64> {
    const FILE: &str = "/proc/net/tcp";
    let mut bytes = [0; BEGINNING];
    // One read only: the rest would be thousands of connections, and takes the kernel long.
    let count = File::open(FILE)?.read(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes[..count]);
    parse_waiting(&text, port).with_context(|| format!("nobody listens on port {port}"))
}

/// The sum of the receive queues, which are accept queues in this state, of those who listen on a port.
fn parse_waiting(text: &str, port: u16) -> Option<u64> {
    let waiting = text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (_, local) = fields.next()?.split_once(':')?;
        let is_ours = u16::from_str_radix(local, 16).ok()? == port;
        let is_listening = fields.nth(1)? == LISTEN;
        let (_, received) = fields.next()?.split_once(':')?;
        let waiting = u64::from_str_radix(received, 16).ok()?;
        (is_ours && is_listening).then_some(waiting)
    });
    waiting.fold(None, |sum, waiting| Some(sum.unwrap_or(0) + waiting))
}

/// How often the kernel of this namespace has dropped a connection because a queue was full.
///
/// # Errors
/// When it does not say.
pub(super) fn overflows() -> Result<u64> {
    const FILE: &str = "/proc/net/netstat";
    let text = std::fs::read_to_string(FILE).context(FILE)?;
    parse_counter(&text, "TcpExt:", "ListenOverflows").context(FILE)
}

/// A counter of a group: a line of names, then a line of values.
fn parse_counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let names = lines.next()?.split_ascii_whitespace();
    let mut values = lines.next()?.split_ascii_whitespace();
    let place = names.into_iter().position(|known| known == name)?;
    values.nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000080 00:00000000 00000000     0        0 5678 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 5679 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1F91 00000000:0000 0A 00000000:00000001 00:00000000 00000000     0        0 5680 1 0000000000000000 100 0 0 10 0
   3: 0100007F:1F90 0100007F:C350 01 00000000:00000FFF 00:00000000 00000000     0        0 5681 1 0000000000000000 20 4 30 10 -1
   4: 0100007F:1F";

    #[test]
    fn listeners_of_a_port_are_summed_and_connections_are_not() {
        assert_eq!(parse_waiting(TCP, 8080), Some(0x83));
        assert_eq!(parse_waiting(TCP, 8081), Some(1));
        assert_eq!(parse_waiting(TCP, 8082), None);
    }

    #[test]
    fn counters_are_found_by_name() {
        let text =
            "TcpExt: A ListenOverflows ListenDrops\nTcpExt: 1 23 4\nIpExt: InPkts\nIpExt: 9\n";
        assert_eq!(parse_counter(text, "TcpExt:", "ListenOverflows"), Some(23));
        assert_eq!(parse_counter(text, "IpExt:", "InPkts"), Some(9));
        assert_eq!(parse_counter(text, "TcpExt:", "InPkts"), None);
    }

    #[test]
    fn a_queue_is_full_at_its_limit() {
        let looks = Looks {
            limit: 128,
            waiting: vec![129, 128, 127, 0],
        };
        assert_eq!((looks.median(), looks.full()), (127.5, 0.5));
    }
}
