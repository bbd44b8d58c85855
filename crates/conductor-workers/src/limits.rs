//! The sizes of steps, and the interval of polls.

use std::time::Duration;

/// How many rows one step changes at most. A commit is then cheap per row, and claims and results wait only milliseconds
/// for the step.
pub const ROWS_PER_STEP: u32 = 4_000;
/// How many rows a rescue or an aggregate changes at most: they write their rows one by one.
pub const ROWS_PER_HEAVY_STEP: u32 = 2_000;
/// How many tasks a sweep cancels at most. The store ends it earlier where the tasks do not share rows.
pub const TASKS_PER_SWEEP: u32 = 50_000;
/// How many children one step of a fan-out creates at most: appending rows is the cheapest write.
pub const CHILDREN_PER_STEP: u32 = 10_000;
/// How often an idle engine, or a waiting subscription, checks for writes of other processes.
pub const POLL_INTERVAL: Duration = Duration::from_millis(50);
