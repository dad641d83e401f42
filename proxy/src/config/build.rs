//! Turns what was given into what is used: defaults, and every check.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::filter::Targets;

use super::file::{LEAST_HEADERS, MOST_HEADERS};
use super::{
    AccessLog, Auth, Config, ConfigError, ConfigFile, LogFormat, Problem, TlsListen, models,
    prices, routes, upstream,
};

impl Config {
    /// Puts the settings of all places together (`given` already holds command
    /// line over environment over file) and checks them.
    ///
    /// # Errors
    /// Every setting that cannot be used, at once.
    pub fn build(given: ConfigFile) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listen = given.listen.unwrap_or(SocketAddr::new(loopback, 8080));
        let tls = tls_listen(&given, &mut problems);
        let (upstream, upstreams) =
            upstream::checked(&given.upstream, &given.upstreams, &mut problems);
        let auth = auth(&given, listen, tls.as_ref(), &mut problems);
        if auth == Auth::Passthrough && !upstreams.is_empty() {
            problems.push(Problem {
                field: "upstreams".into(),
                message: "with `auth: passthrough` each client's key would go to all of them; \
                          expected one upstream, or `auth: open`"
                    .to_owned(),
            });
        }
        let clients_file = clients_file(&given, auth, &mut problems);
        let names = std::iter::once(&upstream).chain(&upstreams);
        let models = models::checked(&given.models, names, &mut problems);
        let timeouts = given.timeouts.checked();
        let routes = routes::checked(&timeouts, given.responses, &given.routes, &mut problems);
        let config = Self {
            listen,
            admin_listen: given
                .admin_listen
                .unwrap_or(SocketAddr::new(loopback, 9090)),
            tls,
            workers: given.workers.unwrap_or_else(default_workers),
            take_over: given.take_over,
            ebpf: given.ebpf.unwrap_or_default(),
            ebpf_log: given.ebpf_log.unwrap_or_default(),
            timing_header: given.timing_header.unwrap_or_default(),
            auth,
            clients_file,
            state_dir: given.state_dir,
            upstream,
            upstreams,
            models,
            retries: given.retries.checked(&mut problems),
            hedging: given.hedging.checked(&mut problems),
            ejection: given.ejection.checked(&mut problems),
            breaker: given.breaker.checked(&mut problems),
            dns: given.dns.checked(&mut problems),
            timeouts,
            routes,
            limits: given.limits.checked(auth, &mut problems),
            redis: given.limits.redis.checked(&mut problems),
            probes: given.probes.checked(&mut problems),
            webhook: given.webhook.checked(&mut problems),
            traces: given.traces.checked(&mut problems),
            models_ttl: given
                .models_cache
                .ttl
                .map_or(Duration::from_secs(300), |d| d.0),
            count_usage: given.usage.count.unwrap_or(true),
            add_usage: given.usage.add_to_streams.unwrap_or(true),
            prices: prices::checked(&given.prices, &mut problems),
            sampling: given.log.sampling(&mut problems),
            log_format: given.log.format.unwrap_or(LogFormat::Text),
            log_level: given.log.level.unwrap_or_else(|| "info".to_owned()),
            access_log: match given.log.access.as_deref() {
                None | Some("stdout") => AccessLog::Stdout,
                Some("off") => AccessLog::Off,
                Some(path) => AccessLog::File(path.into()),
            },
        };
        config.check(&mut problems);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::invalid(problems))
        }
    }

    fn check(&self, problems: &mut Vec<Problem>) {
        let mut require = |holds: bool, field: &'static str, message: String| {
            if !holds {
                problems.push(Problem {
                    field: field.into(),
                    message,
                });
            }
        };
        let workers = self.workers;
        require(
            (1..=512).contains(&workers),
            "workers",
            format!("{workers} is out of range; expected 1 to 512"),
        );
        let headers = self.limits.headers;
        require(
            (LEAST_HEADERS..=MOST_HEADERS).contains(&headers),
            "limits.headers",
            format!("{headers} is out of range; expected 1 KiB to 1 MiB"),
        );
        require(
            self.limits.in_flight > 0,
            "limits.in_flight",
            "0 would refuse every request; expected at least 1".to_owned(),
        );
        require(
            self.count_usage || !self.limits.per_client.has_budget(),
            "usage.count",
            "false, so nobody knows what requests cost; expected true with limits.per_client.usd_per_day or usd_per_month"
                .to_owned(),
        );
        let timeouts = &self.timeouts;
        for (field, duration) in [
            ("timeouts.connect", timeouts.connect),
            ("timeouts.first_byte", timeouts.first_byte),
            ("timeouts.idle", timeouts.idle),
            ("timeouts.client_header", timeouts.client_header),
            ("timeouts.client_body", timeouts.client_body),
            ("timeouts.client_idle", timeouts.client_idle),
        ] {
            let message = "0s would end everything at once; expected such as 10s";
            require(!duration.is_zero(), field, message.to_owned());
        }
        require(
            Targets::from_str(&self.log_level).is_ok(),
            "log.level",
            format!(
                "{:?} is no filter; expected a level such as info, or holysheep_proxy=debug",
                self.log_level
            ),
        );
    }
}

fn default_workers() -> usize {
    // Honours the CPU affinity and the cgroup's quota.
    std::thread::available_parallelism().map_or(1, Into::into)
}

fn tls_listen(given: &ConfigFile, problems: &mut Vec<Problem>) -> Option<TlsListen> {
    let tls = &given.tls;
    let Some(listen) = tls.listen else {
        if tls.certificate.is_some() || tls.key.is_some() {
            problems.push(Problem {
                field: "tls.listen".into(),
                message: "missing; expected an address such as 0.0.0.0:8443".to_owned(),
            });
        }
        return None;
    };
    match (tls.certificate.clone(), tls.key.clone()) {
        (Some(certificate), Some(key)) => Some(TlsListen {
            listen,
            certificate,
            key,
        }),
        (certificate, _) => {
            let field = if certificate.is_none() {
                "tls.certificate"
            } else {
                "tls.key"
            };
            problems.push(Problem {
                field: field.into(),
                message: "missing; a TLS listener needs a certificate and a key file".to_owned(),
            });
            None
        }
    }
}

fn auth(
    given: &ConfigFile,
    listen: SocketAddr,
    tls: Option<&TlsListen>,
    problems: &mut Vec<Problem>,
) -> Auth {
    let exposed = std::iter::once(listen)
        .chain(tls.map(|tls| tls.listen))
        .find(|address| !address.ip().is_loopback());
    match (given.auth, exposed) {
        (Some(auth), _) => auth,
        (None, None) => Auth::Open,
        (None, Some(address)) => {
            problems.push(Problem {
                field: "auth".into(),
                message: format!(
                    "not set, and {address} is reachable by others, who would spend your key. \
                     Say `auth: open` (--auth open, HOLYSHEEP_AUTH=open) if the network keeps \
                     strangers out, `auth: clients` if you give out keys, or `auth: passthrough` if clients \
                     bring their own"
                ),
            });
            Auth::Open
        }
    }
}

/// The file of clients, which is there if and only if they are asked for keys: a file that is not used must not be taken
/// for a lock.
fn clients_file(given: &ConfigFile, auth: Auth, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let file = given.clients.file.clone();
    let message = match (auth, &file) {
        (Auth::Clients, None) => {
            "missing; `auth: clients` needs the file that `holysheep-proxy client add` writes"
        }
        (Auth::Open | Auth::Passthrough, Some(_)) => {
            "set, but not used: expected `auth: clients` (--auth clients, HOLYSHEEP_AUTH=clients) with it"
        }
        _ => return file,
    };
    problems.push(Problem {
        field: "clients.file".into(),
        message: message.to_owned(),
    });
    None
}
