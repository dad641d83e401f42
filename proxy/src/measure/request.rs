//! The request that is sent again and again.

use std::path::Path;

use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use zeroize::Zeroizing;

use super::MeasureError;
use super::target::Target;
use super::timing;
use crate::forward::USER_AGENT;

/// A larger body is no request to a model; the proxy refuses it, too.
const LARGEST_BODY: u64 = 10_000_000;

/// What requests are made of.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// From `/v1` on, with its query.
    pub(super) path: String,
    /// What is posted; without, it is a GET.
    pub(super) body: Option<Bytes>,
}

impl Shape {
    /// A GET of the path, or a POST of the file's content.
    ///
    /// # Errors
    /// If the path is none, or the file cannot be read.
    pub(super) fn new(path: &str, body: Option<&Path>) -> Result<Self, MeasureError> {
        let is_path = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
        if !is_path || path.contains('#') {
            return Err(MeasureError::Path(path.to_owned()));
        }
        let body = body.map(|file| {
            let unreadable = |reason| MeasureError::Body {
                path: file.to_owned(),
                reason,
            };
            let length = std::fs::metadata(file).map_err(unreadable)?.len();
            if length > LARGEST_BODY {
                let reason = format!("{length} bytes are more than {LARGEST_BODY}");
                return Err(unreadable(std::io::Error::other(reason)));
            }
            std::fs::read(file).map(Bytes::from).map_err(unreadable)
        });
        Ok(Self {
            path: path.to_owned(),
            body: body.transpose()?,
        })
    }

    /// The method and the path, for a person.
    pub(super) fn in_words(&self) -> String {
        format!("{} {}", self.method(), self.path)
    }

    pub(super) const fn method(&self) -> Method {
        match self.body {
            Some(_) => Method::POST,
            None => Method::GET,
        }
    }

    /// The request to a target.
    pub(super) fn request(&self, target: &Target) -> Request<Full<Bytes>> {
        let body = self.body.clone().unwrap_or_default();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method();
        let path = format!("{}{}", target.url.prefix(), self.path);
        // Both parts were parsed before.
        *request.uri_mut() = path.parse().unwrap_or_default();
        let fields = request.headers_mut();
        if let Ok(authority) = HeaderValue::try_from(target.url.authority()) {
            fields.insert(header::HOST, authority);
        }
        fields.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        fields.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        fields.insert(timing::ASKS, HeaderValue::from_static("1"));
        if self.body.is_some() {
            let json = HeaderValue::from_static("application/json");
            fields.insert(header::CONTENT_TYPE, json);
        }
        if let Some(key) = &target.key {
            let value = Zeroizing::new([b"Bearer ", key.expose()].concat());
            if let Ok(mut value) = HeaderValue::from_bytes(&value) {
                value.set_sensitive(true);
                fields.insert(header::AUTHORIZATION, value);
            }
        }
        request
    }
}
