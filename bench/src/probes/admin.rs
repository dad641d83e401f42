//! What the product itself says about probes, from its `/metrics`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Its counters of probes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Probes {
    /// Connections the kernel program steered; none where it is not attached.
    pub(super) steered: Option<u64>,
    /// Probes of `/health` that the probe thread answered 200.
    pub(super) answered: u64,
}

impl Probes {
    /// Asks the admin port.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn read(port: u16) -> Result<Self> {
        let text = timeout(PATIENCE, get(port)).await;
        let text = text.context("no answer in time").and_then(|text| text);
        Ok(Self::parse(&text.context("the product's /metrics")?))
    }

    fn parse(text: &str) -> Self {
        Self {
            steered: value(text, "holysheep_kernel_probes_steered_total"),
            answered: value(
                text,
                r#"holysheep_probes_total{path="/health",status="200"}"#,
            )
            .unwrap_or(0),
        }
    }

    /// What was added since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            steered: self
                .steered
                .map(|steered| steered - earlier.steered.unwrap_or(0)),
            answered: self.answered - earlier.answered,
        }
    }
}

async fn get(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
    Ok(text)
}

fn value(text: &str, series: &str) -> Option<u64> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(series));
    // A series without labels is written with braces or without.
    let value = values.next()?.trim_start_matches("{}");
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_and_missing_ones_told_apart_from_zero() {
        let text = "holysheep_kernel_probes_steered_total{} 12\n\
                    holysheep_probes_total{path=\"/health\",status=\"200\"} 11\n\
                    holysheep_probes_total{path=\"/health\",status=\"503\"} 1\n";
        let probes = Probes::parse(text);
        assert_eq!((probes.steered, probes.answered), (Some(12), 11));
        assert_eq!(Probes::parse("# EOF\n"), Probes::default());
        let before = Probes {
            steered: Some(2),
            answered: 1,
        };
        let since = probes.since(&before);
        assert_eq!((since.steered, since.answered), (Some(10), 10));
    }
}
