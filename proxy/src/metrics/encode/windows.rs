//! The `holysheep_kernel_window*` series: how much connections to upstream may send at once.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Collector, counters, gauges};
use crate::kernel::{Program, UpstreamTimings, now_ns};

impl Collector {
    /// `sums` are the upstream's, if a program counts.
    pub(super) fn windows(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        sums: Option<&UpstreamTimings>,
    ) -> fmt::Result {
        self.kept(encoder)?;
        let sums = sums.filter(|_| self.kernel.runs(Program::UpstreamWindow));
        let upstream = || ("upstream", self.upstream.as_str());
        counters(
            encoder,
            "holysheep_kernel_windows_started",
            "Connections to upstream that began with more than the system's default",
            sums.map(|sums| (vec![upstream()], sums.windows_started)),
        )?;
        let outcomes = sums.map(|sums| {
            [
                ("avoided", sums.windows_kept),
                ("restarted", sums.windows_restarted),
            ]
        });
        let outcomes = outcomes.into_iter().flatten();
        counters(
            encoder,
            "holysheep_kernel_window_restarts",
            "Windows that would have been closed by idling, by what became of them",
            outcomes.map(|(outcome, count)| (vec![upstream(), ("outcome", outcome)], count)),
        )?;
        self.paths(encoder)
    }

    fn kept(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let idle = self.kernel.idle_windows();
        let kept = idle.are_kept().map(i64::from);
        gauges(
            encoder,
            "holysheep_kernel_idle_windows_kept",
            "Whether windows are kept while connections idle, by what keeps them",
            kept.map(|kept| (vec![("by", idle.means().name())], kept)),
        )
    }

    fn paths(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let windows = self.kernel.windows();
        let paths = windows.map_or_else(Vec::new, |windows| windows.paths(now_ns()));
        let labels = || vec![("upstream", self.upstream.as_str())];
        let most = |values: Vec<u32>| values.into_iter().max().map(|most| (labels(), most.into()));
        gauges(
            encoder,
            "holysheep_kernel_window_start_bytes",
            "What the last connection began with; of several addresses, the most",
            most(paths.iter().filter_map(|path| path.started).collect()),
        )?;
        gauges(
            encoder,
            "holysheep_kernel_window_carried_bytes",
            "The most that was acknowledged within a quarter of a round trip without a loss, of late",
            most(paths.iter().filter_map(|path| path.carried).collect()),
        )?;
        let on_hold = paths.iter().filter(|path| path.on_hold.is_some()).count();
        let on_hold = i64::try_from(on_hold).unwrap_or(i64::MAX);
        gauges(
            encoder,
            "holysheep_kernel_paths_on_hold",
            "Addresses of upstream over whose paths connections begin with the default after a loss",
            (!paths.is_empty()).then(|| (labels(), on_hold)),
        )
    }
}
