//! The invariants after each operation.

use crate::harness::Harness;
use crate::reference::Node;
use conductor_conformance::{assert_replays, assert_verified};
use conductor_model::{CancelCause, ErrorText, Json, StateCounts, TaskId};
use conductor_store::Verify;

impl Harness {
    /// Reads everything and compares it with the reference.
    pub(crate) fn check(&mut self) {
        self.tasks = self.read();
        self.check_tasks();
        self.check_runs();
        self.reference.assert_states_follow();
        self.reference.assert_nothing_started_below_cancel(&self.before);
        self.before = self.reference.clone();
        self.count_cancel_causes();
        assert_eq!(self.store.next_due().unwrap(), self.reference.next_due());
        self.check_events();
    }

    /// Compares the rows with the events. The integrity check of SQLite costs much, so it runs only at the end of a program.
    fn check_events(&self) {
        assert_replays(&*self.store);
        let report = self.store.verify(&Verify::all()).unwrap();
        assert_eq!((report.divergences, report.next), (vec![], None));
    }

    /// Makes the checks at the end of a program.
    pub(crate) fn check_end(&self) {
        assert_replays(&*self.store);
        assert_verified(&*self.store);
    }

    fn count_cancel_causes(&mut self) {
        let nodes = self.reference.nodes();
        let causes: Vec<_> =
            nodes.into_iter().filter_map(|node| self.reference.data(node).cancel_cause).collect();
        self.count("fail-fast cancel", causes.contains(&CancelCause::FailFast));
        self.count("deadline cancel", causes.contains(&CancelCause::Deadline));
    }

    fn check_tasks(&self) {
        assert_eq!(self.tasks.len(), self.reference.tasks.len());
        let number_of = |id: TaskId| self.tasks.iter().position(|task| task.id == id);
        for (number, (task, expected)) in self.tasks.iter().zip(&self.reference.tasks).enumerate() {
            let position = (expected.parent, expected.index, expected.name.as_str());
            assert_eq!((task.parent.and_then(number_of), task.index, task.name.as_str()), position);
            let row = (expected.state, expected.due_at, expected.attempt, expected.retry_count);
            assert_eq!((task.state, task.due_at, task.attempt, task.retry_count), row, "{}", task.name);
            assert_eq!(task.lease_until, expected.lease.map(|lease| lease.until), "{}", task.name);
            assert_eq!(task.output.as_ref().map(Json::as_str), expected.output.as_deref());
            assert_eq!(task.last_error.as_ref().map(ErrorText::as_str), expected.last_error.as_deref());
            let counts = expected.plan.as_ref().map(|_| self.reference.counts_of(Node::Parent(number)));
            assert_eq!(task.child_counts, counts, "{}", task.name);
            assert_eq!(task.cancel_cause, expected.node.cancel_cause, "{}", task.name);
        }
    }

    fn check_runs(&self) {
        for (number, (id, expected)) in self.runs.iter().zip(&self.reference.runs).enumerate() {
            let run = self.store.run(*id).unwrap().unwrap();
            assert_eq!(run.state, expected.state);
            assert_eq!(run.child_counts, self.reference.counts_of(Node::Run(number)));
            assert_eq!((run.cancel_cause, run.deadline), (expected.node.cancel_cause, expected.deadline));
            let mut state_counts = StateCounts::default();
            for task in self.reference.tasks.iter().filter(|task| task.run == number && !task.is_join()) {
                state_counts.apply(None, task.state);
            }
            assert_eq!(run.state_counts, state_counts);
        }
    }
}
