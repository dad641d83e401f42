//! The application log on standard error, whose filter can be changed.
#![expect(clippy::print_stderr, reason = "there is no log yet")]

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry, reload};

use crate::config::{Config, LogFormat};

/// Sets another filter.
pub(super) type SetLevel = Box<dyn Fn(&str) + Send>;

/// Starts the log.
pub(super) fn start(config: &Config) -> SetLevel {
    let (filter, handle) = reload::Layer::new(filter(&config.log_level));
    let lines = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines = match config.log_format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.with_target(false).boxed(),
    };
    if let Err(error) = registry().with(filter).with(lines).try_init() {
        eprintln!("holysheep-proxy: no log: {error}");
    }
    Box::new(move |level| {
        if let Err(error) = handle.reload(self::filter(level)) {
            tracing::error!(%error, "log.level stays as it was");
        }
    })
}

/// Levels by the beginning of a module's path. Filters by fields and spans would bring an engine for regular expressions along.
fn filter(level: &str) -> Targets {
    // Checked with the configuration.
    level.parse().unwrap_or_default()
}
