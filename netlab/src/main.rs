//! `netlab`: a path to try things by hand. Starts one, runs a command at its near end, and says what passed.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool that talks to a person"
)]

use std::io::{Read, stdin};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use netlab::{Direction, Error, Path};

#[derive(Parser)]
#[command(about = "An emulated network path; needs root")]
struct Options {
    /// Both ways together, e.g. `30ms`
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    round_trip: Duration,
    /// Lose every n-th data segment of each direction
    #[arg(long, value_name = "N", conflicts_with = "drop_share")]
    drop_every: Option<u64>,
    /// Lose this share of them, e.g. 0.01
    #[arg(long, value_name = "SHARE")]
    drop_share: Option<f64>,
    /// Where the random losses start from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bits per second of each direction
    #[arg(long, value_name = "BITS")]
    rate: Option<u64>,
    /// Bytes that may wait for the narrow link
    #[arg(long, value_name = "BYTES", default_value_t = 65_536)]
    queue: u64,
    /// What to run at the near end; without it, the path stays until standard input ends
    #[arg(trailing_var_arg = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Error> {
    let mut builder = Path::builder().round_trip(options.round_trip);
    if let Some(nth) = options.drop_every {
        builder = builder.drop_every(nth);
    }
    if let Some(share) = options.drop_share {
        builder = builder.drop_randomly(share, options.seed);
    }
    if let Some(bits) = options.rate {
        builder = builder.rate(bits, options.queue);
    }
    let path = builder.start()?;
    for (name, host) in [("client", path.client()), ("server", path.server())] {
        let [ipv4, ipv6] = host.addresses();
        let namespace = host.namespace();
        println!(
            "{name}: {ipv4} {ipv6}  nsenter --net={} COMMAND",
            namespace.display()
        );
    }
    let code = match options.command.split_first() {
        Some((program, arguments)) => near_end(&path, program, arguments)?,
        None => {
            println!("Ctrl-D ends the path.");
            // Nothing is wanted but its end.
            let _ = stdin().read_to_end(&mut Vec::new());
            ExitCode::SUCCESS
        }
    };
    summary(&path)?;
    Ok(code)
}

fn near_end(path: &Path, program: &str, arguments: &[String]) -> Result<ExitCode, Error> {
    let status = path
        .client()
        .run(|| Command::new(program).args(arguments).status())?
        .map_err(|source| Error::System {
            what: "starting the command",
            source,
        })?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn summary(path: &Path) -> Result<(), Error> {
    let journal = path.journal();
    for direction in [Direction::ToServer, Direction::ToClient] {
        let counts = journal.counts(direction);
        let lateness = journal.lateness(direction);
        let late = |percent| lateness.get(lateness.len() * percent / 100).copied();
        println!(
            "{direction}: {} passed, {} lost, {} overflowed; late by p50 {:?} p99 {:?}",
            counts.left,
            counts.lost,
            counts.overflowed,
            late(50).unwrap_or_default(),
            late(99).unwrap_or_default()
        );
    }
    let overruns = path.overruns()?;
    if overruns > 0 {
        println!("{overruns} packets were dropped by the devices: the path was too slow for them");
    }
    Ok(())
}
