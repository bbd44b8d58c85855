//! The operations of users: cancel, revive, and the steps that follow.

use crate::harness::{Harness, drain, pick};
use crate::programs::Among;
use crate::reference::{CancelAnswer, Node, ReviveCounts, ReviveRejection};
use conductor_model::{State, Task, TaskId};
use conductor_store::{Cancel, NodeId, Revive, ReviveFilter, ReviveOutcome};

impl Harness {
    pub(crate) fn expire(&mut self, run: Option<usize>, limit: u32) {
        let (step, only) = self.step(run, limit);
        let expired = drain(|| self.store.expire(&step).map(|done| (done.changed, done.more)).unwrap());
        assert_eq!(expired, self.reference.expire(only, self.now));
    }

    pub(crate) fn cancel_task(&mut self, task: usize, among: Among) {
        let with_open_join: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|task| task.index == 0 && !task.status().is_settled())
            .filter_map(|join| join.parent)
            .collect();
        let is_candidate = |task: &Task| match among {
            Among::All => true,
            Among::Open => !task.status().is_settled(),
            Among::OpenParents => !task.state.is_terminal() && task.child_counts.is_some(),
            Among::ParentsWithOpenJoin => with_open_join.contains(&task.id),
            Among::OpenJoins => !task.status().is_settled() && task.index == 0,
        };
        let Some(number) = self.pick_task(task, is_candidate) else { return };
        let cancelled = self.store.cancel(&Cancel::task(self.tasks[number].id, self.now));
        assert_eq!(CancelAnswer::from(cancelled), self.reference.cancel_task(number, self.now));
        self.count("parent is cancelled", self.tasks[number].child_counts.is_some());
    }

    pub(crate) fn cancel_run(&mut self, run: usize) {
        let Some(number) = pick(run, self.runs.len()) else { return };
        let cancelled = self.store.cancel(&Cancel::run(self.runs[number], self.now).reason("not now"));
        assert_eq!(CancelAnswer::from(cancelled), self.reference.cancel_node(Node::Run(number)));
    }

    pub(crate) fn sweep(&mut self, run: Option<usize>, limit: u32, until_done: bool) {
        let (step, only) = self.step(run, limit);
        loop {
            let outcome = self.store.sweep(&step).unwrap();
            let observed = self.observed();
            let swept = self.reference.follow_sweep(&observed, only, self.now);
            assert_eq!((outcome.tasks, outcome.parents), (swept.leaves, swept.parents));
            assert!(swept.leaves - swept.joins + swept.parents <= limit, "the limit bounds a step");
            assert!(swept.joins <= limit, "the limit bounds a step");
            self.count("sweep stops at its limit", outcome.more && swept.leaves > 0);
            self.count("sweep cancels parents", swept.parents > 0);
            self.count("sweep cancels a join", swept.joins > 0);
            if !outcome.more {
                self.reference.assert_swept(only);
            }
            if !outcome.more || !until_done {
                break;
            }
        }
    }

    pub(crate) fn revive_leaf(&mut self, task: usize, among_all: bool) {
        let is_candidate = |task: &Task| task.child_counts.is_none() && is_revivable(task.state);
        let Some(number) = self.pick_task(task, |task| among_all || is_candidate(task)) else { return };
        let obstacles = self.reference.obstacles_to_revive(number);
        match self.store.revive(&Revive::leaf(self.tasks[number].id, self.now)) {
            Ok(revived) => {
                assert_eq!(obstacles, []);
                let below_cancelled = self.reference.ancestors(number).into_iter().any(|node| {
                    matches!(node, Node::Parent(_)) && self.reference.state_of(node) == State::Cancelled
                });
                self.count("revive below a cancelled parent", below_cancelled);
                self.count("join is revived", self.tasks[number].index == 0);
                let expected = self.reference.revive_leaf(number, self.now);
                assert_eq!((counts(revived), revived.next), (expected, None));
            }
            Err(error) => {
                assert!(obstacles.contains(&ReviveRejection::from(&error)), "{error}, not {obstacles:?}");
                self.count("revive is rejected", true);
            }
        }
    }

    pub(crate) fn revive_all(&mut self, node: usize, among_all: bool, which: ReviveFilter, limit: u32) {
        let mut nodes = self.reference.nodes();
        nodes.retain(|node| among_all || is_revivable(self.reference.state_of(*node)));
        let Some(node) = pick(node, nodes.len()).map(|i| nodes[i]) else { return };
        let below = match node {
            Node::Run(run) => NodeId::Run(self.runs[run]),
            Node::Parent(parent) => NodeId::Task(self.tasks[parent].id),
        };
        let (mut all, mut cursor, mut steps) = (ReviveCounts::default(), None, 0);
        loop {
            let request = Revive::All { below, which, cursor, limit, now: self.now };
            let revived = self.store.revive(&request).unwrap();
            let ReviveCounts { tasks, reopened, skipped } = counts(revived);
            assert!(tasks + skipped <= limit + 1, "the limit bounds a transaction");
            all.tasks += tasks;
            all.reopened += reopened;
            all.skipped += skipped;
            cursor = revived.next;
            steps += 1;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(all, self.reference.revive_all(node, which, self.now));
        self.count("revive of many in several transactions", steps > 1 && all.tasks > 1);
        self.count("revive of many skips some", all.skipped > 0);
        self.count("revive of many only reopens", all.reopened > 0 && all.tasks == 0);
    }
}

fn counts(revived: ReviveOutcome) -> ReviveCounts {
    ReviveCounts { tasks: revived.tasks, reopened: revived.reopened, skipped: revived.skipped }
}

fn is_revivable(state: State) -> bool {
    matches!(state, State::Failed | State::Cancelled)
}
