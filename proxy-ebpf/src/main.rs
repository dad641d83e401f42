//! The kernel programs that time connections: one file each, and the maps they share in [`maps`]. `probe_steering` is an
//! object of its own, so that a kernel without what it needs still has these.
//!
//! Built by `cargo xtask build-ebpf`, embedded into the proxy by `proxy/build.rs`, loaded by
//! `proxy/src/kernel/load.rs`. All fail open: whatever happens, the packet or the callback goes on as if the
//! program were not there.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod maps;
mod payload_timing;
mod segment;
mod socket_timing;

/// The kernel gives some helpers only to programs under a licence compatible with its own.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// No program can panic: the verifier would refuse one that might get here.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
