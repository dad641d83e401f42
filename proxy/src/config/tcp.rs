//! `upstream.tcp:`: how much a connection to upstream may send at once, when it is new and after it has idled.

use std::fmt;

use proxy_common::CONGESTION_NAME;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Problem;
use super::file::Size;

/// The most segments a connection can be told to begin with: 1.4 MB, as much as a path of 100 ms and 115 Mbit/s holds.
pub(super) const MOST_SEGMENTS: u32 = 1000;
/// Bounds of [`Tcp::max_window`]: what every connection begins with anyway, and what no receiver announces.
const CEILINGS: std::ops::RangeInclusive<u64> = 16 * 1024..=64 * 1024 * 1024;

/// With how much a connection begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialWindow {
    /// With half of what its path was seen to carry without a loss.
    #[default]
    Auto,
    /// With what the system gives it.
    Off,
    /// With so many segments.
    Segments(u32),
}

impl fmt::Display for InitialWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Segments(count) => count.fmt(f),
        }
    }
}

impl Serialize for InitialWindow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Segments(count) => serializer.serialize_u32(*count),
            word => serializer.collect_str(word),
        }
    }
}

impl<'de> Deserialize<'de> for InitialWindow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InitialWindowVisitor)
    }
}

struct InitialWindowVisitor;

impl serde::de::Visitor<'_> for InitialWindowVisitor {
    type Value = InitialWindow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "auto, off, or a number of segments from 1 to {MOST_SEGMENTS}"
        )
    }

    fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<InitialWindow, E> {
        match u32::try_from(count) {
            Ok(count @ 1..=MOST_SEGMENTS) => Ok(InitialWindow::Segments(count)),
            _ => Err(E::invalid_value(
                serde::de::Unexpected::Unsigned(count),
                &self,
            )),
        }
    }

    /// An `off` without quotes is a boolean in YAML 1.1.
    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<InitialWindow, E> {
        match value {
            false => Ok(InitialWindow::Off),
            true => Err(E::invalid_value(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<InitialWindow, E> {
        match text {
            "auto" => Ok(InitialWindow::Auto),
            "off" => Ok(InitialWindow::Off),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}

/// Whether a connection's window is kept while it idles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AfterIdle {
    /// By the best means there is here, as long as the path loses nothing.
    #[default]
    Auto,
    /// As the system does.
    Off,
}

/// `upstream.tcp:` as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpFile {
    /// Segments a connection begins with: auto, off, or a number from 1 to 1000.
    pub initial_window: Option<InitialWindow>,
    /// The most it begins with; 16KiB to 64MiB.
    #[schemars(range(min = *CEILINGS.start(), max = *CEILINGS.end()))]
    pub max_window: Option<Size>,
    /// Whether windows are kept open while connections idle.
    pub after_idle: Option<AfterIdle>,
    /// The kernel's name of a congestion control.
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]{1,15}$"), example = &"cubic")]
    pub congestion_control: Option<String>,
}

/// How much connections to upstream may send at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tcp {
    /// With how much a connection begins.
    pub initial_window: InitialWindow,
    /// The most it begins with, in bytes.
    pub max_window: u32,
    /// Whether its window is kept while it idles.
    pub after_idle: AfterIdle,
    /// The congestion control, by the kernel's name; the system's if there is none.
    pub congestion_control: Option<String>,
}

impl TcpFile {
    /// Whether nothing is set.
    pub(super) fn is_unset(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn checked(&self, problems: &mut Vec<Problem>) -> Tcp {
        let bytes = self.max_window.map_or(1024 * 1024, |size| size.0);
        if !CEILINGS.contains(&bytes) {
            problems.push(Problem {
                field: "upstream.tcp.max_window".into(),
                message: format!("{bytes} is out of range; expected 16 KiB to 64 MiB"),
            });
        }
        let name = self.congestion_control.clone();
        if let Some(name) = name.as_deref().filter(|name| !is_name(name)) {
            problems.push(Problem {
                field: "upstream.tcp.congestion_control".into(),
                message: format!(
                    "{name:?} is no name of a congestion control; expected such as cubic or bbr"
                ),
            });
        }
        Tcp {
            initial_window: self.initial_window.unwrap_or_default(),
            max_window: u32::try_from(bytes).unwrap_or(u32::MAX),
            after_idle: self.after_idle.unwrap_or_default(),
            congestion_control: name,
        }
    }
}

/// Whether the kernel could have a congestion control of this name.
fn is_name(text: &str) -> bool {
    let fits = (1..CONGESTION_NAME).contains(&text.len());
    fits && text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigFile};

    fn tcp(text: &str) -> Result<Tcp, String> {
        let text = format!("upstream: {{tcp: {text}}}");
        let config = Config::build(ConfigFile::parse(&text)?).map_err(|error| error.to_string())?;
        Ok(config.upstream.tcp)
    }

    #[test]
    fn windows_are_words_or_numbers() {
        let window =
            |text: &str| tcp(&format!("{{initial_window: {text}}}")).map(|tcp| tcp.initial_window);
        assert_eq!(tcp("{}").unwrap().initial_window, InitialWindow::Auto);
        assert_eq!(window("auto"), Ok(InitialWindow::Auto));
        assert_eq!(window("off"), Ok(InitialWindow::Off));
        assert_eq!(window("40"), Ok(InitialWindow::Segments(40)));
        for wrong in ["0", "1001", "-1", "much", "[]", "on"] {
            let error = window(wrong).unwrap_err();
            assert!(
                error.starts_with("upstream.tcp.initial_window: "),
                "{error}"
            );
            assert!(
                error.contains("a number of segments from 1 to 1000"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, field) in [
            ("{max_window: 1KiB}", "upstream.tcp.max_window: 1024 is"),
            (
                "{max_window: 1GB}",
                "upstream.tcp.max_window: 1000000000 is",
            ),
            (
                "{congestion_control: ''}",
                "upstream.tcp.congestion_control: \"\" is",
            ),
            (
                "{congestion_control: 'a b'}",
                "upstream.tcp.congestion_control: \"a b\" is",
            ),
            (
                "{congestion_control: sixteen_letters_}",
                "upstream.tcp.congestion_control: ",
            ),
            ("{after_idle: maybe}", "upstream.tcp.after_idle: "),
        ] {
            let error = tcp(text).unwrap_err();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
