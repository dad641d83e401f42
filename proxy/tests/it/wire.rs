//! HTTP/1.1 byte by byte: what is accepted, what is refused, and what upstream gets to see of it.
//!
//! Requests are written by hand, each case says what the client reads, whether its connection stays
//! open, and exactly which requests arrive upstream. `lab.rs` is the rig of these tests, `origin.rs` an upstream that
//! misbehaves in its first answer, `oracle.rs`
//! a second reading of RFC 9112 that the fuzzing compares the proxy with.

mod body;
mod chunks;
mod connection;
mod fuzz;
mod lab;
mod line_ends;
mod oracle;
mod origin;
mod pipelining;
mod pool;
mod request_line;
mod responses;
mod responses_refused;
mod sizes;
mod smuggling;
