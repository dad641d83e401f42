//! What this proxy says of a request that passed it: the `Server-Timing` field (docs/kernel.md).

use std::time::Duration;

use http::HeaderMap;

/// Asks for it; upstream never sees it.
pub(super) const ASKS: &str = "x-holysheep-timing";
const FIELD: &str = "server-timing";

/// Times between the proxy and upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timing {
    /// The round trip of the connection's handshake.
    pub(super) connect: Option<Duration>,
    /// The kernel's smoothed round trip, which may have thinking in it.
    pub(super) rtt: Option<Duration>,
    /// From the request's first byte out to the response's first byte in.
    pub(super) first_byte: Option<Duration>,
    /// From its arrival to the proxy's having read it.
    pub(super) wakeup_lag: Option<Duration>,
}

impl Timing {
    /// Reads the fields of a response; others on the way may have sent such a field, too, with other names in it.
    pub(super) fn of(fields: &HeaderMap) -> Option<Self> {
        let mut timing = Self::default();
        for value in fields.get_all(FIELD) {
            for metric in metrics(value.to_str().unwrap_or_default()) {
                timing.note(metric);
            }
        }
        // The others are worth nothing without it.
        timing.rtt.or(timing.connect).map(|_| timing)
    }

    fn note(&mut self, metric: &str) {
        let Some((name, millis)) = metric.trim().split_once(";dur=") else {
            return;
        };
        let time = millis.parse().ok().map(|millis: f64| millis / 1e3);
        let time = time.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match name {
            "connect" => self.connect = time,
            "rtt" => self.rtt = time,
            "first_byte" => self.first_byte = time,
            "wakeup_lag" => self.wakeup_lag = time,
            _ => {}
        }
    }
}

/// Splits at commas that are not within quotes.
fn metrics(value: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    value.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Timing> {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(FIELD, value.parse().unwrap());
        }
        Timing::of(&fields)
    }

    #[test]
    fn the_proxys_times_are_read() {
        let ours = "connect;dur=1.500, rtt;dur=2.000, first_byte;dur=40.125, wakeup_lag;dur=0.020, retransmits;desc=\"0\"";
        let expected = Timing {
            connect: Some(Duration::from_micros(1500)),
            rtt: Some(Duration::from_millis(2)),
            first_byte: Some(Duration::from_micros(40_125)),
            wakeup_lag: Some(Duration::from_micros(20)),
        };
        assert_eq!(of(&[ours]), Some(expected));
        let theirs = "cfL4;desc=\"?proto=TCP, rtt;dur=9, x\", cache;dur=1";
        assert_eq!(of(&[theirs, ours]), Some(expected));
        for none in [
            &[][..],
            &[theirs],
            &["rtt;dur=-1"],
            &["rtt;dur=x"],
            &["first_byte;dur=1"],
        ] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
