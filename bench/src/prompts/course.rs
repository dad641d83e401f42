//! The order of requests: never two at a time on the machine, but many pauses at a time.
//!
//! Of one situation, all lanes are measured in rounds. In a round, lanes take turns in groups that are small enough for
//! each one's pause to be as long as it should be, contenders that are compared next to each other and in another
//! order each round.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep_until;

use super::lane::{Lane, Sample};
use super::plan::{Situation, groups, rounds, samples};
use crate::cpu::order;
use crate::report;

/// Requests that tell how long those of a lane take.
const TRIALS: usize = 2;
/// More than the requests of a cell: those of each situation meet losses of their own.
const SEEDS: u64 = 1_000_000;
/// Of a lane, so many times as many requests as samples are sent at most, and a few more.
const ATTEMPTS: usize = 3;

/// What has been measured so far.
#[derive(Debug)]
pub(super) struct Course {
    begun: Instant,
    pub(super) samples: Vec<Sample>,
    /// Requests that were not as meant, and were sent again later.
    pub(super) repeated: usize,
    /// Of each lane, in the present situation, how many samples there are; and where their losses start from.
    done: Vec<u64>,
    seeds: u64,
}

impl Course {
    /// The beginning: tells lanes how long their requests take.
    ///
    /// # Errors
    /// When a request fails.
    pub(super) async fn begin(lanes: &mut [Lane]) -> Result<Self> {
        for lane in lanes {
            lane.begin()?;
            for _ in 0..TRIALS {
                lane.send(Situation::Idle(Duration::ZERO)).await?;
            }
        }
        Ok(Self {
            begun: Instant::now(),
            samples: Vec::new(),
            repeated: 0,
            done: Vec::new(),
            seeds: 0,
        })
    }

    /// Measures all lanes in one situation; `usual` is the number of samples of those that are measured most often.
    ///
    /// # Errors
    /// When a request fails, or time and again cannot be made as it should be.
    pub(super) async fn measure(
        &mut self,
        lanes: &mut [Lane],
        situation: Situation,
        usual: usize,
    ) -> Result<()> {
        let counts: Vec<Vec<usize>> = lanes
            .iter()
            .map(|lane| match situation {
                // Without a proxy, fresh is as cold as it gets.
                Situation::Cold if !lane.is_proxied() => Vec::new(),
                _ => rounds(samples(usual, lane.size, situation)),
            })
            .collect();
        self.done = vec![0; lanes.len()];
        self.seeds += SEEDS;
        let all = counts.iter().map(Vec::len).max().unwrap_or_default();
        for round in 0..all {
            let taking_part = |lane: &usize| counts.get(*lane).is_some_and(|all| all.len() > round);
            let groups = groups(&families(lanes, taking_part, round), situation);
            for (index, group) in groups.iter().enumerate() {
                let todo: Vec<(usize, usize)> = group
                    .members
                    .iter()
                    .map(|&lane| (lane, counts[lane][round]))
                    .collect();
                self.progress(
                    situation,
                    [(round, all), (index, groups.len())],
                    lanes,
                    &todo,
                );
                self.share(lanes, situation, todo).await?;
            }
        }
        Ok(())
    }

    /// Sends so many requests of each of these lanes. If they turn out to take too long for each other's pauses, what is
    /// left of them takes turns in two groups, and so on.
    async fn share(
        &mut self,
        lanes: &mut [Lane],
        situation: Situation,
        todo: Vec<(usize, usize)>,
    ) -> Result<()> {
        let mut groups = vec![todo];
        while let Some(group) = groups.pop() {
            let mut left = self.take_turns(lanes, situation, group).await?;
            let half = left.split_off(left.len() / 2);
            groups.extend([half, left].into_iter().filter(|group| !group.is_empty()));
        }
        Ok(())
    }

    /// Sends so many requests of each of these lanes, the one whose pause ends first before the others. Gives back those
    /// for which that cannot be done.
    ///
    /// # Errors
    /// When a request fails, or a lane by itself cannot be measured.
    async fn take_turns(
        &mut self,
        lanes: &mut [Lane],
        situation: Situation,
        mut todo: Vec<(usize, usize)>,
    ) -> Result<Vec<(usize, usize)>> {
        let is_alone = todo.len() == 1;
        let mut attempts: Vec<(usize, usize)> = todo
            .iter()
            .map(|&(lane, count)| (lane, ATTEMPTS * (count + 1)))
            .collect();
        for &(lane, _) in &todo {
            let lane = &mut lanes[lane];
            lane.begin()?;
            for request in (0..situation.warm_up(lane.size)).rev() {
                lane.reseed(self.seeds - 1 - request as u64);
                lane.send(situation).await?;
            }
        }
        while let Some((index, left)) = todo
            .iter_mut()
            .filter(|(_, left)| *left > 0)
            .min_by_key(|(lane, _)| lanes[*lane].ended)
        {
            let lane = &mut lanes[*index];
            sleep_until((lane.ended + situation.pause()).into()).await;
            lane.reseed(self.seeds + self.done[*index]);
            let sample = lane.send(situation).await?;
            if lane.is_as_meant(&sample) {
                self.samples.push(sample);
                *left -= 1;
                self.done[*index] += 1;
                continue;
            }
            self.repeated += 1;
            let mut own = attempts.iter_mut().filter(|(lane, _)| lane == index);
            let left = own.next().map_or(0, |(_, left)| {
                *left -= 1;
                *left
            });
            if left == 0 && !is_alone {
                break;
            }
            ensure!(
                left > 0,
                "{}, {situation}: cannot be measured; the last was request {} of its connection, after a pause of {:.0} ms",
                lane.described(),
                sample.number,
                sample.idle_ms
            );
        }
        todo.retain(|(_, left)| *left > 0);
        Ok(todo)
    }

    fn progress(
        &self,
        situation: Situation,
        [(round, rounds), (group, groups)]: [(usize, usize); 2],
        lanes: &[Lane],
        todo: &[(usize, usize)],
    ) {
        let seconds = self.begun.elapsed().as_secs();
        let first = todo.first().map(|(lane, _)| lanes[*lane].described());
        let others = match todo.len() {
            0 | 1 => String::new(),
            more => format!(" and {} others", more - 1),
        };
        report::progress(&format!(
            "{:>2}:{:02} {situation}, round {} of {rounds}, group {} of {groups}: {}{others}",
            seconds / 60,
            seconds % 60,
            round + 1,
            group + 1,
            first.unwrap_or_default(),
        ));
    }
}

/// The lanes that take part, those of a path and a size together, with what is expected of them.
fn families(
    lanes: &[Lane],
    taking_part: impl Fn(&usize) -> bool,
    round: usize,
) -> Vec<Vec<(usize, Duration)>> {
    let all: Vec<usize> = (0..lanes.len()).filter(taking_part).collect();
    let same = |one: &usize, other: &usize| {
        let key = |lane: usize| (lanes[lane].emulated.name, lanes[lane].size);
        key(*one) == key(*other)
    };
    let family = |family: &[usize]| {
        let members = order(family, round).into_iter();
        members.map(|&lane| (lane, lanes[lane].takes)).collect()
    };
    all.chunk_by(same).map(family).collect()
}
