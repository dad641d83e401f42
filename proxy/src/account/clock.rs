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
    local_second: u64,
    local: String,
}

impl Default for WallClock {
    fn default() -> Self {
        let mut clock = Self {
            base: Instant::now(),
            base_unix: Duration::ZERO,
            second: u64::MAX,
            text: String::new(),
            http_date: String::new(),
            local_second: u64::MAX,
            local: String::new(),
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
        let unix = self.unix(at);
        self.format(unix.as_secs());
        (&self.text, unix.subsec_millis())
    }

    /// `31/Jan/2026:23:59:59 +0000`, as nginx' `$time_local` where the time zone is UTC.
    ///
    /// Kept apart from the other forms: those are of when a request began,
    /// this one is of its end, often in another second.
    pub fn time_local(&mut self, at: Instant) -> &str {
        let second = self.unix(at).as_secs();
        if second != self.local_second {
            self.local_second = second;
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            // `Sat, 31 Jan 2026 23:59:59 GMT`
            let part = |range| date.get(range).unwrap_or_default();
            self.local = format!(
                "{}/{}/{}:{} +0000",
                part(5..7),
                part(8..11),
                part(12..16),
                part(17..25)
            );
        }
        &self.local
    }

    fn unix(&self, at: Instant) -> Duration {
        let since = at.saturating_duration_since(self.base);
        let before = self.base.saturating_duration_since(at);
        (self.base_unix + since).saturating_sub(before)
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
        let later = base + Duration::from_millis(700);
        assert_eq!(clock.time_local(later), "09/Sep/2001:01:46:41 +0000");
        let next_day = base + Duration::from_secs(86_400);
        assert_eq!(clock.time_local(next_day), "10/Sep/2001:01:46:40 +0000");
    }
}
