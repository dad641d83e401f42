//! The emulator as a program, for `cargo xtask run`, `cargo xtask emulate` and benchmarks.
#![expect(clippy::print_stdout, reason = "prints where it listens, for a person")]

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use holysheep_emulator::{DEFAULT_API_KEY, Emulator, Profile, Tls};
use tokio::signal::unix::{SignalKind, signal};

/// Stand-in for the HolySheep API, with TLS, latency profiles, streams and faults
#[derive(Parser)]
#[command(name = "holysheep-emulator", version)]
struct Cli {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// HTTP without TLS
    #[arg(long)]
    plain: bool,
    /// Think time before answers: none, article or fixed:<ms>
    #[arg(long, value_name = "PROFILE", default_value = "none")]
    profile: Profile,
    /// Tokens per second in streams; 0 writes them at once
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    token_rate: f64,
    /// A key to accept (repeatable)
    #[arg(long, value_name = "KEY", default_value = DEFAULT_API_KEY)]
    api_key: Vec<String>,
    /// Where to write the CA certificate clients have to trust
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
    /// One more name for the certificate (repeatable)
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Seed of the think times
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// No send times; equal requests get equal answers
    #[arg(long)]
    no_timestamps: bool,
    /// Serving threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Requests kept for GET /emulator/requests
    #[arg(long, value_name = "N", default_value_t = 64)]
    record: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut stop = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut builder = Emulator::builder()
        .listen(cli.listen)
        .tls(if cli.plain { Tls::Plain } else { Tls::Own })
        .profile(cli.profile)
        .token_rate(cli.token_rate)
        .api_keys(cli.api_key)
        .seed(cli.seed)
        .timestamps(!cli.no_timestamps)
        .threads(cli.threads)
        .record(cli.record);
    for name in cli.name {
        builder = builder.name(name);
    }
    let emulator = builder.start().await?;
    announce(&emulator, cli.ca_out)?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot wait for Ctrl-C")?,
        _stopped = stop.recv() => {}
    }
    Ok(())
}

/// Writes the CA file and says how to use what was started.
fn announce(emulator: &Emulator, ca_out: Option<PathBuf>) -> anyhow::Result<()> {
    let (url, key, origin) = (emulator.base_url(), emulator.api_key(), emulator.origin());
    let Some(authority) = emulator.authority() else {
        println!("{url}  key {key}");
        println!("fault: curl -d 'cut;after=100;next=1' {origin}/emulator/fault");
        return Ok(());
    };
    // By port, so that several emulators do not overwrite each other's file.
    let port = emulator.addr().port();
    let default = || std::env::temp_dir().join(format!("holysheep-emulator-{port}-ca.pem"));
    let path = ca_out.unwrap_or_else(default);
    authority.write_ca_pem(&path)?;
    let ca = path.display();
    println!("{url}  key {key}  CA {ca}");
    println!("fault: curl --cacert {ca} -d 'cut;after=100;next=1' {origin}/emulator/fault");
    Ok(())
}
