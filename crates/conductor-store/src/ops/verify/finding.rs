//! What a verification finds, and how to repair it.

use super::diff::Difference;
use super::replay::RunAudit;
use crate::Divergence;
use crate::backend::{ParentKey, TaskKey};
use conductor_model::TaskId;

/// A divergence, and how to repair it.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) divergence: Divergence,
    pub(crate) action: RepairAction,
}

/// How to repair a divergence, in the order of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RepairAction {
    /// Write the row of the task with this number.
    Task(u32),
    /// Give the task with this number its input.
    Input(u32),
    /// Remove the row with this key.
    Remove(TaskKey),
    /// Remove the join plan of this task.
    Join(ParentKey),
    /// Sweep the children of a task or a run again.
    Sweep(ParentKey),
    /// Write the row of the run.
    Run,
    /// Decide the parent with this number, or the run, by its join, which has settled.
    Decide(Option<u32>),
    /// Remove all that is left of the run.
    Prune,
    /// It cannot be repaired, for this reason.
    None(&'static str),
}

/// The result of the verification of one run.
pub(crate) struct RunCheck {
    /// The run, computed from its events.
    pub(crate) audit: RunAudit,
    /// The number of tasks that have a row.
    pub(crate) tasks: u64,
    /// The first findings.
    pub(crate) findings: Vec<Finding>,
    /// The number of all findings.
    pub(crate) found: u64,
    /// The largest number of findings to keep.
    max: usize,
}

impl RunCheck {
    /// A check without findings, which keeps at most so many.
    pub(super) fn new(audit: RunAudit, max: usize) -> Self {
        Self { audit, tasks: 0, findings: Vec::new(), found: 0, max }
    }

    /// Counts a finding of a task, or of the run, and keeps it if it is one of the first.
    pub(super) fn record(&mut self, task: Option<TaskId>, action: RepairAction, difference: Difference) {
        self.found += 1;
        if self.findings.len() < self.max {
            let Difference { kind, stored, computed } = difference;
            let divergence = Divergence { run: self.audit.id, task, kind, stored, computed };
            self.findings.push(Finding { divergence, action });
        }
    }
}
