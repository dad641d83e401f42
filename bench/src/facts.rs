//! What one must know about a run to judge or repeat it.

use std::fs;
use std::time::SystemTime;

use serde::Serialize;

/// The machine, the programs and the command line of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) date: String,
    pub(crate) command_line: String,
    pub(crate) kernel: String,
    pub(crate) cpu_model: String,
    pub(crate) cpus: usize,
    /// The CPU of the load generator and the upstream, if they were kept on one.
    pub(crate) rig_cpu: Option<usize>,
    /// The CPU of the peer under test, likewise.
    pub(crate) peer_cpu: Option<usize>,
    /// Name and version of each peer.
    pub(crate) versions: Vec<String>,
}

impl Facts {
    /// Looks them up, all but the versions; `cpus` are those of the rig and of the peer, where they have some of their own.
    pub(crate) fn gather(cpus: Option<(usize, usize)>) -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self {
            date: httpdate::fmt_http_date(SystemTime::now()),
            command_line: format!("holysheep-bench {}", arguments.join(" ")),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu_model: cpu_model(&read("/proc/cpuinfo")),
            cpus: read("/proc/cpuinfo")
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            rig_cpu: cpus.map(|(rig, _)| rig),
            peer_cpu: cpus.map(|(_, peer)| peer),
            versions: Vec::new(),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn cpu_model(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    // Virtual machines often hide the name; family and model still tell the generation.
    match (field("model name"), field("cpu family"), field("model\t")) {
        (Some(name), Some(family), Some(model)) => {
            format!("{name} (family {family} model {model})")
        }
        (Some(name), _, _) => name.to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_model_tells_the_generation() {
        let text = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Some CPU\n";
        assert_eq!(cpu_model(text), "Some CPU (family 6 model 143)");
        assert_eq!(cpu_model(""), "unknown");
    }
}
