//! One connection out of several addresses: "happy eyeballs", RFC 8305
//! section 5.
//!
//! The addresses come from [`super::dns`] in the order they should be tried,
//! families alternating. An address that does not answer costs [`STAGGER`], one
//! that refuses costs nothing; [`super::connect`] connects to each and has the
//! limit for all of them.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Before the next address is tried beside those that have not answered: the
/// delay the RFC recommends.
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first address that answers. Attempts at the others end; those that had begun before the one that
/// won, and so have not answered within [`STAGGER`], are told to `slow`.
///
/// # Errors
/// Why the last attempt failed, and how many there were.
pub(crate) async fn race<A, T, E, F>(
    addresses: &[A],
    connect: impl Fn(A) -> F,
    slow: impl Fn(&A),
) -> Result<T, String>
where
    A: Clone + Display,
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = addresses.iter().cloned();
    let mut running: Vec<(A, Pin<Box<F>>)> = Vec::new();
    let mut stagger = pin!(sleep(Duration::ZERO));
    let mut last = String::from("the name has no address");
    poll_fn(|cx| {
        loop {
            let mut index = 0;
            while let Some((address, attempt)) = running.get_mut(index) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(connection)) => {
                        let overtaken = running.iter().take(index);
                        overtaken.for_each(|(address, _)| slow(address));
                        return Poll::Ready(Ok(connection));
                    }
                    Poll::Ready(Err(error)) => {
                        last = format!("{address}: {error}");
                        running.remove(index);
                        // The next one need not wait.
                        stagger.as_mut().reset(Instant::now());
                    }
                    Poll::Pending => index += 1,
                }
            }
            if waiting.len() == 0 {
                let ended = running.is_empty();
                return if ended {
                    Poll::Ready(Err(()))
                } else {
                    Poll::Pending
                };
            }
            if stagger.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if let Some(address) = waiting.next() {
                running.push((address.clone(), Box::pin(connect(address))));
                stagger.as_mut().reset(Instant::now() + STAGGER);
            }
        }
    })
    .await
    .map_err(|()| match addresses.len() {
        0 => last,
        1 => format!("{last}; 1 address tried"),
        count => format!("{last}; {count} addresses tried"),
    })
}

#[cfg(test)]
mod tests;
