//! One contender, one fault: before, during and after.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use holysheep_emulator::tls::Authority;
use tokio::time::{Instant as Moment, sleep_until};

use super::contender::{Contender, Site};
use super::fault::Fault;
use super::figures::{Answered, Arrival, Figures, Observed, Span};
use super::load::Load;
use super::world::{BAD, World};
use crate::peer::Kind;

/// Until pools are filled and averages are learnt; not counted.
const SETTLE: Duration = Duration::from_secs(2);
/// The path the load asks for; health checks ask for another.
const PATH: &str = "/v1/chat/completions";

/// How long each part takes, and how much is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) before: Duration,
    pub(super) during: Duration,
    pub(super) after: Duration,
    pub(super) rate: u32,
}

/// The moment a fault begins, on each of the clocks.
#[derive(Debug, Clone, Copy)]
struct Begin {
    instant: Instant,
    unix_ns: u64,
    monotonic: Duration,
}

impl Begin {
    fn now() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            instant: Instant::now(),
            unix_ns: unix.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            monotonic: netlab::now(),
        }
    }

    fn of_instant(&self, at: Instant) -> f64 {
        let after = at.saturating_duration_since(self.instant);
        let before = self.instant.saturating_duration_since(at);
        (after.as_secs_f64() - before.as_secs_f64()) * 1e3
    }

    fn of_unix(&self, at_ns: u64) -> f64 {
        (at_ns as f64 - self.unix_ns as f64) / 1e6
    }

    fn of_monotonic(&self, at: Duration) -> f64 {
        (at.as_secs_f64() - self.monotonic.as_secs_f64()) * 1e3
    }
}

/// Measures; also the contender's version.
///
/// # Errors
/// When the contender does not start, or something of the rig fails.
pub(super) async fn measure(
    kind: &Kind,
    fault: Fault,
    plan: Plan,
    authority: &Arc<Authority>,
    site: &Site<'_>,
) -> Result<(Figures, String)> {
    let mut world = World::start(authority)?;
    let contender = Contender::start(kind, &world, site).await?;
    let load = Load::start(world.client(), Contender::target(), plan.rate);
    sleep_until(Moment::now() + SETTLE + plan.before).await;
    let repeats_before = contender.repeats()?;
    let bad = world.addresses()[BAD];
    let watch = contender.watch(bad)?;
    let begin = Begin::now();
    let start = Moment::now();
    world.inject(fault)?;
    let during = fault.lasts(plan.during);
    sleep_until(start + during).await;
    world.heal(fault)?;
    // An endpoint that starts again takes a moment for it.
    let healed_ms = begin.of_instant(Instant::now());
    sleep_until(start + during + plan.after).await;
    let states = watch.finish();
    let sent = load.finish().await;
    let repeats = contender.repeats()?.saturating_sub(repeats_before);
    let version = contender.version.clone();
    drop(contender);
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let observed = Observed {
        answers: sent
            .into_iter()
            .map(|sent| Answered {
                at_ms: begin.of_instant(sent.at),
                id: sent.id,
                first_byte_ms: sent.outcome.map(millis),
            })
            .collect(),
        arrivals: arrivals(&world, begin)?,
        billed: (world.books().iter())
            .flat_map(|(_, books)| books.billed_ids())
            .collect(),
        states: (states.into_iter())
            .map(|(at, used)| (begin.of_instant(at), used))
            .collect(),
        repeats,
        overruns: world.overruns()?,
    };
    let span = Span {
        begin_ms: -millis(plan.before),
        healed_ms,
        heals: fault.heals(),
        end_ms: millis(during + plan.after),
    };
    Ok((Figures::of(&observed, span), version))
}

/// Requests as they came to endpoints, and those that were lost on the way to the bad one.
fn arrivals(world: &World, begin: Begin) -> Result<Vec<Arrival>> {
    let mut arrivals = Vec::new();
    for (endpoint, books) in world.books() {
        for request in books.requests() {
            if request.path_and_query != PATH {
                continue;
            }
            request.header("x-request-id").context("no id upstream")?;
            arrivals.push(Arrival {
                at_ms: begin.of_unix(request.received_unix_ns),
                is_bad: *endpoint == BAD,
            });
        }
    }
    let lost = world.lost().into_iter();
    arrivals.extend(lost.map(|at| Arrival {
        at_ms: begin.of_monotonic(at),
        is_bad: true,
    }));
    arrivals.sort_by(|one, other| one.at_ms.total_cmp(&other.at_ms));
    Ok(arrivals)
}
