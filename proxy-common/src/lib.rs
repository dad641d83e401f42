//! Types both sides of the kernel boundary share.
//!
//! The kernel programs (`proxy-ebpf`) and the proxy (`proxy/src/kernel`) look at the same memory, so
//! every type is `repr(C)`, has no padding, and asserts its size. All times are nanoseconds of
//! `CLOCK_MONOTONIC`, which is what `bpf_ktime_get_ns` returns, unless their name says microseconds.
#![cfg_attr(not(test), no_std)]

mod endpoint;
mod flow;
mod histogram;
mod stats;
mod steering;
mod window;

pub use endpoint::{ENDPOINT_RECORDS, EndpointRecord, NO_ENDPOINT};
pub use flow::{
    ACCEPT_RECORDS, ARRIVALS, AcceptRecord, Arrival, CLOSED, FLOW_RECORDS, FlowRecord, NO_PATH,
    Word, WordLong, WordShort, accept_index, flow_index,
};
pub use histogram::{BOUNDS_NANOS, BUCKETS, bucket};
pub use stats::{CELLS, Cell, Counters, Figure, PORT_WORDS, SLOTS, port_bit};
pub use steering::{
    IPV4_PREFIX_BITS, LISTENER_IPV4, LISTENER_IPV6, LISTENERS, SOURCES, STEERED_COUNTERS,
    STEERED_NOT, STEERED_TO_PROBES, SourceAddress,
};
pub use window::{
    CONGESTION_NAME, CongestionName, DEFAULT_WINDOW, ENDPOINTS, LOSS_EVENT_NS, NAME_STEADY,
    NAME_USUAL, NAMES, PathRecord, REMEMBERED_NS, START_AUTO, START_OFF, WindowSettings,
    is_same_path, is_steady, next_hold,
};
