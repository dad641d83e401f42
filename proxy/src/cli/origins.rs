//! Which flags and variables settings come from, so that what is wrong with one is said of it and not of the file.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::config::{ConfigError, Origin};

/// Fields of the file, and the ids of the arguments that go before them.
const FIELDS: [(&str, &str); 15] = [
    ("listen", "listen"),
    ("admin_listen", "admin_listen"),
    ("upstream.base_url", "upstream"),
    ("upstream.api_key_file", "api_key_file"),
    ("upstream.ca_file", "upstream_ca"),
    ("auth", "auth"),
    ("clients.file", "clients_file"),
    ("state_dir", "state_dir"),
    ("take_over", "take_over"),
    ("workers", "workers"),
    ("ebpf", "ebpf"),
    ("ebpf_log", "ebpf_log"),
    ("probes.sources", "probe_sources"),
    ("probes.listen", "probe_listen"),
    ("log.format", "log_format"),
];

/// Names of flags and variables, by the fields of the file that they go before.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(Vec<(&'static str, String)>);

impl Origins {
    /// Of what was given to one of the subcommands of `program`.
    pub(super) fn of(program: &Command, matches: &ArgMatches) -> Self {
        let Some((name, matches)) = matches.subcommand() else {
            return Self::default();
        };
        let Some(command) = program.find_subcommand(name) else {
            return Self::default();
        };
        let given = FIELDS.iter().filter_map(|(field, id)| {
            let argument = command
                .get_arguments()
                .find(|argument| argument.get_id() == id)?;
            let name = match matches.value_source(id)? {
                ValueSource::CommandLine => format!("--{}", argument.get_long()?),
                ValueSource::EnvVariable => argument.get_env()?.to_string_lossy().into_owned(),
                _ => return None,
            };
            Some((*field, name))
        });
        Self(given.collect())
    }

    /// Names in an error where settings come from, if not from the file.
    pub(super) fn tell(&self, mut error: ConfigError) -> ConfigError {
        if let ConfigError::Invalid(problems) = &mut error {
            for found in problems {
                let given = self
                    .0
                    .iter()
                    .find(|(field, _)| *field == found.problem.field);
                let given = given.map(|(_, name)| name.clone());
                let given = given.or_else(|| super::webhook::origin(&found.problem.field));
                if let Some(name) = given {
                    found.origin = Origin::Given(name.into());
                }
            }
        }
        error
    }
}
