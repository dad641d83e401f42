//! All benches, one after the other, and `docs/benchmarks.md` with what they printed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::book::{self, Printed};
use crate::workspace::Workspace;

/// A bench as it is run among all.
struct Bench {
    /// Its section, and its files.
    name: &'static str,
    /// The subcommand.
    command: &'static str,
    /// What it is run with, besides where its figures go.
    flags: &'static [&'static str],
    /// Whether it draws.
    draws: bool,
    /// About how long it takes, in minutes.
    minutes: u32,
}

const fn bench(
    name: &'static str,
    flags: &'static [&'static str],
    draws: bool,
    minutes: u32,
) -> Bench {
    Bench {
        name,
        command: name,
        flags,
        draws,
        minutes,
    }
}

/// Latencies without what it costs to wake a CPU up, which is another section.
const AWAKE: Bench = Bench {
    name: "latency-awake",
    command: "latency",
    flags: &["--awake"],
    draws: true,
    minutes: 4,
};

/// Those that can have AI gateways among their peers.
const WITH_GATEWAYS: [&str; 5] = ["table", "latency", "cpu", "memory", "streams"];

impl Bench {
    fn flags(&self, gateways: bool) -> Vec<&'static str> {
        let mut flags = self.flags.to_vec();
        if gateways && WITH_GATEWAYS.contains(&self.command) {
            flags.push(super::GATEWAYS);
        }
        flags
    }
}

/// All of them, those that tell most first.
const ALL: [Bench; 17] = [
    bench("table", &[], true, 6),
    bench("latency", &[], true, 4),
    AWAKE,
    bench("cpu", &[], true, 6),
    bench("saturation", &[], true, 6),
    bench("h2", &[], true, 8),
    bench(
        "ebpf",
        &["--rounds", "20", "--seconds", "2", "--no-syscalls"],
        false,
        5,
    ),
    bench(
        "limits",
        &["--rounds", "60", "--seconds", "1", "--no-syscalls"],
        false,
        8,
    ),
    bench(
        "features",
        &["--rounds", "20", "--seconds", "1", "--no-syscalls"],
        true,
        9,
    ),
    bench("budget", &[], false, 1),
    bench("growth", &[], false, 8),
    bench("cold", &[], true, 4),
    bench("memory", &[], false, 5),
    bench("probes", &[], true, 7),
    bench("streams", &[], true, 6),
    bench("prompts", &[], false, 25),
    bench("faults", &[], false, 30),
];

/// What gives a rough answer in two minutes.
const QUICK: [Bench; 3] = [
    bench("cpu", &["--quick", "--no-syscalls"], false, 1),
    bench("latency", &["--quick"], false, 1),
    bench("memory", &["--quick"], false, 1),
];

/// Where figures and plots go, below the workspace: reports have their command, and no path of one machine.
const FIGURES: &str = "target/bench";
const PLOTS: &str = "docs/plots";

/// Which are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which<'a> {
    /// All, or those of these sections if there are any, at length; they go into the document.
    Whole(&'a [String]),
    /// A few, for a rough answer.
    Quick,
}

impl Which<'_> {
    /// # Errors
    /// When there is none of a name.
    fn benches(self) -> Result<Vec<&'static Bench>> {
        let Self::Whole(names) = self else {
            return Ok(QUICK.iter().collect());
        };
        for name in names {
            let all: Vec<_> = ALL.iter().map(|bench| bench.name).collect();
            if !all.contains(&name.as_str()) {
                bail!(
                    "there is no section `{name}`; there are: {}",
                    all.join(", ")
                );
            }
        }
        let is_wanted =
            |bench: &&Bench| names.is_empty() || names.iter().any(|name| name == bench.name);
        Ok(ALL.iter().filter(is_wanted).collect())
    }
}

/// Runs them.
///
/// # Errors
/// When there is none of a name, one of them fails, those before it being in the document already, or the document has no place for one.
pub(super) fn run(workspace: &Workspace, which: Which<'_>, gateways: bool) -> Result<ExitCode> {
    let benches = which.benches()?;
    let minutes: u32 = benches.iter().map(|bench| bench.minutes).sum();
    println!("{} benches, about {minutes} minutes.", benches.len());
    for directory in [FIGURES, PLOTS] {
        let directory = workspace.root().join(directory);
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    for (index, bench) in benches.iter().enumerate() {
        let Bench {
            name,
            command: subcommand,
            minutes,
            ..
        } = bench;
        let flags = bench.flags(gateways);
        println!(
            "\n== {name}: {} of {}, about {minutes} minutes",
            index + 1,
            benches.len()
        );
        let mut command = Command::new(workspace.binary("release", "holysheep-bench"));
        command
            .arg(subcommand)
            .args(&flags)
            .current_dir(workspace.root());
        command.arg("--json").arg(format!("{FIGURES}/{name}.json"));
        if bench.draws {
            command.arg("--svg").arg(format!("{PLOTS}/{name}.svg"));
        }
        let text = told(command).with_context(|| format!("bench {name}"))?;
        if which == Which::Quick {
            continue;
        }
        let words = [&["cargo xtask bench", subcommand], flags.as_slice()].concat();
        let printed = Printed {
            bench: name,
            command: words.join(" "),
            text,
            has_plot: bench.draws,
        };
        let path = workspace.root().join("docs/benchmarks.md");
        let document = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let document = book::with(&document, &printed)?;
        fs::write(&path, document).with_context(|| path.display().to_string())?;
    }
    match which {
        Which::Quick => println!(
            "\nNext: `cargo xtask bench` runs all of them at length, about two hours, and writes docs/benchmarks.md; \
             `cargo xtask bench NAME` runs one."
        ),
        Which::Whole(_) => println!(
            "\nNext: look at `git diff docs/benchmarks.md docs/plots`; the figures themselves are in target/bench."
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a bench, shows what it prints while it does, and gives that.
fn told(mut command: Command) -> Result<String> {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("no pipe")?;
    let mut text = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        std::io::stdout().flush()?;
        text.push_str(&line);
        text.push('\n');
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("it ended with {status}; its message is above");
    }
    println!("({:.0} s)", begun.elapsed().as_secs_f64());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_among_the_peers_of_some() {
        let with: Vec<_> = ALL
            .iter()
            .filter(|bench| bench.flags(true).contains(&"--gateways"))
            .map(|bench| bench.name)
            .collect();
        assert_eq!(
            with,
            [
                "table",
                "latency",
                "latency-awake",
                "cpu",
                "memory",
                "streams"
            ]
        );
        assert!(ALL.iter().all(|bench| bench.flags(false) == bench.flags));
    }

    #[test]
    fn sections_are_run_by_name() {
        let names = |words: &[&str]| -> Result<Vec<_>> {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            let benches = Which::Whole(&words).benches()?;
            Ok(benches.iter().map(|bench| bench.name).collect())
        };
        assert_eq!(names(&[]).unwrap().len(), ALL.len());
        assert_eq!(names(&["cpu", "table"]).unwrap(), ["table", "cpu"]);
        let error = names(&["cpus"]).unwrap_err().to_string();
        assert!(
            error.contains("`cpus`") && error.contains("cpu, "),
            "{error}"
        );
    }

    #[test]
    fn the_document_has_a_place_for_each_bench() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md");
        let document = fs::read_to_string(root).unwrap();
        for bench in &ALL {
            let printed = Printed {
                bench: bench.name,
                command: String::new(),
                text: "x".to_owned(),
                has_plot: bench.draws,
            };
            book::with(&document, &printed).unwrap();
        }
    }
}
