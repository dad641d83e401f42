//! What becomes of the access log's lines, and of attempts to take a process' place.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Collector, counters};

impl Collector {
    pub(super) fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        counters(
            encoder,
            "holysheep_access_log_dropped",
            "Access-log lines dropped because the log could not be written in time",
            [(vec![], self.sum(|w| &w.log_dropped))],
        )?;
        counters(
            encoder,
            "holysheep_access_log_left_out",
            "Access-log lines of requests that went well and are not in the sample that is written",
            [(vec![], self.sum(|w| &w.log_left_out))],
        )?;
        let take_overs = &self.control.take_overs;
        let rows = [
            ("taken", take_overs.taken.get()),
            ("failed", take_overs.failed.get()),
        ];
        counters(
            encoder,
            "holysheep_take_overs",
            "Take-overs of listening sockets that this process has begun with, or that came to nothing",
            rows.map(|(result, count)| (vec![("result", result)], count)),
        )
    }
}
