//! How many tasks to claim beyond those that can begin at once.
//!
//! Each exchange with the store costs a commit. Tasks that end faster than that leave the workers idle unless more of them
//! wait here; of tasks that take long none should wait here, where no other engine can take it. So as many wait as end
//! during one exchange, and none if that is none. What waits in vain, because tasks became slow, goes back.
//!
//! What began in a turn has hardly begun to end when the next one could follow. While the workers have enough to do that one
//! waits for a moment, so that it settles many and not the first few: each of them costs a commit, and the write lock.

use std::time::Duration;

/// The most that wait: more would not make a commit cheaper per task.
const MOST: u32 = 2048;
/// How many bytes the inputs and outputs have together of what is claimed ahead, about.
const MOST_BYTES: usize = 8 << 20;

/// This part of the last exchange the next one waits for more to settle, and for so long at most.
const PART_OF_EXCHANGE: u32 = 16;
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

/// How long more than enough may wait before others should have it.
const IN_VAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Prefetch {
    least: u32,
    most: u32,
    /// How many bytes the inputs and the outputs had on average that were seen last, or half of what it was before.
    input: usize,
    output: usize,
    /// When the last exchange began, and how long the turn took that it belonged to.
    last: Option<(Duration, Duration)>,
    /// Since when more than enough have waited.
    surplus_since: Option<Duration>,
}

impl Prefetch {
    /// At least so many, however long they take: for tests.
    pub(crate) fn at_least(least: u32) -> Self {
        Self { least, most: least, input: 0, output: 0, last: None, surplus_since: None }
    }

    /// How many to claim beyond those that can begin at once.
    pub(crate) fn most(&self) -> u32 {
        let affordable = MOST_BYTES / (self.input + self.output).max(1);
        self.most.min(u32::try_from(affordable).unwrap_or(MOST))
    }

    /// An exchange begins, with so many attempts that ended since the last one.
    pub(crate) fn measure(&mut self, now: Duration, ended: usize) {
        if let Some((began, took)) = self.last {
            let since = now.saturating_sub(began).as_secs_f64();
            if since > 0.0 {
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of a few thousand tasks, rounded down"
                )]
                // Four times as many, so that it soon grows until it is enough: also from the one that a single worker ends.
                let ahead = (4.0 * ended as f64 * (took.as_secs_f64() / since).min(1.0)) as u32;
                // One exchange that found little does not say that tasks became slow.
                self.most = ahead.max(self.most / 2).clamp(self.least, MOST.max(self.least));
            }
        }
        self.last = Some((now, Duration::ZERO));
    }

    /// The turn that began with the last exchange is over.
    pub(crate) fn turn_over(&mut self, now: Duration) {
        if let Some((began, took)) = &mut self.last {
            *took = now.saturating_sub(*began);
        }
    }

    /// How long the next exchange waits for more to settle, when so many are held by so many workers.
    pub(crate) fn pause(&self, held: usize, workers: u32) -> Duration {
        let enough_to_do = held > 2 * workers as usize;
        let took = self.last.filter(|_| enough_to_do).map_or(Duration::ZERO, |(_, took)| took);
        (took / PART_OF_EXCHANGE).min(LONGEST_PAUSE)
    }

    /// How many of so many that wait are to go back: those beyond twice of what would be claimed ahead now, once there have
    /// been any for a second, so that a single slow task among many quick ones sends none of them to and fro. Without
    /// workers nothing may wait.
    pub(crate) fn surplus(&mut self, now: Duration, waiting: usize, workers: u32) -> usize {
        if workers == 0 {
            return waiting;
        }
        let enough = 2 * self.most() as usize;
        if waiting <= enough {
            self.surplus_since = None;
            return 0;
        }
        let since = *self.surplus_since.get_or_insert(now);
        if now.saturating_sub(since) < IN_VAIN {
            return 0;
        }
        self.surplus_since = None;
        waiting - enough
    }

    /// So many tasks were claimed, whose inputs have so many bytes.
    pub(crate) fn weigh_inputs(&mut self, tasks: usize, bytes: usize) {
        self.input = bytes.checked_div(tasks).map_or(self.input, |each| each.max(self.input / 2));
    }

    /// So many attempts ended, whose outputs have so many bytes.
    pub(crate) fn weigh_outputs(&mut self, attempts: usize, bytes: usize) {
        self.output = bytes.checked_div(attempts).map_or(self.output, |each| each.max(self.output / 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Exchanges that follow each other at once and take 1 ms each, after so many attempts that ended; how many are claimed ahead.
    fn after<const N: usize>(ended: [usize; N]) -> u32 {
        let mut ahead = Prefetch::at_least(0);
        for (nth, ended) in (0..).zip(ended) {
            ahead.measure(nth * MS, ended);
            ahead.turn_over((nth + 1) * MS);
        }
        ahead.most()
    }

    #[test]
    fn as_many_are_claimed_ahead_as_end_meanwhile_and_more_while_that_grows() {
        assert_eq!(after([0]), 0);
        assert_eq!(after([0, 2]), 8);
        assert_eq!(after([0, 2, 10]), 40);
        assert_eq!(after([0, 2, 10, 600]), MOST);
    }

    #[test]
    fn one_exchange_that_found_little_takes_half_away_at_most() {
        assert_eq!(after([0, 600, 3]), MOST / 2);
        assert_eq!(after([0, 600, 3, 3]), MOST / 4);
        assert_eq!(after([0, 600, 0, 0, 0, 0]), MOST / 16);
    }

    #[test]
    fn the_next_exchange_waits_while_the_workers_have_enough_to_do_and_never_for_long() {
        let mut ahead = Prefetch::at_least(0);
        ahead.measure(Duration::ZERO, 0);
        ahead.turn_over(8 * MS);
        assert_eq!(ahead.pause(4, 2), Duration::ZERO);
        assert_eq!(ahead.pause(5, 2), MS / 2);
        ahead.turn_over(1000 * MS);
        assert_eq!(ahead.pause(5, 2), MS);
    }
}
