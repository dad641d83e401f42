//! The listeners' queues and the probes.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Collector, counters, gauges};
use crate::metrics::QueueMetrics;

impl Collector {
    /// Every listener with the queues of its sockets, one for each worker.
    pub(super) fn queues(&self) -> Vec<(&'static str, Vec<&QueueMetrics>)> {
        let workers = || self.workers.iter();
        let mut queues = vec![
            ("data", workers().map(|worker| &worker.queue).collect()),
            (
                "data_tls",
                workers().map(|worker| &worker.queue_tls).collect(),
            ),
        ];
        queues.extend(self.probe.iter().map(|probe| ("probe", vec![&probe.queue])));
        queues
    }

    pub(super) fn listeners(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let queues = self.queues();
        let sum = |of: fn(&QueueMetrics) -> i64| {
            let rows = queues.iter().map(move |(listener, queues)| {
                let sum = queues.iter().map(|queue| of(queue)).sum::<i64>();
                let limit = queues.iter().map(|queue| queue.limit.get()).sum::<i64>();
                (*listener, sum, limit)
            });
            // Without a limit there is no such listener, or nobody has looked yet.
            let rows = rows.filter(|(_, _, limit)| *limit > 0);
            rows.map(|(listener, sum, _)| (vec![("listener", listener)], sum))
        };
        gauges(
            encoder,
            "holysheep_accept_queue_connections",
            "Established connections that wait to be accepted",
            sum(|queue| queue.waiting.get()),
        )?;
        gauges(
            encoder,
            "holysheep_accept_queue_limit",
            "How many may wait before the kernel drops new ones",
            sum(|queue| queue.limit.get()),
        )?;
        let Some(probe) = &self.probe else {
            return Ok(());
        };
        let answers = probe.answers().filter(|(_, _, count)| *count > 0);
        counters(
            encoder,
            "holysheep_probes",
            "Health probes answered by the probe thread",
            answers.map(|(path, status, count)| (vec![("path", path), ("status", status)], count)),
        )?;
        counters(
            encoder,
            "holysheep_probe_handovers",
            "Steered connections that were no probes and went to a worker",
            [(vec![], probe.handed_over.get())],
        )
    }
}
