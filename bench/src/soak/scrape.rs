//! What a proxy says of itself, asked as Prometheus does.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What Prometheus accepts.
const ACCEPT: &str =
    "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";

/// The figures of one scrape that a soak looks at.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Scrape {
    pub(super) requests: f64,
    pub(super) in_flight: f64,
    /// Open connections of clients.
    pub(super) connections: f64,
    /// To all upstreams together.
    pub(super) upstream_idle: f64,
    pub(super) upstream_active: f64,
    /// The proxy's own errors by code.
    pub(super) rejected: BTreeMap<String, f64>,
    /// Configurations that were read, and those that could not be used.
    pub(super) reloads: [f64; 2],
    /// Take-overs that another process asked for and that came to nothing.
    pub(super) take_overs_failed: f64,
    /// What kernel programs and log could not note.
    pub(super) lost: BTreeMap<String, f64>,
    /// Series in all: what a leak of labels would add to.
    pub(super) series: f64,
}

impl Scrape {
    /// Asks the admin port.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub(super) async fn read(admin: u16) -> Result<Self> {
        let (status, text) = get(admin, "/metrics", ACCEPT).await?;
        ensure!(status == 200, "/metrics: {status}");
        ensure!(text.ends_with("# EOF\n"), "/metrics has no end");
        Ok(Self::parse(&text))
    }

    /// All of its errors but those of clients that left.
    pub(super) fn errors(&self) -> f64 {
        let codes = self.rejected.iter();
        codes
            .filter(|(code, _)| *code != "client_closed")
            .map(|(_, count)| count)
            .sum()
    }

    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // What comes after an exemplar's mark is none of the sample.
            let line = line.split(" # ").next().unwrap_or_default();
            let Some((sample, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else {
                continue;
            };
            scrape.series += 1.0;
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let label = |key: &str| {
                let (_, rest) = labels.split_once(&format!("{key}=\""))?;
                rest.split('"').next()
            };
            match name {
                "holysheep_http_requests_total" => scrape.requests += value,
                "holysheep_http_requests_in_flight" => scrape.in_flight += value,
                "holysheep_http_connections" => scrape.connections += value,
                "holysheep_upstream_connections" => match label("state") {
                    Some("idle") => scrape.upstream_idle += value,
                    _ => scrape.upstream_active += value,
                },
                "holysheep_rejected_total" if value > 0.0 => {
                    let code = label("reason").unwrap_or("?").to_owned();
                    scrape.rejected.insert(code, value);
                }
                "holysheep_config_reloads_total" => {
                    scrape.reloads[usize::from(label("result") != Some("ok"))] = value;
                }
                "holysheep_take_overs_total" if label("result") == Some("failed") => {
                    scrape.take_overs_failed = value;
                }
                "holysheep_access_log_dropped_total" | "holysheep_kernel_events_dropped_total"
                    if value > 0.0 =>
                {
                    scrape.lost.insert(sample.to_owned(), value);
                }
                _ => {}
            }
        }
        scrape
    }
}

/// What the admin port answers to a path.
///
/// # Errors
/// When there is no whole answer in time.
pub(super) async fn get(admin: u16, path: &str, accept: &str) -> Result<(u16, String)> {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, admin)).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let (_, body) = text.split_once("\r\n\r\n").context("no head")?;
        Ok((status.context("no status")?, body.to_owned()))
    };
    timeout(PATIENCE, ask).await.context("no answer in time")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_found() {
        let text = "# TYPE holysheep_http_requests counter\n\
            holysheep_http_requests_total{route=\"/v1/models\",status=\"200\"} 7 # {trace_id=\"x\"} 1 2\n\
            holysheep_http_requests_total{route=\"unknown\",status=\"404\"} 2\n\
            holysheep_http_requests_in_flight 3\n\
            holysheep_upstream_connections{upstream=\"a\",state=\"idle\"} 4\n\
            holysheep_upstream_connections{upstream=\"a\",state=\"active\"} 1\n\
            holysheep_rejected_total{reason=\"client_closed\"} 5\n\
            holysheep_rejected_total{reason=\"overloaded\"} 6\n\
            holysheep_rejected_total{reason=\"total_timeout\"} 0\n\
            holysheep_config_reloads_total{result=\"ok\"} 8\n\
            holysheep_config_reloads_total{result=\"failed\"} 9\n# EOF\n";
        let scrape = Scrape::parse(text);
        assert_eq!((scrape.requests, scrape.in_flight), (9.0, 3.0));
        assert_eq!((scrape.upstream_idle, scrape.upstream_active), (4.0, 1.0));
        assert_eq!((scrape.rejected.len(), scrape.errors()), (2, 6.0));
        assert_eq!(scrape.reloads, [8.0, 9.0]);
        assert_eq!(scrape.series, 10.0);
    }
}
