//! When a run will be settled, if it goes on as it did lately.

use crate::event::EventBody;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How much is left of a run, and how long that will take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eta {
    /// Tasks that are not settled, as far as they are known: children that wait for their creation are, those that nobody has
    /// appended yet are not.
    pub remaining: u64,
    /// How many tasks were settled per second lately; 0.0 when none was.
    pub per_second: f64,
    /// When nothing will remain; `None` when nothing remains, or when nothing was settled lately.
    pub at: Option<Timestamp>,
}

/// An event of the run, as far as its pace depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentEvent {
    /// When it happened.
    pub at: Timestamp,
    /// Whether it settled a task: see [`EventBody::settles_task`].
    pub settled: bool,
}

impl Eta {
    /// What happened earlier than this before now, in milliseconds, says nothing of a run's pace: an hour.
    pub const WINDOW_MS: u64 = 60 * 60 * 1000;

    /// From what is left and from the run's last events, in any order, as many of them as the caller wants the pace to depend
    /// on.
    ///
    /// The pace is what was settled after the earliest of these events, by the time since then. What was settled at that
    /// very moment belongs to the time before it, of which nothing is known.
    ///
    /// ```
    /// use conductor_model::{Eta, RecentEvent, Timestamp};
    ///
    /// let second = |second: i64| Timestamp::from_millis(1000 * second);
    /// let recent = [RecentEvent { at: second(10)?, settled: false }, RecentEvent { at: second(15)?, settled: true }];
    /// let eta = Eta::of(3, &recent, second(20)?);
    /// assert_eq!((eta.per_second, eta.at), (0.1, Some(second(50)?)));
    /// # Ok::<(), conductor_model::TimestampOutOfRange>(())
    /// ```
    pub fn of(remaining: u64, recent: &[RecentEvent], now: Timestamp) -> Self {
        let per_second = pace(recent, now);
        let at =
            (remaining > 0 && per_second > 0.0).then(|| now.plus_millis(millis_for(remaining, per_second)));
        Self { remaining, per_second, at }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate, for people")]
fn pace(recent: &[RecentEvent], now: Timestamp) -> f64 {
    let since = now.minus_millis(Eta::WINDOW_MS);
    let recent = || recent.iter().filter(|event| event.at >= since);
    let Some(begin) = recent().map(|event| event.at).min() else { return 0.0 };
    let settled = recent().filter(|event| event.settled && event.at > begin).count();
    // An event may come from a clock that is ahead of the reader's.
    let span = now.max(begin.plus_millis(1)).millis_since(begin);
    settled as f64 * 1000.0 / span as f64
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, for people; a float that is too large becomes the largest number"
)]
fn millis_for(remaining: u64, per_second: f64) -> u64 {
    (remaining as f64 * 1000.0 / per_second).ceil() as u64
}

impl EventBody {
    /// Whether it tells that a task was settled: it ended, and no retry is due on it.
    pub fn settles_task(&self) -> bool {
        match self {
            Self::TaskSucceeded | Self::TaskCancelled { .. } | Self::TaskAggregated { .. } => true,
            Self::TaskFailed { due_at, .. } => due_at.is_none(),
            _ => false,
        }
    }
}
