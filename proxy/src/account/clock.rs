//! Wall-clock time for log lines and `Date` fields, formatted once a second.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A wall clock that follows the monotonic one between looks.
#[derive(Debug)]
pub struct WallClock {
    base: Instant,
    base_unix: Duration,
    second: u64,
    text: String,
    http_date: String,
}

impl Default for WallClock {
    fn default() -> Self {
        let mut clock = Self {
            base: Instant::now(),
            base_unix: Duration::ZERO,
            second: u64::MAX,
            text: String::new(),
            http_date: String::new(),
        };
        clock.sync();
        clock
    }
}

impl WallClock {
    /// Looks at the system's clock again; called now and then, so that a
    /// stepped clock shows in the log.
    pub fn sync(&mut self) {
        self.base = Instant::now();
        self.base_unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
    }

    /// `2026-01-31T23:59:59` and the milliseconds of `at`.
    pub fn iso8601(&mut self, at: Instant) -> (&str, u32) {
        let since = at.saturating_duration_since(self.base);
        let before = self.base.saturating_duration_since(at);
        let unix = (self.base_unix + since).saturating_sub(before);
        self.format(unix.as_secs());
        (&self.text, unix.subsec_millis())
    }

    /// The value of a `Date` field for now.
    pub fn http_date(&mut self) -> &str {
        let unix = self.base_unix + self.base.elapsed();
        self.format(unix.as_secs());
        &self.http_date
    }

    fn format(&mut self, second: u64) {
        if second == self.second {
            return;
        }
        self.second = second;
        let time = UNIX_EPOCH + Duration::from_secs(second);
        self.http_date = httpdate::fmt_http_date(time);
        // `…Z` at second precision; the caller adds milliseconds before the Z.
        self.text = humantime::format_rfc3339_seconds(time).to_string();
        self.text.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_between_looks_and_backwards_for_older_instants() {
        let mut clock = WallClock {
            base_unix: Duration::from_millis(1_000_000_000_500),
            ..WallClock::default()
        };
        let base = clock.base;
        assert_eq!(
            clock.iso8601(base + Duration::from_millis(700)),
            ("2001-09-09T01:46:41", 200)
        );
        assert_eq!(
            clock.iso8601(base - Duration::from_millis(600)),
            ("2001-09-09T01:46:39", 900)
        );
    }
}
