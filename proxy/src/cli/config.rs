//! `holysheep-proxy config`: shows what a file, the environment and flags come to, or says what is wrong with them.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Settings, refuse};

/// What editors need to know of the file. Made of its types by `examples/configuration`, and held against them by a test.
const SCHEMA: &str = include_str!("../../../deploy/configuration/holysheep-proxy.schema.json");

/// `config …`
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Configuration file; goes before --config
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Say OK, or all that is wrong, and print nothing else
    #[arg(long)]
    check: bool,
    /// Print the schema of the file (JSON), by which editors complete and check it
    #[arg(long, exclusive = true)]
    schema: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

impl Show {
    pub(super) fn run(mut self) -> ExitCode {
        if self.schema {
            return print(SCHEMA);
        }
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
        print(&format!("{text}\n"))
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("holysheep-proxy: {error}");
    ExitCode::FAILURE
}
