//! Further upstreams of a [`Rig`], an emulator each, and the books of all of them.

use std::collections::HashSet;

use holysheep_emulator::{Builder, Emulator};
use holysheep_proxy::config::ConfigFile;

use super::{Directory, EMULATOR_KEY, Rig};

const NAMES: [&str; 3] = ["second", "third", "fourth"];

/// Starts one emulator for each of the settings. The first one's authority signs for all, so that its certificate will do.
pub(super) fn start(
    settings: Vec<Box<dyn FnOnce(Builder) -> Builder>>,
    first: &Emulator,
    file: &mut ConfigFile,
    directory: &Directory,
) -> Vec<Emulator> {
    let mut others = Vec::new();
    for (index, set) in settings.into_iter().enumerate() {
        let mut emulator = Emulator::builder().api_key(EMULATOR_KEY);
        if let Some(authority) = first.authority() {
            emulator = emulator.authority(authority);
        }
        let emulator = set(emulator).start_blocking().unwrap();
        if file.upstreams.len() == index {
            file.upstreams.push(Default::default());
        }
        let upstream = &mut file.upstreams[index];
        upstream.name.get_or_insert_with(|| NAMES[index].to_owned());
        upstream
            .base_url
            .get_or_insert_with(|| emulator.base_url().to_owned());
        upstream.ca_file.get_or_insert(directory.path("ca.pem"));
        if upstream.api_keys.is_empty() {
            upstream.api_key_file.get_or_insert(directory.path("key"));
        }
        others.push(emulator);
    }
    others
}

impl Rig {
    /// All emulators, the first upstream's first.
    pub(crate) fn emulators(&self) -> impl Iterator<Item = &Emulator> {
        std::iter::once(&self.emulator).chain(&self.others)
    }

    /// How many requests each upstream has got.
    pub(crate) fn requests(&self) -> Vec<u64> {
        let stats = self.emulators().map(Emulator::stats);
        stats.map(|stats| stats.requests).collect()
    }

    /// How many each has billed.
    pub(crate) fn billed(&self) -> Vec<u64> {
        let stats = self.emulators().map(Emulator::stats);
        stats.map(|stats| stats.billed).collect()
    }

    /// Waits until no request is under way anywhere: all that is counted has been counted then.
    #[track_caller]
    pub(crate) fn wait_idle(&self) {
        super::eventually(|| {
            let mut emulators = self.emulators();
            self.metric("holysheep_http_requests_in_flight") < 0.5
                && emulators.all(|emulator| emulator.stats().in_flight == 0)
        });
    }

    /// Asserts that no request was billed twice, be it by one upstream or by two. Gives how many were billed.
    #[track_caller]
    pub(crate) fn assert_billed_once(&self) -> usize {
        let mut seen = HashSet::new();
        let ids = self.emulators().flat_map(|emulator| emulator.billed_ids());
        for id in ids {
            assert!(seen.insert(id.clone()), "{id} was billed twice");
        }
        let billed: u64 = self.billed().iter().sum();
        assert_eq!(billed, seen.len() as u64, "all have an id of their own");
        seen.len()
    }
}
