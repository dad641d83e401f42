//! Until when certificates are valid: the listener's own is a step of `check`, upstream's a part of the TLS handshake.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Line, Outcome};
use crate::config::Config;
use crate::tls::Acceptor;

/// Warn when a certificate has fewer days left.
const FEW_DAYS: i64 = 14;
const DAY: i64 = 24 * 60 * 60;

/// Whether the certificate of the TLS data port can be served, if there is such a port.
pub(super) fn ours(config: &Config) -> Option<Line> {
    let result = match Acceptor::new(config.tls.as_ref()?) {
        Ok(acceptor) => judge(acceptor.expiry()),
        Err(error) => Outcome::Fail(
            error.to_string(),
            "mount the Secret, or correct tls.certificate and tls.key".to_owned(),
        ),
    };
    Some(Line {
        name: "certificate",
        of: String::new(),
        result,
    })
}

/// Clients' side of it: what they see, and who has to act.
fn judge(end: Option<i64>) -> Outcome {
    let Some(end) = end else {
        return Outcome::Pass("it can be served".to_owned());
    };
    let (left, date) = (end - now(), day(end));
    if left < 0 {
        let remedy = "renew it (cert-manager: `kubectl describe certificate` says what holds it up); the proxy reads the file by itself";
        let fact = format!("it has expired on {date}: clients refuse the connection");
        return Outcome::Fail(fact, remedy.to_owned());
    }
    match few_days(end) {
        Some(days) => Outcome::Warn(
            format!("valid for {days} more days, until {date}"),
            "it should have been renewed by now (cert-manager: `kubectl describe certificate`)"
                .to_owned(),
        ),
        None => Outcome::Pass(format!("valid until {date}")),
    }
}

/// The days left, if they are few.
pub(super) fn few_days(end: i64) -> Option<i64> {
    Some(days_left(end)).filter(|days| *days < FEW_DAYS)
}

pub(super) fn days_left(end: i64) -> i64 {
    (end - now()) / DAY
}

/// The day of a moment in seconds of Unix time, in UTC.
pub(super) fn day(seconds: i64) -> String {
    let since = Duration::from_secs(seconds.max(0).cast_unsigned());
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// Of this machine's clock, in seconds of Unix time.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}
