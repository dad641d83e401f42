//! The emulator over real sockets, one file per behaviour.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see that their helpers are tests too"
)]

mod answer_faults;
mod authentication;
mod billing;
mod cancellation;
mod client;
mod connection_faults;
mod control;
mod determinism;
mod endpoints;
mod http2;
mod lifecycle;
mod pace;
mod recording;
mod streams;
mod tls;
mod tools;
