//! Names of models as a client's list has them: `gpt-4.1`, `deepseek-*`, `*-mini`.

use std::fmt;

/// A name in which each `*` stands for any text, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

/// Longest pattern. The longest name of a model that the proxy reads in a request is as long.
const LONGEST: usize = 128;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What was expected.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(is_plain) {
            return Err("is no name of a model; expected such as gpt-4.1, deepseek-* or *");
        }
        Ok(Self(text.into()))
    }

    /// Whether a name is meant. Case counts, as it does upstream.
    pub fn matches(&self, name: &[u8]) -> bool {
        let mut parts = self.0.as_bytes().split(|byte| *byte == b'*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        // Each part where it comes first leaves the most for those behind it.
        for part in parts {
            let Some(at) = memchr::memmem::find(rest, part) else {
                return false;
            };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_the_rest_is_itself() {
        for (pattern, yes, no) in [
            (
                "gpt-4.1",
                &["gpt-4.1"][..],
                &["gpt-4.1-mini", "gpt-4", "GPT-4.1", ""][..],
            ),
            ("gpt-*", &["gpt-", "gpt-4.1"], &["gpt", "xgpt-4"]),
            (
                "*-mini",
                &["-mini", "gpt-4.1-mini"],
                &["mini", "gpt-mini-x"],
            ),
            ("*", &["", "a/b"], &[]),
            ("a*b*a", &["aba", "axbxa", "abba"], &["aa", "ab", "a"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("a**c", &["ac", "abc"], &["ab"]),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            for name in yes {
                assert!(pattern.matches(name.as_bytes()), "{pattern} {name}");
            }
            for name in no {
                assert!(!pattern.matches(name.as_bytes()), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "two words", "a\"", "模", &"x".repeat(129)] {
            assert!(Pattern::new(text).is_err(), "{text}");
        }
    }
}
