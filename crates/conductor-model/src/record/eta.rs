//! An estimate of when a run settles, from its recent throughput.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The remaining work of a run, and an estimate of when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eta {
    /// The number of known tasks that are not settled. Children that are not appended yet are unknown.
    pub remaining: u64,
    /// The number of tasks settled per second recently; 0.0 if none was.
    pub per_second: f64,
    /// When the run will be done; `None` if nothing remains, or if no task was settled recently.
    pub at: Option<Timestamp>,
}

/// The properties of an event on which the throughput depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentEvent {
    /// When it happened.
    pub at: Timestamp,
    /// Whether it settled a task; see [`EventBody::settles_task`](crate::EventBody::settles_task).
    pub settled: bool,
}

impl Eta {
    /// The window of the throughput, in milliseconds: one hour. Earlier events are ignored.
    pub const WINDOW_MS: u64 = 60 * 60 * 1000;

    /// Estimates from the number of remaining tasks and the latest events of the run, in any order.
    ///
    /// The throughput is the number of tasks settled after the earliest of these events, divided by the time since then.
    /// Tasks settled at exactly that time do not count: they belong to the unknown time before.
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
        let per_second = throughput(recent, now);
        let at =
            (remaining > 0 && per_second > 0.0).then(|| now.plus_millis(millis_for(remaining, per_second)));
        Self { remaining, per_second, at }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate need not be exact")]
fn throughput(recent: &[RecentEvent], now: Timestamp) -> f64 {
    let since = now.minus_millis(Eta::WINDOW_MS);
    let recent = || recent.iter().filter(|event| event.at >= since);
    let Some(start) = recent().map(|event| event.at).min() else { return 0.0 };
    let settled = recent().filter(|event| event.settled && event.at > start).count();
    // The clock of the event may be ahead of the clock of the reader.
    let elapsed_ms = now.max(start.plus_millis(1)).millis_since(start);
    settled as f64 * 1000.0 / elapsed_ms as f64
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate need not be exact; too large a float becomes the largest integer"
)]
fn millis_for(remaining: u64, per_second: f64) -> u64 {
    (remaining as f64 * 1000.0 / per_second).ceil() as u64
}
