//! What the path to an endpoint carries, seen from the acknowledgements that arrive: part of `payload_timing`, which
//! sees every packet, for `upstream_window`, which makes use of it.
//!
//! What counts is how many bytes are acknowledged within a quarter of a round trip. What has left at once is acknowledged at
//! once only where the path is wide; over a narrow one acknowledgements come at its own pace, few in a quarter, however
//! many bytes its queue takes in a round trip.

use aya_ebpf::bindings::{__sk_buff, bpf_tcp_sock};
use proxy_common::{DEFAULT_WINDOW, Figure, FlowRecord, PathRecord, REMEMBERED_NS, is_same_path};

use crate::maps::{self, FlowWindow};
use crate::segment;
use crate::socket::now;

/// The kernel starts over when a connection has idled for longer than its retransmission timeout, which is a round trip
/// and 200 ms or a little more.
const IDLE_NS: u64 = 250_000_000;

/// Looks at a packet of a connection to upstream, before the kernel has.
///
/// # Safety
/// `skb` is the context of a cgroup_skb program, `socket` that of its socket, `flow` its record.
#[inline(always)]
pub(crate) unsafe fn look(
    skb: *mut __sk_buff,
    socket: *const bpf_tcp_sock,
    flow: *const FlowRecord,
    cookie: u64,
) -> Option<()> {
    // SAFETY: by the caller; the others are elements of maps.
    unsafe {
        // Before the first round trip there is none to measure by: this is the answer to the SYN.
        if (*socket).packets_out == 0 || (*socket).srtt_us == 0 {
            return None;
        }
        let path = maps::path((*flow).path)?;
        let window = maps::window(cookie)?;
        let acknowledged = segment::acknowledges(skb)?;
        let unacknowledged = (*socket).snd_una;
        let fresh = acknowledged.wrapping_sub(unacknowledged);
        let under_way = (*socket).snd_nxt.wrapping_sub(unacknowledged);
        if fresh == 0 || fresh > under_way {
            return None;
        }
        let now = now();
        idled(socket, flow, window, now);
        (*window).acked_ns = now;
        (*window).open = opened(socket, fresh);
        if (*window).recovers != 0 {
            // What fills a hole is acknowledged together with all that came after it.
            if acknowledged.wrapping_sub((*window).recovered_at) as i32 <= 0 {
                return None;
            }
            (*window).recovers = 0;
            (*window).round_ns = 0;
        }
        if (*socket).sacked_out != 0 {
            (*window).round_ns = 0;
            return None;
        }
        let rtt_us = (*socket).rtt_min;
        let before = (*socket).bytes_acked;
        if now - (*window).round_ns > rtt_us as u64 * 1000 / 4 {
            (*window).round_ns = now;
            (*window).round_acked = before;
        }
        let carried = (before - (*window).round_acked) as u32 + fresh;
        remember(path, carried, rtt_us, now);
    }
    Some(())
}

/// Counts what has become of the window, if this is the first acknowledgement after idling.
///
/// # Safety
/// As [`look`].
#[inline(always)]
unsafe fn idled(
    socket: *const bpf_tcp_sock,
    flow: *const FlowRecord,
    window: *const FlowWindow,
    now: u64,
) {
    // SAFETY: by the caller.
    unsafe {
        let last_ns = (*window).acked_ns;
        let round_trip = ((*socket).srtt_us >> 3) as u64 * 1000;
        let narrow = (*window).open <= DEFAULT_WINDOW;
        if last_ns == 0 || narrow || now - last_ns <= round_trip + IDLE_NS {
            return;
        }
        // Starting over, the kernel halves the window at least once.
        let figure = if (*socket).snd_cwnd * 2 > (*window).open {
            Figure::WindowsKept
        } else {
            Figure::WindowsRestarted
        };
        maps::count((*flow).slot, figure, 1, 0);
    }
}

/// How many segments the window has room for once the kernel has opened it for the bytes just acknowledged.
///
/// # Safety
/// As [`look`].
#[inline(always)]
unsafe fn opened(socket: *const bpf_tcp_sock, fresh: u32) -> u32 {
    // SAFETY: by the caller.
    unsafe {
        let (present, segment) = ((*socket).snd_cwnd, (*socket).mss_cache);
        if present >= (*socket).snd_ssthresh || segment == 0 {
            return present;
        }
        present + fresh / segment
    }
}

/// Keeps what was carried without a loss, if it is more than was known, or confirms it.
///
/// # Safety
/// `path` is an element of a map.
#[inline(always)]
unsafe fn remember(path: *mut PathRecord, carried: u32, rtt_us: u32, now: u64) {
    // SAFETY: by the caller.
    unsafe {
        let known = (*path).seen_ns != 0
            && now - (*path).seen_ns < REMEMBERED_NS
            && is_same_path(rtt_us, (*path).rtt_us);
        if !known || carried > (*path).carried {
            (*path).carried = carried;
            (*path).rtt_us = rtt_us;
            (*path).seen_ns = now;
        } else if carried >= (*path).carried / 2 {
            (*path).seen_ns = now;
        }
    }
}
