//! What the log says when everything has started: one screen, of what this process is and what holds for its clients.

use tracing::field::display;

use super::App;
use crate::clients::follow::Book;
use crate::config::{AccessLog, Auth, Config, Dialects, UpstreamProtocol};
use crate::kernel::{Kernel, Missing, Program};
use crate::metrics::Metrics;
use crate::upstream::Link;

impl App {
    /// Writes it to the log; that it serves comes last.
    pub fn announce(&self) {
        let config = self.readiness.config.load();
        let links = self.readiness.links.load();
        links.iter().for_each(|link| upstream(link));
        clients(&config, self.clients.as_deref());
        limits(&config, &self.readiness.metrics);
        kernel(self.readiness.metrics.kernel());
        logs(&config);
        tracing::info!(
            listen = %self.addresses.data,
            tls_listen = self.addresses.tls.map(display),
            admin = %self.addresses.admin,
            probes = self.addresses.probe.map(display),
            workers = config.workers,
            take_over = config.take_over.as_ref().map(|path| display(path.display())),
            process = std::process::id(),
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
    }
}

fn upstream(link: &Link) {
    let settings = &link.settings;
    let keys = link.keys.all().iter().filter(|key| key.is_there()).count();
    let dialect = match settings.dialect {
        Dialects::All => None,
        Dialects::OpenAi => Some("openai"),
        Dialects::Anthropic => Some("anthropic"),
    };
    tracing::info!(
        name = settings.name,
        url = %settings.base_url,
        keys,
        protocol = match settings.protocol {
            UpstreamProtocol::Http1 => "http1",
            UpstreamProtocol::Http2 => "http2",
        },
        dialect,
        "upstream"
    );
}

fn clients(config: &Config, book: Option<&Book>) {
    let known = book.map(|book| book.clients.load().all().len());
    let is_meant = config.auth == Auth::Clients;
    tracing::info!(
        auth = config.auth.as_str(),
        known = known.filter(|_| is_meant),
        "clients"
    );
}

fn limits(config: &Config, metrics: &Metrics) {
    let limits = &config.limits;
    tracing::info!(
        in_flight = limits.in_flight,
        body = limits.body,
        headers = limits.headers,
        "limits of the process"
    );
    let each = &limits.per_client;
    if !each.is_any() && config.auth != Auth::Clients {
        tracing::info!("limits of each client: none");
        return;
    }
    let redis = config.redis.as_ref().map(|redis| redis.url.as_str());
    tracing::info!(
        requests_per_minute = each.requests.map(|rate| rate.per_minute),
        tokens_per_minute = each.tokens.map(|rate| rate.per_minute),
        concurrent = each.concurrent,
        usd_per_day = each.usd_per_day.map(display),
        usd_per_month = each.usd_per_month.map(display),
        counted_in = redis.unwrap_or("process"),
        budgets_kept_in = metrics.quotas().kept.store(),
        "limits of each client"
    );
}

fn kernel(kernel: &Kernel) {
    let on = Program::ALL
        .into_iter()
        .filter(|program| kernel.runs(*program));
    let on: Vec<_> = on.map(Program::name).collect();
    let off = kernel.programs().iter().filter_map(|(program, result)| {
        let reasons = result.as_ref().err()?;
        Some((*program, reasons.clone()))
    });
    let off = Missing(off.collect()).to_string();
    tracing::info!(
        on = if on.is_empty() {
            "none".to_owned()
        } else {
            on.join(", ")
        },
        idle_windows = kernel.idle_windows().means().name(),
        "kernel programs"
    );
    for reason in off.lines() {
        tracing::info!("kernel programs off: {reason}");
    }
}

fn logs(config: &Config) {
    let to = match &config.access_log {
        AccessLog::Stdout => "stdout".into(),
        AccessLog::Off => "off".into(),
        AccessLog::File(path) => path.to_string_lossy(),
    };
    let share = config.sampling.share;
    let sample = (share < 1.0).then_some(share);
    let slow = sample.map(|_| display(humantime::format_duration(config.sampling.slow)));
    tracing::info!(%to, sample, slow, "access log");
}
