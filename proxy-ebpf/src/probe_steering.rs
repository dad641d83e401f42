//! `sk_lookup` on the proxy's network namespace: connections from where probes come go to the listener for probes.
//!
//! The kernel asks when a packet finds no connection, so once for each new one, before any accept queue. By then only
//! addresses and ports are known: who asks for something else from such an address is handed on by the proxy
//! (`proxy/src/probe.rs`), which loads this program and fills its maps (`proxy/src/kernel/steering.rs`).
//!
//! Whatever is missing, the connection takes the usual way: an empty slot (a socket that is closed leaves its slot by
//! itself), a source that is not listed, another program that has chosen before.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod every_object;

use core::arch::asm;
use core::mem::offset_of;

use aya_ebpf::bindings::{BPF_F_RDONLY_PROG, bpf_sk_lookup};
use aya_ebpf::macros::{map, sk_lookup};
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{Array, LpmTrie, PerCpuArray, SockMap};
use aya_ebpf::programs::SkLookupContext;
use proxy_common::{
    LISTENER_IPV4, LISTENER_IPV6, LISTENERS, PORT_WORDS, SOURCES as MAX_SOURCES, STEERED_COUNTERS,
    STEERED_NOT, STEERED_TO_PROBES, port_bit,
};

/// From linux/socket.h.
const AF_INET: u32 = 2;
/// From linux/in.h.
const TCP: u32 = 6;
/// Goes on as if nothing had been asked, unless a socket was assigned.
const PASS: u32 = 1;

/// A source as four words in network order; the same bytes as [`proxy_common::SourceAddress`].
type Address = [u32; 4];

/// Proxy → program: a bit for each data port.
#[map]
static STEERED_PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, BPF_F_RDONLY_PROG);

/// Proxy → program: prefixes of addresses that probes come from.
#[map]
static SOURCES: LpmTrie<Address, u32> = LpmTrie::with_max_entries(MAX_SOURCES, BPF_F_RDONLY_PROG);

/// Proxy → program: the listeners for probes, one for each family.
#[map]
static PROBE_SOCKETS: SockMap = SockMap::with_max_entries(LISTENERS, 0);

/// Program → proxy (at a scrape).
#[map]
static STEERED: PerCpuArray<u64> = PerCpuArray::with_max_entries(STEERED_COUNTERS, 0);

/// The entry point.
#[sk_lookup]
fn probe_steering(ctx: SkLookupContext) -> u32 {
    let _ = steer(&ctx);
    PASS
}

#[inline(always)]
fn steer(ctx: &SkLookupContext) -> Option<()> {
    let protocol = field::<{ offset_of!(bpf_sk_lookup, protocol) }>(ctx);
    let port = field::<{ offset_of!(bpf_sk_lookup, local_port) }>(ctx);
    // Other connections to this host leave here, after one look at an array.
    let (word, bit) = port_bit(port as u16);
    if protocol != TCP || STEERED_PORTS.get(word)? & bit == 0 {
        return None;
    }
    let (source, slot) = if field::<{ offset_of!(bpf_sk_lookup, family) }>(ctx) == AF_INET {
        (ipv4(ctx), LISTENER_IPV4)
    } else {
        (ipv6(ctx), LISTENER_IPV6)
    };
    SOURCES.get(Key::new(u128::BITS, source))?;
    let assigned = PROBE_SOCKETS.redirect_sk_lookup(ctx, slot, 0);
    let number = match assigned {
        Ok(()) => STEERED_TO_PROBES,
        Err(_) => STEERED_NOT,
    };
    // SAFETY: an element of the map.
    unsafe { atomic::add(STEERED.get_ptr_mut(number)?, 1) };
    Some(())
}

/// The address a connection comes from.
#[inline(always)]
fn ipv4(ctx: &SkLookupContext) -> Address {
    let address = field::<{ offset_of!(bpf_sk_lookup, remote_ip4) }>(ctx);
    [0, 0, 0xffff_u32.to_be(), address]
}

/// The address a connection comes from.
#[inline(always)]
fn ipv6(ctx: &SkLookupContext) -> Address {
    const START: usize = offset_of!(bpf_sk_lookup, remote_ip6);
    [
        field::<START>(ctx),
        field::<{ START + 4 }>(ctx),
        field::<{ START + 8 }>(ctx),
        field::<{ START + 12 }>(ctx),
    ]
}

/// A 32-bit field of the context. The verifier wants each read at a fixed distance from the context itself; written in
/// Rust, the reads of two branches become one through a pointer that is moved, which it refuses.
#[inline(always)]
fn field<const OFFSET: usize>(ctx: &SkLookupContext) -> u32 {
    let value: u64;
    // SAFETY: the context the kernel gave us, of which the caller names a field by its offset.
    unsafe {
        asm!(
            "{value} = *(u32 *)({lookup} + {offset})",
            value = out(reg) value,
            lookup = in(reg) ctx.lookup,
            offset = const OFFSET,
            options(pure, readonly, nostack),
        );
    }
    value as u32
}
