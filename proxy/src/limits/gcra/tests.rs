use std::sync::Arc;
use std::time::Instant;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn rate(per_minute: u64, burst: u64) -> Rate {
    Rate::new(per_minute, burst)
}

#[test]
fn a_burst_is_had_at_once_and_the_rest_at_its_rate() {
    let (bucket, rate) = (Bucket::default(), rate(60, 10));
    for left in (0..10).rev() {
        bucket.take(rate, 1, 0).unwrap();
        assert_eq!(bucket.left(rate, 0).remaining, left);
    }
    let refused = bucket.take(rate, 1, 0).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(1));
    assert_eq!(refused.left.remaining, 0);
    assert_eq!(refused.left.reset, Duration::from_secs(10));
    assert!(bucket.take(rate, 1, SECOND - 1).is_err());
    assert!(bucket.take(rate, 1, SECOND).is_ok());
    // After a long pause there is no more than a burst.
    let later = 1000 * SECOND;
    assert_eq!(bucket.left(rate, later).remaining, 10);
    bucket.take(rate, 10, later).unwrap();
    assert_eq!(bucket.left(rate, later).remaining, 0);
    assert!(bucket.take(rate, 1, later).is_err());
}

#[test]
fn more_than_a_burst_takes_all_of_it_and_is_owed() {
    let (bucket, rate) = (Bucket::default(), rate(60, 10));
    assert!(bucket.take(rate, 100, 0).is_ok());
    let refused = bucket.take(rate, 1, 0).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(91));
    // Not unless the burst is untouched.
    let bucket = Bucket::default();
    bucket.take(rate, 1, 0).unwrap();
    let refused = bucket.take(rate, 100, 0).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(1));
}

#[test]
fn what_is_given_back_can_be_had_again() {
    let (bucket, rate) = (Bucket::default(), rate(60, 10));
    bucket.take(rate, 8, 0).unwrap();
    bucket.give_back(rate, 5);
    assert_eq!(bucket.left(rate, 0).remaining, 7);
    bucket.force(rate, 9, 0);
    let refused = bucket.take(rate, 1, 0).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(3));
}

/// All that was taken, when.
type Taken = Vec<(u64, u64)>;

/// Of all that was taken between any two times, no more than the rate and one burst.
fn assert_within(rate: Rate, taken: &Taken) {
    let mut before = 0_u128;
    // For each start, what a burst and the rate from then on permit is the sum before it plus a line; the lowest of these
    // lines is what is permitted.
    let mut lowest = i128::MAX;
    for (time, amount) in taken {
        let line = i128::try_from(before * u128::from(MINUTE)).unwrap()
            - i128::from(*time) * i128::from(rate.per_minute);
        lowest = lowest.min(line);
        before += u128::from(*amount);
        let permitted = lowest
            + i128::from(*time) * i128::from(rate.per_minute)
            + i128::from(rate.burst) * i128::from(MINUTE);
        let taken = i128::try_from(before * u128::from(MINUTE)).unwrap();
        assert!(taken <= permitted, "at {time}: {taken} > {permitted}");
    }
}

#[test]
fn no_pattern_of_arrivals_gets_more_or_much_less_than_the_limit() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let rate = rate(random.u64(1..100_000), random.u64(1..2000));
        let bucket = Bucket::default();
        let most = random.u64(1..=rate.burst);
        // How much is asked for, against the limit: from a tenth to ten times.
        let gap = (MINUTE / rate.per_minute).max(1) * most / 2;
        let gap = gap * 10 / random.u64(1..=100);
        let (mut now, mut asked, mut sum) = (0, 0, 0);
        let mut taken = Taken::new();
        for _ in 0..2000 {
            now += match random.u8(..) {
                // A pause, and a burst.
                0 => gap * random.u64(0..1000),
                1..=99 => 0,
                _ => random.u64(0..=2 * gap),
            };
            let amount = random.u64(1..=most);
            asked += amount;
            if bucket.take(rate, amount, now).is_ok() {
                taken.push((now, amount));
                sum += amount;
            }
        }
        assert_within(rate, &taken);
        assert!(sum <= asked);
    }
}

#[test]
fn a_client_that_always_asks_gets_all_of_its_limit() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let rate = rate(random.u64(60..100_000), random.u64(1..1000));
        let bucket = Bucket::default();
        let (mut now, mut sum) = (0, 0);
        let minutes = 20;
        while now < minutes * MINUTE {
            match bucket.take(rate, 1, now) {
                Ok(_) => sum += 1,
                Err(refused) => now += u64::try_from(refused.retry_after.as_nanos()).unwrap(),
            }
        }
        let due = rate.burst + minutes * rate.per_minute;
        assert!(
            sum <= due && sum * 100 >= due * 99,
            "{rate:?}: {sum} of {due}"
        );
    }
}

#[test]
fn threads_together_get_no_more_than_one() {
    // A tenth of a second in which no thread may run before anything is lost.
    let rate = rate(600_000, 1000);
    let bucket = Arc::new(Bucket::default());
    let started = Instant::now();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let bucket = Arc::clone(&bucket);
            std::thread::spawn(move || {
                let mut count = 0_u64;
                while started.elapsed() < Duration::from_millis(300) {
                    let now = u64::try_from(started.elapsed().as_nanos()).unwrap();
                    count += u64::from(bucket.take(rate, 1, now).is_ok());
                }
                count
            })
        })
        .collect();
    let count: u64 = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .sum();
    let most = 1000 + u64::try_from(started.elapsed().as_micros()).unwrap() / 100;
    assert!(count <= most, "{count} > {most}");
    // What one thread alone would get in the time that was there for certain.
    assert!(count >= 3000, "{count}");
}
