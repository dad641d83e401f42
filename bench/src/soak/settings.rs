//! A proxy's configuration file: every version differs from the one before, and every other one is wrong.

use std::path::PathBuf;

use anyhow::{Context, Result};
use holysheep_emulator::tls::Authority;

/// What a proxy's file is made of, and where it is.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) directory: PathBuf,
    pub(super) tls_port: u16,
    /// Upstreams and clients: what does not change.
    pub(super) upstreams: String,
}

impl Settings {
    /// The file.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join("proxy.yaml")
    }

    /// Writes a version of it as a whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, number: u32) -> Result<()> {
        self.replace("proxy.yaml", &self.version(number))
    }

    /// Writes a new certificate and its key, which does not have to be the right one for the moment between.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub(super) fn certify(&self, authority: &Authority) -> Result<()> {
        let (certificate, key) = authority.server_pem(&["localhost"])?;
        self.replace("tls.key", &key)?;
        self.replace("tls.crt", &certificate)
    }

    /// So that nobody reads half of it.
    fn replace(&self, name: &str, text: &str) -> Result<()> {
        let (new, file) = (self.directory.join("new"), self.directory.join(name));
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &file))
            .with_context(|| file.display().to_string())
    }

    /// What can be changed while the proxy runs, another each time; then what is wrong, if it is to be.
    fn version(&self, number: u32) -> String {
        let step = number % 20;
        let directory = self.directory.display();
        let alias = match number % 4 {
            0 => "[first, second]",
            _ => "[{upstream: first, model: soak-a}, second]",
        };
        let wrong = match number {
            number if is_right(number) => "",
            number if number.is_multiple_of(3) => "hedging: {budget_percent: many}\n",
            number if number.is_multiple_of(5) => "nonsense: [\n",
            _ => "timeout: {connect: 1s}\n",
        };
        format!(
            "# version {number}\n\
             {upstreams}\
             tls: {{listen: '127.0.0.1:{port}', certificate: {directory}/tls.crt, key: {directory}/tls.key}}\n\
             models: {{'soak-*': [first, second], soak-b: [second, first], 'h2-*': [third], 'alias': {alias}}}\n\
             prices: {{soak-a: {{input: 0.{price}, output: 1.{price}}}}}\n\
             retries: {{budget_percent: 100, backoff: 10ms}}\n\
             timeouts: {{connect: 2s, first_byte: {first_byte}ms, idle: 2s, client_idle: 15s, drain_delay: 2s, drain: 20s}}\n\
             limits: {{body: {body}, in_flight: 5000}}\n\
             log: {{format: json, sample: {sample}}}\n\
             {wrong}",
            upstreams = self.upstreams,
            port = self.tls_port,
            price = 10 + step,
            first_byte = 2000 + 10 * step,
            body = (1 << 20) + number,
            sample = if number.is_multiple_of(8) { "0.5" } else { "1" },
        )
    }
}

/// Whether a version can be used.
pub(super) fn is_right(number: u32) -> bool {
    number.is_multiple_of(2)
}
