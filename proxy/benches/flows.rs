//! The record that a connection to upstream shares with the kernel programs: a request begun, and what was seen of it read.
//!
//! On memory that no kernel writes to, so root is not needed; reading costs the same. With programs, a line of it may have to
//! come from another CPU's cache, which is not in these figures.

use std::hint::black_box;

use criterion::Criterion;
use holysheep_proxy::kernel::{FlowTable, Sent, Timeline, now_ns};

/// Of a socket that is registered.
const COOKIE: u64 = 4711;

#[inline(never)]
fn once_begin(flows: &FlowTable, cookie: u64) {
    flows.begin(cookie);
}

#[inline(never)]
fn once_read(flows: &FlowTable, cookie: u64, sent: Sent, read_ns: u64) -> Timeline {
    flows.timeline(cookie, Some(sent), 5000, read_ns)
}

#[inline(never)]
fn once_register(flows: &FlowTable, cookie: u64) {
    flows.register(cookie, 0, 0, 0);
}

/// All of this file.
pub(crate) fn bench(criterion: &mut Criterion) {
    let flows = match FlowTable::detached() {
        Ok(flows) => flows,
        Err(error) => {
            println!("SKIPPED: flows: no memory for a table: {error}");
            return;
        }
    };
    once_register(&flows, COOKIE);
    let now = now_ns();
    let sent = Sent {
        before_ns: now,
        after_ns: now + 8_000,
    };
    // A session ticket's record before the response, as TLS servers send it.
    flows.came(COOKIE, (4000, 4800), now + 19_000_000);
    flows.came(COOKIE, (4800, 6500), now + 19_900_000);
    let read = once_read(&flows, COOKIE, sent, now + 20_000_000);
    assert!(read.first_byte.is_some() && read.wakeup_lag.is_some());
    let mut group = criterion.benchmark_group("flows");
    group.bench_function("request begun", |bench| {
        let other = COOKIE + 1;
        once_register(&flows, other);
        bench.iter(|| once_begin(black_box(&flows), other));
    });
    group.bench_function("timeline read", |bench| {
        bench.iter(|| once_read(black_box(&flows), COOKIE, sent, now + 20_000_000));
    });
    group.bench_function("connection registered", |bench| {
        bench.iter(|| once_register(black_box(&flows), COOKIE + 2));
    });
    group.finish();
}
