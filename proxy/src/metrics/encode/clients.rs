//! Clients by name, where they have keys of their own.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::DescriptorEncoder;

use super::{Collector, counters, gauges};
use crate::clients::Standing;

impl Collector {
    pub(in crate::metrics) fn clients(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(book) = &self.condition.clients else {
            return Ok(());
        };
        let clients = book.clients.load();
        let requests = clients.counts().flat_map(|(name, counts)| {
            let counts = counts.requests().filter(|(_, count)| *count > 0);
            counts
                .map(move |(outcome, count)| (vec![("client", name), ("outcome", outcome)], count))
        });
        counters(
            encoder,
            "holysheep_client_requests",
            "Requests of clients with a key, by the class of the status they were answered with",
            requests,
        )?;
        let now = SystemTime::now();
        let standings = [Standing::Good, Standing::Expired, Standing::Disabled];
        let states = standings.map(|standing| {
            let all = clients.all().iter();
            let count = all
                .filter(|client| client.standing(|| now) == standing)
                .count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            (vec![("state", standing.as_str())], count)
        });
        gauges(
            encoder,
            "holysheep_clients",
            "Clients in the file, by their state",
            states,
        )?;
        let ends = clients.all().iter().filter_map(|client| {
            let end = client.expires?.duration_since(UNIX_EPOCH).ok()?;
            let end = i64::try_from(end.as_secs()).ok()?;
            Some((vec![("client", &*client.name)], end))
        });
        gauges(
            encoder,
            "holysheep_client_expiry_timestamp_seconds",
            "When a client's keys expire, in Unix time, if they do",
            ends,
        )?;
        counters(
            encoder,
            "holysheep_clients_reloads",
            "How often the file of clients was read again, by result",
            [
                (vec![("result", "ok")], book.ok.load(Relaxed)),
                (vec![("result", "failed")], book.failed.load(Relaxed)),
            ],
        )?;
        let has_failed = book.state.load().error.is_some();
        gauges(
            encoder,
            "holysheep_clients_reload_failed",
            "Whether the file of clients cannot be used as it is now",
            [(vec![], i64::from(has_failed))],
        )
    }
}
