//! The maps of the programs that follow connections, with writer → reader of each. `docs/kernel.md` has the same list.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_RDONLY_PROG};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use proxy_common::{
    ACCEPT_RECORDS, AcceptRecord, CELLS, Cell, CongestionName, Counters, ENDPOINT_RECORDS,
    ENDPOINTS as MAX_PATHS, EndpointRecord, FLOW_RECORDS, Figure, FlowRecord, NAMES as MAX_NAMES,
    PORT_WORDS, PathRecord, SLOTS, WindowSettings, accept_index, flow_index, port_bit,
};

use crate::atomic::add;

/// Proxy (registration, requests), both programs → proxy, both programs. Mapped into the proxy.
#[map]
static FLOWS: Array<FlowRecord> = Array::with_max_entries(FLOW_RECORDS, BPF_F_MMAPABLE);

/// `socket_timing` → proxy. Mapped into the proxy.
#[map]
static ACCEPTED: Array<AcceptRecord> = Array::with_max_entries(ACCEPT_RECORDS, BPF_F_MMAPABLE);

/// Proxy → both programs: a bit for each port the proxy listens on.
#[map]
static PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

/// `socket_timing` → proxy (at a scrape). The loader makes it as small as the number of upstreams allows.
#[map]
static STATS: PerCpuArray<Cell> = PerCpuArray::with_max_entries((SLOTS + 1) * CELLS, 0);

/// `socket_timing` → proxy (at a scrape).
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// `payload_timing`, `upstream_window` → proxy, `upstream_window`. Mapped into the proxy.
#[map]
static PATHS: Array<PathRecord> = Array::with_max_entries(MAX_PATHS, BPF_F_MMAPABLE);

/// `socket_timing`, `payload_timing` → proxy: what connections to each endpoint met. Mapped into the proxy.
#[map]
static ENDPOINTS: Array<EndpointRecord> = Array::with_max_entries(ENDPOINT_RECORDS, BPF_F_MMAPABLE);

/// Both of them: what is to be known beside each record of `FLOWS`.
#[map]
static WINDOWS: Array<FlowWindow> = Array::with_max_entries(FLOW_RECORDS, 0);

/// Proxy → `upstream_window`.
#[map]
static WINDOW_SETTINGS: Array<WindowSettings> = Array::with_max_entries(1, BPF_F_RDONLY_PROG);

/// Proxy → `upstream_window`: names of congestion controls. By themselves, so that no program has to compute a place
/// within an element.
#[map]
static NAMES: Array<CongestionName> = Array::with_max_entries(MAX_NAMES, BPF_F_RDONLY_PROG);

/// What is to be known of a connection from one acknowledgement to the next.
#[repr(C)]
pub(crate) struct FlowWindow {
    /// When something was last acknowledged; 0 if never.
    pub(crate) acked_ns: u64,
    /// When the quarter of a round trip began in which bytes are being counted.
    pub(crate) round_ns: u64,
    /// Bytes acknowledged before.
    pub(crate) round_acked: u64,
    /// Segments the window had room for after the last acknowledgement.
    pub(crate) open: u32,
    /// Whether a segment was sent again and not all is acknowledged that had been sent by then; 0 or 1.
    pub(crate) recovers: u32,
    /// The sequence number to be acknowledged for that.
    pub(crate) recovered_at: u32,
    /// Whether the connection has the congestion control that keeps its window; 0 or 1.
    pub(crate) steady: u32,
}

impl FlowWindow {
    /// Zeroes it for a new connection. Field by field, and each for sure: a loop over bytes, which the compiler would make
    /// of anything else, is not for programs loaded without `CAP_PERFMON`.
    ///
    /// # Safety
    /// `this` is an element of a map.
    #[inline(always)]
    pub(crate) unsafe fn clear(this: *mut Self) {
        // SAFETY: by the caller.
        unsafe {
            (&raw mut (*this).acked_ns).write_volatile(0);
            (&raw mut (*this).round_ns).write_volatile(0);
            (&raw mut (*this).round_acked).write_volatile(0);
            (&raw mut (*this).open).write_volatile(0);
            (&raw mut (*this).recovers).write_volatile(0);
            (&raw mut (*this).recovered_at).write_volatile(0);
            (&raw mut (*this).steady).write_volatile(0);
        }
    }
}

/// The record of a registered socket.
#[inline(always)]
pub(crate) fn flow(cookie: u64) -> Option<*mut FlowRecord> {
    let record = FLOWS.get_ptr_mut(flow_index(cookie))?;
    // SAFETY: the lookup returned a live element of the map; the proxy may write to it, word by word.
    let found = unsafe { (&raw const (*record).cookie).read_volatile() };
    (found == cookie).then_some(record)
}

/// The place for an accepted socket, whoever has it now.
#[inline(always)]
pub(crate) fn accepted(cookie: u64) -> Option<*mut AcceptRecord> {
    ACCEPTED.get_ptr_mut(accept_index(cookie))
}

/// A congestion control's name.
#[inline(always)]
pub(crate) fn name(number: u32) -> Option<*const CongestionName> {
    NAMES.get_ptr(number)
}

/// What is to be known of a registered socket.
#[inline(always)]
pub(crate) fn window(cookie: u64) -> Option<*mut FlowWindow> {
    WINDOWS.get_ptr_mut(flow_index(cookie))
}

/// The path to an endpoint.
#[inline(always)]
pub(crate) fn path(number: u16) -> Option<*mut PathRecord> {
    PATHS.get_ptr_mut(number as u32)
}

/// What is kept of an endpoint; `None` for [`proxy_common::NO_ENDPOINT`].
#[inline(always)]
pub(crate) fn endpoint(number: u16) -> Option<*mut EndpointRecord> {
    ENDPOINTS.get_ptr_mut(number as u32)
}

/// What `upstream_window` is to do.
#[inline(always)]
pub(crate) fn window_settings() -> Option<*const WindowSettings> {
    WINDOW_SETTINGS.get_ptr(0)
}

/// Whether the proxy listens on this port.
#[inline(always)]
pub(crate) fn is_ours(port: u16) -> bool {
    let (word, bit) = port_bit(port);
    PORTS.get(word).is_some_and(|ports| ports & bit != 0)
}

/// This CPU's losses.
#[inline(always)]
pub(crate) fn counters() -> Option<*mut Counters> {
    COUNTERS.get_ptr_mut(0)
}

/// Adds to an upstream's figures: how many, and how long together.
#[inline(always)]
pub(crate) fn count(slot: u16, figure: Figure, amount: u64, nanos: u64) {
    let index = (slot as u32)
        .wrapping_mul(CELLS)
        .wrapping_add(figure.cell());
    if let Some(cell) = STATS.get_ptr_mut(index) {
        // SAFETY: an element of the map.
        unsafe {
            add(&raw mut (*cell).count, amount);
            add(&raw mut (*cell).nanos, nanos);
        }
    }
}
