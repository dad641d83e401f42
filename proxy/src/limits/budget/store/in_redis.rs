//! In Redis: for each client and period a hash with what each process has added, and the sum.
//!
//! A process tells what it has added in all, and the script adds what is new of it. So it can tell again what got no answer,
//! and all that are alive tell it again to a Redis that has lost its memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::ConnectionManager;
use ::redis::{Pipeline, RedisError, Script};
use tokio::time::timeout;

use super::{Entry, Period, Unusable};
use crate::limits::redis::{PATIENCE, Shared, millis};

/// Numbers of scripts are exact up to 2^53: millionths of a millionth of nine thousand dollars, and of nine million in these.
const UNIT: u64 = 1_000;
/// Clients that one round trip is for.
const AT_ONCE: usize = 200;

/// The connection of the control thread.
pub struct RedisStore {
    shared: Arc<Shared>,
    connection: Option<ConnectionManager>,
    script: Script,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self, Unusable> {
        Ok(Self {
            shared: Arc::clone(shared),
            connection: None,
            script: Script::new(include_str!("spend.lua")),
        })
    }

    pub(super) async fn exchange(&mut self, entries: &[Entry]) -> Result<Vec<u64>, Unusable> {
        let mut wholes = Vec::with_capacity(entries.len());
        for entries in entries.chunks(AT_ONCE) {
            let asked = timeout(PATIENCE, self.ask(entries)).await;
            let told = asked.map_err(|_| Unusable::Silent)??;
            // What is lost by rounding is less than one of these units, for each process.
            let whole = |(whole, entry): (u64, &Entry)| whole * UNIT + entry.own % UNIT;
            wholes.extend(told.into_iter().zip(entries).map(whole));
        }
        Ok(wholes)
    }

    async fn ask(&mut self, entries: &[Entry]) -> Result<Vec<u64>, RedisError> {
        let mut connection = match &self.connection {
            Some(connection) => connection.clone(),
            // Made by a task, so there has to be a runtime.
            None => self.connection.insert(self.shared.connect()?).clone(),
        };
        let mut pipeline = Pipeline::with_capacity(entries.len() + 1);
        // Costs less than to be told that it is not there.
        pipeline.load_script(&self.script).ignore();
        for entry in entries {
            let period = entry.period.text();
            let mut spend = self.script.key(self.shared.key(&entry.client, period));
            spend.arg(self.shared.instance()).arg(entry.own / UNIT);
            let life: Duration = Period::life(entry.span);
            spend.arg(millis(life));
            pipeline.invoke_script(&spend);
        }
        pipeline.query_async(&mut connection).await
    }
}
