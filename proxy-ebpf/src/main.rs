//! The kernel programs that follow connections: one file each, and the maps they share in [`maps`]. `probe_steering` is an
//! object of its own, so that a kernel without what it needs still has these.
//!
//! Built by `cargo xtask build-ebpf`, embedded into the proxy by `proxy/build.rs`, loaded by
//! `proxy/src/kernel/load.rs`. All fail open: whatever happens, the packet or the callback goes on as if the
//! program were not there.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod acknowledgements;
mod atomic;
mod endpoint;
mod every_object;
mod maps;
mod payload_timing;
mod segment;
mod socket;
mod socket_timing;
mod upstream_window;
