//! The secrets deliveries are signed with: one, and while the sender changes it, two or more.

use std::path::Path;

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::config::secret::SecretError;
use crate::config::{Secret, WebhookScheme};

/// Begins a secret whose rest is the key in Base64.
const PREFIX: &[u8] = b"whsec_";
/// Most secrets at a time: each costs a hash of every body.
const MOST: usize = 8;
/// Standard Webhooks asks for keys of so many bytes at least.
const SHORT: usize = 24;

/// Ready to verify with. Their text is not kept.
#[derive(Debug)]
pub struct Secrets(Vec<Keys>);

/// The keys a secret stands for in each scheme.
#[derive(Debug)]
struct Keys {
    /// What is behind `whsec_`, decoded; a secret without it as it is.
    standard: hmac::Key,
    /// The whole text: what Stripe signs with.
    timestamped: hmac::Key,
    is_short: bool,
}

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file could not be read.
    #[error("webhook.secret_file {path}: {reason}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        reason: std::io::Error,
    },
    /// Its content, or the environment's, is no secret.
    #[error("{place}: {reason}")]
    Content {
        /// Where it comes from.
        place: String,
        /// What is wrong. Never the content.
        reason: ContentError,
    },
}

/// What is wrong with a list of secrets. Lines are counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// There is none.
    #[error("it holds no secret")]
    Empty,
    /// More than eight.
    #[error("it holds more than {MOST} secrets")]
    TooMany,
    /// A line that is no secret.
    #[error("line {0}: {1}")]
    Line(usize, SecretError),
    /// A line that begins as one in Base64 and is none.
    #[error("line {0}: what stands behind whsec_ is no Base64")]
    Base64(usize),
}

impl Secrets {
    /// Reads a file of them, one a line.
    ///
    /// # Errors
    /// If it cannot be read, or a line is no secret.
    pub fn read(path: &Path) -> Result<Self, SecretsError> {
        let place = path.display();
        let text = std::fs::read(path).map_err(|reason| SecretsError::Read {
            path: place.to_string(),
            reason,
        })?;
        Self::parse(&Zeroizing::new(text)).map_err(|reason| SecretsError::Content {
            place: format!("webhook.secret_file {place}"),
            reason,
        })
    }

    /// The one that the environment has.
    ///
    /// # Errors
    /// If it begins as one in Base64 and is none.
    pub fn given(secret: &Secret) -> Result<Self, SecretsError> {
        Self::parse(secret.expose()).map_err(|reason| SecretsError::Content {
            place: "HOLYSHEEP_WEBHOOK_SECRET".to_owned(),
            reason,
        })
    }

    /// Takes a list of secrets, one a line.
    pub(super) fn parse(text: &[u8]) -> Result<Self, ContentError> {
        let lines = text.split(|byte| *byte == b'\n').zip(1..);
        let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
        let keys = lines.map(|(line, number)| {
            let secret = Secret::new(line.to_vec());
            let secret = secret.map_err(|error| ContentError::Line(number, error))?;
            Keys::of(secret.expose()).ok_or(ContentError::Base64(number))
        });
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        match keys.len() {
            0 => Err(ContentError::Empty),
            1..=MOST => Ok(Self(keys)),
            _ => Err(ContentError::TooMany),
        }
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether one is shorter than it should be.
    pub fn is_any_short(&self) -> bool {
        self.0.iter().any(|keys| keys.is_short)
    }

    /// The keys to verify with.
    pub(super) fn keys(&self, scheme: WebhookScheme) -> impl Iterator<Item = &hmac::Key> {
        self.0.iter().map(move |keys| match scheme {
            WebhookScheme::Standard => &keys.standard,
            WebhookScheme::Timestamped => &keys.timestamped,
        })
    }
}

impl Keys {
    fn of(text: &[u8]) -> Option<Self> {
        let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let decoded = match text.strip_prefix(PREFIX) {
            Some(rest) => BASE64.decode(rest).ok().filter(|key| !key.is_empty())?,
            None => text.to_vec(),
        };
        let decoded = Zeroizing::new(decoded);
        Some(Self {
            standard: key(&decoded),
            timestamped: key(text),
            is_short: decoded.len() < SHORT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_line_by_line() {
        let secrets = Secrets::parse(b"\n whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw \r\n\nplain\n");
        let secrets = secrets.unwrap();
        assert_eq!(secrets.count(), 2);
        assert!(secrets.is_any_short(), "`plain` is");
        let shown = format!("{secrets:?}");
        assert!(
            !shown.contains("plain") && !shown.contains("whsec"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_no_secret_is_named_by_its_line_alone() {
        let error = |text: &[u8]| Secrets::parse(text).unwrap_err();
        assert_eq!(error(b""), ContentError::Empty);
        assert_eq!(error(b"\n \n"), ContentError::Empty);
        assert_eq!(error(b"a\nwhsec_!\n"), ContentError::Base64(2));
        assert_eq!(error(b"whsec_"), ContentError::Base64(1));
        let two_words = error(b"a\nb\n\ntwo words");
        assert_eq!(
            two_words,
            ContentError::Line(4, SecretError::NotAFieldValue)
        );
        assert!(!two_words.to_string().contains("two words"));
        assert_eq!(error(b"a\n".repeat(9).as_slice()), ContentError::TooMany);
    }
}
