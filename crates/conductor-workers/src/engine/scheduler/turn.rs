//! One turn of an engine. Engines with threads and simulated engines take the same turns.

use super::state::Scheduler;
use super::steps::StepSummary;
use crate::handler::attempt::{Attempt, Finished};
use crate::handler::batch::Batch;
use conductor_store::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// Runs the attempts of an engine: its thread pool, or a simulation.
pub(crate) trait Workers {
    /// Returns how many workers are occupied by handlers that ignore their timeout.
    fn lost(&self) -> u32;

    /// No longer waits for these attempts: their handlers were asked to stop.
    fn abandon(&mut self, attempts: Vec<Arc<Attempt>>);

    /// Starts the tasks of these batches in their order, as soon as workers are free.
    fn run(&mut self, batches: Vec<Arc<Batch>>);
}

/// The events since the last turn.
#[derive(Debug)]
pub(crate) struct TurnInput {
    pub(crate) finished: Vec<Finished>,
    /// The store's change token, read before the turn; `None` if that failed.
    pub(crate) change_token: Option<u64>,
    /// Whether to carry out the steps. An engine that stops immediately does not.
    pub(crate) takes_steps: bool,
}

impl Scheduler {
    /// Takes one turn: settles results and claims, finds cancelled attempts, starts the claimed tasks, and carries out
    /// one of each step.
    pub(crate) fn turn(
        &mut self,
        now: Duration,
        input: TurnInput,
        workers: &mut impl Workers,
    ) -> Result<StepSummary, StoreError> {
        let claimed = self.settle_and_claim(now, input.finished, workers.lost());
        let checked = input.change_token.map_or(Ok(()), |token| self.abandon_stale(now, token));
        // Both also after an error of the other one.
        workers.abandon(self.claims.take_abandoned());
        workers.run(claimed?);
        checked?;
        if !input.takes_steps {
            return Ok(StepSummary::default());
        }
        self.take_steps(now)
    }
}
