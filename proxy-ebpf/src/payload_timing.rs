//! `cgroup_skb` on the proxy's cgroup: when a request's first byte left, and when the packets of its response came.
//!
//! The proxy numbers the requests of a connection in the connection's record; the first new byte that leaves
//! after that is the request's. Which of the packets that follow carries the response only the proxy can tell, because
//! it alone sees what is inside TLS, so the first few are kept with their place in the byte stream. Everything that
//! does not concern a registered socket leaves after a lookup and a comparison.

use aya_ebpf::bindings::bpf_tcp_sock;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_sk_fullsock};
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use proxy_common::{ARRIVALS, Arrival, FlowRecord};

use crate::{maps, segment};

/// Lets a packet pass. There is no other verdict.
const PASS: i32 = 1;

/// Packets that leave.
#[cgroup_skb(egress)]
fn payload_egress(ctx: SkBuffContext) -> i32 {
    let _ = leaving(&ctx);
    PASS
}

/// Packets that arrive.
#[cgroup_skb(ingress)]
fn payload_ingress(ctx: SkBuffContext) -> i32 {
    let _ = arriving(&ctx);
    PASS
}

#[inline(always)]
fn leaving(ctx: &SkBuffContext) -> Option<()> {
    let record = flow(ctx)?;
    // SAFETY: `flow` returned an element of the map.
    unsafe {
        let request = (&raw const (*record).request).read_volatile();
        if request == (*record).epoch {
            return None;
        }
        let segment = segment::parse(ctx.skb.skb)?;
        let socket = socket(ctx)?;
        // What is below the next byte to be sent was sent before.
        if (segment.sequence.wrapping_sub((*socket).snd_nxt) as i32) < 0 {
            return None;
        }
        (*record).request_ns = bpf_ktime_get_ns();
        (*record).arrived = 0;
        (*record).holes = 0;
        (*record).srtt_us = (*socket).srtt_us >> 3;
        (&raw mut (*record).epoch).write_volatile(request);
    }
    Some(())
}

#[inline(always)]
fn arriving(ctx: &SkBuffContext) -> Option<()> {
    let record = flow(ctx)?;
    // SAFETY: `flow` returned an element of the map; the index is compared with the number of elements.
    unsafe {
        let epoch = (&raw const (*record).epoch).read_volatile();
        let arrived = (&raw const (*record).arrived).read_volatile();
        if epoch == 0 || arrived >= ARRIVALS as u16 || epoch != (*record).request {
            return None;
        }
        let segment = segment::parse(ctx.skb.skb)?;
        let socket = socket(ctx)?;
        // How far it lies beyond what has been received in order; negative for what comes again.
        let ahead = segment.sequence.wrapping_sub((*socket).rcv_nxt);
        if (ahead.wrapping_add(segment.length) as i32) <= 0 {
            return None;
        }
        let start = ((*socket).bytes_received as u32).wrapping_add(ahead);
        let arrivals = (&raw mut (*record).arrivals).cast::<Arrival>();
        let arrival = arrivals.add(arrived as usize);
        (*arrival).at_ns = bpf_ktime_get_ns();
        (*arrival).start = start;
        (*arrival).end = start.wrapping_add(segment.length);
        if ahead as i32 > 0 {
            (*record).holes |= 1 << arrived;
        }
        (&raw mut (*record).arrived).write_volatile(arrived + 1);
    }
    Some(())
}

#[inline(always)]
fn flow(ctx: &SkBuffContext) -> Option<*mut FlowRecord> {
    // SAFETY: the helper takes the context of a cgroup_skb program.
    maps::flow(unsafe { bpf_get_socket_cookie(ctx.skb.skb.cast()) })
}

/// The packet's connection. `None` while it is a request for one, or no TCP.
///
/// # Safety
/// `ctx` is what the kernel gave us.
#[inline(always)]
unsafe fn socket(ctx: &SkBuffContext) -> Option<*mut bpf_tcp_sock> {
    // SAFETY: by the caller; each pointer is compared with null before it is used.
    unsafe {
        let socket = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return None;
        }
        let socket = bpf_sk_fullsock(socket);
        if socket.is_null() {
            return None;
        }
        let socket = aya_ebpf::helpers::bpf_tcp_sock(socket);
        (!socket.is_null()).then_some(socket)
    }
}
