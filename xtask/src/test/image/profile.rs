//! The ways the chart runs the image, each tried with a real request: without any rights, with the two capabilities of the kernel
//! programs, and privileged. And the way a newcomer tries it first.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Problems;
use super::container::{Container, LIMIT};
use super::network::Network;
use super::node::Node;
use crate::command::output;
use crate::image::engine::Engine;
use crate::process::Group;
use crate::test::{Outcome, cargo};
use crate::workspace::Workspace;

/// The image's own ports.
const DATA: u16 = 8080;
const ADMIN: u16 = 9090;

/// Where the emulator's certificate is in the container.
const CA: &str = "/etc/holysheep/ca.pem";

/// The kernel programs.
const PROGRAMS: [&str; 3] = ["socket_timing", "payload_timing", "probe_steering"];

/// Exit code for a configuration that cannot be used.
const BAD_USAGE: i32 = 2;

/// A way to run the image, and what must be true then.
struct Profile {
    name: &'static str,
    /// podman's.
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// Of the process, as `/proc` has them: user, and the capabilities it may ever have.
    user: &'static str,
    capabilities: Option<&'static str>,
    /// Whether the kernel programs run.
    attached: bool,
}

const PROFILES: [Profile; 3] = [
    Profile {
        name: "deployment",
        arguments: &["--cap-drop=all", "--security-opt=no-new-privileges"],
        // Wanted, so that each is reported as missing.
        environment: &[PROBES_FROM_NODE, NODE],
        user: "101",
        capabilities: Some("0000000000000000"),
        attached: false,
    },
    Profile {
        name: "daemonset",
        arguments: &[
            "--user=0:0",
            "--cap-drop=all",
            "--cap-add=BPF,NET_ADMIN",
            "--security-opt=no-new-privileges",
        ],
        environment: &STEERING,
        user: "0",
        // CAP_NET_ADMIN is 12, CAP_BPF 39.
        capabilities: Some("0000008000001000"),
        attached: true,
    },
    Profile {
        name: "privileged",
        arguments: &["--user=0:0", "--privileged"],
        environment: &STEERING,
        user: "0",
        capabilities: None,
        attached: true,
    },
];

/// The node is loopback here, so that requests of the test count as the kubelet's.
const STEERING: [(&str, &str); 3] = [("HOLYSHEEP_EBPF", "required"), PROBES_FROM_NODE, NODE];
const PROBES_FROM_NODE: (&str, &str) = ("HOLYSHEEP_PROBE_SOURCES", "node");
const NODE: (&str, &str) = ("HOST_IP", "127.0.0.1");

pub(super) fn run_all(
    workspace: &Workspace,
    engine: &Engine,
    tag: &str,
    outcome: &mut Outcome,
) -> Result<()> {
    let directory = super::scratch(workspace, "run")?;
    cargo::build_programs(workspace)?;
    let mut group = Group::new()?;
    let binary = workspace.binary("debug", "holysheep-emulator");
    let network = Network::start(&mut group, &binary, &directory)?;

    let node = Node::new(&directory)?;

    let newcomer = Container::new(engine, tag, "newcomer", &node, &directory);
    let mut own = Group::new()?;
    newcomer.start(&mut own, &network, &[], &[])?;
    let code = newcomer.wait(&mut own)?;
    outcome.check("without settings", &refused(code, &newcomer.log()));

    for profile in &PROFILES {
        let container = Container::new(engine, tag, profile.name, &node, &directory);
        let problems = try_out(
            profile, &container, engine, &network, &mut group, &directory,
        )
        .unwrap_or_else(|error| vec![format!("{error:#}")]);
        if !problems.is_empty() {
            println!("its log:\n{}", container.log());
        }
        outcome.check(profile.name, &problems);
    }
    Ok(())
}

/// It has to say what is missing, in words that fit whoever typed `podman run`.
fn refused(code: Option<i32>, log: &str) -> Problems {
    let mut problems = Problems::new();
    if code != Some(BAD_USAGE) || !log.contains("HOLYSHEEP_AUTH=open") {
        problems.push(format!("ended with {code:?} and said: {log}"));
    }
    problems
}

fn try_out(
    profile: &Profile,
    container: &Container<'_>,
    engine: &Engine,
    network: &Network,
    group: &mut Group,
    directory: &Path,
) -> Result<Problems> {
    let ca = directory.join("ca.pem");
    let volume = format!("--volume={}:{CA}:ro", ca.display());
    let mut arguments = vec![volume.as_str()];
    arguments.extend(profile.arguments);
    if profile.capabilities.is_some() {
        arguments.extend(container.node.seccomp.as_deref());
    }
    let emulator = &network.emulator;
    let mut environment = vec![
        ("HOLYSHEEP_AUTH", "open"),
        ("HOLYSHEEP_API_BASE_URL", emulator.base_url.as_str()),
        ("HOLYSHEEP_API_KEY", emulator.key.as_str()),
        ("HOLYSHEEP_UPSTREAM_CA", CA),
    ];
    environment.extend(profile.environment);
    container.start(group, network, &arguments, &environment)?;
    group.wait_for("the proxy in the container to be ready", LIMIT, |_| {
        let (status, _) = network.get(ADMIN, "/readyz").ok()?;
        (status == 200).then_some(())
    })?;

    let mut problems = process(profile, container, engine)?;
    problems.extend(requests(network)?);
    problems.extend(programs(profile, network)?);
    if profile.attached {
        problems.extend(steering(network)?);
    }
    match container.stop(group)? {
        Some(0) => {}
        code => problems.push(format!("SIGTERM ended it with {code:?}")),
    }
    Ok(problems)
}

/// Runs with the rights it should have, and no others.
fn process(profile: &Profile, container: &Container<'_>, engine: &Engine) -> Result<Problems> {
    let mut podman = engine.podman();
    podman.args(["inspect", "--format", "{{.State.Pid}}", &container.name]);
    let pid = output(&mut podman)?;
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    };
    let status = read("status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next().map(str::to_owned))
    };
    let mut problems = Problems::new();
    let mut require = |name: &str, expected: &str| {
        let found = field(name);
        if found.as_deref() != Some(expected) {
            problems.push(format!("{name} {found:?}, not {expected}"));
        }
    };
    require("Uid:", profile.user);
    if let Some(capabilities) = profile.capabilities {
        require("CapBnd:", capabilities);
        require("NoNewPrivs:", "1");
        // Filtered by podman's default list of system calls.
        require("Seccomp:", "2");
    }
    let mounts = read("mountinfo")?;
    let root = mounts.lines().find_map(|line| line.split_once(" / / "));
    if !root.is_some_and(|(_, options)| options.starts_with("ro")) {
        problems.push(format!("its root is not read-only: {root:?}"));
    }
    Ok(problems)
}

/// Serves what it is there for, with the key it has and the client has not.
fn requests(network: &Network) -> Result<Problems> {
    let mut problems = Problems::new();
    let question = r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"Hello"}]}"#;
    let head = "POST /v1/chat/completions HTTP/1.1\r\ncontent-type: application/json\r\n";
    let (status, answer) = network.request(DATA, head, question)?;
    if status != 200 || !answer.contains("chat.completion") {
        problems.push(format!("a request was answered with {status}: {answer}"));
    }
    let (status, answer) = network.get(DATA, "/health")?;
    if (status, answer.as_str()) != (200, "healthy\n") {
        problems.push(format!("/health answers {status}: {answer}"));
    }
    Ok(problems)
}

/// Says of each kernel program whether it runs, and why not.
fn programs(profile: &Profile, network: &Network) -> Result<Problems> {
    let mut problems = Problems::new();
    let (_, metrics) = network.get(ADMIN, "/metrics")?;
    let (_, status) = network.get(ADMIN, "/status")?;
    let status: Value = serde_json::from_str(&status).context("/status is no JSON")?;
    let listed = status.pointer("/kernel/programs").and_then(Value::as_array);
    let listed = listed.context("/status lists no kernel programs")?;
    let value = u8::from(profile.attached);
    for program in PROGRAMS {
        let sample = format!("holysheep_kernel_program_attached{{program=\"{program}\"}} {value}");
        if !metrics.lines().any(|line| line == sample) {
            problems.push(format!("/metrics has no line {sample}"));
        }
        let Some(entry) = listed.iter().find(|entry| entry["name"] == program) else {
            bail!("/status does not list {program}");
        };
        let reasons = entry["reasons"].as_array().map_or(0, Vec::len);
        if entry["attached"] != profile.attached || (reasons == 0) != profile.attached {
            problems.push(format!("/status says {entry}"));
        }
    }
    println!("{}: {}", profile.name, status["kernel"]);
    Ok(problems)
}

/// A probe to the data port reaches the listener for probes: only there is `/readyz` answered.
fn steering(network: &Network) -> Result<Problems> {
    let mut problems = Problems::new();
    let (status, answer) = network.get(DATA, "/readyz")?;
    if status != 200 {
        problems.push(format!("/readyz on the data port: {status} {answer}"));
    }
    Ok(problems)
}
