//! What is not counted but looked at when somebody scrapes.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::encode::{Collector, counters, gauges};

/// The proxy's condition at the moment of a scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Whether `/readyz` would be 200.
    pub ready: bool,
    /// Whether upstream has an address and can be reached.
    pub usable: bool,
    /// The end of the TLS listener's certificate, in Unix seconds.
    pub listener_certificate: Option<i64>,
    /// The same of the certificate that upstream presented last.
    pub upstream_certificate: Option<i64>,
    /// How often the configuration file was taken over since the start.
    pub reloads: u64,
    /// How often it could not be used.
    pub failed_reloads: u64,
    /// Whether it cannot be used as it is now.
    pub reload_failed: bool,
}

impl Collector {
    pub(super) fn condition(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let condition = &self.condition;
        gauges(
            encoder,
            "holysheep_ready",
            "Whether the proxy is ready for traffic",
            [(vec![], i64::from(condition.ready))],
        )?;
        let upstream = vec![("upstream", self.upstream.as_str())];
        gauges(
            encoder,
            "holysheep_upstream_usable",
            "Whether upstream has an address and can be reached",
            [(upstream, i64::from(condition.usable))],
        )?;
        let certificates = [
            ("listener", condition.listener_certificate),
            ("upstream", condition.upstream_certificate),
        ];
        let known = certificates
            .into_iter()
            .filter_map(|(name, end)| Some((vec![("certificate", name)], end?)));
        gauges(
            encoder,
            "holysheep_certificate_expiry_timestamp_seconds",
            "When a certificate expires, in Unix time",
            known,
        )?;
        counters(
            encoder,
            "holysheep_config_reloads",
            "How often the configuration file was read again, by result",
            [
                (vec![("result", "ok")], condition.reloads),
                (vec![("result", "failed")], condition.failed_reloads),
            ],
        )?;
        gauges(
            encoder,
            "holysheep_config_reload_failed",
            "Whether the configuration file cannot be used as it is now",
            [(vec![], i64::from(condition.reload_failed))],
        )
    }
}
