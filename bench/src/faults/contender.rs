//! A proxy in front of the endpoints: how it is configured and started, and what it says of its repeats.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use netlab::Host;

use super::watch::Watch;
use super::world::{BAD, NAME, PORT, World};
use crate::cgroup::Cgroup;
use crate::load::Target;
use crate::peer::{self, Kind};
use crate::process::Process;

/// Its ports: free, since nobody else is in the namespace.
const LISTEN: u16 = 8080;
const ADMIN: u16 = 9090;
/// From its start to its first answer.
const START: Duration = Duration::from_secs(10);
/// For an answer of its admin port.
const PATIENCE: Duration = Duration::from_secs(2);

/// What contenders are started with.
pub(super) struct Site<'a> {
    pub(super) directory: &'a Path,
    pub(super) ca: &'a Path,
    pub(super) key: &'a str,
    pub(super) proxy_binary: Option<&'a Path>,
    pub(super) cgroup: Option<&'a Cgroup>,
}

/// A running proxy.
pub(super) struct Contender {
    kind: Kind,
    host: Host,
    pub(super) version: String,
    process: Process,
}

impl Contender {
    /// Starts it in the client's host and waits until it has an answer from upstream.
    ///
    /// # Errors
    /// When it is not installed, does not start, or is none that this bench knows.
    pub(super) async fn start(kind: &Kind, world: &World, site: &Site<'_>) -> Result<Self> {
        let directory = site.directory.join(kind.name());
        // What an earlier start left is not wanted any more.
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory)?;
        let (mut command, version) = match kind {
            Kind::HolySheep => holysheep(kind, "required", world, site, &directory)?,
            Kind::HolySheepNoEbpf => holysheep(kind, "off", world, site, &directory)?,
            Kind::HaProxy => haproxy(world, site, &directory)?,
            other => bail!("{} has no configuration for this bench", other.name()),
        };
        command
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(File::create(directory.join("stdout.log"))?)
            .stderr(File::create(directory.join("stderr.log"))?);
        let host = world.client().clone();
        let process = host.run(|| Process::spawn(&mut command, None))??;
        let mut contender = Self {
            kind: kind.clone(),
            host,
            version,
            process,
        };
        contender.ready().await.with_context(|| {
            let said = peer::tail(&directory);
            format!("{} did not start: {said}", kind.name())
        })?;
        Ok(contender)
    }

    /// Where requests go.
    pub(super) fn target() -> Target {
        Target::plain(LISTEN)
    }

    async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self.process.exited()? {
                bail!("it ended with {status}");
            }
            match self.get(LISTEN, "/v1/models") {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// How many requests it has sent again so far, by its own account.
    ///
    /// # Errors
    /// When it does not say.
    pub(super) fn repeats(&self) -> Result<u64> {
        match self.kind {
            Kind::HaProxy => of_haproxy(&self.get(ADMIN, "/;csv")?),
            _ => Ok(of_holysheep(&self.get(ADMIN, "/metrics")?)),
        }
    }

    /// Begins to ask it whether it uses the endpoint that something happens to.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn watch(&self, address: Ipv4Addr) -> Result<Watch> {
        let is_haproxy = self.kind == Kind::HaProxy;
        Watch::start(&self.host, move || match is_haproxy {
            true => haproxy_uses(&get(ADMIN, "/;csv")?),
            false => holysheep_uses(&get(ADMIN, "/status")?, address),
        })
    }

    /// The body of what a port answers to a GET; blocks for some milliseconds.
    fn get(&self, port: u16, path: &str) -> Result<String> {
        self.host.run(|| get(port, path))?
    }
}

fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer client\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
    let status = head.split(' ').nth(1);
    ensure!(status == Some("200"), "{path}: {head}");
    match head
        .to_ascii_lowercase()
        .contains("\r\ntransfer-encoding: chunked")
    {
        true => Ok(joined(body)),
        false => Ok(body.to_owned()),
    }
}

/// The text in chunks; what is malformed is left out.
fn joined(mut chunks: &str) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap_or_default();
        let chunk = rest.get(..length).filter(|chunk| !chunk.is_empty());
        let Some(chunk) = chunk else {
            break;
        };
        text.push_str(chunk);
        chunks = rest.get(length + 2..).unwrap_or_default();
    }
    text
}

/// The sum of the counter's samples.
fn of_holysheep(metrics: &str) -> u64 {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix("holysheep_upstream_retries_total{")?;
        rest.split_once("} ")?.1.parse::<u64>().ok()
    });
    samples.sum()
}

/// `wretr` of the backend, which has all repeats in it, those to other servers, too.
fn of_haproxy(csv: &str) -> Result<u64> {
    Ok(column(csv, "upstream,BACKEND,", "wretr")?.parse()?)
}

/// Whether `/status` says that the endpoint gets requests.
fn holysheep_uses(status: &str, address: Ipv4Addr) -> Result<bool> {
    let status: serde_json::Value = serde_json::from_str(status)?;
    let endpoints = status["upstream"]["endpoints"].as_array();
    let address = format!("{address}:{PORT}");
    let mut endpoints = endpoints.context("no endpoints")?.iter();
    let found = endpoints.find(|endpoint| endpoint["address"] == address.as_str());
    Ok(found.context("no such endpoint")?["state"] == "closed")
}

/// Whether the statistics say so of the last server.
fn haproxy_uses(csv: &str) -> Result<bool> {
    let server = format!("upstream,{},", server(BAD));
    let status = column(csv, &server, "status")?;
    Ok(status.starts_with("UP"))
}

/// A value of the first line that begins like this.
fn column<'a>(csv: &'a str, begin: &str, name: &str) -> Result<&'a str> {
    let mut lines = csv.lines();
    let names = lines.next().context("no statistics")?;
    let column = names.split(',').position(|known| known == name);
    let column = column.with_context(|| format!("no column {name}"))?;
    let line = lines.find(|line| line.starts_with(begin));
    let value = line.and_then(|line| line.split(',').nth(column));
    value.with_context(|| format!("no line {begin}"))
}

fn server(index: usize) -> String {
    format!("endpoint{index}")
}

fn holysheep(
    kind: &Kind,
    ebpf: &str,
    world: &World,
    site: &Site<'_>,
    directory: &Path,
) -> Result<(Command, String)> {
    let place = kind.name();
    let (mut command, version) = peer::product(site.proxy_binary, site.cgroup, place)?;
    let file = directory.join("holysheep.yaml");
    peer::configure(
        &file,
        include_str!("holysheep.yaml"),
        &[
            ("PORT", LISTEN.to_string()),
            ("ADMIN", ADMIN.to_string()),
            ("EBPF", ebpf.to_owned()),
            ("NAME", NAME.to_owned()),
            ("UPSTREAM_PORT", PORT.to_string()),
            ("CA", site.ca.display().to_string()),
            ("NAME_SERVER", world.name_server().to_string()),
        ],
    )?;
    command.args(["serve", "--config"]).arg(file);
    command.env("HOLYSHEEP_API_KEY", site.key);
    Ok((command, version))
}

fn haproxy(world: &World, site: &Site<'_>, directory: &Path) -> Result<(Command, String)> {
    let program = Path::new("haproxy");
    let version = peer::version(program, "-v", "apt-get install haproxy")?;
    let file = directory.join("haproxy.cfg");
    let servers: Vec<_> = (world.addresses().iter().enumerate())
        .map(|(index, address)| format!("    server {} {address}:{PORT}", server(index)))
        .collect();
    peer::configure(
        &file,
        include_str!("haproxy.cfg"),
        &[
            ("PORT", LISTEN.to_string()),
            ("ADMIN", ADMIN.to_string()),
            ("NAME", NAME.to_owned()),
            ("KEY", site.key.to_owned()),
            ("CA", site.ca.display().to_string()),
            ("SERVERS", servers.join("\n")),
        ],
    )?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(&file);
    Ok((command, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        assert_eq!(
            joined("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            "abc0123456789"
        );
        assert_eq!(joined("x"), "");
    }

    #[test]
    fn repeats_are_read_from_what_each_says() {
        let metrics = "a_total 1\nholysheep_upstream_retries_total{upstream=\"a\",reason=\"unread\"} 3\n\
                       holysheep_upstream_retries_total{upstream=\"a\",reason=\"status_503\"} 4\n";
        assert_eq!(of_holysheep(metrics), 7);
        let csv =
            "# pxname,svname,wretr,status\nupstream,endpoint2,2,UP 1/2\nupstream,BACKEND,5,UP\n";
        assert!(haproxy_uses(csv).unwrap());
        assert!(!haproxy_uses(&csv.replace("UP 1/2", "DOWN")).unwrap());
        assert_eq!(of_haproxy(csv).unwrap(), 5);
        assert!(of_haproxy("").is_err());
        let status =
            r#"{"upstream":{"endpoints":[{"address":"192.0.2.2:8443","state":"closed"}]}}"#;
        assert!(holysheep_uses(status, Ipv4Addr::new(192, 0, 2, 2)).unwrap());
    }
}
