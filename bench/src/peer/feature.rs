//! What can be on in the product, each by itself, so that its cost can be measured against the product without it.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use holysheep_emulator::Authority;
use serde::Serialize;

use super::{Site, free_port};
use crate::load::Target;

/// How many there are of what grows.
const CLIENTS: usize = 10_000;
const KEYS: usize = 64;
const UPSTREAMS: usize = 16;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feature {
    /// TLS to clients.
    Tls,
    /// Clients with keys of their own, ten thousand of them.
    Clients,
    /// As many keys for upstream as there can be.
    Keys,
    /// As many upstreams as there can be, and a model that is looked up.
    Upstreams,
    /// Traces, of which none is sampled.
    Unsampled,
    /// Traces of every request.
    Traces,
}

/// What a feature needs.
#[derive(Default)]
pub(super) struct Prepared {
    /// The configuration file's text.
    pub(super) configuration: String,
    /// Where requests go, if not to the plain port.
    pub(super) target: Option<Target>,
}

impl Prepared {
    /// With this configuration.
    pub(super) fn configured(text: impl Into<String>) -> Self {
        Self {
            configuration: text.into(),
            target: None,
        }
    }
}

impl Feature {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 6] = [
        Self::Tls,
        Self::Clients,
        Self::Keys,
        Self::Upstreams,
        Self::Unsampled,
        Self::Traces,
    ];

    /// The name of the product with it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tls => "holysheep-tls",
            Self::Clients => "holysheep-clients",
            Self::Keys => "holysheep-keys",
            Self::Upstreams => "holysheep-upstreams",
            Self::Unsampled => "holysheep-unsampled",
            Self::Traces => "holysheep-traces",
        }
    }

    /// Writes the files it needs to a directory of their own.
    ///
    /// # Errors
    /// When one cannot be made.
    pub(super) fn prepare(self, site: &Site<'_>, port: u16, directory: &Path) -> Result<Prepared> {
        match self {
            Self::Tls => tls(directory),
            Self::Clients => clients(CLIENTS, site, port, directory),
            Self::Keys => keys(KEYS, directory).map(Prepared::configured),
            Self::Upstreams => upstreams(UPSTREAMS, site, directory).map(Prepared::configured),
            Self::Unsampled => Ok(Prepared::configured(traces(site, 0))),
            Self::Traces => Ok(Prepared::configured(traces(site, 1))),
        }
    }
}

/// What there can be more or fewer of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grows {
    /// Clients with keys of their own.
    Clients,
    /// Keys for upstream.
    Keys,
    /// Upstreams, and a model that is looked up among them.
    Upstreams,
}

/// The product with so many of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grown {
    pub(crate) grows: Grows,
    pub(crate) count: usize,
    /// The product's name with so many.
    pub(crate) name: &'static str,
}

const fn grown(grows: Grows, count: usize, name: &'static str) -> Grown {
    Grown { grows, count, name }
}

impl Grown {
    /// All of them, the fewest of each first.
    pub(crate) const ALL: [Self; 10] = [
        grown(Grows::Clients, 1, "1-client"),
        grown(Grows::Clients, 100, "100-clients"),
        grown(Grows::Clients, 10_000, "10000-clients"),
        grown(Grows::Clients, 100_000, "100000-clients"),
        grown(Grows::Keys, 1, "1-key"),
        grown(Grows::Keys, 8, "8-keys"),
        grown(Grows::Keys, 64, "64-keys"),
        grown(Grows::Upstreams, 1, "1-upstream"),
        grown(Grows::Upstreams, 4, "4-upstreams"),
        grown(Grows::Upstreams, 16, "16-upstreams"),
    ];

    /// As [`Feature::prepare`].
    ///
    /// # Errors
    /// When a file cannot be made.
    pub(super) fn prepare(self, site: &Site<'_>, port: u16, directory: &Path) -> Result<Prepared> {
        match self.grows {
            Grows::Clients => clients(self.count, site, port, directory),
            Grows::Keys => keys(self.count, directory).map(Prepared::configured),
            Grows::Upstreams => upstreams(self.count, site, directory).map(Prepared::configured),
        }
    }

    /// Whether the keys for upstream are its own business.
    pub(super) fn has_keys(self) -> bool {
        self.grows == Grows::Keys
    }
}

fn tls(directory: &Path) -> Result<Prepared> {
    let authority = Authority::new()?;
    let (certificate, key) = authority.server_pem(&["localhost"])?;
    let path = |name| directory.join(name);
    std::fs::write(path("tls.crt"), certificate)?;
    std::fs::write(path("tls.key"), key)?;
    authority.write_ca_pem(&path("clients-ca.pem"))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    Ok(Prepared {
        configuration: format!(
            "tls: {{listen: '{address}', certificate: '{}', key: '{}'}}\n",
            certificate.display(),
            key.display()
        ),
        target: Some(Target::tls(address, &path("clients-ca.pem"))?),
    })
}

/// One client has the key that requests are sent with, the others have keys that nobody uses.
fn clients(count: usize, site: &Site<'_>, port: u16, directory: &Path) -> Result<Prepared> {
    let file = directory.join("clients.yaml");
    let binary = super::holysheep::binary(site.proxy_binary)?;
    let added = Command::new(binary)
        .args(["client", "add", "bench", "--file"])
        .arg(&file)
        .output()
        .context("client add")?;
    let shown = String::from_utf8_lossy(&added.stdout).into_owned();
    let key = shown
        .split_whitespace()
        .find(|word| word.starts_with("hs-"))
        .context("`client add` has shown no key")?;
    let mut text = std::fs::read_to_string(&file)?;
    ensure!(text.starts_with("clients:"), "{}", file.display());
    let mut random = fastrand::Rng::with_seed(1);
    for number in 1..count {
        let id: String = (0..12).map(|_| random.alphanumeric()).collect();
        let (salt, hash) = (random.u128(..), [random.u128(..), random.u128(..)]);
        // As short as can be: a hundred thousand of them just fit into what the product reads of a file, 16 MiB.
        let _ = writeln!(
            text,
            "  - {{name: c{number},keys: [{{id: \"{id}\",salt: \"{salt:032x}\",hash: \"{:032x}{:032x}\"}}]}}",
            hash[0], hash[1]
        );
    }
    std::fs::write(&file, text)?;
    Ok(Prepared {
        // Unless told otherwise, named clients have a limit, which is a feature of its own.
        configuration: format!(
            "auth: clients\nclients: {{file: '{}'}}\nlimits: {{per_client: {{requests_per_minute: 0}}}}\n",
            file.display()
        ),
        target: Some(Target::plain(port).with_key(key)),
    })
}

fn keys(count: usize, directory: &Path) -> Result<String> {
    let mut text = "upstream:\n  api_keys:\n".to_owned();
    for number in 0..count {
        let file = directory.join(format!("key-{number}"));
        std::fs::write(&file, format!("cr_bench_{number}"))?;
        let _ = writeln!(
            text,
            "    - {{name: k{number}, file: '{}'}}",
            file.display()
        );
    }
    Ok(text)
}

fn upstreams(count: usize, site: &Site<'_>, directory: &Path) -> Result<String> {
    let key = directory.join("key");
    std::fs::write(&key, "cr_bench")?;
    let mut text = "models:\n  gpt-4.1: [holysheep]\n".to_owned();
    if count > 1 {
        text.push_str("upstreams:\n");
    }
    for number in 1..count {
        let _ = writeln!(
            text,
            "  - {{name: u{number}, base_url: 'https://localhost:{}/v1', ca_file: '{}', api_key_file: '{}'}}",
            site.upstream.port(),
            site.ca.display(),
            key.display()
        );
    }
    Ok(text)
}

/// Spans go to upstream, which answers whatever comes.
fn traces(site: &Site<'_>, sample: u8) -> String {
    format!(
        "traces: {{endpoint: 'https://localhost:{}', ca_file: '{}', sample: {sample}}}\n",
        site.upstream.port(),
        site.ca.display()
    )
}
