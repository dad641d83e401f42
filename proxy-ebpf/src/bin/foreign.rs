//! Somebody else's programs, for the proxy's tests: one on the same cgroup wants callbacks, too, and counts them; one on
//! the same network namespace chooses the socket of every TCP connection.
//!
//! Never part of the proxy.
#![no_std]
#![no_main]

#[path = "../every_object.rs"]
mod every_object;

use aya_ebpf::Global;
use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RTT_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB,
};
use aya_ebpf::macros::{map, sk_lookup, sock_ops};
use aya_ebpf::maps::{Array, SockMap};
use aya_ebpf::programs::{SkLookupContext, SockOpsContext};

/// How it sets its flag: 0 not at all, 1 beside those that are there, 2 in place of those that are there. The loader.
#[unsafe(no_mangle)]
static MANNER: Global<u8> = Global::new(0);

/// Callbacks by number. `foreign` → test.
#[map]
static SEEN: Array<u64> = Array::with_max_entries(32, 0);

/// The entry point.
#[sock_ops]
fn foreign(ctx: SockOpsContext) -> u32 {
    let op = ctx.op();
    if let Some(seen) = SEEN.get_ptr_mut(op) {
        // SAFETY: an element of the map; the test waits until nothing happens before it reads.
        unsafe { *seen += 1 };
    }
    if op == BPF_SOCK_OPS_TCP_CONNECT_CB || op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        let flags = match MANNER.load() {
            0 => return 1,
            1 => ctx.cb_flags() | BPF_SOCK_OPS_RTT_CB_FLAG,
            _ => BPF_SOCK_OPS_RTT_CB_FLAG,
        };
        let _ = ctx.set_cb_flags(flags as i32);
    }
    1
}

/// The listener it chooses. Test → `foreign_lookup`.
#[map]
static CHOSEN: SockMap = SockMap::with_max_entries(1, 0);

/// The entry point of the other.
#[sk_lookup]
fn foreign_lookup(ctx: SkLookupContext) -> u32 {
    let _ = CHOSEN.redirect_sk_lookup(&ctx, 0, 0);
    1
}
