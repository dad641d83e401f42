//! What part of a request's time is network, upstream, and the product itself, by its own access log.
//!
//! Each line has what the kernel saw of that request (docs/kernel.md): the connection's round trip, and the time from the
//! request's first byte out to the response's first byte in. Requests carry names, so each line meets what its client
//! measured. Other proxies do not tell these times apart; for them nothing is guessed.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::open_loop::name;

/// Lines leave the product in batches, at the latest after 100 ms.
const PATIENCE: Duration = Duration::from_secs(2);
/// Share of all requests around a quantile that tell of it, but no fewer than so many.
const AROUND: f64 = 0.004;
const FEWEST: usize = 5;

/// What a line of the access log tells, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Line {
    request_id: String,
    /// From the request's head to the response's end, in seconds.
    rt: f64,
    /// What making a connection cost this request, in seconds.
    uct: Option<f64>,
    kernel: Kernel,
}

#[derive(Debug, Deserialize)]
struct Kernel {
    connect_us: Option<f64>,
    rtt_us: Option<f64>,
    first_byte_us: Option<f64>,
}

/// A request's time and its parts, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Parts {
    /// As its client saw it.
    pub(super) whole: f64,
    /// A round trip, and the connection if one had to be made.
    pub(super) network: f64,
    /// Until the response's first byte, without the round trip.
    pub(super) upstream: f64,
    /// Whatever else passed between the request's head and the response's end: the product's work, waiting for a CPU,
    /// and what followed the first byte.
    pub(super) proxy: f64,
    /// Before and after: the client, loopback, waking up until the product has read the head, and an ingress if there
    /// is one.
    pub(super) rest: f64,
}

impl Line {
    /// `None` where the kernel programs did not see it all.
    fn parts(&self, whole: f64) -> Option<Parts> {
        let kernel = &self.kernel;
        let (rt, connecting) = (self.rt * 1e3, self.uct.unwrap_or_default() * 1e3);
        let first_byte = kernel.first_byte_us? / 1e3;
        // Acknowledgements that the peer puts off lengthen the smoothed round trip, but not the handshake's.
        let round_trip = match (kernel.rtt_us, kernel.connect_us) {
            (Some(rtt), Some(connect)) => rtt.min(connect),
            (one, other) => one.or(other)?,
        };
        let round_trip = (round_trip / 1e3).min(first_byte);
        Some(Parts {
            whole,
            network: round_trip + connecting,
            upstream: first_byte - round_trip,
            proxy: rt - connecting - first_byte,
            rest: whole - rt,
        })
    }
}

/// Reads the parts of a round's requests from the log. `latencies` has each one's number, and milliseconds.
///
/// # Errors
/// When there is no log, or a line of it is not JSON.
pub(super) async fn read(
    log: &Path,
    round: usize,
    latencies: &[(usize, f64)],
) -> Result<Vec<Parts>> {
    let named: HashMap<String, f64> = latencies
        .iter()
        .map(|(number, latency)| (name(round, Some(*number)), *latency))
        .collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(log).with_context(|| log.display().to_string())?;
        let lines = text.lines().filter(|line| line.contains("\"bench-"));
        // The last line may be half there.
        let lines: Vec<Line> = lines.flat_map(serde_json::from_str).collect();
        let known = |line: &&Line| named.contains_key(&line.request_id);
        let all_there = lines.iter().filter(known).count() == named.len();
        if all_there || Instant::now() > deadline {
            let parts = |line: &Line| line.parts(*named.get(&line.request_id)?);
            return Ok(lines.iter().filter_map(parts).collect());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The mean of all, or of those around a quantile by their whole time; `None` of none.
pub(super) fn at(all: &[Parts], quantile: Option<f64>) -> Option<Parts> {
    let mut sorted = all.to_vec();
    sorted.sort_by(|one, other| one.whole.total_cmp(&other.whole));
    let Some(quantile) = quantile else {
        return mean(&sorted);
    };
    let count = sorted.len();
    let rank = ((quantile * count as f64).ceil() as usize).clamp(1, count.max(1)) - 1;
    let half = ((AROUND * count as f64).ceil() as usize).max(FEWEST) / 2;
    // No farther up than down, or the long tail would be taken for the quantile.
    let half = half.min(count.saturating_sub(rank + 1));
    mean(sorted.get(rank.saturating_sub(half)..=rank + half)?)
}

fn mean(all: &[Parts]) -> Option<Parts> {
    let count = (!all.is_empty()).then_some(all.len() as f64)?;
    let mean = |part: fn(&Parts) -> f64| all.iter().map(part).sum::<f64>() / count;
    Some(Parts {
        whole: mean(|parts| parts.whole),
        network: mean(|parts| parts.network),
        upstream: mean(|parts| parts.upstream),
        proxy: mean(|parts| parts.proxy),
        rest: mean(|parts| parts.rest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kernel: &str, uct: &str) -> Line {
        let text = format!(
            r#"{{"status":200,"rt":0.040000,"uct":{uct},"request_id":"bench-0-1","kernel":{kernel}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn near(parts: Parts, expected: [f64; 5]) {
        let Parts {
            whole,
            network,
            upstream,
            proxy,
            rest,
        } = parts;
        for (part, expected) in [whole, network, upstream, proxy, rest].iter().zip(expected) {
            assert!((part - expected).abs() < 1e-9, "{parts:?}");
        }
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let kernel = r#"{"connect_us":30100,"rtt_us":34000,"first_byte_us":39800,"wakeup_lag_us":50,"retransmits":0}"#;
        let parts = line(kernel, "0.000000").parts(40.25).unwrap();
        near(parts, [40.25, 30.1, 9.7, 0.2, 0.25]);
        let sum = parts.network + parts.upstream + parts.proxy + parts.rest;
        assert!((sum - parts.whole).abs() < 1e-9);
        let kernel = r#"{"connect_us":10000,"rtt_us":null,"first_byte_us":15000}"#;
        let parts = line(kernel, "0.024000").parts(40.5).unwrap();
        near(parts, [40.5, 34.0, 5.0, 1.0, 0.5]);
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let without = r#"{"connect_us":30100,"rtt_us":34000,"first_byte_us":null}"#;
        assert_eq!(line(without, "null").parts(40.0), None);
        let without = r#"{"connect_us":null,"rtt_us":null,"first_byte_us":39000}"#;
        assert_eq!(line(without, "null").parts(40.0), None);
    }

    #[test]
    fn a_quantile_is_told_by_those_around_it() {
        let all: Vec<Parts> = (1..=1000)
            .map(|whole| Parts {
                whole: f64::from(whole),
                proxy: f64::from(whole % 2),
                ..Parts::default()
            })
            .collect();
        assert!((at(&all, Some(0.95)).unwrap().whole - 950.0).abs() < 1.0);
        assert!((at(&all, Some(0.999)).unwrap().whole - 999.0).abs() < 1.0);
        assert_eq!(at(&all, Some(1.0)).unwrap().whole, 1000.0);
        let all_of_them = at(&all, None).unwrap();
        assert_eq!((all_of_them.whole, all_of_them.proxy), (500.5, 0.5));
        assert_eq!(at(&[], None), None);
        assert_eq!(at(&[], Some(0.5)), None);
    }
}
