//! What one turn comes to.

use std::collections::HashMap;

use serde::Serialize;

/// Shares are told for so many milliseconds each.
pub(super) const BIN_MS: f64 = 250.0;
/// Over so many milliseconds a share is taken to say whether an endpoint is left alone, or used again.
const WINDOW_MS: f64 = 500.0;
/// Below that it is left alone, above the other it is used again.
const LITTLE: f64 = 0.05;
const ENOUGH: f64 = 0.25;
/// So much of what comes before the fault is told in shares.
const SHOWN_BEFORE_MS: f64 = 500.0;

/// A request, as its client saw it; times count from the beginning of the fault.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) id: String,
    pub(super) at_ms: f64,
    /// How long until the first byte of a good answer, or why there was none.
    pub(super) first_byte_ms: Result<f64, String>,
}

/// A request on its way to an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at_ms: f64,
    pub(super) is_bad: bool,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) answers: Vec<Answered>,
    /// In their order.
    pub(super) arrivals: Vec<Arrival>,
    /// The id of each billed request, once for each bill.
    pub(super) billed: Vec<String>,
    /// Whether the contender says that it uses the bad endpoint, from when on.
    pub(super) states: Vec<(f64, bool)>,
    pub(super) repeats: u64,
    pub(super) overruns: u64,
}

/// From when to when it is measured, and when the fault ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) begin_ms: f64,
    pub(super) healed_ms: f64,
    pub(super) heals: bool,
    pub(super) end_ms: f64,
}

/// Times to the first byte, in milliseconds, of requests that begin in one part.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Times {
    pub(super) took_ms: Vec<f64>,
}

/// The figures.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figures {
    /// Requests that begin within the span.
    pub(super) requests: usize,
    /// Of these, those without a good answer.
    pub(super) failed: usize,
    /// Of these, those nobody has billed: to send them again would have been safe.
    pub(super) unbilled: usize,
    /// What the failed ones met, and how many of them.
    pub(super) reasons: Vec<(String, usize)>,
    /// Requests with more than one bill.
    pub(super) billed_twice: usize,
    pub(super) repeats: u64,
    pub(super) before: Times,
    pub(super) during: Times,
    pub(super) after: Times,
    /// The bad endpoint's share of the requests in each bin, from half a second before the fault; `None` where there were none.
    pub(super) shares: Vec<Option<f64>>,
    /// From the fault until the bad endpoint gets less than a twentieth.
    pub(super) left_alone_ms: Option<f64>,
    /// From the fault until the contender says that it has ejected it.
    pub(super) ejected_ms: Option<f64>,
    /// How often it has done so.
    pub(super) ejections: usize,
    /// From the end of the fault until it gets a quarter or more.
    pub(super) used_again_ms: Option<f64>,
    pub(super) healed_ms: f64,
    /// Packets the emulation was too slow for.
    pub(super) overruns: u64,
}

impl Figures {
    /// Of what was seen in a turn.
    pub(super) fn of(observed: &Observed, span: Span) -> Self {
        let mut figures = Self {
            repeats: observed.repeats,
            overruns: observed.overruns,
            healed_ms: span.healed_ms,
            ejections: ejections(observed).count(),
            ejected_ms: ejections(observed).next(),
            ..Self::default()
        };
        let mut bills: HashMap<&str, usize> = HashMap::new();
        for id in &observed.billed {
            *bills.entry(id).or_default() += 1;
        }
        figures.billed_twice = bills.values().filter(|count| **count > 1).count();
        let within = |one: &&Answered| (span.begin_ms..span.end_ms).contains(&one.at_ms);
        for answer in observed.answers.iter().filter(within) {
            figures.requests += 1;
            match &answer.first_byte_ms {
                Ok(took) => figures.part(answer.at_ms, span).took_ms.push(*took),
                Err(reason) => {
                    figures.failed += 1;
                    figures.unbilled += usize::from(!bills.contains_key(answer.id.as_str()));
                    figures.note(reason);
                }
            }
        }
        let arrivals = &observed.arrivals;
        figures.shares = shares(arrivals, span.end_ms);
        figures.left_alone_ms = first(arrivals, 0.0, span.end_ms, |share| share < LITTLE);
        if span.heals {
            let again = first(arrivals, span.healed_ms, span.end_ms, |share| {
                share >= ENOUGH
            });
            figures.used_again_ms = again.map(|at| at - span.healed_ms);
        }
        figures
    }

    fn part(&mut self, at_ms: f64, span: Span) -> &mut Times {
        if at_ms < 0.0 {
            &mut self.before
        } else if at_ms < span.healed_ms {
            &mut self.during
        } else {
            &mut self.after
        }
    }

    fn note(&mut self, reason: &str) {
        match self.reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, count)) => *count += 1,
            None => self.reasons.push((reason.to_owned(), 1)),
        }
    }
}

/// When the bad endpoint was ejected.
fn ejections(observed: &Observed) -> impl Iterator<Item = f64> {
    let after = observed
        .states
        .iter()
        .filter(|(at, used)| *at >= 0.0 && !used);
    after.map(|(at, _)| *at)
}

/// The bad endpoint's share between two times; `None` if there was nothing to share.
fn share(arrivals: &[Arrival], from_ms: f64, to_ms: f64) -> Option<f64> {
    let begin = arrivals.partition_point(|one| one.at_ms < from_ms);
    let end = arrivals.partition_point(|one| one.at_ms < to_ms);
    let within = arrivals.get(begin..end)?;
    let bad = within.iter().filter(|one| one.is_bad).count();
    (!within.is_empty()).then(|| bad as f64 / within.len() as f64)
}

fn shares(arrivals: &[Arrival], end_ms: f64) -> Vec<Option<f64>> {
    let count = ((end_ms + SHOWN_BEFORE_MS) / BIN_MS).ceil() as usize;
    let from = |bin: usize| bin as f64 * BIN_MS - SHOWN_BEFORE_MS;
    let bins = (0..count).map(|bin| share(arrivals, from(bin), from(bin + 1)));
    bins.collect()
}

/// The first time not before `from_ms` from which on the share over a window is as wanted. It can only begin to be small
/// behind a request to the bad endpoint, and to be large with one.
fn first(
    arrivals: &[Arrival],
    from_ms: f64,
    end_ms: f64,
    wanted: impl Fn(f64) -> bool,
) -> Option<f64> {
    const BEHIND_MS: f64 = 0.001;
    let bad = arrivals
        .iter()
        .filter(|one| one.is_bad && one.at_ms >= from_ms);
    let times = bad.flat_map(|one| [one.at_ms, one.at_ms + BEHIND_MS]);
    let mut times = std::iter::once(from_ms).chain(times);
    times.find(|at| {
        let window = share(arrivals, *at, at + WINDOW_MS);
        at + WINDOW_MS <= end_ms && window.is_some_and(&wanted)
    })
}

#[cfg(test)]
mod tests;
