//! Benchmarks of holysheep-proxy against other proxies, run by `cargo xtask bench`.
//!
//! Each bench is a module and a subcommand: [`budget`], [`cold`], [`cpu`], [`faults`], [`growth`], [`latency`], [`memory`], [`probes`],
//! [`prompts`], [`saturation`], [`soak`], [`streams`]. [`load`] and [`upstream`] are the two ends of the rig and can also be run by hand. Everything stays
//! on loopback, or in network namespaces of its own, and ends by itself.

mod accounting;
mod alarm;
mod awake;
mod bare;
mod budget;
mod cgroup;
mod cold;
mod cpu;
mod facts;
mod faults;
mod framing;
mod growth;
mod latency;
mod load;
mod memory;
mod peer;
mod probes;
mod process;
mod prompts;
mod report;
mod rig;
mod saturation;
mod soak;
mod spending;
mod statistics;
mod streams;
mod syscalls;
mod upstream;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::peer::{Feature, Kind};

#[derive(Debug, Parser)]
#[command(
    name = "holysheep-bench",
    version,
    about = "Benchmarks of holysheep-proxy"
)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// CPU time per proxied request, against nginx and HAProxy.
    Cpu(cpu::Options),
    /// CPU time per proxied request, with kernel programs against without.
    Ebpf(cpu::Options),
    /// CPU time per proxied request, with limits for clients against without.
    Limits(cpu::Options),
    /// CPU time per proxied request, with h2 to clients or to upstream against without: this proxy, nginx and HAProxy.
    H2(cpu::Options),
    /// CPU time per proxied request, with one thing on against without: TLS to clients, 10,000 clients, 64 keys, 16 upstreams,
    /// traces.
    Features(cpu::Options),
    /// What one request is made of: instructions, allocations, copies, system calls.
    Budget(budget::Options),
    /// Requests a second that each peer carries with one CPU, and latencies on the way there.
    Saturation(saturation::Options),
    /// CPU time per proxied request with few and many clients, keys and upstreams.
    Growth(growth::Options),
    /// What clients notice when one of three endpoints fails, and how soon it is left alone and used again.
    Faults(faults::Options),
    /// What each proxy holds, idle and with clients, and how soon it is there.
    Memory(memory::Options),
    /// Health probes while the peer is offered ten times what it can carry.
    Probes(probes::Options),
    /// How long requests with long prompts take over paths with a delay, losses, or a narrow link.
    Prompts(prompts::Options),
    /// How long a request takes for which there is no connection yet, over a path of 30 ms.
    Cold(cold::Options),
    /// How much later than without a proxy the events of a stream arrive.
    Streams(streams::Options),
    /// What each contender adds to the latency of a request, on loopback.
    Latency(latency::Options),
    /// The article's table: latencies over a path of 30 ms, and what each contender makes of them.
    Table(latency::Options),
    /// Everything at once for a long time, and whether anything has grown at the end.
    Soak(soak::Options),
    /// Generate load against a server on loopback.
    Load(load::Options),
    /// Serve fixed answers over TLS on loopback.
    Upstream(upstream::Options),
    /// Be a proxy of hyper and nothing else, on loopback.
    Bare(bare::Options),
}

/// What shells report for a program that was interrupted.
const INTERRUPTED: u8 = 130;

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    // One thread: what this process costs must stay on the CPU it is pinned to.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        // When a signal wins, the bench is dropped, and with it all processes it started.
        // A soak takes the first Ctrl-C as the end of its load, and has a verdict to give.
        let presses = if matches!(cli.bench, Bench::Soak(_)) {
            2
        } else {
            1
        };
        tokio::select! {
            result = run(cli.bench) => result,
            () = interrupted(presses) => Ok(ExitCode::from(INTERRUPTED)),
            _ = terminate.recv() => Ok(ExitCode::from(INTERRUPTED)),
        }
    })
}

/// Waits for so many Ctrl-C.
async fn interrupted(presses: usize) {
    for _ in 0..presses {
        // Without a handler the system ends this process by itself.
        let _ = tokio::signal::ctrl_c().await;
    }
}

async fn run(bench: Bench) -> Result<ExitCode> {
    let measured = match bench {
        Bench::Cpu(options) => cpu::run(options, &Kind::USUAL).await,
        Bench::Ebpf(options) => cpu::run(options, &[Kind::HolySheep, Kind::HolySheepNoEbpf]).await,
        Bench::Limits(options) => {
            cpu::run(options, &[Kind::HolySheep, Kind::HolySheepLimits]).await
        }
        Bench::H2(options) => cpu::run(options, &Kind::HTTP2).await,
        Bench::Features(options) => {
            let with = Feature::ALL.map(Kind::With);
            let kinds: Vec<_> = std::iter::once(Kind::HolySheep).chain(with).collect();
            cpu::run(options, &kinds).await
        }
        Bench::Budget(options) => budget::run(options).await,
        Bench::Cold(options) => cold::run(options).await,
        Bench::Growth(options) => growth::run(options).await,
        Bench::Saturation(options) => saturation::run(options).await,
        Bench::Faults(options) => faults::run(options).await,
        Bench::Memory(options) => memory::run(options).await,
        Bench::Probes(options) => probes::run(options).await,
        Bench::Prompts(options) => prompts::run(options).await,
        Bench::Streams(options) => streams::run(options).await,
        Bench::Latency(options) => latency::run(latency::Bench::Latency, options).await,
        Bench::Table(options) => latency::run(latency::Bench::Table, options).await,
        Bench::Soak(options) => return soak::run(options).await,
        Bench::Load(options) => load::run(options).await,
        Bench::Upstream(options) => upstream::run(options).await,
        Bench::Bare(options) => bare::run(options).await,
    };
    measured.map(|()| ExitCode::SUCCESS)
}
