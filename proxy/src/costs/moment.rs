//! A moment as people write it, comparable with the `time` of access-log lines.

use std::str::FromStr;

/// In the form of the log: `2026-11-26T12:00:00.000Z`. Texts of this form are in the order of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(String);

impl Moment {
    /// As the log has it.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Whether a text has the form.
    pub(super) fn is_form(text: &str) -> bool {
        let shape = b"0000-00-00T00:00:00.000Z";
        let fits = |(byte, form): (u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == *form,
        };
        text.len() == shape.len() && text.bytes().zip(shape).all(fits)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = match text.len() {
            10 => format!("{text}T00:00:00Z"),
            _ => text.to_owned(),
        };
        let time = humantime::parse_rfc3339_weak(&whole).map_err(|error| {
            format!("{error}; expected such as 2026-11-01 or 2026-11-01T12:00:00Z")
        })?;
        Ok(Self(humantime::format_rfc3339_millis(time).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc_and_in_the_form_of_the_log() {
        for (text, moment) in [
            ("2026-11-01", "2026-11-01T00:00:00.000Z"),
            ("2026-11-01T12:30:00Z", "2026-11-01T12:30:00.000Z"),
            ("2026-11-01 12:30:00", "2026-11-01T12:30:00.000Z"),
            ("2026-11-01T12:30:00.5Z", "2026-11-01T12:30:00.500Z"),
        ] {
            let read: Moment = text.parse().unwrap();
            assert_eq!(read.text(), moment);
            assert!(Moment::is_form(moment));
        }
        for text in ["", "yesterday", "2026-13-01", "2026-11-01T25:00:00Z"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        assert!(!Moment::is_form("2026-11-01T00:00:00Z"));
    }
}
