//! A client of one contender: one connection, one stream after another.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use super::arrivals::{Arrivals, Foreign, Streamed};
use crate::load::{self, Stream, Target, receive_watched};
use crate::upstream::{Pacing, now_ns};

/// How much longer than planned a stream may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than all events of a usual stream, in bytes: those that come at once are read at once.
const BUFFER: usize = 32 * 1024;

/// A client and its connection, which is kept from one stream to the next.
pub(super) struct Client {
    target: Target,
    connection: Option<Box<dyn Stream>>,
}

impl Client {
    /// A client that has not connected yet.
    pub(super) fn new(target: &Target) -> Self {
        Self {
            target: target.clone(),
            connection: None,
        }
    }

    /// Asks for a stream and receives it; connects before, where there is no connection.
    ///
    /// # Errors
    /// When it does not come as asked for; the next one then has a connection of its own.
    pub(super) async fn stream(&mut self, pacing: Pacing) -> Result<Streamed> {
        let patience = pacing.gap * (pacing.events + 1) + PATIENCE;
        let streamed = tokio::time::timeout(patience, self.exchange(pacing)).await;
        streamed.with_context(|| format!("no complete stream within {patience:?}"))?
    }

    async fn exchange(&mut self, pacing: Pacing) -> Result<Streamed> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.target.connect(load::socket()?).await?,
        };
        let request = load::stream(&self.target, pacing);
        let (mut buffer, mut arrivals) = (BytesMut::with_capacity(BUFFER), Arrivals::default());
        let sent = now_ns();
        connection.write_all(&request).await?;
        connection.flush().await?;
        let answer = receive_watched(&mut connection, &mut buffer, &mut arrivals).await?;
        ensure!(answer.status == 200, "status {}", answer.status);
        let foreign = match self.target.is_gateway() {
            true => Foreign::Allowed,
            false => Foreign::Error,
        };
        let streamed = arrivals.finish(sent, pacing.events, foreign)?;
        self.connection = (!answer.close).then_some(connection);
        Ok(streamed)
    }
}
