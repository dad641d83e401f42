//! Defaults, read from what the proxy makes of a file that sets nothing, and written as people would.

use std::error::Error;
use std::time::Duration;

use holysheep_proxy::config::{Config, ConfigFile, live, shapes};
use serde_json::{Value, json};

use super::schema::keys;

/// What has to be there so that sections without defaults have those of their keys.
const LEAST: &str = "webhook: {secret_file: s, forward_to: 'http://h'}\n\
                     traces: {endpoint: 'http://h'}\n\
                     limits: {redis: {url: 'redis://h'}}\n";
/// What is as it is by [`LEAST`], or because of this machine.
const NONE: [&str; 5] = [
    "webhook.secret_file",
    "webhook.forward_to",
    "traces.endpoint",
    "limits.redis.url",
    "workers",
];

/// A configuration in which everything is as if it were not set.
pub(crate) struct Defaults(Value);

impl Defaults {
    pub(crate) fn read() -> Result<Self, Box<dyn Error>> {
        let mut config = serde_json::to_value(Config::build(ConfigFile::parse(LEAST)?)?)?;
        for (name, path) in live::NAMES {
            let pointer = |path: &str| format!("/{}", path.replace('.', "/"));
            let value = config.pointer_mut(&pointer(name)).map(Value::take);
            let mut place = &mut config;
            for step in path.split('.') {
                place = &mut place[step];
            }
            *place = value.unwrap_or_default();
        }
        Ok(Self(config))
    }

    /// Writes into a section's schema what the keys in it are unless set.
    pub(crate) fn enter(&self, schema: &mut Value, path: &str) {
        let names: Vec<String> = keys(schema)
            .into_iter()
            .flat_map(|keys| keys.keys().cloned())
            .collect();
        for name in names {
            let below = match path {
                "" => name.clone(),
                above => format!("{above}.{name}"),
            };
            let key = &mut schema["properties"][&name];
            if keys(key).is_some() {
                self.enter(key, &below);
                continue;
            }
            let value = self.0.pointer(&format!("/{}", below.replace('.', "/")));
            let value = value.filter(|_| !NONE.contains(&below.as_str()));
            let has_examples = key.get("examples").is_some();
            let says = |value: &&Value| !(value.is_null() || has_examples && is_empty(value));
            if let Some(value) = value.filter(says) {
                key["default"] = written(value, key);
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    *value == json!([]) || *value == json!({})
}

/// A value as it would be written in the file.
fn written(value: &Value, schema: &Value) -> Value {
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    match (value.as_u64(), value.as_str()) {
        (Some(bytes), _) if pattern == shapes::SIZE => json!(size(bytes)),
        (_, Some(text)) if pattern == shapes::DURATION => json!(duration(text)),
        _ => whole(value),
    }
}

/// A number that has no part of one without it.
fn whole(value: &Value) -> Value {
    let number = value.as_f64().filter(|number| number.fract() == 0.0);
    let whole = number.and_then(|number| format!("{number}").parse::<u64>().ok());
    whole.map_or_else(|| value.clone(), Value::from)
}

fn size(bytes: u64) -> String {
    [(1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|(unit, _)| bytes.is_multiple_of(*unit))
        .map_or(bytes.to_string(), |(unit, name)| {
            format!("{}{name}", bytes / unit)
        })
}

/// In one unit, and in seconds up to two minutes.
fn duration(text: &str) -> String {
    let span = humantime::parse_duration(text).unwrap_or_default();
    let seconds = span.as_secs();
    match seconds {
        _ if span != Duration::from_secs(seconds) => text.to_owned(),
        120.. if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
