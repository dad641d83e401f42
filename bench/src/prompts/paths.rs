//! The paths between the client's host and upstream's, and the least time a request can take on each.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use netlab::Path;
use serde::Serialize;

/// How long upstream thinks before it answers.
pub(super) const THINK: Duration = Duration::from_millis(1);

/// Round trips before the first request of a connection: TCP, then TLS 1.3.
pub(super) const HANDSHAKES: u32 = 2;

/// The round trip of paths that are not named after theirs.
const ROUND_TRIP: Duration = Duration::from_millis(30);

/// All paths, in the order of the table.
pub(super) const NAMES: [&str; 5] = ["5ms", "30ms", "100ms", LOSS, NARROW];
pub(super) const LOSS: &str = "loss";
pub(super) const NARROW: &str = "narrow";

/// What the last two of them do unless told otherwise.
const LOSS_SHARE: f64 = 0.01;
const SEED: u64 = 1;
const RATE: u64 = 10_000_000;
const QUEUE: u64 = 24_000;

/// What can be said about the paths.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Settings {
    /// Share of the data segments that the path `loss` loses, in each direction.
    #[arg(long, default_value_t = LOSS_SHARE)]
    loss: f64,
    /// Where its random losses start from; each sample's start from another number, the same for all contenders.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Bits per second of the path `narrow`, in each direction.
    #[arg(long, value_name = "BITS", default_value_t = RATE)]
    rate: u64,
    /// Bytes that may wait for it.
    #[arg(long, value_name = "BYTES", default_value_t = QUEUE)]
    queue: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            loss: LOSS_SHARE,
            seed: SEED,
            rate: RATE,
            queue: QUEUE,
        }
    }
}

/// One of the paths.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Emulated {
    /// Its name in options and tables.
    pub(super) name: &'static str,
    round_trip: Duration,
    /// The share of lost segments, and the seed.
    loss: Option<(f64, u64)>,
    /// Bits per second, and bytes of the queue.
    rate: Option<(u64, u64)>,
}

impl Emulated {
    /// The path of this name.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn named(name: &str, settings: &Settings) -> Result<Self> {
        let known = NAMES.into_iter().find(|known| *known == name);
        let name =
            known.ok_or_else(|| anyhow!("no path {name:?}; there are {}", NAMES.join(", ")))?;
        let milliseconds = name.strip_suffix("ms").map(str::parse).transpose()?;
        let share = settings.loss;
        ensure!(
            (0.0..=1.0).contains(&share),
            "--loss is a share, between 0 and 1"
        );
        ensure!(settings.rate > 0, "--rate has to be greater than 0");
        Ok(Self {
            name,
            round_trip: milliseconds.map_or(ROUND_TRIP, Duration::from_millis),
            loss: (name == LOSS).then_some((share, settings.seed)),
            rate: (name == NARROW).then_some((settings.rate, settings.queue)),
        })
    }

    /// Whether it loses segments at random.
    pub(super) fn is_lossy(&self) -> bool {
        self.loss.is_some()
    }

    /// Where the random losses of a sample start from.
    pub(super) fn seed(&self, sample: u64) -> u64 {
        let (_, first) = self.loss.unwrap_or_default();
        first.wrapping_add(sample)
    }

    /// Sets one up, with hosts of its own.
    ///
    /// # Errors
    /// When this machine lacks something, or the kernel refuses.
    pub(super) fn start(&self) -> Result<Path, netlab::Error> {
        // Nobody looks at single packets here; their numbers are counted all the same.
        let mut path = Path::builder().round_trip(self.round_trip).records(0);
        if let Some((share, seed)) = self.loss {
            path = path.drop_randomly(share, seed);
        }
        if let Some((bits_per_second, queue)) = self.rate {
            path = path.rate(bits_per_second, queue);
        }
        path.start()
    }

    /// The least time for a request of so many bytes, in milliseconds, after so many round trips of handshakes.
    pub(super) fn floor_ms(&self, bytes: usize, handshakes: u32) -> f64 {
        let through = match self.rate {
            Some((bits_per_second, _)) => bytes as f64 * 8.0 / bits_per_second as f64,
            None => 0.0,
        };
        let fixed = self.round_trip * (1 + handshakes) + THINK;
        (fixed.as_secs_f64() + through) * 1000.0
    }

    /// In words.
    pub(super) fn described(&self) -> String {
        let mut text = format!("round trip {} ms", self.round_trip.as_millis());
        if let Some((share, seed)) = self.loss {
            let percent = share * 100.0;
            text +=
                &format!(", {percent} % of the data segments lost at random (seeds from {seed})");
        }
        if let Some((bits_per_second, queue)) = self.rate {
            let (megabits, kilobytes) = (bits_per_second as f64 / 1e6, queue as f64 / 1e3);
            text += &format!(", {megabits} Mbit/s with a queue of {kilobytes} KB");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_floor() {
        let floor = |name: &str, bytes, handshakes| {
            let path = Emulated::named(name, &Settings::default()).unwrap();
            path.floor_ms(bytes, handshakes)
        };
        assert_eq!(floor("5ms", 2_000_000, 0), 6.0);
        assert_eq!(floor("100ms", 4_000, 0), 101.0);
        assert_eq!(floor("loss", 4_000, HANDSHAKES), 91.0);
        assert!((floor("narrow", 400_000, 0) - 351.0).abs() < 1e-6);
    }

    #[test]
    fn names_are_checked_and_described() {
        assert!(Emulated::named("7ms", &Settings::default()).is_err());
        let described = |name: &str| {
            Emulated::named(name, &Settings::default())
                .unwrap()
                .described()
        };
        assert_eq!(described("30ms"), "round trip 30 ms");
        let loss = "round trip 30 ms, 1 % of the data segments lost at random (seeds from 1)";
        assert_eq!(described("loss"), loss);
        let narrow = "round trip 30 ms, 10 Mbit/s with a queue of 24 KB";
        assert_eq!(described("narrow"), narrow);
    }
}
