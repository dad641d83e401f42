//! Amounts of money as people write them: a number, or a text for those that want to be sure of each digit.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// The digits of a number or text, for an amount that is `expected`.
///
/// # Errors
/// If it is neither.
pub(super) fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<String, D::Error> {
    deserializer.deserialize_any(Digits(expected))
}

struct Digits(&'static str);

impl Visitor<'_> for Digits {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<String, E> {
        // The shortest text that means this number is what was written, up to 15 digits.
        Ok(number.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}
