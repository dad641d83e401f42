//! `sock_ops` on the proxy's cgroup: how connections come about, how long a round trip takes, what is sent again.
//!
//! Registered connections to upstream ([`maps::flow`]) are followed from their first SYN to their end. Of
//! connections to the proxy's own ports only the moment is kept in which the handshake was complete. What connections to
//! the same endpoint meet is added up, too ([`endpoint`]).

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
    BPF_SOCK_OPS_RETRANS_CB, BPF_SOCK_OPS_RETRANS_CB_FLAG, BPF_SOCK_OPS_RTT_CB,
    BPF_SOCK_OPS_RTT_CB_FLAG, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG,
    BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_TCP_CLOSE, BPF_TCP_ESTABLISHED, BPF_TCP_SYN_SENT,
};
use aya_ebpf::macros::sock_ops;
use aya_ebpf::programs::SockOpsContext;
use aya_log_ebpf::debug;
use proxy_common::{CLOSED, Figure, FlowRecord};

use crate::atomic::add;
use crate::socket::{ask_for_callbacks, cookie, now};
use crate::{endpoint, maps};

/// What we want to be called for.
const FLAGS: u32 =
    BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG;

/// The entry point.
#[sock_ops]
fn socket_timing(ctx: SockOpsContext) -> u32 {
    run::<false>(&ctx)
}

/// The same with messages, for `--ebpf-log`.
///
/// A program of its own, because code that a constant switches off is not out of the verifier's way: where the loader
/// has no `CAP_PERFMON`, older kernels (6.1) also follow branches that only a speculating processor could take, and
/// refuse what sends messages there.
#[sock_ops]
fn socket_messages(ctx: SockOpsContext) -> u32 {
    run::<true>(&ctx)
}

/// Returning 1 leaves the kernel's own decision alone.
#[inline(always)]
fn run<const MESSAGES: bool>(ctx: &SockOpsContext) -> u32 {
    match ctx.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => connecting::<MESSAGES>(ctx),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => established::<MESSAGES>(ctx),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => accepted::<MESSAGES>(ctx),
        BPF_SOCK_OPS_RTT_CB => round_trip(ctx),
        BPF_SOCK_OPS_RETRANS_CB => retransmitted(ctx),
        BPF_SOCK_OPS_STATE_CB => changed_state::<MESSAGES>(ctx),
        _ => {}
    }
    1
}

/// A SYN is about to leave.
#[inline(always)]
fn connecting<const MESSAGES: bool>(ctx: &SockOpsContext) {
    let Some(record) = flow(ctx) else { return };
    // Now and not once established, or connections that never get there would end unnoticed.
    ask_for_callbacks(ctx, FLAGS);
    // SAFETY: `flow` returned an element of the map.
    unsafe {
        (*record).connect_ns = 0;
        (*record).retransmits = 0;
        (*record).state = 0;
        (*record).reset_plain = 0;
        (*record).reset_acked = 0;
        (*record).answered = 0;
        (*record).connect_start_ns = now();
    }
    if MESSAGES {
        let port = u32::from_be(ctx.remote_port());
        debug!(ctx, "connecting to port {}", port);
    }
}

/// The handshake of a connection to upstream is complete.
#[inline(always)]
fn established<const MESSAGES: bool>(ctx: &SockOpsContext) {
    let now = now();
    let Some(record) = flow(ctx) else { return };
    // Once more: a program behind ours may have put its flags in place of ours.
    ask_for_callbacks(ctx, FLAGS);
    // SAFETY: `flow` returned an element of the map, and `ctx.ops` is the context the kernel gave us.
    unsafe {
        let start = (*record).connect_start_ns;
        if start == 0 {
            return;
        }
        let elapsed = now - start;
        (*record).connect_ns = elapsed;
        let micros = (*ctx.ops).srtt_us >> 3;
        (*record).srtt_us = micros;
        maps::count((*record).slot, Figure::Connect(elapsed), 1, elapsed);
        endpoint::connected(record, micros, now);
        if MESSAGES {
            debug!(ctx, "connected within {} ns", elapsed);
        }
    }
}

/// The handshake of a connection to one of our ports is complete; it waits to be accepted.
#[inline(always)]
fn accepted<const MESSAGES: bool>(ctx: &SockOpsContext) {
    if !maps::is_ours(ctx.local_port() as u16) {
        return;
    }
    let cookie = cookie(ctx);
    let Some(record) = maps::accepted(cookie) else {
        return;
    };
    // SAFETY: both pointers are elements of maps. The cookie is written last: it says that the time is there.
    unsafe {
        if (*record).cookie != 0
            && let Some(counters) = maps::counters()
        {
            add(&raw mut (*counters).accepts_overwritten, 1);
        }
        (&raw mut (*record).cookie).write_volatile(0);
        (&raw mut (*record).established_ns).write_volatile(now());
        (&raw mut (*record).cookie).write_volatile(cookie);
    }
    if MESSAGES {
        debug!(ctx, "a connection to port {} waits", ctx.local_port());
    }
}

/// The kernel has measured a round trip; about once for each acknowledgement.
#[inline(always)]
fn round_trip(ctx: &SockOpsContext) {
    let Some(record) = flow(ctx) else { return };
    // From 6.10 on the new estimate is the second argument. Before, only the one before it can be had.
    let fresh = ctx.arg(1);
    // SAFETY: `flow` returned an element of the map, and `ctx.ops` is the context the kernel gave us.
    unsafe {
        let scaled = if fresh != 0 {
            fresh
        } else {
            (*ctx.ops).srtt_us
        };
        let micros = scaled >> 3;
        if micros == 0 {
            return;
        }
        (*record).srtt_us = micros;
        let nanos = micros as u64 * 1000;
        maps::count((*record).slot, Figure::Rtt(nanos), 1, nanos);
        endpoint::acknowledged(record, micros);
    }
}

/// A segment was sent again.
#[inline(always)]
fn retransmitted(ctx: &SockOpsContext) {
    let Some(record) = flow(ctx) else { return };
    let again = count_retransmits(ctx, record);
    // SAFETY: `flow` returned the element of this socket.
    unsafe { endpoint::lost(ctx, record, again, now()) };
}

/// The socket has gone from one state to another.
#[inline(always)]
fn changed_state<const MESSAGES: bool>(ctx: &SockOpsContext) {
    let (from, to) = (ctx.arg(0), ctx.arg(1));
    if to != BPF_TCP_CLOSE {
        return;
    }
    let Some(record) = flow(ctx) else { return };
    count_retransmits(ctx, record);
    // SAFETY: `flow` returned an element of the map, and `ctx.ops` is the context the kernel gave us.
    unsafe {
        (*record).state = CLOSED;
        // An established connection that falls into CLOSE was reset; an orderly end has other states between.
        let failed = from == BPF_TCP_SYN_SENT
            || from == BPF_TCP_ESTABLISHED && (*ctx.ops).bytes_received == 0;
        if failed {
            maps::count((*record).slot, Figure::ConnectFailures, 1, 0);
        }
        endpoint::ended(record, from, failed);
        if MESSAGES {
            debug!(ctx, "closed from state {}", from);
        }
    }
}

/// Brings our count up to the socket's own, so that what was missed is made up for. Returns by how many segments.
#[inline(always)]
fn count_retransmits(ctx: &SockOpsContext, record: *mut FlowRecord) -> u32 {
    // SAFETY: the caller's record is an element of the map, and `ctx.ops` is the context the kernel gave us.
    unsafe {
        let total = (*ctx.ops).total_retrans;
        let before = (*record).retransmits;
        (*record).retransmits = total;
        // A socket that is connected anew begins at zero.
        if total <= before {
            return 0;
        }
        let again = total - before;
        maps::count((*record).slot, Figure::Retransmits, again as u64, 0);
        endpoint::retransmitted(record, again);
        again
    }
}

#[inline(always)]
fn flow(ctx: &SockOpsContext) -> Option<*mut FlowRecord> {
    maps::flow(cookie(ctx))
}
