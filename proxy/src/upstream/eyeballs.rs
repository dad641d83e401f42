//! One connection out of several addresses: "happy eyeballs", RFC 8305
//! section 5.
//!
//! The addresses come from [`super::dns`] in the order they should be tried,
//! families alternating. An address that does not answer costs [`STAGGER`], one
//! that refuses costs nothing; [`super::connect`] connects to each and has the
//! limit for all of them.

use std::fmt::Display;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Before the next address is tried beside those that have not answered: the
/// delay the RFC recommends.
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first address that answers. Attempts at the others end.
///
/// # Errors
/// Why the last attempt failed, and how many there were.
pub(super) async fn race<T, E, F>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, String>
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = addresses.iter().copied();
    let mut running: Vec<(SocketAddr, Pin<Box<F>>)> = Vec::new();
    let mut stagger = pin!(sleep(Duration::ZERO));
    let mut last = String::from("the name has no address");
    poll_fn(|cx| {
        loop {
            let mut index = 0;
            while let Some((address, attempt)) = running.get_mut(index) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(connection)) => return Poll::Ready(Ok(connection)),
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
                running.push((address, Box::pin(connect(address))));
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
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// What an address does with an attempt.
    #[derive(Clone, Copy)]
    enum Does {
        Accepts(u64),
        Refuses(u64),
        Nothing,
    }
    use Does::{Accepts, Nothing, Refuses};

    fn address(index: usize) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], u16::try_from(index).unwrap()))
    }

    /// Races addresses that behave so, the times in milliseconds. Gives the
    /// result, when each was tried, how long it took, and how many attempts
    /// were dropped.
    async fn run(plan: &[Does]) -> (Result<usize, String>, Vec<u128>, u128, usize) {
        let started = Instant::now();
        let begun = RefCell::new(Vec::new());
        let dropped = Rc::new(());
        let addresses: Vec<_> = (0..plan.len()).map(address).collect();
        let result = race(&addresses, |address| {
            begun.borrow_mut().push(started.elapsed().as_millis());
            let index = usize::from(address.port());
            let (does, alive) = (plan[index], Rc::clone(&dropped));
            async move {
                let result = match does {
                    Accepts(ms) => {
                        sleep(Duration::from_millis(ms)).await;
                        Ok(index)
                    }
                    Refuses(ms) => {
                        sleep(Duration::from_millis(ms)).await;
                        Err("refused")
                    }
                    Nothing => std::future::pending().await,
                };
                drop(alive);
                result
            }
        });
        let result = result.await;
        let took = started.elapsed().as_millis();
        (result, begun.into_inner(), took, Rc::strong_count(&dropped))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_answers_at_once_is_the_only_one_tried() {
        let (result, begun, took, _) = run(&[Accepts(249), Accepts(0)]).await;
        assert_eq!((result, begun, took), (Ok(0), vec![0], 249));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_costs_the_stagger_only() {
        let (result, begun, took, left) = run(&[Nothing, Nothing, Accepts(20)]).await;
        assert_eq!((result, begun, took), (Ok(2), vec![0, 250, 500], 520));
        assert_eq!(left, 1, "the losers are dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_costs_nothing() {
        let (result, begun, ..) = run(&[Refuses(10), Refuses(0), Accepts(5)]).await;
        assert_eq!((result, begun), (Ok(2), vec![0, 10, 10]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_can_still_win() {
        let (result, begun, took, _) = run(&[Accepts(300), Accepts(400), Nothing]).await;
        assert_eq!((result, begun, took), (Ok(0), vec![0, 250], 300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_refusal_brings_the_next_one_forward() {
        let (result, begun, ..) = run(&[Nothing, Refuses(10), Accepts(1)]).await;
        assert_eq!((result, begun), (Ok(2), vec![0, 250, 260]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_names_the_last_reason_and_the_count() {
        let (result, ..) = run(&[Refuses(400), Refuses(0)]).await;
        let error = result.unwrap_err();
        assert_eq!(error, "192.0.2.1:0: refused; 2 addresses tried");
        let (result, ..) = run(&[Refuses(0)]).await;
        assert_eq!(result.unwrap_err(), "192.0.2.1:0: refused; 1 address tried");
        assert_eq!(run(&[]).await.0.unwrap_err(), "the name has no address");
    }
}
