//! What the connections to an endpoint meet, added up in a record of the endpoint's, so that the proxy learns from all of
//! them together whether it still answers.
//!
//! Nothing here runs for each packet: it is called for connections that begin and end, for measured round trips, for
//! segments sent again, and for the first packet of a response.

use core::arch::asm;

use aya_ebpf::bindings::BPF_TCP_ESTABLISHED;
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use aya_ebpf::programs::SockOpsContext;
use proxy_common::FlowRecord;

use crate::maps;
use crate::socket::now;

/// A connection was established.
///
/// # Safety
/// `record` is an element of a map.
#[inline(always)]
pub(crate) unsafe fn connected(record: *const FlowRecord, srtt_us: u32, now: u64) {
    // SAFETY: by the caller; the endpoint's record is an element of a map, too.
    unsafe {
        if let Some(endpoint) = maps::endpoint((*record).endpoint) {
            add(&raw mut (*endpoint).connects, 1);
            (*endpoint).unanswered = 0;
            (*endpoint).acked_ns = now;
            (*endpoint).srtt_us = srtt_us;
        }
    }
}

/// A round trip was measured by something the endpoint has acknowledged: the one thing here that happens for each request.
///
/// # Safety
/// As [`connected`].
#[inline(always)]
pub(crate) unsafe fn acknowledged(record: *mut FlowRecord, srtt_us: u32) {
    // SAFETY: as in `connected`; the helper has no preconditions.
    unsafe {
        let Some(endpoint) = maps::endpoint((*record).endpoint) else {
            return;
        };
        (*record).answered = 0;
        (*endpoint).srtt_us = srtt_us;
        if (*endpoint).unanswered == 0 {
            // The time of the last tick, a few milliseconds ago at most, costs less than the exact one.
            (*endpoint).acked_ns = bpf_ktime_get_coarse_ns();
        } else {
            // Which was later, a loss or an acknowledgement, is to be told for certain.
            (*endpoint).acked_ns = now();
            (*endpoint).unanswered = 0;
        }
    }
}

/// So many segments were sent again.
///
/// # Safety
/// As [`connected`]; it is the record of the context's socket.
#[inline(always)]
pub(crate) unsafe fn lost(ctx: &SockOpsContext, record: *mut FlowRecord, again: u32, now: u64) {
    // SAFETY: as in `connected`, and `ctx.ops` is the context the kernel gave us.
    unsafe {
        let Some(endpoint) = maps::endpoint((*record).endpoint) else {
            return;
        };
        // The kernel tells of one round trip for each window. While a window recovers from losses, only this shows
        // that the endpoint goes on acknowledging.
        let answered = ((*ctx.ops).bytes_acked as u32).wrapping_add((*ctx.ops).sacked_out);
        let before = (*record).answered;
        (*record).answered = answered;
        if before != 0 && answered != before {
            (*endpoint).unanswered = 0;
        }
        (*endpoint).lost_ns = now;
        add(&raw mut (*endpoint).unanswered, again);
    }
}

/// Segments were sent again, as its socket counts them.
///
/// # Safety
/// As [`connected`].
#[inline(always)]
pub(crate) unsafe fn retransmitted(record: *const FlowRecord, again: u32) {
    // SAFETY: as in `connected`.
    unsafe {
        if let Some(endpoint) = maps::endpoint((*record).endpoint) {
            add(&raw mut (*endpoint).retransmits, again);
        }
    }
}

/// The connection is closed and was in state `from` before; `failed` as [`proxy_common::Figure::ConnectFailures`] says.
///
/// # Safety
/// As [`connected`].
#[inline(always)]
pub(crate) unsafe fn ended(record: *const FlowRecord, from: u32, failed: bool) {
    // SAFETY: as in `connected`.
    unsafe {
        let Some(endpoint) = maps::endpoint((*record).endpoint) else {
            return;
        };
        if failed {
            add(&raw mut (*endpoint).connect_failures, 1);
        }
        // When the proxy closes a connection with unread bytes, the change of state is the same, and the endpoint has
        // no part in it: so the peer's segment has to have been seen.
        if from == BPF_TCP_ESTABLISHED && ((*record).reset_plain | (*record).reset_acked) != 0 {
            add(&raw mut (*endpoint).resets, 1);
        }
    }
}

/// The first packet of what may be a response has come. Round trips do not tell all acknowledgements: without time stamps
/// none is measured by a segment that was sent again.
///
/// # Safety
/// As [`connected`].
#[inline(always)]
pub(crate) unsafe fn answered(record: *const FlowRecord, now: u64) {
    // SAFETY: as in `connected`.
    unsafe {
        if let Some(endpoint) = maps::endpoint((*record).endpoint)
            && (*endpoint).unanswered != 0
        {
            (*endpoint).unanswered = 0;
            (*endpoint).acked_ns = now;
        }
    }
}

/// Adds to a number that other CPUs add to as well.
///
/// # Safety
/// `number` points into an element of a map.
#[inline(always)]
unsafe fn add(number: *mut u32, amount: u32) {
    let amount = amount as u64;
    // SAFETY: by the caller; fields of map elements are aligned, and nothing else is touched.
    unsafe { asm!("lock *(u32 *)({0} + 0) += {1}", in(reg) number, in(reg) amount) };
}
