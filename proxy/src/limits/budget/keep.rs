//! Tells the store what this process has added to what clients cost, and learns what others have.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::period::{Period, Span};
use super::store::{Entry, Store, Unusable};
use crate::limits::{Quotas, Terms};

/// From one look to the next; what others spend is known so late. A process that is killed may lose as much.
const BEAT: Duration = Duration::from_millis(500);

/// Does that, on the control thread.
#[derive(Debug)]
pub struct Keeper {
    quotas: Arc<Quotas>,
    store: Store,
    /// The present day and month.
    periods: [Period; Span::ALL.len()],
    /// What was added to those before, and could not be told yet.
    late: Vec<Entry>,
    /// Whether it has been said where it is kept.
    is_announced: bool,
}

impl Keeper {
    /// Begins, with what the store knows.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn new(quotas: Arc<Quotas>, store: Store) -> Result<Self, Unusable> {
        let now = SystemTime::now();
        let mut keeper = Self {
            quotas,
            store,
            periods: Span::ALL.map(|span| Period::of(span, now)),
            late: Vec::new(),
            is_announced: false,
        };
        let (present, entries) = keeper.entries();
        if let Some(wholes) = keeper.store.look(&entries)? {
            adopt(&present, &entries, &wholes);
        }
        Ok(keeper)
    }

    /// Does it again and again until told to stop, and once more then.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_last = tokio::select! {
                _ = beats.tick() => false,
                _ = &mut stop => true,
            };
            self.round(SystemTime::now()).await;
            if is_last {
                return;
            }
        }
    }

    async fn round(&mut self, now: SystemTime) {
        self.turn(now);
        let (present, entries) = self.entries();
        if present.is_empty() && self.late.is_empty() {
            return;
        }
        self.announce();
        let entries = [entries, self.late.clone()].concat();
        match self.store.exchange(&entries).await {
            Ok(wholes) => {
                adopt(&present, &entries, &wholes);
                self.late.clear();
                self.note(None);
            }
            Err(error) => self.note(Some(&error)),
        }
    }

    /// Begins another day, and another month, when it is time.
    fn turn(&mut self, now: SystemTime) {
        for (span, present) in Span::ALL.into_iter().zip(&mut self.periods) {
            let period = Period::of(span, now);
            if *present == period {
                continue;
            }
            let before = std::mem::replace(present, period);
            for terms in self.quotas.spenders() {
                let own = terms.quota.purse.roll(span);
                if own > 0 {
                    self.late.push(Entry {
                        client: terms.quota.name().into(),
                        span,
                        period: before.clone(),
                        own,
                    });
                }
            }
        }
    }

    /// What is to be told of each client, and these, in the same order.
    fn entries(&self) -> (Vec<Arc<Terms>>, Vec<Entry>) {
        let spenders = self.quotas.spenders();
        let entries = spenders.iter().flat_map(|terms| {
            Span::ALL
                .into_iter()
                .zip(&self.periods)
                .map(|(span, period)| Entry {
                    client: terms.quota.name().into(),
                    span,
                    period: period.clone(),
                    own: terms.quota.purse.own(span),
                })
        });
        let entries = entries.collect();
        (spenders, entries)
    }

    /// Says once where it is kept, when there is something to be kept.
    fn announce(&mut self) {
        if std::mem::replace(&mut self.is_announced, true) {
            return;
        }
        match self.store {
            Store::Process => tracing::warn!(
                "what clients cost is kept by this process only: budgets begin anew with it, and N replicas let through N \
                 times as much; limits.redis or state_dir keeps it"
            ),
            Store::File(_) => tracing::info!(
                "what clients cost is kept in state_dir; N replicas that do not share it let through N times as much"
            ),
            Store::Redis(_) => {
                tracing::info!("what clients cost is kept in Redis, for all replicas");
            }
        }
    }

    /// Takes note of whether it works, and says so when that changes.
    fn note(&self, error: Option<&Unusable>) {
        let kept = &self.quotas.kept;
        if kept.works.swap(error.is_none(), Relaxed) == error.is_none() {
            return;
        }
        let store = kept.store();
        match error {
            None => tracing::info!(store, "what clients cost is kept again"),
            Some(error) => tracing::warn!(
                store, %error,
                "what clients cost is not kept; this process goes by what it knows, and tries again"
            ),
        }
    }
}

/// What all have spent, of the clients at the beginning of the entries.
fn adopt(spenders: &[Arc<Terms>], entries: &[Entry], wholes: &[u64]) {
    let each = Span::ALL.len();
    for (terms, (entries, wholes)) in spenders
        .iter()
        .zip(entries.chunks(each).zip(wholes.chunks(each)))
    {
        for (entry, whole) in entries.iter().zip(wholes) {
            terms.quota.purse.adopt(entry.span, *whole, entry.own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientLimits;
    use crate::cost::Amount;

    #[tokio::test]
    async fn at_midnight_the_day_begins_anew_and_its_rest_is_told() {
        let quotas = Arc::new(Quotas::new(None, "process"));
        let dollar = Amount::from_pico(1_000_000_000_000);
        let limits = ClientLimits {
            usd_per_day: Some(dollar),
            usd_per_month: Some(dollar),
            ..ClientLimits::default()
        };
        let terms = quotas.set("a", limits);
        let mut keeper = Keeper::new(Arc::clone(&quotas), Store::Process).unwrap();
        let at = |time: &str| humantime::parse_rfc3339(time).unwrap();
        keeper.round(at("2026-11-29T23:59:59Z")).await;
        terms.spend(Amount::ZERO, dollar);
        keeper.turn(at("2026-11-30T00:00:00Z"));
        let late: Vec<_> = keeper
            .late
            .iter()
            .map(|entry| entry.period.text())
            .collect();
        assert_eq!(late, ["2026-11-29"]);
        assert_eq!(keeper.late[0].own, 1_000_000_000_000);
        let spent = |span| terms.quota.purse.get(span);
        assert_eq!(
            (spent(Span::Day), spent(Span::Month)),
            (Amount::ZERO, dollar)
        );
        keeper.round(at("2026-11-30T00:00:01Z")).await;
        assert!(keeper.late.is_empty());
        keeper.round(at("2026-12-01T00:00:00Z")).await;
        assert_eq!(spent(Span::Month), Amount::ZERO);
    }

    #[tokio::test]
    async fn what_a_client_has_spent_stays_when_its_budget_goes() {
        let quotas = Arc::new(Quotas::new(None, "process"));
        let dollar = Amount::from_pico(1_000_000_000_000);
        let limits = ClientLimits {
            usd_per_day: Some(dollar),
            ..ClientLimits::default()
        };
        quotas.set("a", limits).spend(Amount::ZERO, dollar);
        quotas.set("a", ClientLimits::default());
        let spenders = quotas.spenders();
        assert_eq!(spenders.len(), 1);
        assert_eq!(quotas.set("a", limits).quota.purse.get(Span::Day), dollar);
    }
}
