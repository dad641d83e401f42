//! The headers of a packet, as far as its place in the byte stream asks for.

use core::ptr;

use aya_ebpf::bindings::__sk_buff;

const TCP: u8 = 6;

/// A TCP segment with payload.
pub(crate) struct Segment {
    /// Sequence number of its first byte.
    pub(crate) sequence: u32,
    /// Bytes of payload, at least one.
    pub(crate) length: u32,
}

/// Reads the headers; `None` for what carries no TCP payload or cannot be told.
///
/// The version is that of the packet, not of the socket: an IPv6 socket may carry IPv4. Extension headers of IPv6
/// do not occur between ordinary hosts, so a packet with any is left alone.
///
/// # Safety
/// `skb` is the context of a cgroup_skb program.
#[inline(always)]
pub(crate) unsafe fn parse(skb: *mut __sk_buff) -> Option<Segment> {
    // SAFETY: reads lie between `data` and `data_end`, which the verifier makes us prove.
    unsafe {
        let data = (*skb).data as usize;
        let end = (*skb).data_end as usize;
        if data + 40 > end {
            return None;
        }
        let first = read::<u8>(data);
        let (header, protocol) = match first >> 4 {
            4 => ((first as usize & 15) * 4, read::<u8>(data + 9)),
            6 => (40, read::<u8>(data + 6)),
            _ => return None,
        };
        let tcp = data + header;
        if protocol != TCP || tcp + 20 > end {
            return None;
        }
        let options = (read::<u8>(tcp + 12) >> 4) as u32 * 4;
        // The length of the whole packet is right for segments the device will split, too.
        let length = (*skb).len.wrapping_sub(header as u32 + options);
        if length == 0 || length > (*skb).len {
            return None;
        }
        Some(Segment {
            sequence: u32::from_be(read::<u32>(tcp + 4)),
            length,
        })
    }
}

/// # Safety
/// The bytes lie within the packet.
#[inline(always)]
unsafe fn read<T: Copy>(address: usize) -> T {
    // SAFETY: by the caller.
    unsafe { ptr::read_unaligned(address as *const T) }
}
