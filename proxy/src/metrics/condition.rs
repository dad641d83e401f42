//! What is not counted but looked at when somebody scrapes.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;

use super::encode::{Collector, counters, gauges};
use crate::clients::follow::Book;
use crate::upstream::Links;

/// The proxy's condition at the moment of a scrape.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Whether `/readyz` would be 200.
    pub ready: bool,
    /// The upstreams.
    pub links: Arc<Links>,
    /// Whether each of them has an address and can be reached.
    pub usable: Vec<bool>,
    /// The end of the TLS listener's certificate, in Unix seconds.
    pub listener_certificate: Option<i64>,
    /// How often the configuration file was taken over since the start.
    pub reloads: u64,
    /// How often it could not be used.
    pub failed_reloads: u64,
    /// Whether it cannot be used as it is now.
    pub reload_failed: bool,
    /// The clients, where they have keys of their own.
    pub clients: Option<Arc<Book>>,
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
        let names = condition
            .links
            .iter()
            .map(|link| link.settings.name.as_str());
        let usable = names.zip(&condition.usable);
        gauges(
            encoder,
            "holysheep_upstream_usable",
            "Whether upstream has an address and can be reached",
            usable.map(|(name, usable)| (vec![("upstream", name)], i64::from(*usable))),
        )?;
        let others = condition.links.iter().enumerate().map(|(position, link)| {
            // The first has a name that does not depend on what it is called.
            let name = match position {
                0 => "upstream",
                _ => link.settings.name.as_str(),
            };
            (name, link.certificate.get())
        });
        let known = std::iter::once(("listener", condition.listener_certificate))
            .chain(others)
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
