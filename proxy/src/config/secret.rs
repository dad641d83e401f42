//! A secret that wipes its memory and never prints itself.

use std::fmt;

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// A key in memory. `Debug` and `Serialize` show that there is one, and no more.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// A byte that cannot stand in a header field.
    #[error("it contains a character that cannot be sent in a header")]
    NotAFieldValue,
}

impl Secret {
    /// Takes a key as read from a file or the environment; white space around it is dropped.
    ///
    /// # Errors
    /// If nothing is left, or what is left cannot stand in a header field.
    pub fn new(text: Vec<u8>) -> Result<Self, SecretError> {
        let text = Zeroizing::new(text);
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() {
            return Err(SecretError::Empty);
        }
        if !trimmed.iter().all(u8::is_ascii_graphic) {
            return Err(SecretError::NotAFieldValue);
        }
        Ok(Self(Zeroizing::new(trimmed.to_vec())))
    }

    /// Takes the value of a header field, which may have spaces in it.
    ///
    /// # Errors
    /// If it is empty, or cannot stand in a header field.
    pub fn field_value(text: Vec<u8>) -> Result<Self, SecretError> {
        let text = Zeroizing::new(text);
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() {
            return Err(SecretError::Empty);
        }
        let is_visible = |byte: &u8| matches!(byte, b' '..=b'~');
        if !trimmed.iter().all(is_visible) {
            return Err(SecretError::NotAFieldValue);
        }
        Ok(Self(Zeroizing::new(trimmed.to_vec())))
    }

    /// The key, for the one place that sends it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new(b" cr_very_secret\n".to_vec()).unwrap();
        assert_eq!(secret.expose(), b"cr_very_secret");
        assert!(!format!("{secret:?}").contains("very"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("very"));
    }

    #[test]
    fn what_would_break_a_header_is_refused() {
        assert_eq!(Secret::new(b"\n".to_vec()), Err(SecretError::Empty));
        assert_eq!(
            Secret::new(b"a\r\nx: y".to_vec()),
            Err(SecretError::NotAFieldValue)
        );
    }
}
