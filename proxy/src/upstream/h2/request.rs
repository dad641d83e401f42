//! The head of a request in h2, made from the one for HTTP/1.1.

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::http1::FieldName;
use crate::upstream::Message;

/// The head.
///
/// # Errors
/// What of it cannot be said in h2.
pub(super) fn head(message: &Message, tls: bool) -> Result<http::request::Parts, &'static str> {
    message
        .with_head(|head| {
            let host = head.field(FieldName::Host).unwrap_or_default();
            let uri = http::Uri::builder()
                .scheme(if tls { "https" } else { "http" })
                .authority(host)
                .path_and_query(head.target())
                .build()
                .map_err(|_| "the request target cannot be sent in h2")?;
            let mut request = http::Request::builder()
                .method(head.method())
                .uri(uri)
                .body(())
                .map_err(|_| "the method cannot be sent in h2")?;
            let fields = request.headers_mut();
            for (name, text, value) in head.fields() {
                let is_for_h1 = matches!(
                    name,
                    FieldName::Host | FieldName::TransferEncoding | FieldName::Connection
                );
                if is_for_h1 {
                    continue;
                }
                let value = match name {
                    FieldName::Authorization | FieldName::XApiKey | FieldName::ApiKey => {
                        secret(value)
                    }
                    _ => http::HeaderValue::from_bytes(value),
                };
                match (http::HeaderName::from_bytes(text), value) {
                    (Ok(name), Ok(value)) => _ = fields.append(name, value),
                    _ => return Err("a header field cannot be sent in h2"),
                }
            }
            Ok(request.into_parts().0)
        })
        .map_err(|_| "its head cannot be read")?
}

/// A value whose memory is wiped with its last reference, and which is kept out of h2's header compression.
fn secret(value: &[u8]) -> Result<http::HeaderValue, http::header::InvalidHeaderValue> {
    let wiped = Bytes::from_owner(Zeroizing::new(value.to_vec()));
    let mut value = http::HeaderValue::from_maybe_shared(wiped)?;
    value.set_sensitive(true);
    Ok(value)
}
