//! The payment webhook's part of `/status` and its page.

use serde::Serialize;

use super::Admin;
use crate::config::WebhookScheme;
use crate::metrics::webhook::Outcome;

/// Notices of payments, where they are taken.
#[derive(Debug, Serialize)]
pub struct WebhookStatus {
    /// Where they go.
    pub forward_to: String,
    /// How they are signed.
    pub scheme: WebhookScheme,
    /// How many secrets may sign them.
    pub secrets: usize,
    /// What became of them, since the start.
    pub results: Vec<ResultStatus>,
}

/// Deliveries that ended in the same way.
#[derive(Debug, Serialize)]
pub struct ResultStatus {
    /// As in `holysheep_webhooks_total`.
    pub result: &'static str,
    /// How many.
    pub count: u64,
}

impl WebhookStatus {
    pub(super) fn of(admin: &Admin) -> Option<Self> {
        let webhook = admin.webhook.as_ref()?;
        let settings = webhook.settings();
        let workers = admin.readiness.metrics.workers();
        let results = Outcome::ALL.map(|outcome| ResultStatus {
            result: outcome.as_str(),
            count: workers.iter().map(|w| w.webhooks.get(outcome)).sum(),
        });
        Some(Self {
            forward_to: settings.forward_to.to_string(),
            scheme: settings.scheme,
            secrets: webhook.secrets(),
            results: results.into(),
        })
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let secrets = match self.secrets {
            1 => "1 secret".to_owned(),
            count => format!("{count} secrets"),
        };
        let mut words = format!(
            "to {} ({}, {secrets})",
            self.forward_to,
            self.scheme.as_str()
        );
        for result in self.results.iter().filter(|result| result.count > 0) {
            let name = result.result.replace('_', " ");
            words.push_str(&format!("; {name}: {}", result.count));
        }
        words
    }
}
