//! The endpoint choice: two of an upstream's endpoints compared, as for each request with warm connections, and all of them
//! ordered, as for each connection that is opened.

use std::hint::black_box;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use holysheep_proxy::metrics::WorkerMetrics;
use holysheep_proxy::upstream::choice::order;
use holysheep_proxy::upstream::{Endpoints, Local};

/// As many as most names have, and many.
const COUNTS: [u16; 2] = [3, 16];

fn endpoints(count: u16) -> Vec<Rc<Local>> {
    let addresses = (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let all = Arc::new(Endpoints::new(1));
    let metrics = Arc::new(WorkerMetrics::default());
    let now = Instant::now();
    let known = all.adopt(&addresses.collect::<Vec<_>>()).into_iter();
    let locals = known.zip(1..).map(|(endpoint, number)| {
        let local = Local::new(endpoint, &all, &metrics, (0, 0));
        local.answered(Duration::from_millis(20 + number), now);
        local
    });
    locals.collect()
}

#[inline(never)]
fn once_compare(one: &Local, other: &Local, now: Instant) -> bool {
    one.cost(now, false) <= other.cost(now, false)
}

#[inline(never)]
fn once_order(all: &[Rc<Local>], random: &mut fastrand::Rng, now: Instant) -> Vec<Rc<Local>> {
    order(all, random, now)
}

/// All of this file.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("choice");
    for count in COUNTS {
        let all = endpoints(count);
        let now = Instant::now();
        assert!(
            once_compare(&all[0], &all[1], now),
            "the faster one is cheaper"
        );
        if count == COUNTS[0] {
            group.bench_function("of two", |bench| {
                bench.iter(|| once_compare(black_box(&all[0]), black_box(&all[1]), now));
            });
        }
        group.bench_function(format!("order of {count}"), |bench| {
            let mut random = fastrand::Rng::with_seed(1);
            bench.iter(|| once_order(black_box(&all), &mut random, now));
        });
    }
    group.finish();
}
