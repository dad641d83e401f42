//! The `holysheep_kernel_window*` series: how much connections to upstream may send at once.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Collector, counters, gauges};
use crate::kernel::{PathState, Program, UpstreamTimings, now_ns};
use crate::upstream::Link;

impl Collector {
    /// `sums` are those of each upstream, if a program counts.
    pub(super) fn windows(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        sums: &[(&Link, &UpstreamTimings)],
    ) -> fmt::Result {
        self.kept(encoder)?;
        let runs = self.kernel.runs(Program::UpstreamWindow);
        let sums = || sums.iter().filter(|_| runs);
        counters(
            encoder,
            "holysheep_kernel_windows_started",
            "Connections to upstream that began with more than the system's default",
            sums().map(|(link, sums)| (vec![named(link)], sums.windows_started)),
        )?;
        let outcomes = sums().flat_map(|(link, sums)| {
            [
                (*link, "avoided", sums.windows_kept),
                (*link, "restarted", sums.windows_restarted),
            ]
        });
        counters(
            encoder,
            "holysheep_kernel_window_restarts",
            "Windows that would have been closed by idling, by what became of them",
            outcomes.map(|(link, outcome, count)| (vec![named(link), ("outcome", outcome)], count)),
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
        let all = windows.map_or_else(Vec::new, |windows| windows.paths(now_ns()));
        let of = |link: &Link| -> Vec<&PathState> {
            // Of one alone all are, whatever addresses its name has had.
            let endpoints = link.endpoints.all();
            let is_one = self.links.count() == 1;
            let mut all: Vec<_> = all.iter().collect();
            all.retain(|path| {
                let mut addresses = endpoints.iter().map(|endpoint| endpoint.address.ip());
                is_one || addresses.any(|address| address == path.endpoint)
            });
            all
        };
        let most = |of_path: fn(&PathState) -> Option<u32>| {
            let links = self.links.iter().filter_map(|link| {
                let most = of(link).into_iter().filter_map(of_path).max()?;
                Some((vec![named(link)], i64::from(most)))
            });
            links.collect::<Vec<_>>()
        };
        gauges(
            encoder,
            "holysheep_kernel_window_start_bytes",
            "What the last connection began with; of several addresses, the most",
            most(|path| path.started),
        )?;
        gauges(
            encoder,
            "holysheep_kernel_window_carried_bytes",
            "The most that was acknowledged within a quarter of a round trip without a loss, of late",
            most(|path| path.carried),
        )?;
        let on_hold = self.links.iter().filter_map(|link| {
            let paths = of(link);
            let count = paths.iter().filter(|path| path.on_hold.is_some()).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            (!paths.is_empty()).then(|| (vec![named(link)], count))
        });
        gauges(
            encoder,
            "holysheep_kernel_paths_on_hold",
            "Addresses of upstream over whose paths connections begin with the default after a loss",
            on_hold.collect::<Vec<_>>(),
        )
    }
}

fn named(link: &Link) -> (&str, &str) {
    ("upstream", &link.settings.name)
}
