//! The proxies that are compared: how each is configured, started and found ready.
//!
//! One file per proxy below `peer/`, with its configuration beside it; [`Kind`]
//! names them. A peer runs on one CPU with all its threads and children until
//! it is dropped.

mod extra;
mod feature;
mod gateways;
mod haproxy;
mod holysheep;
mod http2;
mod kind;
mod nginx;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use netlab::Host;
use tokio::runtime::LocalOptions;

use crate::accounting;
use crate::cgroup::Cgroup;
use crate::load::Target;
use crate::process::Process;
pub(crate) use feature::{Feature, Grown, Grows};
pub(crate) use gateways::Gateways;
use haproxy::Sides;
use holysheep::Variant;
pub(crate) use holysheep::product;
pub(crate) use http2::Http2;
pub(crate) use kind::{BARE, GATEWAY_WARM_UP, Kind, LIMITS, NO_DELAY, NO_EBPF, SYSTEM_WINDOW};

/// As many as a peer is set up for.
pub(crate) const CLIENTS: usize = 2_000;

/// As many connections to upstream as peers keep, unless more requests are in flight.
pub(crate) const POOL: usize = 64;

/// The file for what it writes to standard output, which is the product's access log.
const OUTPUT: &str = "stdout.log";

/// What a peer is started with.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    /// Directory for the configurations and logs of all peers.
    pub(crate) directory: &'a Path,
    /// Tells peers of the same kind apart that run at the same time.
    pub(crate) instance: Option<usize>,
    /// The TLS upstream.
    pub(crate) upstream: SocketAddr,
    /// The upstream's certificate authority, PEM.
    pub(crate) ca: &'a Path,
    /// The CPU every peer runs on, if it is to have one of its own.
    pub(crate) cpu: Option<usize>,
    /// Whether nginx and HAProxy write access logs.
    pub(crate) access_log: bool,
    /// Most clients at a time, for peers whose memory depends on it: [`CLIENTS`], unless there are to be more.
    pub(crate) clients: usize,
    /// Idle connections to upstream that peers keep: [`POOL`], unless more requests are in flight.
    pub(crate) pool: usize,
    /// The product's binary.
    pub(crate) proxy_binary: Option<&'a Path>,
    /// For a cgroup of the product's own, as a container has one; without, it shares the bench's.
    pub(crate) cgroup: Option<&'a Cgroup>,
    /// The program and arguments that a peer is run under, such as a tracer's.
    pub(crate) under: &'static [&'static str],
    /// Where health probes come from, which the product may steer to its probe thread.
    pub(crate) probe_source: Option<Ipv4Addr>,
    /// When a peer counts as started.
    pub(crate) ready: Ready,
}

impl<'a> Site<'a> {
    /// Peers with access logs, without a CPU of their own, before an upstream that is said later.
    pub(crate) fn new(directory: &'a Path, ca: &'a Path) -> Self {
        Self {
            directory,
            instance: None,
            upstream: (Ipv4Addr::LOCALHOST, 0).into(),
            ca,
            cpu: None,
            access_log: true,
            clients: CLIENTS,
            pool: POOL,
            proxy_binary: None,
            cgroup: None,
            probe_source: None,
            under: &[],
            ready: Ready::Answers,
        }
    }
}

/// What tells that a peer has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// Its first correct answer.
    Answers,
    /// That it accepts connections: it has forwarded nothing so far.
    Listens,
}

/// How to start one peer.
struct Launch {
    command: Command,
    version: String,
    /// The product's port for metrics.
    admin: Option<u16>,
    /// Where requests go, if not to the plain port as the load sends them to everybody.
    target: Option<Target>,
}

/// A peer that answers requests.
pub(crate) struct Peer {
    /// Its name in options and tables.
    pub(crate) name: String,
    /// What it says its version is.
    pub(crate) version: String,
    /// Where to send requests.
    pub(crate) target: Target,
    /// Where its metrics are, if it is the product.
    pub(crate) admin: Option<u16>,
    /// Its access log, if it is the product's.
    pub(crate) log: Option<PathBuf>,
    /// From its start to its first correct answer.
    pub(crate) took: Duration,
    process: Option<Process>,
    /// What it is before.
    behind: Option<Box<Peer>>,
}

impl Peer {
    /// Starts a peer and waits for its first correct answer.
    ///
    /// # Errors
    /// When it is not installed, does not start, or does not answer in time.
    pub(crate) async fn start(kind: &Kind, site: &Site<'_>) -> Result<Self> {
        let name = kind.name().to_owned();
        let place = match site.instance {
            Some(instance) => format!("{name}-{instance}"),
            None => name.clone(),
        };
        match kind {
            Kind::Direct => Self::direct(name, site).await,
            Kind::HolySheepIngress => {
                let inner = format!("{place}-proxy");
                let behind = Self::process(&Kind::HolySheep, name.clone(), &inner, site).await?;
                let site = Site {
                    upstream: ([127, 0, 0, 1], behind.target.port()).into(),
                    ..*site
                };
                let before = Self::process(kind, name, &place, &site).await?;
                Ok(Self {
                    version: format!("{} before {}", before.version, behind.version),
                    admin: behind.admin,
                    log: behind.log.clone(),
                    behind: Some(Box::new(behind)),
                    ..before
                })
            }
            _ => Self::process(kind, name, &place, site).await,
        }
    }

    /// No proxy at all.
    async fn direct(name: String, site: &Site<'_>) -> Result<Self> {
        let target = Target::tls(site.upstream, site.ca)?;
        site.ready.ask(&target).await?;
        Ok(Self {
            name,
            version: "no proxy".to_owned(),
            target,
            admin: None,
            log: None,
            took: Duration::ZERO,
            process: None,
            behind: None,
        })
    }

    /// One process with its children, with files and a cgroup named `place`.
    async fn process(kind: &Kind, name: String, place: &str, site: &Site<'_>) -> Result<Self> {
        let directory = site.directory.join(place);
        // What an earlier start left is not wanted any more, large logs above all.
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory)?;
        let port = free_port()?;
        let Launch {
            mut command,
            version,
            admin,
            target,
        } = match kind {
            Kind::Direct => bail!("direct has no process"),
            Kind::Bare => bare(site, port)?,
            Kind::HolySheepIngress => nginx::ingress(site, &directory, port)?,
            Kind::NginxArticle => nginx::article(site, &directory, port)?,
            Kind::Nginx => nginx::tuned(site, &directory, port)?,
            Kind::HaProxy => haproxy::launch(site, &directory, port, Sides::Usual)?,
            Kind::HaProxyNoDelay => haproxy::launch(site, &directory, port, Sides::NoDelay)?,
            Kind::HolySheep => holysheep::launch(site, port, place, Variant::Usual)?,
            Kind::HolySheepNoEbpf => holysheep::launch(site, port, place, Variant::NoEbpf)?,
            Kind::HolySheepOff => holysheep::launch(site, port, place, Variant::SystemWindow)?,
            Kind::HolySheepLimits => holysheep::launch(site, port, place, Variant::Limits)?,
            Kind::LiteLlm => gateways::litellm(site, &directory, port)?,
            Kind::Portkey => gateways::portkey(site, &directory, port)?,
            Kind::With(feature) => holysheep::launch(site, port, place, Variant::With(*feature))?,
            Kind::Grown(grown) => holysheep::launch(site, port, place, Variant::Grown(*grown))?,
            Kind::Http2(http2) => http2.launch(site, &directory, port, place)?,
            Kind::Extra { command, .. } => extra::launch(command, site, port)?,
        };
        if let [program, arguments @ ..] = site.under {
            command = under(program, arguments, &command);
        }
        command
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(File::create(directory.join(OUTPUT))?)
            .stderr(File::create(directory.join("stderr.log"))?);
        let begun = Instant::now();
        let mut process = Process::spawn(&mut command, site.cpu)?;
        let target = target.unwrap_or_else(|| Target::plain(port));
        let target = ready(&mut process, &target, (site.ready, kind.patience()))
            .await
            .with_context(|| format!("{name} did not start: {}", tail(&directory)))?;
        let took = begun.elapsed();
        let peer = Self {
            name,
            version,
            target,
            admin,
            log: admin.map(|_| directory.join(OUTPUT)),
            took,
            process: Some(process),
            behind: None,
        };
        if let Some(cpu) = site.cpu {
            peer.check_pinned(cpu)?;
        }
        Ok(peer)
    }

    /// The same in a host of its own.
    ///
    /// # Errors
    /// As [`Peer::start`], or when the host cannot be entered.
    pub(crate) fn start_in(host: &Host, kind: &Kind, site: &Site<'_>) -> Result<Self> {
        // Everything a peer makes and starts is made and started on the thread that is inside.
        host.run(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build_local(LocalOptions::default())?;
            runtime.block_on(Self::start(kind, site))
        })?
    }

    /// All its processes; none for the direct target.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub(crate) fn processes(&self) -> Result<Vec<u32>> {
        let mut all = Vec::new();
        for process in [Some(self), self.behind.as_deref()].into_iter().flatten() {
            if let Some(process) = &process.process {
                all.extend(accounting::family(process.id())?);
            }
        }
        Ok(all)
    }

    /// A proxy that sets its own affinity would be measured on the wrong CPU.
    fn check_pinned(&self, cpu: usize) -> Result<()> {
        for pid in self.processes()? {
            for thread in accounting::threads(pid)? {
                let id = i32::try_from(thread)
                    .ok()
                    .and_then(rustix::process::Pid::from_raw);
                let set = rustix::thread::sched_getaffinity(id)?;
                let alone = set.is_set(cpu) && set.count() == 1;
                ensure!(alone, "{} left CPU {cpu} (thread {thread})", self.name);
            }
        }
        Ok(())
    }
}

/// This program itself, as [`crate::bare`].
fn bare(site: &Site<'_>, port: u16) -> Result<Launch> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["bare", "--port", &port.to_string()])
        .args(["--upstream", &site.upstream.to_string(), "--ca"])
        .arg(site.ca);
    Ok(Launch {
        command,
        version: "hyper, tokio and rustls, and nothing else".to_owned(),
        admin: None,
        target: None,
    })
}

/// The same command run by another program.
fn under(program: &str, arguments: &[&str], inner: &Command) -> Command {
    let mut outer = Command::new(program);
    outer.args(arguments);
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

impl Ready {
    /// Whether it is so far; the target as it is to be used.
    ///
    /// # Errors
    /// When it is not.
    async fn ask(self, target: &Target) -> Result<Target> {
        match self {
            Self::Answers => target.known().await,
            Self::Listens => target.reach().await.map(|()| target.clone()),
        }
    }
}

/// Asks until it is.
async fn ready(
    process: &mut Process,
    target: &Target,
    (ready, patience): (Ready, Duration),
) -> Result<Target> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = process.exited()? {
            bail!("it ended with {status}");
        }
        match ready.ask(target).await {
            Ok(target) => return Ok(target),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// The last lines a peer wrote about its troubles.
pub(crate) fn tail(directory: &Path) -> String {
    let text = ["error.log", "stderr.log", OUTPUT]
        .iter()
        .filter_map(|file| std::fs::read_to_string(directory.join(file)).ok())
        .collect::<String>();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

/// A loopback port that is free now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// First line of what a program prints about its version; `remedy` is named when it is missing.
pub(crate) fn version(program: &Path, argument: &str, remedy: &str) -> Result<String> {
    let output = Command::new(program)
        .arg(argument)
        .output()
        .with_context(|| format!("{} is not installed; try: {remedy}", program.display()))?;
    // nginx prints its version on standard error.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or("unknown").trim().to_owned())
}

/// Fills the `@NAME@` placeholders of a configuration and writes it.
pub(crate) fn configure(path: &Path, template: &str, values: &[(&str, String)]) -> Result<()> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
