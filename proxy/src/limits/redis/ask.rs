//! Asks Redis for a request, or for what is left.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use redis::RedisError;
use tokio::time::timeout;

use super::super::{Exceeded, Limit, Taken, Terms};
use super::{LEASE, Remote, millis};

/// What the script returns: what was refused; the microseconds to wait; those that requests and tokens are ahead; requests
/// under way.
type Reply = (u8, u64, u64, u64, u32);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// A request of so many tokens.
    Take(u64),
    /// What is left.
    Tell,
}

impl Remote {
    /// Takes one request of about so many tokens, from all replicas' or, if Redis cannot tell, from this one's share.
    ///
    /// # Errors
    /// If a limit does not permit it; nothing is taken then.
    pub async fn take(&self, terms: &Arc<Terms>, tokens: u64) -> Result<Taken, Exceeded> {
        let lease = self.next.replace(self.next.get() + 1);
        let Some(reply) = self.question(terms, Question::Take(tokens), lease).await else {
            self.shared.counts.shared.fetch_add(1, Relaxed);
            terms.quota.is_alone();
            return terms.take_share(tokens, Instant::now(), self.shared.replicas());
        };
        let (refused, wait, ..) = reply;
        let limit = match refused {
            0 => {
                if terms.limits.concurrent.is_some() {
                    self.leases.borrow_mut().insert(lease, Arc::clone(terms));
                }
                terms.quota.enter();
                return Ok(Taken::in_redis(tokens, lease));
            }
            1 => Limit::Requests,
            2 => Limit::Tokens,
            _ => Limit::Concurrent,
        };
        Err(terms.quota.refuse(limit, Duration::from_micros(wait)))
    }

    /// Brings what is known here of what the client has had up to date, if Redis can tell.
    pub async fn look(&self, terms: &Terms) {
        self.question(terms, Question::Tell, 0).await;
    }

    /// The answer, if there is one in time.
    async fn question(&self, terms: &Terms, question: Question, lease: u64) -> Option<Reply> {
        if !self.is_up.get() {
            return None;
        }
        // Whoever has been on its own may know of more than Redis.
        let was_alone = terms.quota.was_alone();
        let asked = self.ask(terms, question, lease, was_alone);
        match timeout(self.shared.settings.timeout, asked).await {
            Ok(Ok(reply)) => {
                self.failures.set(0);
                if question != Question::Tell {
                    self.shared.counts.asked.fetch_add(1, Relaxed);
                }
                let (_, _, requests, tokens, running) = reply;
                let ahead = [requests, tokens].map(Duration::from_micros);
                terms.quota.adopt(ahead, running, Instant::now());
                return Some(reply);
            }
            Ok(Err(error)) => self.failed(&error),
            Err(_) => self.failed(&"no answer in time"),
        }
        if was_alone {
            terms.quota.is_alone();
        }
        None
    }

    async fn ask(
        &self,
        terms: &Terms,
        question: Question,
        lease: u64,
        was_alone: bool,
    ) -> Result<Reply, RedisError> {
        let (shared, client) = (&self.shared, terms.quota.name());
        let [requests, tokens] = match was_alone {
            true => terms
                .quota
                .ahead(Instant::now())
                .map(|ahead| ahead.as_micros()),
            false => [0, 0],
        };
        let rate = |rate: Option<super::super::Rate>| {
            rate.map_or([0, 0], |rate| [rate.per_minute, rate.burst])
        };
        let amount = match question {
            Question::Take(tokens) => tokens,
            Question::Tell => 0,
        };
        let mut take = shared.take.key(shared.key(client, "requests"));
        take.key(shared.key(client, "tokens"));
        take.key(shared.key(client, "running"));
        take.arg(&rate(terms.limits.requests)[..]);
        take.arg(&rate(terms.limits.tokens)[..]);
        take.arg(amount)
            .arg(terms.limits.concurrent.map_or(-1, i64::from));
        take.arg(self.lease_name(lease)).arg(millis(LEASE));
        take.arg(requests.to_string()).arg(tokens.to_string());
        take.arg(u8::from(question == Question::Tell));
        take.invoke_async(&mut self.connection.clone()).await
    }
}
