//! The application log on standard error, whose filter can be changed.
#![expect(clippy::print_stderr, reason = "there is no log yet")]

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Sets another filter.
pub(super) type SetLevel = Box<dyn Fn(&str) + Send>;

/// Starts the log.
pub(super) fn start(config: &Config) -> SetLevel {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.log_level))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // The two are of different types.
    let (result, set): (_, SetLevel) = match config.log_format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            let set = move |level: &str| told(handle.reload(EnvFilter::new(level)));
            (builder.try_init(), Box::new(set))
        }
        LogFormat::Text => {
            let builder = builder.with_target(false).with_filter_reloading();
            let handle = builder.reload_handle();
            let set = move |level: &str| told(handle.reload(EnvFilter::new(level)));
            (builder.try_init(), Box::new(set))
        }
    };
    if let Err(error) = result {
        eprintln!("holysheep-proxy: no log: {error}");
    }
    set
}

fn told(result: Result<(), tracing_subscriber::reload::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "log.level stays as it was");
    }
}
