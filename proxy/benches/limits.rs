//! The limiter: a request is let in by all three limits and settled; it is refused; what is left is told.
//!
//! One thread: what workers pay for sharing a client's two words of memory is in `cargo xtask bench limits`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::Criterion;
use holysheep_proxy::config::ClientLimits;
use holysheep_proxy::limits::{Quotas, Rate, Terms, fields};

/// Tokens reserved for a request, and used by it.
const RESERVED: u64 = 800;
const USED: u64 = 273;

#[inline(never)]
fn once_take(terms: &Arc<Terms>, now: Instant) -> bool {
    match terms.take_share(RESERVED, now, 1) {
        Ok(taken) => {
            terms.settle(taken, USED, None, now);
            true
        }
        Err(_) => false,
    }
}

#[inline(never)]
fn once_tell(terms: &Terms, now: Instant, out: &mut Vec<u8>) {
    out.clear();
    fields(&terms.state(now), out);
}

fn limits(rate: u64, burst: u64) -> ClientLimits {
    ClientLimits {
        requests: Some(Rate::new(rate, burst)),
        tokens: Some(Rate::new(100_000_000_000, 100_000_000_000)),
        concurrent: Some(50),
        expected_output: 1000,
        usd_per_day: None,
        usd_per_month: None,
    }
}

/// All of this file.
pub(crate) fn bench(criterion: &mut Criterion) {
    let quotas = Quotas::new(None, "process");
    let usual = quotas.set("usual", limits(100_000_000_000, 100_000_000_000));
    let strict = quotas.set("strict", limits(1, 1));
    let now = Instant::now();
    assert!(once_take(&usual, now) && once_take(&strict, now));
    assert!(!once_take(&strict, now), "the one a minute is taken");
    let mut group = criterion.benchmark_group("limits");
    group.bench_function("taken and settled", |bench| {
        bench.iter(|| once_take(black_box(&usual), Instant::now()));
    });
    group.bench_function("refused", |bench| {
        bench.iter(|| once_take(black_box(&strict), now));
    });
    group.bench_function("told in fields", |bench| {
        let mut out = Vec::new();
        bench.iter(|| once_tell(black_box(&usual), now, &mut out));
    });
    group.finish();
}
