//! Whether a delivery is from who has the secret: HMAC-SHA256 over its time and body.
//!
//! Two forms, of which the configuration names one:
//!
//! * `standard`, as <https://www.standardwebhooks.com> has it: `webhook-id`, `webhook-timestamp` and `webhook-signature`,
//!   a list of `v1,<base64>` parted by spaces, each over `id.timestamp.body`;
//! * `timestamped`, as Stripe's: one field `t=<seconds>,v1=<hex>,v1=<hex>`, over `timestamp.body`.
//!
//! Several signatures are there while the sender changes its secret; one that is right is enough. Pure: no clock, no I/O.

use aws_lc_rs::{constant_time, digest, hmac};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use super::secrets::Secrets;
use crate::config::WebhookScheme;
use crate::http1::HeadView;

/// Bytes of a signature.
const LENGTH: usize = digest::SHA256_OUTPUT_LEN;
/// More signatures than these are not looked at: each costs a comparison with each secret.
const MOST: usize = 16;
/// Longest id.
const LONGEST_ID: usize = 256;
/// Most digits of a time in seconds.
const DIGITS: usize = 12;

/// What a delivery's fields say of it.
#[derive(Debug)]
pub(super) struct Signed {
    scheme: WebhookScheme,
    /// What is signed before the body.
    prefix: Vec<u8>,
    /// The delivery's id; `timestamped` has none.
    id: Option<Vec<u8>>,
    /// When it was sent, in seconds of Unix time, by its sender.
    pub(super) timestamp: u64,
    signatures: Vec<[u8; LENGTH]>,
}

/// What tells a delivery from all others.
pub(super) type Identity = [u8; LENGTH];

impl Signed {
    /// Reads the fields.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn read(
        head: &HeadView<'_>,
        scheme: WebhookScheme,
        signature_header: &str,
    ) -> Result<Self, &'static str> {
        match scheme {
            WebhookScheme::Standard => Self::standard(head),
            WebhookScheme::Timestamped => Self::timestamped(only(head, signature_header)?),
        }
    }

    fn standard(head: &HeadView<'_>) -> Result<Self, &'static str> {
        let id = only(head, "webhook-id")?;
        let time = only(head, "webhook-timestamp")?;
        // A point in it would let the same signed bytes be read as another id with another body.
        if id.is_empty() || id.len() > LONGEST_ID || id.contains(&b'.') {
            return Err("webhook-id is empty, too long, or has a point in it");
        }
        let list = only(head, "webhook-signature")?.split(|byte| *byte == b' ');
        let ours = list.filter_map(|item| item.strip_prefix(b"v1,"));
        let signatures = decoded(ours, &BASE64);
        Ok(Self {
            scheme: WebhookScheme::Standard,
            prefix: [id, b".", time, b"."].concat(),
            id: Some(id.to_vec()),
            timestamp: seconds(time)?,
            signatures,
        })
    }

    fn timestamped(value: &[u8]) -> Result<Self, &'static str> {
        let items = || value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let mut times = items().filter_map(|item| item.strip_prefix(b"t="));
        let (Some(time), None) = (times.next(), times.next()) else {
            return Err("the signature's field has not one t=");
        };
        let ours = items().filter_map(|item| item.strip_prefix(b"v1="));
        let signatures = decoded(ours, &HEXLOWER_PERMISSIVE);
        Ok(Self {
            scheme: WebhookScheme::Timestamped,
            prefix: [time, b"."].concat(),
            id: None,
            timestamp: seconds(time)?,
            signatures,
        })
    }

    /// Whether one of the signatures was made with one of the secrets.
    pub(super) fn is_genuine(&self, secrets: &Secrets, body: &[u8]) -> bool {
        let mut found = false;
        for key in secrets.keys(self.scheme) {
            let mut context = hmac::Context::with_key(key);
            context.update(&self.prefix);
            context.update(body);
            let right = context.sign();
            for signature in &self.signatures {
                let same = constant_time::verify_slices_are_equal(right.as_ref(), signature);
                found |= same.is_ok();
            }
        }
        found
    }

    /// What it is remembered by: its id, or what was signed where there is none.
    pub(super) fn identity(&self, body: &[u8]) -> Identity {
        let mut context = digest::Context::new(&digest::SHA256);
        match &self.id {
            Some(id) => context.update(id),
            None => {
                context.update(&self.prefix);
                context.update(body);
            }
        }
        let mut identity = [0; LENGTH];
        identity.copy_from_slice(context.finish().as_ref());
        identity
    }
}

/// The field's value, if there is one such field.
fn only<'a>(head: &HeadView<'a>, wanted: &str) -> Result<&'a [u8], &'static str> {
    let mut values = head
        .fields()
        .filter(|(_, name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
        .map(|(_, _, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err("a field of it is missing"),
        (Some(_), Some(_)) => Err("a field of it is there twice"),
    }
}

/// Those that can be signatures.
fn decoded<'a>(
    texts: impl Iterator<Item = &'a [u8]>,
    encoding: &data_encoding::Encoding,
) -> Vec<[u8; LENGTH]> {
    let decode = |text: &[u8]| encoding.decode(text).ok()?.try_into().ok();
    texts.take(MOST).filter_map(decode).collect()
}

fn seconds(text: &[u8]) -> Result<u64, &'static str> {
    let is_number = text.len() <= DIGITS && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok())
        .ok_or("its time is no number of seconds")
}

#[cfg(test)]
mod tests;
