//! authenticate: who sends a request, by the key in it, and what they may ask as far as its head tells.
//!
//! With `auth: clients` the key is one of [`crate::clients`]'. It ends here: upstream gets the proxy's own.

use super::realtime;
use super::{Inbound, Target, permit};
use crate::account::RequestRecord;
use crate::config::Auth;
use crate::error::ProxyError;
use crate::http1::{FieldName, HeadView};
use crate::route::{Action, Route};
use crate::worker::Worker;

/// Fields that clients send their keys in.
const CREDENTIALS: [FieldName; 3] = [
    FieldName::Authorization,
    FieldName::XApiKey,
    FieldName::ApiKey,
];

/// Lets a request in, or not. Whose it is goes into its record.
///
/// # Errors
/// Why not.
pub(super) fn authenticate(
    worker: &Worker,
    inbound: &Inbound<'_>,
    target: &Target<'_>,
    route: &Route,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    match worker.config.auth {
        // Its signature is what lets it in.
        _ if route.action == Action::Webhook => Ok(()),
        Auth::Open => Ok(()),
        // A load balancer that asks for health has no key.
        Auth::Passthrough | Auth::Clients if route.action == Action::Health => Ok(()),
        Auth::Passthrough if brings_key(&inbound.head) => Ok(()),
        Auth::Passthrough => Err(ProxyError::InvalidApiKey),
        Auth::Clients => {
            let key = client_key(&inbound.head).ok_or(ProxyError::InvalidApiKey)?;
            let client = record.client.insert(worker.client_of(key)?);
            permit::by_head(client, inbound, target, record.route)
        }
    }
}

fn brings_key(head: &HeadView<'_>) -> bool {
    let mut names = CREDENTIALS.iter();
    names.any(|name| head.field(*name).is_some()) || realtime::keys(head).next().is_some()
}

/// The first text that may be a client's key. SDKs fill more than one field, with whatever they are set up for.
fn client_key<'a>(head: &HeadView<'a>) -> Option<&'a [u8]> {
    let fields = CREDENTIALS.iter().flat_map(|name| {
        let is_bearer = *name == FieldName::Authorization;
        let values = head.values(*name);
        values.filter_map(move |value| {
            if is_bearer {
                bearer(value)
            } else {
                Some(value)
            }
        })
    });
    let mut all = fields.chain(realtime::keys(head));
    all.find(|text| text.starts_with(crate::clients::key::PREFIX))
}

/// The token of `Authorization: Bearer` (RFC 6750 section 2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme
        .eq_ignore_ascii_case(SCHEME)
        .then(|| token.trim_ascii())
}
