//! Where the time of a request goes: network, upstream, proxy.
//!
//! The network is the smallest round trip, not the smoothed one: a peer may put its acknowledgement off until its answer is there, and
//! then smoothed round trips have its thinking in them (docs/kernel.md).

use std::time::Duration;

use super::objective::millis;
use super::sample::Answer;
use super::statistics::mean;

/// Means of one target, in milliseconds; together they are its mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shares {
    /// Round trips: ours, and the proxy's to upstream where it tells.
    pub(super) network_ms: f64,
    pub(super) rest: Rest,
}

/// What is not the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rest {
    /// Nobody on the way can take it apart: the target is upstream itself, or a proxy that does not say when upstream's first byte came.
    Whole(f64),
    /// Upstream's thinking, and what is left: the proxy, whatever else is on the way, and this program.
    Apart {
        /// Until upstream's first byte, without the network.
        upstream_ms: f64,
        /// Never below 0.
        proxy_ms: f64,
    },
}

impl Shares {
    /// Of good answers; none if the kernel told nothing.
    pub(super) fn of(good: &[Answer]) -> Option<Self> {
        let kernels = good.iter().filter_map(|answer| answer.kernel?.min_rtt);
        let ours = millis(kernels.min()?);
        let timed: Vec<_> = good
            .iter()
            .filter(|answer| answer.timing.is_some())
            .collect();
        let apart = timed.iter().filter_map(|answer| {
            let first_byte = answer.timing?.first_byte?;
            Some((answer.whole, first_byte))
        });
        let apart: Vec<_> = apart.collect();
        let whole = mean_ms(good.iter().map(|answer| answer.whole))?;
        // Of few it would be no mean of all.
        if timed.len() * 2 < good.len() {
            return Some(Self {
                network_ms: ours.min(whole),
                rest: Rest::Whole((whole - ours).max(0.0)),
            });
        }
        let round_trips = timed.iter().filter_map(|answer| {
            let timing = answer.timing?;
            timing.rtt.into_iter().chain(timing.connect).min()
        });
        let theirs = millis(round_trips.min().unwrap_or_default());
        if apart.len() * 2 < good.len() {
            return Some(Self {
                network_ms: (ours + theirs).min(whole),
                rest: Rest::Whole((whole - ours - theirs).max(0.0)),
            });
        }
        let whole = mean_ms(apart.iter().map(|of| of.0))?;
        let first_byte = mean_ms(apart.iter().map(|of| of.1))?;
        let theirs = theirs.min(first_byte);
        Some(Self {
            network_ms: ours + theirs,
            rest: Rest::Apart {
                upstream_ms: first_byte - theirs,
                proxy_ms: (whole - ours - first_byte).max(0.0),
            },
        })
    }
}

fn mean_ms(times: impl Iterator<Item = Duration>) -> Option<f64> {
    mean(&times.collect::<Vec<_>>()).map(millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::sample::Kernel;
    use crate::measure::timing::Timing;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn answer(whole: u64, timing: Option<Timing>) -> Answer {
        Answer {
            first_byte: ms(whole),
            whole: ms(whole),
            kernel: Some(Kernel {
                rtt: ms(whole),
                min_rtt: Some(ms(2)),
                retransmits: 0,
            }),
            timing,
            is_from_cache: false,
        }
    }

    #[test]
    fn what_nobody_tells_is_the_targets() {
        let shares = Shares::of(&[answer(40, None), answer(44, None)]).unwrap();
        assert_eq!(shares.network_ms, 2.0);
        assert_eq!(shares.rest, Rest::Whole(40.0));
        assert_eq!(Shares::of(&[]), None);
    }

    #[test]
    fn the_proxys_times_tell_upstream_from_the_proxy() {
        let told = Timing {
            connect: Some(ms(10)),
            rtt: Some(ms(30)),
            first_byte: Some(ms(40)),
            wakeup_lag: None,
        };
        let shares = Shares::of(&[answer(43, Some(told)), answer(45, Some(told))]).unwrap();
        assert_eq!(
            shares.network_ms, 12.0,
            "the acknowledgement waited for the answer"
        );
        let apart = Rest::Apart {
            upstream_ms: 30.0,
            proxy_ms: 2.0,
        };
        assert_eq!(shares.rest, apart);
        let less = Timing {
            first_byte: None,
            ..told
        };
        let shares = Shares::of(&[answer(43, Some(less)), answer(45, Some(less))]).unwrap();
        assert_eq!(shares.network_ms, 12.0);
        assert_eq!(shares.rest, Rest::Whole(32.0));
    }
}
