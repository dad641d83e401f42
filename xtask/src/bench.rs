//! `cargo xtask bench`: builds what is measured and what measures, then measures.

mod all;
mod book;

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};
use clap::Args;

use crate::workspace::Workspace;
use crate::{apt, build_ebpf, command, dist, tools};
use all::Which;

/// Options of the command.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Which bench, and its flags, e.g. `cpu --quick`; `--help` shows them all. Without one all are run, which takes
    /// about two hours and writes docs/benchmarks.md; with `--quick` alone, two minutes for a rough answer, with `--write NAME…` those sections of it. With `--gateways`,
    /// among other flags or alone, LiteLLM and Portkey are installed below the target directory and compared, too
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "BENCH"
    )]
    arguments: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let arguments = options.arguments.as_slice();
    let gateways = has(arguments, GATEWAYS);
    let which = which(arguments);
    build_bench(workspace)?;
    if measures_proxy(arguments) {
        install_programs(arguments)?;
        build_proxy(workspace)?;
    }
    if gateways && !asks_for_help(arguments) {
        install_gateways(workspace)?;
    }
    if let Some(which) = which {
        return all::run(workspace, which, gateways);
    }
    let mut bench = Command::new(workspace.binary("release", "holysheep-bench"));
    bench.args(arguments).current_dir(workspace.root());
    command::run(&mut bench, "its message is above; `--help` shows its flags")?;
    println!("\nNext: {}", next(arguments));
    Ok(ExitCode::SUCCESS)
}

/// Builds what measures.
pub(crate) fn build_bench(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo(["build", "--release", "-p", "holysheep-bench"]);
    command::run(&mut cargo, "the compiler's message is above")
}

/// Builds what is measured, as it is in the image. A bench takes this build by itself, unless `--proxy-bin` names another.
pub(crate) fn build_proxy(workspace: &Workspace) -> Result<()> {
    build_ebpf::if_possible(workspace)?;
    dist::build(workspace).map(drop)
}

/// Flags that also stand without a bench's name.
const QUICK: &str = "--quick";
const GATEWAYS: &str = "--gateways";

/// Has several benches run whose names follow, or all.
const WRITE: &str = "--write";

/// Those of all benches that are to be run, if none is called by itself.
fn which(arguments: &[String]) -> Option<Which<'_>> {
    let rest = arguments.iter().position(|argument| argument != GATEWAYS);
    let rest = rest.and_then(|at| arguments.get(at..)).unwrap_or_default();
    match rest.split_first() {
        None => Some(Which::Whole(&[])),
        Some((first, names)) if first == WRITE => Some(Which::Whole(names)),
        Some((first, more)) if first == QUICK && more.iter().all(|flag| flag == GATEWAYS) => {
            Some(Which::Quick)
        }
        Some(_) => None,
    }
}

fn has(arguments: &[String], flag: &str) -> bool {
    arguments.iter().any(|argument| argument == flag)
}

/// What to do after a bench.
fn next(arguments: &[String]) -> &'static str {
    if is(arguments, "budget") {
        "`cargo xtask bench budget --functions 40` names the functions; docs/performance.md says what the figures mean."
    } else if is(arguments, "faults") {
        "`cargo xtask bench faults --json FILE` measures everything, half an hour, and keeps the figures of every turn; \
         docs/resilience.md says what they mean."
    } else if is(arguments, "probes") {
        "`cargo xtask bench probes --rounds 5 --json FILE` measures longer and keeps every probe's time; \
         docs/probes.md says how to steer probes in a cluster."
    } else if is(arguments, "prompts") {
        "`cargo xtask bench prompts --json FILE` measures everything, some 25 minutes, and keeps every request's time; \
         `--help` shows how to choose contenders, paths, sizes and pauses."
    } else if is(arguments, "streams") {
        "`cargo xtask bench streams --rounds 10 --json FILE` measures longer and keeps the figures of every round; \
         `--help` shows how to choose contenders, events, pace and the number of streams."
    } else if is(arguments, "h2") {
        "`cargo xtask bench h2 --json FILE --svg FILE` measures for some eight minutes and keeps the figures of every turn; \
         docs/benchmarks.md says how to read it."
    } else if is(arguments, "cold") {
        "`cargo xtask bench cold --json FILE` measures for some four minutes and keeps the figures of every round; `--help` \
         shows how to choose idle times and the size of a burst."
    } else if is(arguments, "growth") {
        "`cargo xtask bench growth --json FILE` measures for some eight minutes and keeps the figures of every turn."
    } else if is(arguments, "saturation") {
        "`cargo xtask bench saturation --json FILE --svg FILE` measures for some six minutes, keeps the figures of every turn \
         and draws requests a second by connections; docs/benchmarks.md says how to read it."
    } else if is(arguments, "table") {
        "`cargo xtask bench table --json FILE --svg FILE` measures for some six minutes, keeps the figures of every round \
         and draws latency by percentile; docs/benchmarks.md says how to read it."
    } else if is(arguments, "latency") {
        "`cargo xtask bench latency --json FILE --svg FILE` measures for some four minutes, keeps the figures of every \
         round and draws latency by percentile; `bench table` does the same over a path of 30 ms."
    } else {
        "`cargo xtask bench cpu --help` shows how to measure longer, or against others."
    }
}

/// Whether this is that bench.
fn is(arguments: &[String], bench: &str) -> bool {
    arguments.first().is_some_and(|first| first == bench)
}

/// Whether this is a run against peers: not one end of the rig, not a question, not another build.
pub(crate) fn measures_proxy(arguments: &[String]) -> bool {
    let is_end = |first: &String| ["bare", "help", "load", "upstream"].contains(&first.as_str());
    let names_build = |flag: &String| flag.starts_with("--proxy-bin");
    !arguments.first().is_some_and(is_end)
        && !arguments.iter().any(names_build)
        && !asks_for_help(arguments)
}

fn asks_for_help(arguments: &[String]) -> bool {
    has(arguments, "--help") || has(arguments, "-h")
}

/// What the proxy is compared with, each program with its Debian package; the bench of probes takes the first only.
const PEERS: [(&str, &str); 2] = [("nginx", "nginx"), ("haproxy", "haproxy")];

/// What counts system calls: perf slows a peer down less, strace works where perf is not allowed.
const TRACERS: [(&str, &str); 2] = [("strace", "strace"), ("perf", PERF)];

/// What counts instructions.
const VALGRIND: (&str, &str) = ("valgrind", "valgrind");

/// Debian's name of perf, which not all its children have.
const PERF: &str = "linux-perf";

/// The packages of programs that a bench with these flags wants and that are not there.
fn missing(arguments: &[String], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let never_counts = [
        "cold",
        "faults",
        "growth",
        "latency",
        "memory",
        "probes",
        "prompts",
        "saturation",
        "streams",
        "table",
    ];
    let may_count = never_counts.iter().all(|bench| !is(arguments, bench));
    let counts = may_count && !arguments.iter().any(|flag| flag == "--no-syscalls");
    let tracers = TRACERS.into_iter().filter(|_| counts);
    let peers = match arguments.first().map(String::as_str) {
        Some("budget") => &[VALGRIND],
        Some("probes") => &PEERS[..1],
        Some("faults") => &PEERS[1..],
        Some("growth") => &[],
        _ => &PEERS[..],
    };
    // All of them have all.
    let is_flag = |first: &String| first.starts_with('-');
    let valgrind = arguments.first().is_none_or(is_flag).then_some(VALGRIND);
    let wanted = peers.iter().copied().chain(tracers).chain(valgrind);
    let missing = wanted.filter(|(program, _)| !is_there(program));
    missing.map(|(_, package)| package).collect()
}

fn install_programs(arguments: &[String]) -> Result<()> {
    let mut missing = missing(arguments, apt::has_program);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !apt::is_possible() {
        println!(
            "Not installed: {names}; the bench goes on without. To have all figures: {}",
            apt::by_hand(&missing)
        );
        return Ok(());
    }
    println!(
        "Installing what the proxy is compared with, and what measures it: {names}. Where Debian starts nginx \
         or haproxy as a service, `systemctl disable --now nginx haproxy` ends that; the bench starts its own."
    );
    let wants_perf = missing.contains(&PERF);
    missing.retain(|package| *package != PERF);
    if !missing.is_empty() {
        apt::install(&missing)?;
    }
    if wants_perf && let Err(error) = apt::install(&[PERF]) {
        println!("{error:#}. System calls are counted with strace.");
    }
    Ok(())
}

/// Whoever asks for them wants them measured, so this fails without.
fn install_gateways(workspace: &Workspace) -> Result<()> {
    let missing = tools::ensure(workspace, tools::GATEWAYS.iter());
    let names: Vec<_> = missing.iter().map(|lack| lack.tool.name).collect();
    if !names.is_empty() {
        bail!(
            "without {}: mend what is said above, or leave {GATEWAYS} out",
            names.join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn only_a_run_against_peers_builds_the_proxy() {
        assert!(measures_proxy(&words("cpu --quick")));
        assert!(!measures_proxy(&words("cpu --help")));
        assert!(!measures_proxy(&words("cpu --proxy-bin=target/x")));
        assert!(!measures_proxy(&words("upstream --port 1")));
    }

    #[test]
    fn several_are_run_where_none_is_called_by_itself() {
        assert_eq!(which(&[]), Some(Which::Whole(&[])));
        assert_eq!(which(&words("--gateways")), Some(Which::Whole(&[])));
        assert_eq!(which(&words("--quick")), Some(Which::Quick));
        assert_eq!(which(&words("--gateways --quick")), Some(Which::Quick));
        let named = words("table cpu");
        assert_eq!(
            which(&words("--write table cpu")),
            Some(Which::Whole(&named))
        );
        assert_eq!(which(&words("cpu --quick")), None);
    }

    #[test]
    fn what_counts_system_calls_is_installed_with_the_peers() {
        let fresh = |line| missing(&words(line), |_| false);
        assert_eq!(fresh("cpu"), ["nginx", "haproxy", "strace", "linux-perf"]);
        assert_eq!(fresh("budget"), ["valgrind", "strace", "linux-perf"]);
        assert_eq!(fresh("cpu --no-syscalls"), ["nginx", "haproxy"]);
        assert_eq!(fresh("probes --quick"), ["nginx"]);
        assert_eq!(fresh("faults --quick"), ["haproxy"]);
        assert_eq!(fresh("prompts --quick"), ["nginx", "haproxy"]);
        assert_eq!(fresh("streams --quick"), ["nginx", "haproxy"]);
        assert_eq!(fresh("table --quick"), ["nginx", "haproxy"]);
        assert_eq!(fresh("latency"), ["nginx", "haproxy"]);
        assert_eq!(fresh("saturation"), ["nginx", "haproxy"]);
        assert_eq!(fresh("cold --quick"), ["nginx", "haproxy"]);
        assert!(fresh("growth").is_empty());
        let complete = |program: &str| ["nginx", "haproxy", "perf"].contains(&program);
        assert_eq!(missing(&words("ebpf --quick"), complete), ["strace"]);
    }
}
