//! Whether deliveries to the payment webhook could be verified and forwarded.

use super::{Line, Outcome};
use crate::config::Config;
use crate::webhook::{self, Target, TargetError};

/// A line for the secrets and one for the receiver, where there is a webhook.
pub(super) async fn possible(config: &Config) -> Vec<Line> {
    let Some(settings) = &config.webhook else {
        return Vec::new();
    };
    let secrets = match webhook::secrets_of(settings) {
        Ok(secrets) if secrets.is_any_short() => Outcome::Warn(
            "a secret has fewer than 24 bytes".to_owned(),
            "ask for a longer one: who guesses it can tell of payments that were not made"
                .to_owned(),
        ),
        Ok(secrets) => Outcome::Pass(match secrets.count() {
            1 => "1 secret".to_owned(),
            count => format!("{count} secrets"),
        }),
        Err(error) => Outcome::Fail(
            error.to_string(),
            "mount the Secret's key webhook-secret, or correct webhook.secret_file".to_owned(),
        ),
    };
    let target = match Target::new(settings, &config.dns) {
        Ok(target) => connected(&target).await,
        Err(error) => Outcome::Fail(error.to_string(), "correct the setting named".to_owned()),
    };
    [("secret", secrets), ("receiver", target)]
        .map(|(of, result)| Line {
            name: "webhook",
            of: of.to_owned(),
            result,
        })
        .into()
}

/// Nothing is sent: a receiver would take it for a payment.
async fn connected(target: &Target) -> Outcome {
    let shown = target.shown();
    let error = match target.connect().await {
        Ok(()) => return Outcome::Pass(format!("{shown} can be connected to")),
        Err(error) => error,
    };
    let remedy = match &error {
        TargetError::Tls(_) => {
            "give the receiver's CA in webhook.ca_file, or correct the scheme in webhook.forward_to"
        }
        TargetError::Dns(_) => "check the name in webhook.forward_to, and the pod's DNS",
        _ => {
            "check that the receiver runs, the port in webhook.forward_to, and egress (NetworkPolicy)"
        }
    };
    Outcome::Fail(format!("{shown}: {error}"), remedy.to_owned())
}
