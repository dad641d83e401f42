//! What the kernel tells of a TCP socket without any program of ours: `TCP_INFO`.
//!
//! The proxy's source of timings where kernel programs cannot run, and the tests' measure for those that do.

use std::io;
use std::os::fd::AsFd;

use proxy_common::DEFAULT_WINDOW;

use super::raw;

/// Losses by chance are fewer than one segment in so many.
const FEW: u64 = 20;

/// The part of `struct tcp_info` (linux/tcp.h) that is of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// The connection's state, as the kernel numbers them.
    pub state: u8,
    /// Segments not acknowledged yet; of a listening socket, connections that wait to be accepted.
    pub unacked: u32,
    /// Segments acknowledged out of order; of a listening socket, how many connections may wait.
    pub sacked: u32,
    /// Smoothed round-trip time in microseconds, 0 before the first measurement.
    pub rtt_us: u32,
    /// The window up to which it grows fast; beyond all others before the first loss.
    pub slow_start_threshold: u32,
    /// Segments that may be under way at once.
    pub congestion_window: u32,
    /// Segments sent again since the connection began.
    pub total_retransmits: u32,
    /// Bytes sent that the peer has acknowledged, in order; a SYN and a FIN of ours are one each. What a reset acknowledges
    /// is not counted. From Linux 4.1 on.
    pub bytes_acked: Option<u64>,
    /// Payload bytes received in order. From Linux 4.1 on.
    pub bytes_received: Option<u64>,
    /// Smallest round-trip time in microseconds. From Linux 4.6 on.
    pub min_rtt_us: Option<u32>,
    /// Segments with payload sent, those sent again included. From Linux 4.6 on.
    pub data_segments: Option<u32>,
}

impl TcpInfo {
    /// Asks for it; one system call.
    ///
    /// # Errors
    /// The system's, if this is no TCP socket.
    pub fn of(socket: impl AsFd) -> io::Result<Self> {
        let mut buffer = [0; 256];
        let length = raw::tcp_info(socket.as_fd(), &mut buffer)?;
        let told = buffer.get(..length).unwrap_or(&buffer);
        Self::parse(told).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Whether losses have left a window no wider than about that of a new connection, which may grow fast and this one no
    /// longer may. Not where packets wait for a narrow link, nor where one has just overflowed, so that many were lost: there a
    /// small window is as it should be.
    pub fn is_worn(&self) -> bool {
        let queues = self
            .min_rtt_us
            .is_none_or(|least| self.rtt_us > least + least / 2);
        let widest = self.congestion_window.max(self.slow_start_threshold);
        let again = u64::from(self.total_retransmits);
        let few = again * FEW < u64::from(self.data_segments.unwrap_or_default());
        again > 0 && few && widest <= 2 * DEFAULT_WINDOW && !queues
    }

    /// Whether the connection is over for both sides.
    pub const fn is_over(&self) -> bool {
        /// `TCP_CLOSE` of `linux/tcp_states.h`.
        const CLOSE: u8 = 7;
        self.state == CLOSE
    }

    /// Offsets are those of the structure, which only ever grows at its end.
    fn parse(told: &[u8]) -> Option<Self> {
        Some(Self {
            state: *told.first()?,
            unacked: word(told, 24)?,
            sacked: word(told, 28)?,
            rtt_us: word(told, 68)?,
            slow_start_threshold: word(told, 76)?,
            congestion_window: word(told, 80)?,
            total_retransmits: word(told, 100)?,
            bytes_acked: long(told, 120),
            bytes_received: long(told, 128),
            min_rtt_us: word(told, 148),
            data_segments: word(told, 156),
        })
    }
}

fn word(told: &[u8], offset: usize) -> Option<u32> {
    let bytes = told.get(offset..offset.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

fn long(told: &[u8], offset: usize) -> Option<u64> {
    let bytes = told.get(offset..offset.checked_add(8)?)?;
    bytes.try_into().ok().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn an_old_kernel_tells_less() {
        let mut told = [0; 104];
        told[68..72].copy_from_slice(&1234u32.to_ne_bytes());
        told[100..104].copy_from_slice(&7u32.to_ne_bytes());
        let info = TcpInfo::parse(&told).unwrap();
        assert_eq!((info.rtt_us, info.total_retransmits), (1234, 7));
        assert_eq!((info.bytes_acked, info.bytes_received), (None, None));
        assert_eq!(info.min_rtt_us, None);
        assert_eq!(TcpInfo::parse(&told[..103]), None);
    }

    #[test]
    fn a_connection_is_worn_by_losses_on_a_path_that_is_not_narrow() {
        let worn = TcpInfo {
            state: 1,
            unacked: 0,
            sacked: 0,
            rtt_us: 31_000,
            slow_start_threshold: 12,
            congestion_window: 14,
            total_retransmits: 3,
            bytes_acked: None,
            bytes_received: None,
            min_rtt_us: Some(30_000),
            data_segments: Some(300),
        };
        assert!(worn.is_worn());
        let not = [
            TcpInfo {
                total_retransmits: 0,
                ..worn
            },
            TcpInfo {
                congestion_window: 21,
                ..worn
            },
            TcpInfo {
                slow_start_threshold: 40,
                ..worn
            },
            TcpInfo {
                rtt_us: 46_000,
                ..worn
            },
            TcpInfo {
                min_rtt_us: None,
                ..worn
            },
            TcpInfo {
                total_retransmits: 15,
                ..worn
            },
        ];
        assert!(!not.iter().any(TcpInfo::is_worn));
    }

    #[test]
    fn the_running_kernel_agrees_about_the_layout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let waiting = TcpInfo::of(&listener).unwrap();
        assert_eq!(waiting.unacked, 1);
        assert!(waiting.sacked >= 128, "{waiting:?}");
        let mut server = listener.accept().unwrap().0;
        server.write_all(&[1; 1000]).unwrap();
        client.read_exact(&mut [0; 1000]).unwrap();
        let info = TcpInfo::of(&client).unwrap();
        assert_eq!(info.bytes_received, Some(1000));
        // The SYN; the side that has accepted sent one, too, but the kernel does not count it.
        assert_eq!(info.bytes_acked, Some(1));
        assert_eq!(TcpInfo::of(&server).unwrap().bytes_acked, Some(1000));
        client.write_all(&[1; 500]).unwrap();
        server.read_exact(&mut [0; 500]).unwrap();
        // The acknowledgement may be put off.
        let told = || TcpInfo::of(&client).unwrap();
        while told().unacked > 0 {
            std::thread::yield_now();
        }
        assert_eq!(told().bytes_acked, Some(501));
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        while told().unacked > 0 {
            std::thread::yield_now();
        }
        assert_eq!(told().bytes_acked, Some(502));
        assert!(info.rtt_us > 0 && info.rtt_us < 1_000_000, "{info:?}");
        assert!(info.min_rtt_us.unwrap() <= info.rtt_us, "{info:?}");
    }
}
