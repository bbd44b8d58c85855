//! Claims. The store chooses which ready tasks it claims; the checks allow every choice that keeps the guarantees.

use super::Reference;
use conductor_model::{
    AttemptFailure, LeaseLosses, State, Timestamp, fence_is_valid, lease_expired, next_lease_losses,
};
use conductor_store::{AttemptResult, ReportedResult};

/// The claim on a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lease {
    /// The number of the engine.
    pub(crate) engine: usize,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

/// The ready tasks of one kind in one run, in the order of claims. Isolated tasks are apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) tasks: Vec<usize>,
    pub(crate) isolated: Vec<usize>,
}

impl Reference {
    pub(crate) fn ready(&self, kind: &str, run: usize) -> Ready {
        let mut ready = Ready::default();
        for (number, task) in self.tasks.iter().enumerate() {
            let is_ready = task.state == State::Pending && task.due_at.is_none() && task.plan.is_none();
            if is_ready && !self.is_cancelling(number) && task.kind == kind && task.run == run {
                let isolated = task.lease_losses == Some(LeaseLosses::Isolate);
                if isolated { &mut ready.isolated } else { &mut ready.tasks }.push(number);
            }
        }
        ready
    }

    /// Starts a claimed task.
    pub(crate) fn claim(&mut self, task: usize, lease: Lease) {
        self.start(task);
        self.tasks[task].lease = Some(lease);
    }

    pub(crate) fn holds(&self, task: usize, attempt: u32) -> bool {
        let task = &self.tasks[task];
        fence_is_valid(task.state, task.lease.is_some(), task.attempt, attempt)
    }

    pub(crate) fn renew(&mut self, task: usize, since: Timestamp, until: Timestamp) {
        let lease = self.tasks[task].lease.as_mut().unwrap();
        (lease.since, lease.until) = (since, until);
    }

    pub(crate) fn release(&mut self, task: usize) {
        let task = &mut self.tasks[task];
        (task.state, task.lease) = (State::Pending, None);
    }

    pub(crate) fn settle(&mut self, task: usize, result: &AttemptResult, now: Timestamp) {
        let outcome = match result {
            AttemptResult::Succeeded { output } => ReportedResult::Succeeded { output: output.clone() },
            AttemptResult::Failed(AttemptFailure::Error { error, retryable, retry_after_ms }) => {
                ReportedResult::Failed {
                    error: error.clone(),
                    retryable: *retryable,
                    retry_after_ms: *retry_after_ms,
                }
            }
            AttemptResult::Failed(other) => {
                ReportedResult::Failed { error: other.text(), retryable: true, retry_after_ms: None }
            }
        };
        self.end(task, &outcome, now);
    }

    /// Fails the claims of dead engines and the expired claims, and returns their number.
    pub(crate) fn rescue(&mut self, now: Timestamp, lives: impl Fn(usize) -> bool) -> u32 {
        let mut rescued = 0;
        for task in 0..self.tasks.len() {
            let row = &self.tasks[task];
            let Some(lease) = row.lease else { continue };
            if lives(lease.engine) && !lease_expired(lease.until, lease.since, now) {
                continue;
            }
            let lease_losses = next_lease_losses(row.lease_losses, row.max_retries - row.retry_count);
            self.settle(task, &AttemptResult::Failed(AttemptFailure::LeaseExpired), now);
            self.tasks[task].lease_losses = Some(lease_losses);
            rescued += 1;
        }
        rescued
    }

    /// The next moment at which time alone gives a step something to do.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let times = self.tasks.iter().flat_map(|task| [task.due_at, task.lease.map(|lease| lease.until)]);
        let runs = self.runs.iter().filter(|run| !run.state.is_terminal() && run.node.cancel_cause.is_none());
        times.flatten().chain(runs.filter_map(|run| run.deadline)).min()
    }
}
