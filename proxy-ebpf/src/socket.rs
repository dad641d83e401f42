//! What programs on sockets have in common.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns};
use aya_ebpf::programs::SockOpsContext;

/// The flags are one word for all programs on a socket: those of others stay.
#[inline(always)]
pub(crate) fn ask_for_callbacks(ctx: &SockOpsContext, flags: u32) {
    let present = ctx.cb_flags();
    if present & flags != flags {
        let _ = ctx.set_cb_flags((present | flags) as i32);
    }
}

/// The socket's name.
#[inline(always)]
pub(crate) fn cookie(ctx: &SockOpsContext) -> u64 {
    // SAFETY: the helper takes the context of a sock_ops program.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}
