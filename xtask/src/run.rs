//! `cargo xtask run`: the proxy on this machine, ready for requests.
//!
//! With a HolySheep key in the environment it forwards to HolySheep, else to an emulator beside it.

use std::env;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process::{Event, Group};
use crate::services::{self, Emulator};
use crate::workspace::Workspace;
use crate::{build_ebpf, command};

/// Options of the command.
#[derive(Args)]
pub(crate) struct Options {
    /// Data port
    #[arg(long, value_name = "ADDR", env = "HOLYSHEEP_LISTEN")]
    #[arg(default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Admin port
    #[arg(long, value_name = "ADDR", env = "HOLYSHEEP_ADMIN_LISTEN")]
    #[arg(default_value = "127.0.0.1:9090")]
    admin_listen: SocketAddr,
    /// More flags for `holysheep-proxy serve`
    #[arg(last = true, value_name = "FLAGS")]
    serve_flags: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    // Before the build, which may take minutes, and after it, because it may.
    options.ports_must_be_free()?;
    let has_key = ["HOLYSHEEP_API_KEY", "HOLYSHEEP_API_KEY_FILE"]
        .iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    build(workspace, has_key)?;
    options.ports_must_be_free()?;

    let mut group = Group::new()?;
    let binary = workspace.binary("release", "holysheep-proxy");
    let mut proxy = services::serve(&binary, options.listen, options.admin_listen);
    let emulator = if has_key {
        None
    } else {
        Some(start_emulator(workspace, options, &mut group, &mut proxy)?)
    };
    proxy.args(&options.serve_flags);
    group.start("proxy", &mut proxy)?;
    let waits_for = services::wait_until_up(&mut group, options.admin_listen)
        .context("the proxy did not start; its messages are above")?;
    let text = introduction(options, emulator.as_ref(), waits_for.as_deref());
    print!("{text}");
    attend(&mut group)
}

impl Options {
    fn ports_must_be_free(&self) -> Result<()> {
        must_be_free(self.listen, "--listen", "HOLYSHEEP_LISTEN")?;
        let (flag, variable) = ("--admin-listen", "HOLYSHEEP_ADMIN_LISTEN");
        must_be_free(self.admin_listen, flag, variable)
    }
}

/// The proxy would share the port with another process of the same user (`SO_REUSEPORT`) and get only
/// some of its connections, so a port in use is refused here.
fn must_be_free(address: SocketAddr, flag: &str, variable: &str) -> Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "cannot listen on {address}: {error}. Stop what uses the port (`ss -ltnp` shows it), or choose \
             another: `cargo xtask run {flag} 127.0.0.1:PORT`, or {variable} in the environment"
        ),
    }
}

fn build(workspace: &Workspace, has_key: bool) -> Result<()> {
    println!("Building, optimised; the first time takes a few minutes.");
    // Nobody else's process may load them.
    if rustix::process::geteuid().is_root() {
        build_ebpf::if_possible(workspace)?;
    }
    let mut cargo = workspace.cargo(["build", "--release", "-p", "holysheep-proxy"]);
    if !has_key {
        cargo.args(["-p", "holysheep-emulator"]);
    }
    command::run(&mut cargo, "the compiler's message is above")
}

fn start_emulator(
    workspace: &Workspace,
    options: &Options,
    group: &mut Group,
    proxy: &mut Command,
) -> Result<Emulator> {
    println!(
        "No HOLYSHEEP_API_KEY is set: starting the emulator as upstream. It answers by itself."
    );
    let binary = workspace.binary("release", "holysheep-emulator");
    // By port, so that a second run beside this one does not overwrite the file.
    let name = format!("emulator-ca-{}.pem", options.listen.port());
    let ca = workspace.scratch("xtask")?.join(name);
    let emulator = Emulator::start(group, &binary, &ca)?;
    emulator.as_upstream_of(proxy);
    Ok(emulator)
}

/// What a newcomer needs to know now.
fn introduction(options: &Options, emulator: Option<&Emulator>, waits_for: Option<&str>) -> String {
    let data = services::reachable(options.listen);
    let admin = services::reachable(options.admin_listen);
    let upstream = match emulator {
        Some(emulator) => format!("the emulator, {} (no key set)", emulator.base_url),
        None => env::var("HOLYSHEEP_API_BASE_URL").unwrap_or_else(|_| "HolySheep".to_owned()),
    };
    let state = match waits_for {
        None => "The proxy is ready.".to_owned(),
        Some(reason) => format!(
            "The proxy runs, but is not ready: {reason}.
It goes on trying; http://{admin}/readyz shows how it is. `holysheep-proxy check` tries the way to
upstream step by step."
        ),
    };
    let fault = emulator.map(fault_lines).unwrap_or_default();
    let real = if emulator.is_some() {
        "\nUse HolySheep itself:  HOLYSHEEP_API_KEY=cr_… cargo xtask run\n"
    } else {
        ""
    };
    format!(
        "
{state}
  proxy     http://{data}/v1  ->  {upstream}
  status    http://{admin}/  (also /metrics, /status, /readyz, /config)

Try it in another terminal:
  curl http://{data}/v1/chat/completions -H 'content-type: application/json' -d '{BODY}'

Let an application use it; the key may be anything, the proxy puts in the real one:
  export OPENAI_BASE_URL=http://{data}/v1
  export OPENAI_API_KEY=any-value
{fault}{real}
Each request is logged below. Ctrl-C stops everything.

"
    )
}

/// A body any chat model takes.
const BODY: &str = r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"Hello"}]}"#;

fn fault_lines(emulator: &Emulator) -> String {
    let (ca, origin) = (shell_path(&emulator.ca), emulator.origin());
    format!(
        "
Have upstream fail once: it answers the next request with 503, and the proxy sends it again (`attempts=2` in its line below):
  curl --cacert {ca} -d '503;next=1' {origin}/emulator/fault
"
    )
}

/// The whole path, as it is meant for another terminal, quoted if need be.
fn shell_path(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = path.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte);
    if path.bytes().all(is_plain) {
        return path.into_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// Waits for Ctrl-C or the end of a child, and ends the others.
fn attend(group: &mut Group) -> Result<ExitCode> {
    // Nothing has to be done at this interval; a receive without limit is just not offered.
    let long = Duration::from_secs(3600);
    loop {
        match group.next(long) {
            Some(Event::Stop { signal }) => {
                println!("\nStopping; running requests may finish. Ctrl-C again cuts them off.");
                group.finish(signal);
                println!("Stopped. Next: `cargo xtask test` runs every check.");
                return Ok(ExitCode::SUCCESS);
            }
            Some(Event::Exited { name, status }) => {
                group.end();
                bail!(
                    "the {name} ended by itself ({}); everything is stopped",
                    why(status)
                );
            }
            Some(Event::Line { .. }) | None => {}
        }
    }
}

fn why(status: ExitStatus) -> String {
    match status.code() {
        Some(2) => format!("{status}: bad usage or configuration, see its message above"),
        Some(_) => format!("{status}, see its message above"),
        None => format!("{status}: killed from outside, or out of memory"),
    }
}

#[cfg(test)]
mod tests;
