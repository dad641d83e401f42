//! How long the emulator thinks before it answers, and how fast it writes tokens.
//!
//! `exchange.rs` samples a [`Sampler`] once per answered request and waits on the clock.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Parameters of the shifted log-normal `SHIFT + SCALE * exp(SIGMA * z)` (milliseconds, `z` standard
/// normal) whose mean, 95th and 99th percentile are those measured from a pod to HolySheep's Asian
/// region: 37.2, 48.5 and 62.3 ms. Three equations, three unknowns:
///
/// ```text
/// SHIFT + SCALE * exp(SIGMA^2 / 2)      = 37.2
/// SHIFT + SCALE * exp(1.644854 * SIGMA) = 48.5
/// SHIFT + SCALE * exp(2.326348 * SIGMA) = 62.3
/// ```
///
/// solved by bisection on SIGMA. The least value is then 31.0 ms and the median 35.3 ms, as
/// one expects of a path with a fixed propagation delay and a long tail of thinking.
const SHIFT: f64 = 31.022_938;
const SCALE: f64 = 4.289_564;
const SIGMA: f64 = 0.853_999;

/// Think time before the head of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Profile {
    /// Answer at once.
    #[default]
    None,
    /// Always this long.
    Fixed(Duration),
    /// Random with mean 37.2 ms, p95 48.5 ms, p99 62.3 ms.
    Article,
}

/// A profile was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown latency profile `{0}`: expected none, article or fixed:<ms>")]
pub struct ProfileError(String);

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let unknown = || ProfileError(text.to_owned());
        match text {
            "none" => Ok(Self::None),
            "article" => Ok(Self::Article),
            _ => {
                let ms = text.strip_prefix("fixed:").ok_or_else(unknown)?;
                let ms: f64 = ms.parse().map_err(|_| unknown())?;
                let time = Duration::try_from_secs_f64(ms / 1e3).map_err(|_| unknown())?;
                Ok(Self::Fixed(time))
            }
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Fixed(time) => write!(f, "fixed:{}", time.as_secs_f64() * 1e3),
            Self::Article => f.write_str("article"),
        }
    }
}

/// Draws think times of a profile from a seeded generator.
pub(crate) struct Sampler {
    profile: Profile,
    random: Mutex<fastrand::Rng>,
}

impl Sampler {
    pub(crate) fn new(profile: Profile, seed: u64) -> Self {
        Self {
            profile,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        }
    }

    pub(crate) fn sample(&self) -> Duration {
        match self.profile {
            Profile::None => Duration::ZERO,
            Profile::Fixed(time) => time,
            Profile::Article => {
                let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
                let ms = SHIFT + SCALE * (SIGMA * standard_normal(&mut random)).exp();
                Duration::from_secs_f64(ms / 1e3)
            }
        }
    }
}

/// Box–Muller; the second value of the pair is not kept, one draw per request is cheap enough.
fn standard_normal(random: &mut fastrand::Rng) -> f64 {
    // 1 - u is in (0, 1], where the logarithm is finite.
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

#[cfg(test)]
mod tests;
