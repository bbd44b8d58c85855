//! Decides how many tasks to prefetch: to claim beyond those that can start at once.
//!
//! Each exchange with the store costs a commit. Tasks that are shorter than an exchange leave workers idle unless more of
//! them are claimed already. Long tasks should not be prefetched, because another engine could run them. So an engine
//! prefetches about as many tasks as finish during one exchange. If tasks become slow, it releases the surplus.
//!
//! After a turn few attempts have finished when the next turn could begin. While the workers have enough to do, the next
//! turn waits for a moment, so that it settles many results: each exchange costs a commit and the write lock.

use std::time::Duration;

/// The highest prefetch: beyond that a commit does not become cheaper per task.
const MAX: u32 = 16_384;
/// Beyond this number, no more tasks are prefetched than a turn of [`MAX_TURN`] settles. On a slow disk fewer tasks would not
/// make a turn shorter.
const MAX_IN_LONG_TURN: u32 = 2048;
/// Other writers wait for the transaction of a turn.
const MAX_TURN: Duration = Duration::from_millis(50);
/// How many bytes of inputs and outputs the prefetched tasks have together, about.
const MAX_BYTES: usize = 8 << 20;

/// The next turn waits this fraction of the last turn for more results.
const PAUSE_DIVISOR: u32 = 16;
const MAX_PAUSE: Duration = Duration::from_millis(1);

/// How long a surplus may wait before it is released.
const SURPLUS_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Prefetch {
    min: u32,
    max: u32,
    /// What `max` may grow to.
    limit: u32,
    /// The average bytes of recent inputs and outputs. Each measurement lowers them by half at most.
    input_bytes: usize,
    output_bytes: usize,
    last_turn: Option<MeasuredTurn>,
    /// Since when more attempts wait than are needed.
    surplus_since: Option<Duration>,
}

/// When a turn began, how long it took, and how many attempts it settled.
#[derive(Clone, Copy, Debug)]
struct MeasuredTurn {
    began: Duration,
    took: Duration,
    settled: usize,
}

impl Prefetch {
    /// Creates a prefetch that never falls below `min`. Engines use 0.
    pub(crate) fn with_min(min: u32) -> Self {
        Self {
            min,
            max: min,
            limit: MAX_IN_LONG_TURN,
            input_bytes: 0,
            output_bytes: 0,
            last_turn: None,
            surplus_since: None,
        }
    }

    /// Returns how many tasks to claim beyond those that can start at once.
    pub(crate) fn max(&self) -> u32 {
        let affordable = MAX_BYTES / (self.input_bytes + self.output_bytes).max(1);
        self.max.min(u32::try_from(affordable).unwrap_or(MAX))
    }

    /// Begins an exchange that settles this many attempts.
    pub(crate) fn begin_exchange(&mut self, now: Duration, attempts: usize) {
        if let Some(turn) = self.last_turn {
            // A turn with few results does not tell how long one with many takes.
            if turn.settled >= MAX_IN_LONG_TURN as usize / 2 {
                let turns = MAX_TURN.as_secs_f64() / turn.took.as_secs_f64().max(f64::EPSILON);
                self.limit = fraction(turn.settled, turns).clamp(MAX_IN_LONG_TURN, MAX);
            }
            let since = now.saturating_sub(turn.began).as_secs_f64();
            if since > 0.0 {
                // Four times as many as finished during the turn, so that it grows fast: also from a single task.
                let wanted = fraction(4 * attempts, (turn.took.as_secs_f64() / since).min(1.0));
                // A single exchange with few results does not mean that tasks became slow.
                self.max = wanted.max(self.max / 2).min(self.limit).max(self.min);
            }
        }
        self.last_turn = Some(MeasuredTurn { began: now, took: Duration::ZERO, settled: attempts });
    }

    /// Notes that the last exchange failed: it settled nothing, so its time tells nothing.
    pub(crate) fn fail_exchange(&mut self) {
        if let Some(turn) = &mut self.last_turn {
            turn.settled = 0;
        }
    }

    /// Ends the turn of the last exchange.
    pub(crate) fn end_turn(&mut self, now: Duration) {
        if let Some(turn) = &mut self.last_turn {
            turn.took = now.saturating_sub(turn.began);
        }
    }

    /// Returns how long the next turn waits for more results: nothing unless the workers have enough to do.
    pub(crate) fn pause(&self, claimed: usize, workers: u32) -> Duration {
        let is_busy = claimed > 2 * workers as usize;
        let took = self.last_turn.filter(|_| is_busy).map_or(Duration::ZERO, |turn| turn.took);
        (took / PAUSE_DIVISOR).min(MAX_PAUSE)
    }

    /// Returns how many waiting attempts to release: those beyond twice the prefetch, once there has been a surplus for a
    /// second. So one slow task among many quick ones releases nothing. Without workers all of them are released.
    pub(crate) fn surplus(&mut self, now: Duration, waiting: usize, workers: u32) -> usize {
        if workers == 0 {
            return waiting;
        }
        let enough = 2 * self.max() as usize;
        if waiting <= enough {
            self.surplus_since = None;
            return 0;
        }
        let since = *self.surplus_since.get_or_insert(now);
        if now.saturating_sub(since) < SURPLUS_TIMEOUT {
            return 0;
        }
        self.surplus_since = None;
        waiting - enough
    }

    /// Measures the inputs of claimed tasks, which have `bytes` in total.
    pub(crate) fn measure_inputs(&mut self, tasks: usize, bytes: usize) {
        self.input_bytes =
            bytes.checked_div(tasks).map_or(self.input_bytes, |each| each.max(self.input_bytes / 2));
    }

    /// Measures the outputs of finished attempts, which have `bytes` in total.
    pub(crate) fn measure_outputs(&mut self, attempts: usize, bytes: usize) {
        self.output_bytes =
            bytes.checked_div(attempts).map_or(self.output_bytes, |each| each.max(self.output_bytes / 2));
    }
}

/// Returns a fraction, or a multiple, of a number of tasks, rounded down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of tasks is far below 2^52, and a larger number saturates"
)]
fn fraction(tasks: usize, part: f64) -> u32 {
    (tasks as f64 * part) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Returns the prefetch after exchanges without a pause, of 1 ms each, that settle these numbers of attempts.
    fn prefetch_after<const N: usize>(settled: [usize; N]) -> u32 {
        let mut prefetch = Prefetch::with_min(0);
        for (i, settled) in (0..).zip(settled) {
            prefetch.begin_exchange(i * MS, settled);
            prefetch.end_turn((i + 1) * MS);
        }
        prefetch.max()
    }

    #[test]
    fn prefetch_grows_with_results_per_exchange() {
        assert_eq!(prefetch_after([0]), 0);
        assert_eq!(prefetch_after([0, 2]), 8);
        assert_eq!(prefetch_after([0, 2, 10]), 40);
        assert_eq!(prefetch_after([0, 2, 10, 3000]), MAX_IN_LONG_TURN);
        assert_eq!(prefetch_after([0, 2, 10, 3000, 3000]), 12_000);
        assert_eq!(prefetch_after([0, 2, 10, 3000, 9000]), MAX);
    }

    #[test]
    fn exchange_with_few_results_halves_prefetch() {
        assert_eq!(prefetch_after([0, 3000, 9000, 3]), MAX / 2);
        assert_eq!(prefetch_after([0, 3000, 9000, 3, 3]), MAX / 4);
        assert_eq!(prefetch_after([0, 3000, 9000, 0, 0, 0, 0]), MAX / 16);
    }

    #[test]
    fn turns_stay_below_fifty_milliseconds() {
        let mut prefetch = Prefetch::with_min(0);
        let mut now = Duration::ZERO;
        // Each task takes 10 µs of a turn: 5,000 fit into one.
        for settled in [0, 1000, 2000, 8000, 5000, 5000] {
            prefetch.begin_exchange(now, settled);
            now += Duration::from_micros(10) * u32::try_from(settled).unwrap().max(1);
            prefetch.end_turn(now);
        }
        prefetch.begin_exchange(now, 5000);
        assert_eq!(prefetch.max(), 5000);
    }

    #[test]
    fn pause_needs_busy_workers_and_is_short() {
        let mut prefetch = Prefetch::with_min(0);
        prefetch.begin_exchange(Duration::ZERO, 0);
        prefetch.end_turn(8 * MS);
        assert_eq!(prefetch.pause(4, 2), Duration::ZERO);
        assert_eq!(prefetch.pause(5, 2), MS / 2);
        prefetch.end_turn(1000 * MS);
        assert_eq!(prefetch.pause(5, 2), MS);
    }
}
