//! Who cannot carry what the others do: what AI gateways get instead, and who was too busy all the same.

use super::report::Report;
use crate::statistics::Spread;

/// Share of its CPU from which on a contender is too busy for its latencies to say much.
const BUSY: f64 = 0.7;

impl Report {
    /// What AI gateways get instead; `None` without any.
    pub(super) fn gateway_setting(&self) -> Option<String> {
        let names = self.gateways.join(", ");
        (!names.is_empty()).then(|| {
            format!(
                "{names}: instead {} requests each round, {} a second, since they cannot carry more without a queue; of fewer \
                 than 1000 requests, p99.9 is the greatest",
                self.gateway_requests, self.gateway_rate
            )
        })
    }

    /// Contenders that were, in words.
    pub(super) fn too_busy(&self) -> Vec<String> {
        let most = |contender: &&String| {
            let shares = self.turns(contender).map(|turn| turn.peer_share);
            let most = Spread::of(shares)?.max;
            (most > BUSY).then_some((most * 100.0).round())
        };
        let busy = self
            .contenders
            .iter()
            .filter_map(|name| Some((name, most(&name)?)));
        busy.map(|(name, percent)| {
            format!("{name} used up to {percent} % of its CPU at this rate: its latencies are those of a queue")
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::latency::Bench;
    use crate::latency::report::filled;

    #[test]
    fn what_gateways_get_is_said_if_there_are_any() {
        let mut report = filled(Bench::Table);
        assert_eq!(report.gateway_setting(), None);
        report.gateways = vec!["litellm".to_owned(), "portkey".to_owned()];
        let text = report.gateway_setting().unwrap();
        let expected = "litellm, portkey: instead 100 requests each round, 25 a second";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn whoever_is_too_busy_is_named() {
        let mut report = filled(Bench::Latency);
        assert!(report.too_busy().is_empty());
        report.turns[1].peer_share = 0.93;
        let text = report.too_busy().join("");
        assert!(text.starts_with("holysheep used up to 93 %"), "{text}");
    }
}
