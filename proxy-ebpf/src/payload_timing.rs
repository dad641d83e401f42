//! `cgroup_skb` on the proxy's cgroup, for packets that arrive: when those of a response came.
//!
//! Which of the packets after a request carries the response only the proxy can tell, because it alone sees what is
//! inside TLS, so the first few are kept with their place in the byte stream. Packets of clients leave after a look at
//! the port, others that do not concern a registered socket after a lookup and a comparison.
//!
//! The same packets tell what the path carries ([`acknowledgements`]), and how a peer resets a connection: the socket
//! itself does not tell afterwards whether the segment with RST acknowledged anything.
//!
//! There is no such program for packets that leave. When a request left, the proxy knows within a few microseconds from
//! the clock before and after its write, and to be called for each packet of every socket cost more than all the rest
//! (`docs/kernel.md`).

use aya_ebpf::bindings::{bpf_sock, bpf_tcp_sock};
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns};
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use proxy_common::{ARRIVALS, Arrival, FlowRecord, NO_PATH};

use crate::segment::{self, Segment};
use crate::{acknowledgements, endpoint, maps};

/// Lets a packet pass. There is no other verdict.
const PASS: i32 = 1;

/// What resets a connection is no longer than this: headers of IPv6 and TCP, and 20 bytes of options. Where nothing else
/// is looked for, the length alone keeps payload from being parsed.
const LONGEST_RESET: u32 = 40 + 20 + 20;

/// Packets that arrive.
#[cgroup_skb(ingress)]
fn payload_timing(ctx: SkBuffContext) -> i32 {
    let _ = arriving(&ctx);
    PASS
}

#[inline(always)]
fn arriving(ctx: &SkBuffContext) -> Option<()> {
    let (sock, record, cookie) = flow(ctx)?;
    // SAFETY: `flow` returned an element of the map; the index is compared with the number of elements.
    unsafe {
        if (*record).path != NO_PATH {
            let _ = acknowledgements::look(ctx.skb.skb, tcp(sock)?, record, cookie);
        }
        let arrived = (&raw const (*record).arrived).read_volatile();
        let awaited = (*record).request != 0 && arrived < ARRIVALS as u16;
        if !awaited && (*ctx.skb.skb).len > LONGEST_RESET {
            return None;
        }
        let segment = segment::parse(ctx.skb.skb)?;
        if segment.resets() {
            reset(record, &segment);
            return None;
        }
        if !awaited || segment.length == 0 {
            return None;
        }
        let socket = tcp(sock)?;
        // How far it lies beyond what has been received in order; negative for what comes again.
        let ahead = segment.sequence.wrapping_sub((*socket).rcv_nxt);
        if (ahead.wrapping_add(segment.length) as i32) <= 0 {
            return None;
        }
        let start = ((*socket).bytes_received as u32).wrapping_add(ahead);
        // Read again and compared where it is used: for a loader without `CAP_PERFMON`, older kernels (6.12 for one) refuse an
        // index whose bound depends on a comparison further up, which a speculating processor could skip.
        let arrived = (&raw const (*record).arrived).read_volatile();
        if arrived >= ARRIVALS as u16 {
            return None;
        }
        let arrivals = (&raw mut (*record).arrivals).cast::<Arrival>();
        let arrival = arrivals.add(arrived as usize);
        let now = bpf_ktime_get_ns();
        (*arrival).at_ns = now;
        (*arrival).start = start;
        (*arrival).end = start.wrapping_add(segment.length);
        let (bit, hole) = (1 << arrived, (ahead as i32 > 0) as u16);
        (*record).holes = (*record).holes & !bit | hole << arrived;
        (*record).srtt_us = (*socket).srtt_us >> 3;
        (&raw mut (*record).arrived).write_volatile(arrived + 1);
        if arrived == 0 {
            endpoint::answered(record, now);
        }
    }
    Some(())
}

/// Keeps how the peer resets the connection. Whether the kernel takes the segment for valid is not known yet; the proxy
/// asks only once the connection has been reset.
///
/// # Safety
/// `record` is an element of a map.
#[inline(always)]
unsafe fn reset(record: *mut FlowRecord, segment: &Segment) {
    // SAFETY: by the caller.
    unsafe {
        if segment.acknowledges() {
            (*record).reset_acked = 1;
        } else {
            (*record).reset_plain = 1;
        }
    }
}

/// The packet's socket and its record. `None` for connections of clients, which are most of the packets, after no more
/// than a look at the port.
#[inline(always)]
fn flow(ctx: &SkBuffContext) -> Option<(*mut bpf_sock, *mut FlowRecord, u64)> {
    // SAFETY: `ctx` is what the kernel gave us; the socket is compared with null before it is used.
    unsafe {
        let sock = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if sock.is_null() || maps::is_ours((*sock).src_port as u16) {
            return None;
        }
        let cookie = bpf_get_socket_cookie(ctx.skb.skb.cast());
        Some((sock, maps::flow(cookie)?, cookie))
    }
}

/// The packet's connection. `None` while it is a request for one.
///
/// # Safety
/// `sock` is the socket of a context, and not null.
#[inline(always)]
unsafe fn tcp(sock: *mut bpf_sock) -> Option<*mut bpf_tcp_sock> {
    // SAFETY: by the caller. The helper takes any kind of socket, and returns null for what is no full one of TCP.
    let socket = unsafe { aya_ebpf::helpers::bpf_tcp_sock(sock) };
    (!socket.is_null()).then_some(socket)
}
