//! The maps of the programs that time, with writer → reader of each. `docs/kernel.md` has the same list.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use proxy_common::{
    ACCEPT_RECORDS, AcceptRecord, CELLS, Cell, Counters, FLOW_RECORDS, Figure, FlowRecord,
    PORT_WORDS, SLOTS, accept_index, flow_index, port_bit,
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
pub(crate) fn count(slot: u32, figure: Figure, amount: u64, nanos: u64) {
    let index = slot.wrapping_mul(CELLS).wrapping_add(figure.cell());
    if let Some(cell) = STATS.get_ptr_mut(index) {
        // SAFETY: an element of the map.
        unsafe {
            add(&raw mut (*cell).count, amount);
            add(&raw mut (*cell).nanos, nanos);
        }
    }
}
