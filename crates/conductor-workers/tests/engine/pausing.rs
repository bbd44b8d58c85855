//! A handler that pauses, so that an engine holds claims that have not started.

use crate::support::fixture::Fixture;
use crate::support::gate::{Gate, new_gate};
use crate::support::waiting::receive;
use conductor_model::RunId;
use conductor_workers::{Context, TaskError};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// The number of tasks that a test submits for a pausing handler.
pub(crate) const PAUSED_TASKS: u32 = 3000;
const PAUSE_EVERY: u32 = 300;

/// Creates a handler whose attempts all wait at a gate after every 300 tasks. The output is the number of the attempt.
///
/// Between the pauses, attempts end immediately, so the engine prefetches claims. `workers` is the number of workers of the
/// engine.
pub(crate) fn pausing_handler(
    workers: u32,
) -> (impl Fn((), Context) -> Result<u32, TaskError> + Send + Sync + 'static, Pauses) {
    let (gate, waiter) = new_gate();
    let (paused, contexts) = mpsc::channel();
    let handler = move |(): (), context: Context| {
        let attempt = context.attempt();
        if context.index() >= PAUSE_EVERY && context.index() % PAUSE_EVERY < workers {
            // Nothing receives after the test has found its pause. Then the gate is open.
            let _ = paused.send(context);
            waiter.wait();
        }
        Ok(attempt)
    };
    (handler, Pauses { workers, gate, contexts })
}

/// The pauses of a handler.
pub(crate) struct Pauses {
    workers: u32,
    gate: Gate,
    contexts: Receiver<Context>,
}

impl Pauses {
    /// Continues until all workers pause while the engine holds claims that have not started. Returns the paused attempts,
    /// and the gate that they wait at.
    pub(crate) fn wait_for_prefetched_claims(self, fixture: &Fixture, run: RunId) -> (Vec<Context>, Gate) {
        loop {
            let mut running: Vec<Context> = (0..self.workers).map(|_| receive(&self.contexts)).collect();
            running.sort_by_key(Context::index);
            thread::sleep(Duration::from_millis(20));
            if fixture.run(run).state_counts.running > u64::from(self.workers) {
                return (running, self.gate);
            }
            (0..self.workers).for_each(|_| self.gate.let_one_through());
        }
    }
}
