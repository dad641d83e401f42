//! A real Prometheus that reads four real proxies and has the chart's rules: one like the DaemonSet's, one like the
//! Deployment's, one that cannot reach upstream, and one whose clients have keys.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::super::cargo;
use super::super::report::Outcome;
use super::chart::{self, Chart};
use super::client::Prometheus;
use super::clients::Client;
use super::load::{self, Ports};
use super::questions::Questions;
use super::{NAMESPACE, SCRATCH, cluster};
use crate::process::{Group, bound_to_us};
use crate::services::{self, Emulator};
use crate::workspace::Workspace;
use crate::{command, prometheus, tools};

/// Twice what it takes on two slow cores.
const LIMIT: Duration = Duration::from_secs(40);

/// A proxy, and what it passes for in the cluster.
struct Pod {
    /// For messages.
    process: &'static str,
    name: &'static str,
    component: &'static str,
    ebpf: &'static str,
    reaches_upstream: bool,
    has_clients: bool,
}

const PODS: [Pod; 4] = [
    Pod {
        process: "proxy-node",
        name: "holysheep-proxy-node-7kq2m",
        component: "daemonset",
        ebpf: "auto",
        reaches_upstream: true,
        has_clients: false,
    },
    Pod {
        process: "proxy-deployment",
        name: "holysheep-proxy-6c9f7d9b5-x2x7p",
        component: "deployment",
        ebpf: "off",
        reaches_upstream: true,
        has_clients: false,
    },
    Pod {
        process: "proxy-without-upstream",
        name: "holysheep-proxy-6c9f7d9b5-zzzzz",
        component: "deployment",
        ebpf: "off",
        reaches_upstream: false,
        has_clients: false,
    },
    Pod {
        process: "proxy-with-clients",
        name: "holysheep-proxy-6c9f7d9b5-c1c1c",
        component: "deployment",
        ebpf: "off",
        reaches_upstream: true,
        has_clients: true,
    },
];

/// Few, so that a crowd of four is too many.
const CONFIGURATION: &str = "limits: {in_flight: 2}\n";
/// The same, and few for each client, which are counted in a Redis.
const LIMITED: &str = "limits: {in_flight: 2, per_client: {requests_per_minute: 6, burst: 2, usd_per_month: 10000}, redis: {url: 'redis://REDIS'}}\n";

/// Discard's port, where nobody listens.
const NOWHERE: &str = "https://127.0.0.1:9/v1";

pub(super) fn run(workspace: &Workspace, chart: &Chart, outcome: &mut Outcome) -> Result<()> {
    cargo::build_programs(workspace)?;

    let scratch = workspace.scratch(SCRATCH)?;
    let mut group = Group::new()?;
    let binary = workspace.binary("debug", "holysheep-emulator");
    let emulator = Emulator::start(&mut group, &binary, &scratch.join("ca.pem"))?;
    let client = Client::make(workspace, start_redis(workspace, &mut group)?)?;
    let mut ports = Vec::new();
    for pod in &PODS {
        ports.push(pod.start(workspace, &mut group, &emulator, &client)?);
    }
    let has_programs = programs_run(ports[0].admin);
    if !has_programs {
        println!(
            "NOT CHECKED: kernel programs do not run here (root and Linux 5.11 are needed), so what only they measure has no data"
        );
        outcome.skip("expressions of what only kernel programs measure".to_owned());
    }
    let prometheus = start_prometheus(workspace, &mut group, chart, &ports)?;
    let mut questions = Questions::of(chart, has_programs);
    let mut rounds = 0;
    let done = group.wait_for("data for each expression", LIMIT, |_| {
        ports.iter().copied().for_each(load::round);
        if rounds % 5 == 0 {
            ports.iter().copied().for_each(load::trouble);
        }
        rounds += 1;
        load::crowd(ports[1]);
        client.round(ports[3]);
        ports.iter().copied().for_each(load::probe);
        questions.ask(&prometheus).then_some(())
    });
    if let Err(error) = done {
        println!("{error:#}");
    }
    for (reason, count) in questions.excused() {
        println!("      {count} expressions have no data: {reason}");
    }
    let title = format!(
        "{} expressions have data in Prometheus",
        questions.answered()
    );
    outcome.check(&title, &questions.problems(&prometheus));
    outcome.check(
        "Prometheus reads all targets and evaluates all rules",
        &unhealthy(&prometheus)?,
    );
    Ok(())
}

impl Pod {
    fn start(
        &self,
        workspace: &Workspace,
        group: &mut Group,
        emulator: &Emulator,
        client: &Client,
    ) -> Result<Ports> {
        let ports = Ports {
            data: services::free_address()?,
            admin: services::free_address()?,
            probe: services::free_address()?,
        };
        let binary = workspace.binary("debug", "holysheep-proxy");
        let mut proxy = services::serve(&binary, ports.data, ports.admin);
        command::without_settings(&mut proxy);
        if self.reaches_upstream {
            emulator.as_upstream_of(&mut proxy);
        } else {
            proxy.args(["--upstream", NOWHERE]);
            proxy.env("HOLYSHEEP_API_KEY", &emulator.key);
        }
        proxy.args(["--workers", "1", "--ebpf", self.ebpf]);
        proxy.args(["--probe-listen", &ports.probe.to_string()]);
        if self.has_clients {
            proxy.args(["--auth", "clients", "--clients-file"]);
            proxy.arg(&client.file);
        }
        if self.component == "daemonset" {
            proxy.args(["--probe-source", &load::NODE.to_string()]);
        } else {
            proxy
                .arg("--config")
                .arg(self.configuration(workspace, emulator, client)?);
        }
        let log = workspace
            .scratch(SCRATCH)?
            .join(format!("{}.log", self.process));
        command::log_to(&mut proxy, &log)?;
        group.start(self.process, &mut proxy)?;
        if self.reaches_upstream {
            services::wait_until_ready(group, ports.admin)
                .with_context(|| format!("see {}", log.display()))?;
        }
        Ok(ports)
    }
}

impl Pod {
    /// A file with it. Who reaches upstream has a second one with two keys, so that what is by upstream and key has several.
    fn configuration(
        &self,
        workspace: &Workspace,
        emulator: &Emulator,
        client: &Client,
    ) -> Result<PathBuf> {
        let scratch = workspace.scratch(SCRATCH)?;
        let mut text = match self.has_clients {
            true => LIMITED.replace("REDIS", &client.redis.to_string()),
            false => CONFIGURATION.to_owned(),
        };
        if self.reaches_upstream {
            let key = scratch.join("key");
            fs::write(&key, &emulator.key)?;
            let keys = ["one", "other"].map(|name| json!({"name": name, "file": key}));
            let second = json!({"name": "second", "base_url": emulator.base_url, "ca_file": emulator.ca, "api_keys": keys});
            text = format!("{text}upstreams: [{second}]\n");
        }
        let file = scratch.join(format!("{}.yaml", self.process));
        fs::write(&file, text)?;
        Ok(file)
    }
}

/// A Redis that forgets everything at its end.
fn start_redis(workspace: &Workspace, group: &mut Group) -> Result<SocketAddr> {
    let scratch = workspace.scratch(SCRATCH)?;
    let address = services::free_address()?;
    let mut redis = bound_to_us(tools::redis_server(&scratch)?);
    redis.args(["--bind", "127.0.0.1", "--save", ""]);
    redis.args(["--port", &address.port().to_string()]);
    command::log_to(redis.stdin(Stdio::null()), &scratch.join("redis.log"))?;
    group.start("redis", &mut redis)?;
    Ok(address)
}

/// Whether the first proxy has its kernel programs.
fn programs_run(admin: SocketAddr) -> bool {
    let request = "GET /metrics HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\n\r\n";
    let metrics = super::client::exchange(admin, request).unwrap_or_default();
    let programs = metrics
        .lines()
        .filter(|line| line.starts_with("holysheep_kernel_program_attached"));
    programs.clone().count() > 0 && programs.into_iter().all(|line| line.ends_with(" 1"))
}

fn start_prometheus(
    workspace: &Workspace,
    group: &mut Group,
    chart: &Chart,
    ports: &[Ports],
) -> Result<Prometheus> {
    let scratch = workspace.scratch(SCRATCH)?;
    let rules = chart::write(workspace, "rules.yaml", &chart.spec)?;
    let names: Vec<_> = PODS.iter().map(|pod| pod.name).collect();
    let settings = settings(&rules, cluster::serve(&names)?, ports);
    let file = chart::write(workspace, "prometheus.yaml", &settings)?;
    let data = scratch.join("data");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    let address = services::free_address()?;
    let mut command = bound_to_us(prometheus::program(workspace, "prometheus")?);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address={address}"));
    let log = scratch.join("prometheus.log");
    command::log_to(command.stdin(Stdio::null()), &log)?;
    group.start("prometheus", &mut command)?;
    let prometheus = Prometheus { address };
    group
        .wait_for("Prometheus to answer", LIMIT, |_| {
            prometheus.get("/api/v1/rules").ok().map(drop)
        })
        .with_context(|| format!("see {}", log.display()))?;
    Ok(prometheus)
}

/// Prometheus' configuration, with the labels a `ServiceMonitor` gives.
fn settings(rules: &Path, cluster: SocketAddr, ports: &[Ports]) -> Value {
    let proxies: Vec<_> = PODS
        .iter()
        .zip(ports)
        .map(|(pod, ports)| {
            let labels = json!({"namespace": NAMESPACE, "pod": pod.name, "container": "proxy", "component": pod.component});
            json!({"targets": [ports.admin.to_string()], "labels": labels})
        })
        .collect();
    json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [rules],
        "scrape_configs": [
            {"job_name": "holysheep-proxy", "static_configs": proxies},
            {"job_name": "kube-state-metrics", "honor_labels": true,
             "static_configs": [{"targets": [cluster.to_string()]}]},
        ],
    })
}

/// Targets that are not read, and rules that cannot be evaluated.
fn unhealthy(prometheus: &Prometheus) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let targets = &prometheus.get("/api/v1/targets")?["activeTargets"];
    let mut count = 0;
    for target in targets.as_array().into_iter().flatten() {
        count += 1;
        if target["health"] != "up" {
            problems.push(format!("{}: {}", target["scrapeUrl"], target["lastError"]));
        }
    }
    if count != PODS.len() + 1 {
        problems.push(format!("there are {count} targets"));
    }
    let groups = &prometheus.get("/api/v1/rules")?["groups"];
    let groups = groups.as_array().into_iter().flatten();
    for rule in groups
        .filter_map(|group| group["rules"].as_array())
        .flatten()
    {
        if rule["health"] != "ok" {
            problems.push(format!("{}: {}", rule["name"], rule["lastError"]));
        }
    }
    Ok(problems)
}
