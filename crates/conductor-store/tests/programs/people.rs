//! What people do to the store under test, beside the reference: cancel, revive, and the steps that follow.

use super::{Among, Op};
use crate::reference::{Cancelling, Head, Refusing, Reviving};
use crate::{World, pick, to_the_end};
use conductor_model::{State, Task, TaskId};
use conductor_store::{Admin, Cancel, NodeId, Revive, ReviveFilter, Store};

impl World {
    /// What people do, and what their doing leaves to the steps.
    pub(crate) fn apply_of_people(&mut self, op: &Op) {
        match op {
            Op::CancelTask { task, among, swept } => {
                self.cancel_task(*task, *among);
                if *swept {
                    self.sweep(None, 2, true);
                }
            }
            Op::CancelRun { run } => self.cancel_run(*run),
            Op::Sweep { run, limit, to_the_end } => self.sweep(*run, *limit, *to_the_end),
            Op::Expire { run, limit } => {
                let (step, only) = self.step(*run, *limit);
                let done =
                    to_the_end(|| self.store.expire(&step).map(|done| (done.changed, done.more)).unwrap());
                assert_eq!(done, self.reference.expire(only, self.now));
            }
            Op::ReviveLeaf { task, among_all } => self.revive_leaf(*task, *among_all),
            Op::ReviveAll { head, among_all, which, limit } => {
                self.revive_all(*head, *among_all, *which, *limit);
            }
            other => unreachable!("{other:?} is none of theirs"),
        }
    }

    fn cancel_task(&mut self, task: usize, among: Among) {
        let joining: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|task| task.index == 0 && !task.status().is_settled())
            .filter_map(|join| join.parent)
            .collect();
        let is_among = |task: &Task| match among {
            Among::All => true,
            Among::Open => !task.status().is_settled(),
            Among::OpenParents => !task.state.is_terminal() && task.child_counts.is_some(),
            Among::JoinStatus => joining.contains(&task.id),
            Among::OpenJoins => !task.status().is_settled() && task.index == 0,
        };
        let Some(number) = self.pick_task(task, is_among) else { return };
        let cancelled = self.store.cancel(&Cancel::task(self.tasks[number].id, self.now));
        assert_eq!(Cancelling::from(cancelled), self.reference.cancel_task(number, self.now));
        self.count("a parent is cancelled", self.tasks[number].child_counts.is_some());
    }

    fn cancel_run(&mut self, run: usize) {
        let Some(number) = pick(run, self.runs.len()) else { return };
        let cancelled = self.store.cancel(&Cancel::run(self.runs[number], self.now).reason("not now"));
        assert_eq!(Cancelling::from(cancelled), self.reference.cancel_head(Head::Run(number)));
    }

    fn sweep(&mut self, run: Option<usize>, limit: u32, to_the_end: bool) {
        let (step, only) = self.step(run, limit);
        loop {
            let done = self.store.sweep(&step).unwrap();
            let seen = self.seen();
            let swept = self.reference.follow_sweep(&seen, only, self.now);
            assert_eq!((done.tasks, done.parents), (swept.leaves, swept.parents));
            assert!(swept.leaves - swept.joins + swept.parents <= limit, "a step is bounded");
            assert!(swept.joins <= limit, "a step is bounded");
            self.count("a sweep stops in between", done.more && swept.leaves > 0);
            self.count("a sweep marks parents", swept.parents > 0);
            self.count("a sweep cancels a join", swept.joins > 0);
            if !done.more {
                self.reference.assert_swept(only);
            }
            if !done.more || !to_the_end {
                break;
            }
        }
    }

    fn revive_leaf(&mut self, task: usize, among_all: bool) {
        let is_leaf = |task: &Task| task.child_counts.is_none() && ended_badly(task.state);
        let Some(number) = self.pick_task(task, |task| among_all || is_leaf(task)) else { return };
        let against = self.reference.against_reviving(number);
        match self.store.revive(&Revive::leaf(self.tasks[number].id, self.now)) {
            Ok(revived) => {
                assert_eq!(against, []);
                let below_cancelled = self.reference.above(number).into_iter().any(|head| {
                    matches!(head, Head::Parent(_)) && self.reference.state_of(head) == State::Cancelled
                });
                self.count("a revive below a cancelled parent", below_cancelled);
                self.count("a join is revived", self.tasks[number].index == 0);
                let expected = self.reference.revive_leaf(number, self.now);
                assert_eq!((of(revived), revived.next), (expected, None));
            }
            Err(error) => {
                assert!(
                    against.contains(&Refusing::from(&error)),
                    "{error}, where {against:?} speaks against it"
                );
                self.count("a revive is refused", true);
            }
        }
    }

    fn revive_all(&mut self, head: usize, among_all: bool, which: ReviveFilter, limit: u32) {
        let mut heads = self.reference.heads();
        heads.retain(|head| among_all || ended_badly(self.reference.state_of(*head)));
        let Some(head) = pick(head, heads.len()).map(|nth| heads[nth]) else { return };
        let below = match head {
            Head::Run(run) => NodeId::Run(self.runs[run]),
            Head::Parent(parent) => NodeId::Task(self.tasks[parent].id),
        };
        let (mut all, mut after, mut steps) = (Reviving::default(), None, 0);
        loop {
            let request = Revive::All { below, which, cursor: after, limit, now: self.now };
            let revived = self.store.revive(&request).unwrap();
            let Reviving { tasks, reopened, skipped } = of(revived);
            assert!(tasks + skipped <= limit + 1, "a transaction is bounded");
            all.tasks += tasks;
            all.reopened += reopened;
            all.skipped += skipped;
            after = revived.next;
            steps += 1;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(all, self.reference.revive_all(head, which, self.now));
        self.count("a revive of many in several transactions", steps > 1 && all.tasks > 1);
        self.count("a revive of many skips some", all.skipped > 0);
        self.count("a revive of many reopens what has nothing to revive", all.reopened > 0 && all.tasks == 0);
    }
}

fn of(revived: conductor_store::ReviveOutcome) -> Reviving {
    Reviving { tasks: revived.tasks, reopened: revived.reopened, skipped: revived.skipped }
}

fn ended_badly(state: State) -> bool {
    matches!(state, State::Failed | State::Cancelled)
}
