//! The keys of an upstream: read, replaced when their files change, and left alone for a while when upstream refuses one.
//!
//! Requests are sent with one key until it is refused, then with the next. Metrics and logs know keys by their names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use zeroize::Zeroizing;

use super::circuit::millis;
use crate::config::secret::SecretError;
use crate::config::{Secret, Upstream};

/// How long a key is left alone that was refused for what it is (401, 402, 403); doubles while it goes on.
const REFUSED: Duration = Duration::from_secs(30);
/// The longest of these pauses.
const REFUSED_LONGEST: Duration = Duration::from_secs(600);
/// How long one whose limit is reached (429), unless upstream says for how long.
const LIMITED: Duration = Duration::from_secs(1);
/// The longest time that upstream may say.
const LIMITED_LONGEST: Duration = Duration::from_secs(60);

/// A key and what upstream thinks of it.
#[derive(Debug)]
pub struct Key {
    name: String,
    file: Option<PathBuf>,
    /// The previous one is wiped when its last reader is done.
    secret: ArcSwapOption<Secret>,
    /// Before that it is not used if there is another; milliseconds.
    not_before: AtomicU64,
    /// Refusals in a row.
    refused: AtomicU32,
    /// All of them, by what they were for.
    counts: [AtomicU64; REFUSALS.len()],
}

/// The statuses that are about a key.
pub const REFUSALS: [u16; 4] = [401, 402, 403, 429];

impl Key {
    fn new(name: &str, file: Option<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            file,
            secret: ArcSwapOption::empty(),
            not_before: AtomicU64::new(0),
            refused: AtomicU32::new(0),
            counts: Default::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file it comes from.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Puts a key in place of the present one, which may be better.
    pub fn set(&self, secret: Secret) {
        self.secret.store(Some(Arc::new(secret)));
        self.refused.store(0, Relaxed);
        self.not_before.store(0, Relaxed);
    }

    /// Calls `with` with the key, if there is one.
    pub fn with<R>(&self, with: impl FnOnce(Option<&Secret>) -> R) -> R {
        let guard = self.secret.load();
        with(guard.as_deref())
    }

    /// Whether it could be read.
    pub fn is_there(&self) -> bool {
        self.secret.load().is_some()
    }

    /// Whether there is meant to be one: clients may bring their own.
    pub fn is_meant(&self) -> bool {
        self.file.is_some() || self.is_there()
    }

    /// Whether it is used, as far as upstream is concerned.
    pub fn is_usable(&self, now: Instant) -> bool {
        self.is_there() && self.not_before.load(Relaxed) <= millis(now)
    }

    /// For how much longer it is left alone.
    pub fn pause_left(&self, now: Instant) -> Duration {
        let left = self.not_before.load(Relaxed).saturating_sub(millis(now));
        Duration::from_millis(left)
    }

    /// How often it was refused with each of [`REFUSALS`].
    pub fn refusals(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        REFUSALS.into_iter().zip(counts)
    }
}

/// All keys of an upstream, in the order in which they are used.
#[derive(Debug)]
pub struct Keys {
    all: Box<[Key]>,
    current: AtomicUsize,
}

impl Keys {
    /// Those of an upstream, not read yet.
    pub fn of(upstream: &Upstream) -> Self {
        let pool = upstream.api_keys.iter();
        let mut all: Vec<_> = pool
            .map(|key| Key::new(&key.name, Some(key.file.clone())))
            .collect();
        if all.is_empty() {
            all.push(Key::new("default", upstream.api_key_file.clone()));
        }
        Self {
            all: all.into(),
            current: AtomicUsize::new(0),
        }
    }

    /// Reads all of them.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn load(&self, upstream: &Upstream) -> Result<(), KeyFileError> {
        for key in &self.all {
            match (&key.file, &upstream.api_key) {
                (Some(file), _) => key.set(read_file(file)?),
                (None, Some(secret)) => key.set(secret.clone()),
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// All of them.
    pub fn all(&self) -> &[Key] {
        &self.all
    }

    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        self.all.iter().any(Key::is_there)
    }

    /// The key at a position.
    #[inline]
    pub fn get(&self, position: usize) -> &Key {
        // There is at least one, and positions come from here.
        self.all.get(position).unwrap_or(&self.all[0])
    }

    /// The position of the one that is used now.
    #[inline]
    pub fn current(&self) -> usize {
        self.current.load(Relaxed)
    }

    /// Upstream has refused the key at `position` with one of [`REFUSALS`], and may have said for how long. Whether
    /// there is another that can be used from now on.
    pub fn refused(
        &self,
        position: usize,
        status: u16,
        after: Option<Duration>,
        now: Instant,
    ) -> bool {
        let key = self.get(position);
        let index = REFUSALS.iter().position(|refusal| *refusal == status);
        if let Some(count) = index.and_then(|index| key.counts.get(index)) {
            count.fetch_add(1, Relaxed);
        }
        let pause = match status {
            429 => after.unwrap_or(LIMITED).min(LIMITED_LONGEST),
            _ => {
                let times = key.refused.fetch_add(1, Relaxed).min(16);
                REFUSED.saturating_mul(1 << times).min(REFUSED_LONGEST)
            }
        };
        let name = key.name();
        if key.is_usable(now) && self.all.len() > 1 {
            tracing::warn!(
                key = name,
                status,
                ?pause,
                "upstream refused a key, it is left alone"
            );
        }
        key.not_before.fetch_max(millis(now + pause), Relaxed);
        let after = self.all.iter().enumerate().cycle().skip(position + 1);
        let mut others = after.take(self.all.len() - 1);
        let Some((next, _)) = others.find(|(_, other)| other.is_usable(now)) else {
            return false;
        };
        self.current.store(next, Relaxed);
        true
    }

    /// Upstream has taken a request with the key at `position`. One load as long as it always has.
    #[inline]
    pub fn accepted(&self, position: usize) {
        let key = self.get(position);
        if key.refused.load(Relaxed) != 0 {
            key.refused.store(0, Relaxed);
            key.not_before.store(0, Relaxed);
        }
    }

    /// Goes back to the first that is usable again. Now and then: which one is used matters little.
    pub fn prefer_first(&self, now: Instant) {
        let first = self.all.iter().position(|key| key.is_usable(now));
        if let Some(first) = first.filter(|first| *first != self.current()) {
            self.current.store(first, Relaxed);
        }
    }
}

/// Why a key file gives no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It could not be read.
    #[error("the key file {path} cannot be read: {reason}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        reason: std::io::Error,
    },
    /// Its content is no key.
    #[error("the key file {path} holds no key: {reason}")]
    Content {
        /// The file.
        path: String,
        /// Why.
        reason: SecretError,
    },
}

/// Reads a key file.
///
/// # Errors
/// If it cannot be read or holds no key. The content is in no message.
pub fn read_file(path: &Path) -> Result<Secret, KeyFileError> {
    let shown = || path.display().to_string();
    let mut text = Zeroizing::new(std::fs::read(path).map_err(|reason| KeyFileError::Read {
        path: shown(),
        reason,
    })?);
    Secret::new(std::mem::take(&mut *text)).map_err(|reason| KeyFileError::Content {
        path: shown(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigFile};

    fn keys(count: usize) -> Keys {
        let names: Vec<_> = (0..count)
            .map(|key| format!("{{name: k{key}, file: /k{key}}}"))
            .collect();
        let text = format!("upstream: {{api_keys: [{}]}}", names.join(", "));
        let config = Config::build(ConfigFile::parse(&text).unwrap()).unwrap();
        let keys = Keys::of(&config.upstream);
        for key in keys.all() {
            key.set(Secret::new(b"cr_1".to_vec()).unwrap());
        }
        keys
    }

    #[test]
    fn a_refused_key_gives_way_to_the_next_and_comes_back() {
        let (keys, now) = (keys(3), Instant::now());
        assert!(keys.refused(0, 401, None, now));
        assert_eq!(keys.current(), 1);
        let limited = Some(Duration::from_secs(5));
        assert!(keys.refused(1, 429, limited, now));
        assert_eq!(keys.current(), 2);
        assert!(!keys.refused(2, 403, None, now), "none is left");
        assert_eq!(keys.current(), 2);
        keys.prefer_first(now + Duration::from_secs(6));
        assert_eq!(keys.current(), 1);
        keys.prefer_first(now + REFUSED + Duration::from_secs(1));
        assert_eq!(keys.current(), 0);
        // The second time in a row it takes twice as long.
        let later = now + REFUSED + Duration::from_secs(1);
        keys.refused(0, 401, None, later);
        assert!(
            !keys
                .get(0)
                .is_usable(later + REFUSED * 2 - Duration::from_secs(1))
        );
        assert!(
            keys.get(0)
                .is_usable(later + REFUSED * 2 + Duration::from_secs(1))
        );
        let refusals: Vec<_> = keys.get(0).refusals().collect();
        assert_eq!(refusals, [(401, 2), (402, 0), (403, 0), (429, 0)]);
    }

    #[test]
    fn a_key_is_good_again_once_it_was_accepted_or_replaced() {
        let (keys, now) = (keys(2), Instant::now());
        keys.refused(0, 401, None, now);
        keys.accepted(0);
        assert!(keys.get(0).is_usable(now));
        keys.refused(0, 402, None, now);
        keys.get(0).set(Secret::new(b"cr_2".to_vec()).unwrap());
        assert!(keys.get(0).is_usable(now));
    }

    #[test]
    fn one_key_alone_has_no_other() {
        let (keys, now) = (keys(1), Instant::now());
        assert!(!keys.refused(0, 401, None, now));
        assert_eq!(keys.current(), 0);
    }
}
