//! What holds for any file of settings: it is read as it is, or each thing that is wrong with it has a line of its own and
//! a place within the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize;

use crate::tree;

/// A type with all that the proxy's have: sections in sections, lists, names of people's own, words and numbers.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sample {
    listen: Option<SocketAddr>,
    workers: Option<usize>,
    auth: Option<Word>,
    via: Option<bool>,
    name: Option<String>,
    timeouts: BTreeMap<String, String>,
    upstream: Inner,
    upstreams: Vec<Inner>,
    models: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it is only read")]
enum Word {
    Open,
    Clients,
    For(f64),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Inner {
    name: String,
    min_idle: Option<u32>,
    api_keys: Vec<Key>,
    tcp: BTreeMap<String, i64>,
}

/// Of which nothing can be left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is only read")]
struct Key {
    name: String,
    file: String,
}

/// Reads a file.
pub fn read(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let misfits = match tree::read::<Sample>(text) {
        Ok(reading) => {
            assert!(reading.value.is_some() || !reading.misfits.is_empty());
            for path in [
                "listen",
                "upstreams[0].api_keys[1].file",
                "models.a.b[0]",
                "",
            ] {
                reading.tree.find(path);
            }
            reading.misfits
        }
        Err(misfit) => vec![misfit],
    };
    let lines = text.split(['\n', '\r']).count() as u64 + 1;
    for misfit in misfits {
        assert!(!misfit.message.is_empty());
        assert!(!misfit.message.contains(char::is_control));
        assert!(!misfit.path.contains(char::is_control));
        assert!(
            misfit
                .place
                .is_none_or(|place| (1..=lines).contains(&place.line))
        );
    }
}
