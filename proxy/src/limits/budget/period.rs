//! Days and months, in UTC.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::limits::Limit;

/// How long a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Span {
    /// From midnight to midnight.
    Day,
    /// From the first to the last.
    Month,
}

impl Span {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Day, Self::Month];

    /// As it stands in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// That there is a budget for it.
    pub const fn limit(self) -> Limit {
        match self {
            Self::Day => Limit::Day,
            Self::Month => Limit::Month,
        }
    }
}

/// A day, as `2026-11-27`, or a month, as `2026-11`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Box<str>);

impl Period {
    /// That of a moment.
    pub fn of(span: Span, now: SystemTime) -> Self {
        let now = humantime::format_rfc3339_seconds(now).to_string();
        let length = match span {
            Span::Day => "0000-00-00".len(),
            Span::Month => "0000-00".len(),
        };
        Self(now.get(..length).unwrap_or_default().into())
    }

    /// How long it still lasts.
    pub fn left(span: Span, now: SystemTime) -> Duration {
        let day = Duration::from_secs(24 * 60 * 60);
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let into_day = Duration::new(since.as_secs() % day.as_secs(), since.subsec_nanos());
        let rest_of_day = day - into_day;
        match span {
            Span::Day => rest_of_day,
            Span::Month => {
                let this = Self::of(Span::Month, now);
                let is_same = |days: &u32| Self::of(Span::Month, now + day * *days) == this;
                // No month has more days; the first that is in another month is not needed.
                let days = (1..=31).take_while(is_same).count();
                rest_of_day + day * u32::try_from(days).unwrap_or(0)
            }
        }
    }

    /// As it is written.
    pub const fn text(&self) -> &str {
        &self.0
    }

    /// After so long nobody asks for what was spent in it.
    pub(super) fn life(span: Span) -> Duration {
        let days = match span {
            Span::Day => 3,
            Span::Month => 63,
        };
        Duration::from_secs(days * 24 * 60 * 60)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> SystemTime {
        humantime::parse_rfc3339(time).unwrap()
    }

    #[test]
    fn a_period_is_a_day_or_month_of_utc() {
        let now = at("2026-11-27T23:59:59Z");
        assert_eq!(Period::of(Span::Day, now).text(), "2026-11-27");
        assert_eq!(Period::of(Span::Month, now).text(), "2026-11");
    }

    #[test]
    fn it_ends_where_the_next_begins() {
        for (span, now, end) in [
            (Span::Day, "2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z"),
            (Span::Day, "2026-12-31T23:59:59.5Z", "2027-01-01T00:00:00Z"),
            (Span::Month, "2026-11-27T10:00:00Z", "2026-12-01T00:00:00Z"),
            (Span::Month, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            (Span::Month, "2028-02-01T00:00:01Z", "2028-03-01T00:00:00Z"),
            (Span::Month, "2027-01-31T23:00:00Z", "2027-02-01T00:00:00Z"),
        ] {
            assert_eq!(at(now) + Period::left(span, at(now)), at(end), "{now}");
        }
    }
}
