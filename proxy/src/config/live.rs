//! What of the configuration can change while the proxy runs, and in what two configurations differ.

use std::time::Duration;

use serde_json::Value;

use super::{
    Breaker, Config, Ejection, Hedging, Limits, Probes, Retries, Sampling, Timeouts, Upstream,
};

/// What a worker looks at anew for each request or connection.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Time limits.
    pub timeouts: Timeouts,
    /// Size and number limits.
    pub limits: Limits,
    /// When a request may be sent again.
    pub retries: Retries,
    /// When a request goes to two endpoints.
    pub hedging: Hedging,
    /// When an endpoint gets no requests.
    pub ejection: Ejection,
    /// When an upstream gets none.
    pub breaker: Breaker,
    /// See [`Config::timing_header`].
    pub timing_header: bool,
    /// See [`Config::models_ttl`].
    pub models_ttl: Duration,
    /// See [`Config::count_usage`].
    pub count_usage: bool,
    /// See [`Config::add_usage`].
    pub add_usage: bool,
    /// See [`Config::sampling`].
    pub sampling: Sampling,
}

/// Where the file calls a field differently than [`Config`].
pub const NAMES: [(&str, &str); 10] = [
    ("redis", "limits.redis"),
    ("clients_file", "clients.file"),
    ("models_ttl", "models_cache.ttl"),
    ("count_usage", "usage.count"),
    ("add_usage", "usage.add_to_streams"),
    ("log_format", "log.format"),
    ("log_level", "log.level"),
    ("access_log", "log.access"),
    ("sampling.share", "log.sample"),
    ("sampling.slow", "log.slow"),
];

impl Config {
    /// What workers look at anew.
    pub const fn live(&self) -> Live {
        Live {
            timeouts: self.timeouts,
            limits: self.limits,
            retries: self.retries,
            hedging: self.hedging,
            ejection: self.ejection,
            breaker: self.breaker,
            timing_header: self.timing_header,
            models_ttl: self.models_ttl,
            count_usage: self.count_usage,
            add_usage: self.add_usage,
            sampling: self.sampling,
        }
    }

    /// This configuration with all of `new` that can change at run time.
    #[must_use]
    pub fn adopting(&self, new: &Self) -> Self {
        let Live {
            timeouts,
            limits,
            retries,
            hedging,
            ejection,
            breaker,
            timing_header,
            models_ttl,
            count_usage,
            add_usage,
            sampling,
        } = new.live();
        // The kernel programs were told once.
        let with_windows = |upstream: &Upstream| Upstream {
            tcp: self.upstream.tcp.clone(),
            ..upstream.clone()
        };
        Self {
            timeouts,
            limits,
            retries,
            hedging,
            ejection,
            breaker,
            timing_header,
            models_ttl,
            count_usage,
            add_usage,
            sampling,
            routes: new.routes.clone(),
            prices: new.prices.clone(),
            upstream: with_windows(&new.upstream),
            upstreams: new.upstreams.iter().map(with_windows).collect(),
            models: new.models.clone(),
            log_level: new.log_level.clone(),
            probes: Probes {
                worker_limit: new.probes.worker_limit,
                upstream_limit: new.probes.upstream_limit,
                accept_limit: new.probes.accept_limit,
                ..self.probes.clone()
            },
            ..self.clone()
        }
    }
}

/// The fields in which two configurations differ, by their paths in the file.
pub fn differences(old: &Config, new: &Config) -> Vec<String> {
    let mut paths = Vec::new();
    // What cannot be written, which no configuration is, has no differences either.
    let [old, new] = [old, new].map(|config| serde_json::to_value(config).unwrap_or_default());
    compare(&old, &new, "", &mut paths);
    for path in &mut paths {
        if let Some((_, name)) = NAMES.iter().find(|(field, _)| field == path) {
            (*name).clone_into(path);
        }
    }
    paths
}

fn compare(old: &Value, new: &Value, path: &str, paths: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                let path = match path {
                    "" => name.clone(),
                    above => format!("{above}.{name}"),
                };
                let [old, new] = [old, new].map(|map| map.get(name).unwrap_or(&Value::Null));
                compare(old, new, &path, paths);
            }
        }
        _ if old != new => paths.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigFile;

    fn config(text: &str) -> Config {
        Config::build(ConfigFile::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn fields_are_named_as_in_the_file() {
        let old = config("workers: 1");
        let new = config(
            "{workers: 2, tls: {listen: '127.0.0.1:1', certificate: c, key: k}, models_cache: {ttl: 1s}, \
             usage: {count: false, add_to_streams: false}, routes: {/v1/rerank: {idle: 1s}}, \
             log: {format: json, level: debug, access: off, sample: 0.5}, upstream: {name: x}, limits: {body: 1}, \
             dns: {servers: ['127.0.0.1'], attempts: 1}}",
        );
        let mut fields = differences(&old, &new);
        fields.sort();
        let expected = [
            "dns.attempts",
            "dns.servers",
            "limits.body",
            "log.access",
            "log.format",
            "log.level",
            "log.sample",
            "models_cache.ttl",
            "routes./v1/rerank",
            "tls",
            "upstream.name",
            "usage.add_to_streams",
            "usage.count",
            "workers",
        ];
        assert_eq!(fields, expected);
        let adopted = old.adopting(&new);
        let mut restart = differences(&adopted, &new);
        restart.sort();
        let expected = [
            "dns.attempts",
            "dns.servers",
            "log.access",
            "log.format",
            "tls",
            "workers",
        ];
        assert_eq!(restart, expected);
    }
}
