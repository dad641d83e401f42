//! The headers of a packet, as far as its place in the byte stream asks for.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_skb_load_bytes;

const TCP: u8 = 6;

/// Flags of a TCP header.
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// An IPv4 header without options, and the TCP header behind it up to its flags.
type Start = [u8; 20 + TcpStart::LENGTH];

/// A TCP segment.
pub(crate) struct Segment {
    /// Sequence number of its first byte.
    pub(crate) sequence: u32,
    /// Bytes of payload.
    pub(crate) length: u32,
    flags: u8,
}

impl Segment {
    /// Whether it resets the connection.
    #[inline(always)]
    pub(crate) fn resets(&self) -> bool {
        self.flags & RST != 0
    }

    /// Whether it acknowledges anything, as all do but the first and the answers of hosts without the connection.
    #[inline(always)]
    pub(crate) fn acknowledges(&self) -> bool {
        self.flags & ACK != 0
    }
}

/// The beginning of a TCP header.
struct TcpStart {
    sequence: u32,
    acknowledgement: u32,
    /// Bytes, options included.
    length: u32,
    flags: u8,
}

/// Reads the headers; `None` for what is no TCP or cannot be told.
///
/// # Safety
/// `skb` is the context of a cgroup_skb program.
#[inline(always)]
pub(crate) unsafe fn parse(skb: *mut __sk_buff) -> Option<Segment> {
    // SAFETY: by the caller.
    unsafe {
        let (header, tcp) = headers(skb)?;
        // The length of the whole packet is right for segments the device will split, too.
        let length = (*skb).len.checked_sub(header + tcp.length)?;
        Some(Segment {
            sequence: tcp.sequence,
            length,
            flags: tcp.flags,
        })
    }
}

/// The sequence number up to which a packet acknowledges; of a connection, where every packet does.
///
/// # Safety
/// `skb` is the context of a cgroup_skb program.
#[inline(always)]
pub(crate) unsafe fn acknowledges(skb: *mut __sk_buff) -> Option<u32> {
    // SAFETY: by the caller.
    unsafe { headers(skb).map(|(_, tcp)| tcp.acknowledgement) }
}

/// Length of the IP header, and the TCP header behind it.
///
/// The version is that of the packet, not of the socket: an IPv6 socket may carry IPv4. Extension headers of IPv6
/// do not occur between ordinary hosts, so a packet with any is left alone. Bytes are copied out: a pointer into the
/// packet could not be moved by the length of a header without `CAP_PERFMON`.
///
/// # Safety
/// `skb` is the context of a cgroup_skb program.
#[inline(always)]
unsafe fn headers(skb: *mut __sk_buff) -> Option<(u32, TcpStart)> {
    // SAFETY: by the caller.
    unsafe {
        let start: Start = load(skb, 0)?;
        let first = start[0];
        match first >> 4 {
            4 if start[9] != TCP => return None,
            4 if first == 0x45 => Some((20, TcpStart::of(&start, 20))),
            4 => {
                let header = (first as u32 & 15) * 4;
                let tcp = load::<{ TcpStart::LENGTH }>(skb, header)?;
                Some((header, TcpStart::of(&tcp, 0)))
            }
            6 if start[6] == TCP => {
                let tcp = load::<{ TcpStart::LENGTH }>(skb, 40)?;
                Some((40, TcpStart::of(&tcp, 0)))
            }
            _ => None,
        }
    }
}

impl TcpStart {
    const LENGTH: usize = 14;

    #[inline(always)]
    fn of(bytes: &[u8], at: usize) -> Self {
        Self {
            sequence: word(bytes, at + 4),
            acknowledgement: word(bytes, at + 8),
            length: (bytes[at + 12] >> 4) as u32 * 4,
            flags: bytes[at + 13],
        }
    }
}

/// A number of four bytes.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Copies bytes of the packet, if it has that many.
///
/// # Safety
/// `skb` is the context of a cgroup_skb program.
#[inline(always)]
unsafe fn load<const LENGTH: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u8; LENGTH]> {
    let mut bytes = MaybeUninit::<[u8; LENGTH]>::uninit();
    // SAFETY: the helper writes all of the bytes there is room for, or fails.
    unsafe {
        let room = bytes.as_mut_ptr().cast();
        let result = bpf_skb_load_bytes(skb.cast(), offset, room, LENGTH as u32);
        (result == 0).then(|| bytes.assume_init())
    }
}
