//! Tests of `eyeballs.rs`.

use std::cell::RefCell;
use std::net::SocketAddr;
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
    let connect = |address: SocketAddr| {
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
    };
    let result = race(&addresses, connect, |_| {}).await;
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

#[tokio::test(start_paused = true)]
async fn the_slow_ones_are_named() {
    let addresses: Vec<_> = (0..3).map(address).collect();
    let slow = RefCell::new(Vec::new());
    let connect = |address: SocketAddr| async move {
        match address.port() {
            0 => std::future::pending().await,
            _ => {
                sleep(Duration::from_millis(20)).await;
                Ok::<_, &str>(())
            }
        }
    };
    let told = |address: &SocketAddr| slow.borrow_mut().push(address.port());
    race(&addresses, connect, told).await.unwrap();
    assert_eq!(slow.into_inner(), [0]);
}
