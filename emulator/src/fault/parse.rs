//! The text form of faults, as the request header and the control path carry it.
//!
//! Everything unknown is an error that names it: a test with a misspelt fault must fail, not pass
//! because nothing went wrong.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::{Fault, FaultScope, Malformation, RetryHints, Stage};

/// The grammar, one line per fault, as the emulator prints it in errors and documentation.
pub const GRAMMAR: &str = "\
name[;key=value]...   on POST /emulator/fault also ;next=N or ;for-ms=N (default: until cleared),
  and ;key=N, which limits a fault of requests to those with the accepted key of that index, from 0
refuse  reset-on-accept  stall-handshake[;ms=N]  expired-certificate  wrong-name-certificate
  (these five only on POST /emulator/fault; refuse there only with for-ms)
reset[;after=BYTES]  stall-before-headers[;ms=N]  stall-after-headers[;ms=N]
cut[;after=BYTES]  drip[;ms=N]
status;code=N[;retry-after=S][;retry-after-ms=N][;should-retry=true|false]
  (N is 400 to 599; a bare N is short for it, such as 429;retry-after=1)
early-response[;code=N]
oversized-body[;bytes=N]  oversized-headers[;bytes=N]
malformed;kind=status-line|chunk-size|length-and-chunked
close-after[;requests=N]  close-idle;ms=N|A..B";

/// Why a fault was not understood or cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No such fault.
    #[error("unknown fault `{0}`")]
    UnknownFault(String),
    /// The fault has no such key.
    #[error("fault `{fault}` takes no `{key}`")]
    UnknownKey {
        /// The fault's name.
        fault: String,
        /// The key that was given.
        key: String,
    },
    /// The fault needs this key.
    #[error("fault `{fault}` needs `{key}`")]
    MissingKey {
        /// The fault's name.
        fault: String,
        /// The key that is missing.
        key: &'static str,
    },
    /// A value is not what the key takes.
    #[error("`{key}={value}`: expected {expected}")]
    BadValue {
        /// The key.
        key: String,
        /// Its value as given.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// The fault acts before there is a request and cannot be asked for by one.
    #[error("`{0}` acts on connections; set it on the emulator instead of on a request")]
    NotPerRequest(String),
    /// The fault acts before a key is known, or there is no such key.
    #[error("`{fault}` cannot be limited to key {key}: {reason}")]
    KeyScope {
        /// The fault in its text form.
        fault: String,
        /// The index that was given.
        key: usize,
        /// Why not.
        reason: &'static str,
    },
    /// A closed port cannot count attempts, and over HTTP could not be opened again.
    #[error("`refuse` cannot be set for a number of requests, nor for ever over HTTP")]
    RefuseScope,
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let mut keys = Keys::split(text)?;
        let fault = fault(&mut keys)?;
        keys.finish().map(|()| fault)
    }
}

/// Reads the value of the request header, which may only name faults of requests.
pub(crate) fn of_request(text: &str) -> Result<Fault, FaultError> {
    let fault: Fault = text.parse()?;
    match fault.stage() {
        Stage::Request => Ok(fault),
        Stage::Listener | Stage::Accept | Stage::Handshake => {
            Err(FaultError::NotPerRequest(fault.to_string()))
        }
    }
}

/// A fault with all that `POST /emulator/fault` can say of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scoped {
    pub(crate) fault: Fault,
    pub(crate) scope: FaultScope,
    /// The accepted key whose requests alone it is for.
    pub(crate) key: Option<usize>,
}

/// Reads a fault with its scope, as `POST /emulator/fault` takes it.
pub(crate) fn scoped(text: &str) -> Result<Scoped, FaultError> {
    let mut keys = Keys::split(text)?;
    let key = keys.number("key")?;
    let scope = match (keys.number("next")?, keys.number("for-ms")?) {
        (Some(n), _) => FaultScope::Next(n),
        (None, Some(ms)) => FaultScope::Until(Duration::from_millis(ms)),
        (None, None) => FaultScope::Always,
    };
    let fault = fault(&mut keys)?;
    keys.finish()?;
    match (&fault, scope) {
        (Fault::Refuse, FaultScope::Always) => Err(FaultError::RefuseScope),
        _ => Ok(Scoped {
            fault,
            scope,
            key: key.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
        }),
    }
}

fn fault(keys: &mut Keys<'_>) -> Result<Fault, FaultError> {
    Ok(match keys.fault {
        "refuse" => Fault::Refuse,
        "reset-on-accept" => Fault::ResetOnAccept,
        "stall-handshake" => Fault::StallHandshake { pause: keys.ms()? },
        "expired-certificate" => Fault::ExpiredCertificate,
        "wrong-name-certificate" => Fault::WrongNameCertificate,
        "reset" => Fault::Reset {
            after: keys.number("after")?,
        },
        "stall-before-headers" => Fault::StallBeforeHeaders { pause: keys.ms()? },
        "stall-after-headers" => Fault::StallAfterHeaders { pause: keys.ms()? },
        "cut" => Fault::Cut {
            after: keys.number("after")?.unwrap_or(0),
        },
        "drip" => Fault::Drip {
            interval: keys.ms()?.unwrap_or(Duration::from_millis(5)),
        },
        "status" => {
            let status = keys.status()?.ok_or_else(|| keys.missing("code"))?;
            status_fault(status, keys)?
        }
        "early-response" => Fault::EarlyResponse {
            status: keys.status()?.unwrap_or(413),
        },
        "oversized-body" => Fault::OversizedBody {
            bytes: keys.number("bytes")?.unwrap_or(64 << 20).max(16),
        },
        "oversized-headers" => Fault::OversizedHeaders {
            bytes: keys.number("bytes")?.unwrap_or(256 << 10),
        },
        "malformed" => Fault::Malformed(keys.malformation()?),
        "close-after" => Fault::CloseAfter {
            requests: keys.number("requests")?.unwrap_or(1).max(1),
        },
        "close-idle" => Fault::CloseIdle {
            after: keys.ms_range()?.ok_or_else(|| keys.missing("ms"))?,
        },
        other => match other.parse() {
            Ok(status @ 400..=599) => status_fault(status, keys)?,
            _ => return Err(FaultError::UnknownFault(other.to_owned())),
        },
    })
}

fn status_fault(status: u16, keys: &mut Keys<'_>) -> Result<Fault, FaultError> {
    let after = keys.number("retry-after")?;
    let hints = RetryHints {
        after: after.map(|s| u32::try_from(s).unwrap_or(u32::MAX)),
        after_ms: keys.number("retry-after-ms")?,
        should_retry: keys.flag("should-retry")?,
    };
    Ok(Fault::Status { status, hints })
}

/// A fault's name and the `key=value` pairs nobody has asked for yet.
struct Keys<'a> {
    fault: &'a str,
    rest: Vec<(&'a str, &'a str)>,
}

impl<'a> Keys<'a> {
    fn split(text: &'a str) -> Result<Self, FaultError> {
        let mut parts = text.split(';').map(str::trim);
        let fault = parts.next().unwrap_or_default();
        let pair = |part: &'a str| {
            part.split_once('=').ok_or_else(|| FaultError::BadValue {
                key: part.to_owned(),
                value: String::new(),
                expected: "key=value",
            })
        };
        let rest = parts.map(pair).collect::<Result<_, _>>()?;
        Ok(Self { fault, rest })
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let at = self.rest.iter().position(|(name, _)| *name == key)?;
        Some(self.rest.swap_remove(at).1)
    }

    fn number(&mut self, key: &'static str) -> Result<Option<u64>, FaultError> {
        self.parsed(key, "a whole number", |value| value.parse().ok())
    }

    fn flag(&mut self, key: &'static str) -> Result<Option<bool>, FaultError> {
        self.parsed(key, "true or false", |value| value.parse().ok())
    }

    /// `ms=N`, or `ms=A..B` with both ends included.
    fn ms_range(&mut self) -> Result<Option<RangeInclusive<Duration>>, FaultError> {
        self.parsed("ms", "a whole number or A..B with A <= B", |value| {
            let (from, to) = value.split_once("..").unwrap_or((value, value));
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            let ms = Duration::from_millis;
            (from <= to).then(|| ms(from)..=ms(to))
        })
    }

    fn parsed<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, FaultError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let parsed = parse(value).ok_or_else(|| FaultError::BadValue {
            key: key.to_owned(),
            value: value.to_owned(),
            expected,
        });
        parsed.map(Some)
    }

    fn ms(&mut self) -> Result<Option<Duration>, FaultError> {
        Ok(self.number("ms")?.map(Duration::from_millis))
    }

    fn status(&mut self) -> Result<Option<u16>, FaultError> {
        let status = |n: u64| match u16::try_from(n) {
            Ok(status @ 400..=599) => Ok(status),
            _ => Err(FaultError::BadValue {
                key: "code".to_owned(),
                value: n.to_string(),
                expected: "400 to 599",
            }),
        };
        self.number("code")?.map(status).transpose()
    }

    fn malformation(&mut self) -> Result<Malformation, FaultError> {
        let value = self.take("kind").ok_or_else(|| self.missing("kind"))?;
        let mut known = Malformation::ALL.into_iter();
        known
            .find(|kind| kind.name() == value)
            .ok_or_else(|| FaultError::BadValue {
                key: "kind".to_owned(),
                value: value.to_owned(),
                expected: "status-line, chunk-size or length-and-chunked",
            })
    }

    fn missing(&self, key: &'static str) -> FaultError {
        FaultError::MissingKey {
            fault: self.fault.to_owned(),
            key,
        }
    }

    fn finish(self) -> Result<(), FaultError> {
        match self.rest.first() {
            None => Ok(()),
            Some((key, _)) => Err(FaultError::UnknownKey {
                fault: self.fault.to_owned(),
                key: (*key).to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
