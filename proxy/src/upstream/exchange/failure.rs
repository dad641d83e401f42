//! How an exchange with upstream can fail, and what may be sent again.

use std::borrow::Cow;

use crate::error::{ProxyError, Retry};
use crate::http1::Guarded;
use crate::http1::framing::FramingError;
use crate::upstream::h2::H2Request;

/// Why an exchange ended.
#[derive(Debug)]
pub enum ExchangeError {
    /// Upstream has had nothing of the request.
    NotSent {
        /// What to send again.
        request: Unsent,
        /// What to say if it is not.
        error: ProxyError,
    },
    /// It cannot be repeated.
    Failed(ProxyError),
}

/// A request upstream has had nothing of.
#[derive(Debug)]
pub enum Unsent {
    /// The bytes for another HTTP/1.1 connection.
    Http1(Guarded),
    /// The request for another h2 stream.
    Http2(Box<H2Request>),
}

impl ExchangeError {
    /// The request, if another attempt may follow.
    ///
    /// # Errors
    /// What to tell the client if none may.
    pub fn repeatable(self) -> Result<Unsent, ProxyError> {
        match self {
            Self::NotSent { request, error } => match error.class().retry {
                Retry::BeforeSent => Ok(request),
                Retry::Never | Retry::Elsewhere => Err(error),
            },
            Self::Failed(error) => Err(error),
        }
    }

    /// What to tell the client, if no other attempt follows.
    pub fn into_error(self) -> ProxyError {
        match self {
            Self::NotSent { error, .. } | Self::Failed(error) => error,
        }
    }
}

impl From<ProxyError> for ExchangeError {
    fn from(error: ProxyError) -> Self {
        Self::Failed(error)
    }
}

impl From<FramingError> for ExchangeError {
    fn from(error: FramingError) -> Self {
        Self::Failed(ProxyError::UpstreamInvalidResponse(Cow::Borrowed(error.0)))
    }
}
