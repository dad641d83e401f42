//! The lab against what it promises, on this machine's kernel. Without root these tests say `SKIPPED: …`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but does not see that their helpers are tests too"
)]

mod addresses;
mod beside;
mod cleanup;
mod delay;
mod drops;
mod pair;
mod rate;
mod traffic;
