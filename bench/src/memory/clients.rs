//! Clients that hold connections, and do nothing with them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::load::{self, Stream, Target, receive};
use crate::upstream::Pacing;

/// Connections that are opened at a time: fewer than any listener's queue takes.
const AT_A_TIME: usize = 64;
/// Size of a request, in bytes.
const REQUEST: usize = 1_024;
/// A stream that has just begun and has long to go: what is looked at is how it waits.
const WAITING: Pacing = Pacing {
    events: 1_000,
    gap: Duration::from_secs(30),
};
/// How long one answer may take, the first event of [`WAITING`] included.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is held open.
#[derive(Default)]
pub(super) struct Clients(Vec<Box<dyn Stream>>);

impl Clients {
    /// Has so many connections in all, each of which has carried one request.
    ///
    /// # Errors
    /// When one cannot be opened, or is not answered.
    pub(super) async fn idle(&mut self, target: &Target, count: usize) -> Result<()> {
        while self.0.len() < count {
            let more = AT_A_TIME.min(count - self.0.len());
            let opened = (0..more).map(|_| asked(target.clone()));
            self.0.extend(all(opened).await?);
        }
        Ok(())
    }

    /// Opens so many streams, and waits until each has brought its first event.
    ///
    /// # Errors
    /// When one cannot be opened, or brings something else.
    pub(super) async fn stream(&mut self, target: &Target, count: usize) -> Result<()> {
        let mut open = Vec::new();
        while open.len() < count {
            let more = AT_A_TIME.min(count - open.len());
            let sent = (0..more).map(|_| sent(target.clone()));
            open.extend(all(sent).await?);
        }
        // They think together.
        self.0.extend(all(open.into_iter().map(begun)).await?);
        Ok(())
    }

    /// Whether all are still there.
    ///
    /// # Errors
    /// When one has been closed.
    pub(super) async fn check(&mut self) -> Result<()> {
        for (index, connection) in self.0.iter_mut().enumerate() {
            let mut byte = [0];
            let read = timeout(Duration::ZERO, connection.read(&mut byte)).await;
            let is_open = !matches!(read, Ok(Ok(0) | Err(_)));
            ensure!(is_open, "the proxy has closed connection {}", index + 1);
        }
        Ok(())
    }
}

/// What futures that run together on this thread give, in any order.
async fn all<F>(futures: impl IntoIterator<Item = F>) -> Result<Vec<Box<dyn Stream>>>
where
    F: Future<Output = Result<Box<dyn Stream>>> + 'static,
{
    let mut tasks = JoinSet::new();
    for future in futures {
        tasks.spawn_local(future);
    }
    let mut opened = Vec::new();
    while let Some(one) = tasks.join_next().await {
        opened.push(one??);
    }
    Ok(opened)
}

/// A connection that has carried one request.
async fn asked(target: Target) -> Result<Box<dyn Stream>> {
    let mut connection = target.connect(load::socket()?).await?;
    let request = load::sized(&target, REQUEST);
    connection.write_all(&request).await?;
    connection.flush().await?;
    let mut buffer = BytesMut::new();
    let answer = timeout(PATIENCE, receive(&mut connection, &mut buffer)).await;
    let answer = answer.context("no answer")??;
    ensure!(answer.status == 200, "status {}", answer.status);
    ensure!(!answer.close, "the proxy closes its connections");
    Ok(connection)
}

/// A connection on which a stream was asked for.
async fn sent(target: Target) -> Result<Box<dyn Stream>> {
    let mut connection = target.connect(load::socket()?).await?;
    let request = load::stream(&target, WAITING);
    connection.write_all(&request).await?;
    connection.flush().await?;
    Ok(connection)
}

/// The same once its first event is there.
async fn begun(mut connection: Box<dyn Stream>) -> Result<Box<dyn Stream>> {
    let mut buffer = BytesMut::new();
    let first = async {
        while !buffer.windows(2).any(|end| end == b"}\n") {
            let read = connection.read_buf(&mut buffer).await?;
            ensure!(read > 0, "the proxy has closed a stream");
        }
        Ok(())
    };
    timeout(PATIENCE, first).await.context("no event")??;
    ensure!(buffer.starts_with(b"HTTP/1.1 200"), "no stream");
    Ok(connection)
}
