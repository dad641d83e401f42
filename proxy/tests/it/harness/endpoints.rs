//! A proxy whose upstream's name has several addresses, each an emulator of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use holysheep_emulator::{Authority, Emulator, Fault, FaultScope};
use serde_json::Value;

use super::dns::NameServer;
use super::{EMULATOR_KEY, Rig};

/// Seconds for which its addresses are told.
pub(crate) const TTL: u32 = 1;
/// The name.
pub(crate) const NAME: &str = "upstream.test";

/// The addresses are 127.0.0.2 and those that follow, all with one port.
pub(crate) struct Endpoints {
    pub(crate) server: NameServer,
    others: Vec<Emulator>,
    pub(crate) rig: Rig,
}

impl Endpoints {
    /// So many, with settings of `upstream:` and a configuration beside it.
    pub(crate) fn start(count: u8, upstream: &str, config: &str) -> Self {
        let server = NameServer::start();
        let authority = Arc::new(Authority::new().unwrap());
        let at = |index: u8, port| SocketAddr::from(([127, 0, 0, 2 + index], port));
        let emulator = |address| {
            let builder = Emulator::builder().api_key(EMULATOR_KEY).name(NAME);
            let builder = builder.authority(&authority).listen(address);
            builder.start_blocking().unwrap()
        };
        let last = emulator(at(count - 1, 0));
        let port = last.addr().port();
        let mut others: Vec<_> = (1..count - 1)
            .map(|index| emulator(at(index, port)))
            .collect();
        others.push(last);
        let addresses: Vec<_> = (0..count)
            .map(|index| at(index, port).ip().to_string())
            .collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        server.set(NAME, &addresses, TTL);
        let config = format!(
            "upstream: {{base_url: 'https://{NAME}:{port}/v1', {upstream}}}\n\
             dns: {{servers: ['{}']}}\n{config}",
            server.addr()
        );
        let rig = Rig::builder()
            .config(config)
            .emulator(move |builder| builder.authority(&authority).name(NAME).listen(at(0, port)));
        let rig = rig.start();
        Self {
            server,
            others,
            rig,
        }
    }

    /// The emulator at one of the addresses.
    pub(crate) fn emulator(&self, index: usize) -> &Emulator {
        match index.checked_sub(1) {
            None => &self.rig.emulator,
            Some(index) => &self.others[index],
        }
    }

    /// Puts a fault in force at one of the addresses, until it is cleared.
    pub(crate) fn fault(&self, index: usize, fault: &str) {
        let fault: Fault = fault.parse().unwrap();
        let emulator = self.emulator(index);
        emulator.set_fault(fault, FaultScope::Always).unwrap();
    }

    /// Requests that have reached each.
    pub(crate) fn requests(&self) -> Vec<u64> {
        let all = 0..=self.others.len();
        all.map(|index| self.emulator(index).stats().requests)
            .collect()
    }

    /// What `/status` says of one of them.
    pub(crate) fn status(&self, index: usize) -> Value {
        let address = self.emulator(index).addr().to_string();
        let status = self.rig.admin("/status").json();
        let endpoints = status["upstream"]["endpoints"].as_array().unwrap();
        let mut endpoints = endpoints.iter();
        let found = endpoints.find(|endpoint| endpoint["address"] == address.as_str());
        found
            .unwrap_or_else(|| panic!("{address} is not in {status:#}"))
            .clone()
    }

    /// A series of one of them.
    pub(crate) fn metric(&self, name: &str, index: usize) -> f64 {
        let address = self.emulator(index).addr();
        let sample = format!("{name}{{upstream=\"holysheep\",endpoint=\"{address}\"}}");
        self.rig.metric(&sample)
    }
}
