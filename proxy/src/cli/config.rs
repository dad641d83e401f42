//! `holysheep-proxy config`: shows what a file, the environment and flags come to, or says what is wrong with them.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Settings, refuse};

/// `config …`
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Configuration file; goes before --config
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Say OK, or all that is wrong, and print nothing else
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

impl Show {
    pub(super) fn run(mut self) -> ExitCode {
        self.settings.config = self.file.take().or(self.settings.config);
        let config = match self.settings.read() {
            Ok((config, _)) => config,
            Err(error) => return refuse(&error),
        };
        let text = match (self.check, &self.settings.config) {
            (true, Some(path)) => format!("{}: OK", path.display()),
            (true, None) => "OK".to_owned(),
            // The same as at `/config`; secrets write themselves as such.
            (false, _) => match serde_json::to_string_pretty(&config) {
                Ok(text) => text,
                Err(error) => return failed(&error),
            },
        };
        match writeln!(std::io::stdout(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever reads it has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        }
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("holysheep-proxy: {error}");
    ExitCode::FAILURE
}
