//! What a client may ask that has lists of routes or models.
//!
//! Of a client with a list of models upstream gets nothing before the model is known to be on it. Where a path or a query
//! names it, [`by_head`] says so at once; bodies are held back until they have named theirs (`learn.rs`) and watched to
//! their end ([`Guard`]), since many servers go by the last of several.

use super::realtime;
use super::{Inbound, Target};
use crate::account::RequestRecord;
use crate::clients::{Client, Known};
use crate::error::ProxyError;
use crate::http1::{FieldName, HeadView};
use crate::route::{Action, Route, RouteId};
use crate::stream::model::{Fault, ModelWatch};

/// What the head of a request allows.
///
/// # Errors
/// [`ProxyError::RouteNotAllowed`], or that its model is not allowed or cannot be known.
pub(super) fn by_head(
    client: &Client,
    inbound: &Inbound<'_>,
    target: &Target<'_>,
    route: Option<RouteId>,
) -> Result<(), ProxyError> {
    let Some(id) = route else { return Ok(()) };
    let route = id.get();
    // Everybody may know their own limits.
    if route.action != Action::RateLimit && !client.routes.contain(id) {
        return Err(ProxyError::RouteNotAllowed);
    }
    if client.models.is_none() {
        return Ok(());
    }
    match (route.action, route.template) {
        (Action::Realtime, _) => {
            let model = realtime::only_model(target).ok_or(ProxyError::ModelNotKnown)?;
            allow(client, &model)
        }
        (_, "/v1/models/{id}") => {
            let id = target.path.get("/v1/models/".len()..).unwrap_or_default();
            let id = std::str::from_utf8(id).map_err(|_| ProxyError::ModelNotKnown)?;
            allow(client, id)
        }
        // Its models stand in a file that was sent before.
        (_, "/v1/batches") if inbound.head.method() == b"POST" => Err(ProxyError::ModelNotKnown),
        _ if route.names_model() && !is_json(&inbound.head) => Err(ProxyError::ModelNotKnown),
        _ => Ok(()),
    }
}

fn allow(client: &Client, model: &str) -> Result<(), ProxyError> {
    match client.may_ask(model.as_bytes()) {
        true => Ok(()),
        false => Err(ProxyError::ModelNotAllowed(model.into())),
    }
}

/// Whether a body is JSON for everybody. A form may have another model in one of its parts, a compressed or otherwise
/// encoded text any.
fn is_json(head: &HeadView<'_>) -> bool {
    let mut types = head.values(FieldName::ContentType);
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json"));
    let is_utf8 = |part: &[u8]| {
        let charset = [&b"charset=utf-8"[..], b"charset=\"utf-8\""];
        charset
            .iter()
            .any(|charset| part.eq_ignore_ascii_case(charset))
    };
    is_json && parts.all(is_utf8) && head.field(FieldName::ContentEncoding).is_none()
}

/// Watches over the body of a client's request.
#[derive(Debug)]
pub(super) struct Guard {
    client: Known,
    watch: ModelWatch,
}

impl Guard {
    /// For a request whose body names a model, if not every model is allowed.
    pub(super) fn of(record: &RequestRecord) -> Option<Box<Self>> {
        let client = record.client.as_ref()?;
        let names = |route: &Route| route.names_model() && route.action != Action::Realtime;
        let is_guarded = client.models.is_some() && record.route.is_some_and(|id| names(id.get()));
        is_guarded.then(|| {
            Box::new(Self {
                client: client.clone(),
                watch: ModelWatch::default(),
            })
        })
    }

    /// Whether an allowed model has been named.
    pub(super) const fn has_named(&self) -> bool {
        self.watch.has_named()
    }

    /// Looks at the next bytes of the body, which may be passed on if nothing is wrong.
    ///
    /// # Errors
    /// If they name a model that is not allowed, or may do so.
    pub(super) fn look(&mut self, data: &[u8]) -> Result<(), ProxyError> {
        let client = &self.client;
        let seen = self.watch.feed(data, |model| client.may_ask(model));
        seen.map_err(|fault| match fault {
            Fault::NotAllowed(model) => ProxyError::ModelNotAllowed(model),
            Fault::Unreadable => ProxyError::ModelNotKnown,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::http1::Head;

    #[test]
    fn only_what_is_json_for_everybody_is_json() {
        let is_json = |fields: &str| {
            let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n").into_bytes();
            let mut head = Head::default();
            head.parse_request(&bytes, 0).unwrap();
            super::is_json(&head.view(&bytes))
        };
        for fields in [
            "content-type: application/json\r\n",
            "Content-Type: Application/JSON; charset=UTF-8\r\n",
            "content-type: application/json;charset=\"utf-8\"\r\n",
        ] {
            assert!(is_json(fields), "{fields}");
        }
        for fields in [
            "",
            "content-type: multipart/form-data; boundary=x\r\n",
            "content-type: application/json; charset=utf-16\r\n",
            "content-type: application/json-patch+json\r\n",
            "content-type: application/json\r\ncontent-encoding: gzip\r\n",
            "content-type: application/json\r\ncontent-type: multipart/form-data\r\n",
        ] {
            assert!(!is_json(fields), "{fields}");
        }
    }
}
