//! The key check, and the refusal as the real API words it.
//!
//! `exchange.rs` asks whose request it is, since faults may be for one key only. What is refused is
//! refused after faults, as an overloaded relay fails before it looks at keys.

use http::{HeaderMap, header};

use crate::api::answer::Answer;
use crate::routes::Dialect;

const API_KEY_FIELD: &str = "x-api-key";

/// Which of the keys `Authorization: Bearer` or `x-api-key` carries; either will do on any path.
pub(crate) fn key_of(headers: &HeaderMap, keys: &[String]) -> Option<usize> {
    let bearer = bearer(headers);
    let own = headers.get(API_KEY_FIELD).map(http::HeaderValue::as_bytes);
    keys.iter().position(|key| {
        let key = Some(key.as_bytes());
        bearer == key || own == key
    })
}

pub(crate) fn refusal(dialect: Dialect, headers: &HeaderMap) -> Answer {
    let given = bearer(headers).is_some() || headers.contains_key(API_KEY_FIELD);
    // The real API repeats a part of the key; a stand-in has no reason to.
    let message = match (dialect, given) {
        (Dialect::OpenAi, true) => "Incorrect API key provided.",
        (Dialect::OpenAi, false) => {
            "You didn't provide an API key. Provide it in an Authorization header using Bearer \
             auth (i.e. Authorization: Bearer YOUR_KEY)."
        }
        (Dialect::Anthropic, true) => "invalid x-api-key",
        (Dialect::Anthropic, false) => "x-api-key header is required",
    };
    Answer::error(
        dialect,
        http::StatusCode::UNAUTHORIZED,
        Some("invalid_api_key"),
        message,
    )
}

/// The token of RFC 6750; the scheme is case-insensitive (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, http::HeaderValue::from_static(value));
        headers
    }

    fn found(name: &'static str, value: &'static str) -> Option<usize> {
        key_of(
            &headers(name, value),
            &["cr_0".to_owned(), "cr_1".to_owned()],
        )
    }

    #[test]
    fn both_fields_carry_the_key() {
        assert_eq!(found("authorization", "Bearer cr_1"), Some(1));
        assert_eq!(found("authorization", "bearer cr_0"), Some(0));
        assert_eq!(found("x-api-key", "cr_1"), Some(1));
    }

    #[test]
    fn anything_else_is_refused() {
        for (name, value) in [
            ("authorization", "Bearer cr_2"),
            ("authorization", "Basic cr_1"),
            ("authorization", "cr_1"),
            ("x-api-key", "Bearer cr_1"),
            ("x-key", "cr_1"),
        ] {
            assert_eq!(found(name, value), None, "{name}: {value}");
        }
    }
}
