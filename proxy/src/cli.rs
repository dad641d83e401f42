//! The command line: what the program can be told, and what it answers.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "talks to a person"
)]

mod client;
mod config;
mod key;
mod log;
mod origins;
mod traces;
mod webhook;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app::App;
use crate::check;
use crate::clients::file::ClientsError;
use crate::config::{
    Auth, Config, ConfigError, ConfigFile, EbpfMode, LogFormat, ProbeSource, Problem, document,
};
use crate::costs;
use crate::kernel::Kernel;
use crate::limits::budget;
use crate::measure;
use crate::reload::{self, Source};
use crate::tls::CertificateError;
use crate::traces::TracesError;
use crate::upstream::UpstreamsError;
use crate::upstream::tls::TlsSetupError;
use crate::webhook::WebhookError;
use origins::Origins;

/// Where settings can be besides.
const VARIABLES: &str = "Each flag has a variable: --admin-listen is HOLYSHEEP_ADMIN_LISTEN, and so on; but --upstream is\n\
    HOLYSHEEP_API_BASE_URL, and --probe-source HOLYSHEEP_PROBE_SOURCES (a comma list). Flags come before\n\
    variables, variables before the file. HOLYSHEEP_API_KEY can have the key itself.";
/// The errors that the article has, and the lines of `check` for each.
const ROWS: &str = "Lines for `upstream timed out (110)`: resolve, connect, tls, key; `certificate has expired`: tls,\n\
    certificate; `Invalid API Key`: key; `502 Bad Gateway`: proxy. All of them, and an HPA that does\n\
    not scale down: docs/operations.md. Exit code 1 if a line says FAIL, 2 for bad settings.";
/// Exit code for bad usage and bad configuration.
const BAD_USAGE: u8 = 2;

/// Proxy between applications and the HolySheep API.
#[derive(Debug, Parser)]
#[command(name = "holysheep-proxy", version, arg_required_else_help = true)]
#[command(after_help = "The upstream key comes from HOLYSHEEP_API_KEY_FILE or HOLYSHEEP_API_KEY.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve requests until SIGTERM or Ctrl-C
    #[command(after_help = VARIABLES)]
    Serve(Settings),
    /// Try the way to upstream, step by step, and say what to do about failures
    #[command(after_help = format!("{VARIABLES}\n\n{ROWS}"))]
    Check(Settings),
    /// Measure how long answers take from here, directly and through proxies
    #[command(after_help = measure::NOTES)]
    Measure(measure::Arguments),
    /// Show what the configuration comes to, without secrets, or check it
    Config(config::Show),
    /// Compute what models cost: official prices against HolySheep's, or a bill by client
    Costs(costs::Arguments),
    /// Make, list and remove the keys of clients (`auth: clients`)
    Client(client::Client),
    /// Print version and build facts
    Version,
}

/// Settings of the command line, or else the environment, or else the file.
#[derive(Debug, Args)]
struct Settings {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE", env = "HOLYSHEEP_CONFIG")]
    config: Option<PathBuf>,
    /// Data port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "HOLYSHEEP_LISTEN")]
    listen: Option<SocketAddr>,
    /// Admin port [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR", env = "HOLYSHEEP_ADMIN_LISTEN")]
    admin_listen: Option<SocketAddr>,
    /// Base URL of the API [default: HolySheep's]
    #[arg(long, value_name = "URL", env = "HOLYSHEEP_API_BASE_URL")]
    upstream: Option<String>,
    /// File with the upstream key; read again when it changes
    #[arg(long, value_name = "FILE", env = key::FILE_VARIABLE)]
    api_key_file: Option<PathBuf>,
    /// Certificates to trust besides the public web's (PEM)
    #[arg(long, value_name = "FILE", env = "HOLYSHEEP_UPSTREAM_CA")]
    upstream_ca: Option<PathBuf>,
    /// Who may use the data port [default on loopback: open]
    #[arg(long, value_name = "open|passthrough|clients", env = "HOLYSHEEP_AUTH")]
    auth: Option<Auth>,
    /// File of clients and their keys; read again when it changes
    #[arg(long, value_name = "FILE", env = "HOLYSHEEP_CLIENTS_FILE")]
    clients_file: Option<PathBuf>,
    /// Directory for what outlives the process [default: none]
    #[arg(long, value_name = "DIR", env = "HOLYSHEEP_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Worker threads [default: the CPUs the cgroup allows]
    #[arg(long, value_name = "N", env = "HOLYSHEEP_WORKERS")]
    workers: Option<usize>,
    /// Unix socket where a running process hands over its ports
    #[arg(long, value_name = "PATH", env = "HOLYSHEEP_TAKE_OVER")]
    take_over: Option<PathBuf>,
    /// Kernel programs [default: auto]
    #[arg(long, value_name = "auto|required|off", env = "HOLYSHEEP_EBPF")]
    ebpf: Option<EbpfMode>,
    /// Write what kernel programs say to the log; for debugging
    #[arg(long, env = "HOLYSHEEP_EBPF_LOG")]
    ebpf_log: bool,
    /// Where health probes come from, to be steered; repeatable
    #[arg(
        long = "probe-source",
        value_name = "CIDR|node",
        env = "HOLYSHEEP_PROBE_SOURCES",
        value_delimiter = ','
    )]
    probe_sources: Vec<ProbeSource>,
    /// A port for health probes only [default: none]
    #[arg(long, value_name = "ADDR", env = "HOLYSHEEP_PROBE_LISTEN")]
    probe_listen: Option<SocketAddr>,
    /// Form of logs [default: json if `PROXY_MODE` is production]
    #[arg(long, value_name = "json|text", env = "HOLYSHEEP_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// Which of these were given, and how
    #[arg(skip)]
    origins: Origins,
}

/// The command line, for its manual and for shells that complete it.
pub fn command() -> clap::Command {
    discreet(Cli::command())
}

/// What is in the environment may be nobody's business.
fn discreet(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let has_value = arg.get_action().takes_values();
        arg.hide_env_values(true).hide_possible_values(has_value)
    });
    command.mut_subcommands(discreet)
}

/// Runs the program.
pub fn main() -> ExitCode {
    // One line a flag, so that help fits a screen: the values are in its name, and the variables in a line of their own.
    let mut command =
        command().mut_subcommands(|command| command.mut_args(|arg| arg.hide_env(true)));
    let matches = command.get_matches_mut();
    let mut cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    if let Some(settings) = cli.command.settings() {
        settings.origins = Origins::of(&command, &matches);
    }
    match cli.command {
        Command::Serve(settings) => match settings.read() {
            Ok((config, text)) => serve(settings, config, text.as_deref()),
            Err(error) => refuse(&error),
        },
        Command::Check(settings) => match settings.read() {
            Ok((config, _)) => check::run(&config),
            Err(error) => refuse(&error),
        },
        Command::Measure(arguments) => match key::beside(arguments.names_key_for_all()) {
            Ok(key) => measure::run(&arguments, key, BAD_USAGE),
            Err(error) => {
                eprintln!("holysheep-proxy: {error}");
                ExitCode::from(BAD_USAGE)
            }
        },
        Command::Config(show) => show.run(),
        Command::Costs(arguments) => costs::run(&arguments, BAD_USAGE),
        Command::Client(client) => client.run(),
        Command::Version => {
            println!("holysheep-proxy {}", env!("CARGO_PKG_VERSION"));
            let built_in = match Kernel::is_built_in() {
                true => "part of this build",
                false => "not part of this build",
            };
            println!("kernel programs: {built_in}");
            ExitCode::SUCCESS
        }
    }
}

impl Command {
    const fn settings(&mut self) -> Option<&mut Settings> {
        match self {
            Self::Serve(settings) | Self::Check(settings) => Some(settings),
            Self::Config(show) => Some(&mut show.settings),
            Self::Measure(_) | Self::Costs(_) | Self::Client(_) | Self::Version => None,
        }
    }
}

impl Settings {
    /// Reads the file, if there is one; gives its text as well.
    fn read(&self) -> Result<(Config, Option<String>), ConfigError> {
        let Some(path) = &self.config else {
            return Ok((self.build(ConfigFile::default())?, None));
        };
        let text = ConfigFile::text(path)?;
        let config = document::build(path, &text, |file| self.build(file))?;
        Ok((config, Some(text)))
    }

    /// Lays command line and environment over the file and checks the whole.
    fn build(&self, file: ConfigFile) -> Result<Config, ConfigError> {
        let built = self.laid_over(file).and_then(Config::build);
        built.map_err(|error| self.origins.tell(error))
    }

    fn laid_over(&self, mut file: ConfigFile) -> Result<ConfigFile, ConfigError> {
        file.listen = self.listen.or(file.listen);
        file.admin_listen = self.admin_listen.or(file.admin_listen);
        file.upstream.base_url = self.upstream.clone().or(file.upstream.base_url);
        file.upstream.api_key = key::in_environment()?;
        file.upstream.api_key_file = match (&file.upstream.api_key, self.api_key_file.clone()) {
            (Some(_), Some(path)) if key::is_in_environment(&path) => {
                return Err(key::given_twice());
            }
            (_, Some(path)) => Some(path),
            // The environment comes before the file.
            (Some(_), None) => None,
            (None, None) => file.upstream.api_key_file,
        };
        file.upstream.ca_file = self.upstream_ca.clone().or(file.upstream.ca_file);
        file.auth = self.auth.or(file.auth);
        file.clients.file = self.clients_file.clone().or(file.clients.file);
        file.state_dir = self.state_dir.clone().or(file.state_dir);
        file.workers = self.workers.or(file.workers);
        file.take_over = self.take_over.clone().or(file.take_over);
        file.ebpf = self.ebpf.or(file.ebpf);
        file.ebpf_log = self.ebpf_log.then_some(true).or(file.ebpf_log);
        if !self.probe_sources.is_empty() {
            file.probes.sources = Some(self.probe_sources.clone());
        }
        file.probes.listen = self.probe_listen.or(file.probes.listen);
        file.probes.node = node_in_environment()?;
        webhook::environment(&mut file.webhook)?;
        traces::environment(&mut file.traces)?;
        file.log.format = self.log_format.or(file.log.format).or_else(format_of_mode);
        Ok(file)
    }
}

/// The node's addresses as Kubernetes tells them: `status.hostIP`, `status.hostIPs`.
fn node_in_environment() -> Result<Vec<IpAddr>, ConfigError> {
    let mut addresses = Vec::new();
    for variable in ["HOST_IP", "HOST_IPS"] {
        let list = std::env::var(variable).unwrap_or_default();
        for text in list
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            let address = text.parse().map_err(|_| {
                let message = format!("{text:?} is no address; expected that of the node");
                ConfigError::invalid(vec![Problem {
                    field: variable.into(),
                    message,
                }])
            })?;
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn format_of_mode() -> Option<LogFormat> {
    let production = std::env::var("PROXY_MODE").is_ok_and(|mode| mode == "production");
    production.then_some(LogFormat::Json)
}

fn refuse(error: &ConfigError) -> ExitCode {
    eprintln!("holysheep-proxy: the configuration cannot be used\n{error}");
    ExitCode::from(BAD_USAGE)
}

fn serve(settings: Settings, config: Config, text: Option<&str>) -> ExitCode {
    let log_level = log::start(&config);
    let source = settings
        .config
        .clone()
        .zip(text)
        .map(|(path, text)| Source {
            path,
            hash: reload::hash(text),
            build: Box::new(move |file| settings.build(file)),
            log_level,
        });
    match serve_until_signal(config, source) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holysheep-proxy: {error:#}");
            if is_about_a_setting(&error) {
                ExitCode::from(BAD_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Whether what failed is a file that the configuration names.
fn is_about_a_setting(error: &anyhow::Error) -> bool {
    error.is::<UpstreamsError>()
        || error.is::<TlsSetupError>()
        || error.is::<CertificateError>()
        || error.is::<WebhookError>()
        || error.is::<ClientsError>()
        || error.is::<TracesError>()
        || error.is::<budget::Unusable>()
}

#[expect(clippy::disallowed_methods, reason = "the main thread is no worker")]
fn serve_until_signal(config: Config, source: Option<Source>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Without a file there is nothing to read again, but no reason to die either.
        let mut hangup = signal(SignalKind::hangup())?;
        let mut moved = signal(SignalKind::user_defined1())?;
        let app = App::start_from(config, source)?;
        app.announce();
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => app.reload(),
                _ = moved.recv() => app.reopen_log(),
                () = app.handed_over() => break,
            }
        }
        let delay = app.drain_delay();
        let delay = (!delay.is_zero()).then(|| humantime::format_duration(delay));
        tracing::info!(
            drain_delay = delay.map(tracing::field::display),
            "stopping: running requests may finish"
        );
        app.stop();
        let hurry = app.hurrying();
        let mut stopped = tokio::task::spawn_blocking(move || app.join());
        let mut is_hurried = false;
        loop {
            tokio::select! {
                result = &mut stopped => break result?,
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if std::mem::replace(&mut is_hurried, true) {
                // Whoever asks three times does not want to hear why it takes so long.
                std::process::exit(1);
            }
            tracing::warn!("told again to stop: running requests are ended");
            hurry();
        }
        tracing::info!("stopped");
        Ok(())
    })
}
