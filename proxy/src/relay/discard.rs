//! A response nobody gets, because another attempt follows.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::upstream::AnyExchange;
use crate::worker::Worker;

/// How much of it is read, and how long, so that its connection can be used again.
const LIMIT: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads it to its end, if that comes soon, while the request goes on elsewhere.
pub fn discard(worker: &Rc<Worker>, mut exchange: AnyExchange) {
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let whole = super::collect(&mut exchange, LIMIT);
        if matches!(tokio::time::timeout(PATIENCE, whole).await, Ok(Ok(_))) {
            exchange.finish(&worker, Instant::now());
        }
    });
}
