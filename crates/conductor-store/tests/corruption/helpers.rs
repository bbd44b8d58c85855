//! Shorthand for the tests of this binary.

use crate::support::TestStore;
use conductor_model::{Json, RunDraft, State, Task, TaskDraft};
use conductor_store::{
    AttemptResult, Claim, ClaimOutcome, ClaimedTask, FanOut, Fence, FenceOutcome, KindQuota, Query,
    RegisterEngine, Report, Rescue, RotationCursor, Scope, Settle, Store, TaskFilter,
};

/// The states as numbers of the column `state`.
pub(crate) const PENDING: i64 = 0;
pub(crate) const SUCCEEDED: i64 = 2;
pub(crate) const FAILED: i64 = 3;

/// State and error of the task with a key, from each place that has it. The bit of a leaf is in one of the two hexadecimal
/// digits of its byte.
const RAW: &str = "SELECT state, (SELECT error FROM conductor_errors WHERE task = ?1) FROM (
    SELECT state FROM conductor_parents WHERE task = ?1
    UNION ALL SELECT state FROM conductor_ended WHERE task = ?1
    UNION ALL SELECT state FROM conductor_ranges
        WHERE block = ?1 / 1024 AND ?1 % 1024 BETWEEN first AND last AND (members IS NULL OR
            (instr('0123456789ABCDEF', substr(hex(members), 2 + ?1 % 1024 / 8 * 2 - ?1 % 8 / 4, 1)) - 1)
            >> (?1 % 4) & 1))";

/// The items `0`, `1`, … of an append.
pub(crate) fn items(count: u32) -> Vec<Json> {
    (0..count).map(|n| Json::of(&n).unwrap()).collect()
}

pub(crate) fn fences(tasks: &[ClaimedTask]) -> Vec<Fence> {
    tasks.iter().map(|task| task.fence).collect()
}

/// Asserts that exactly this task was claimed.
#[track_caller]
pub(crate) fn assert_claimed_only(claimed: &[ClaimedTask], task: &Task, change: &str) {
    let ids: Vec<_> = claimed.iter().map(|task| task.fence.task).collect();
    assert_eq!(ids, [task.id], "{change}");
}

impl TestStore {
    /// Submits a run of one root task.
    pub(crate) fn submit_task(&self, task: TaskDraft) -> Task {
        let run = self.submit(&RunDraft::new().task(task));
        self.tasks(run).remove(0)
    }

    /// Reads a task again.
    pub(crate) fn reload(&self, task: &Task) -> Task {
        self.task(task.id)
    }

    /// Reads state and error of a task that the store itself may no longer be able to read. It must be in one place.
    pub(crate) fn raw(&self, key: i64) -> (i64, Option<String>) {
        let connection = self.connect();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let mut statement = connection.prepare(RAW).unwrap();
        let places: Vec<_> = statement.query_map([key], read).unwrap().map(Result::unwrap).collect();
        assert_eq!(places.len(), 1, "{key}: {places:?}");
        places.into_iter().next().unwrap()
    }

    /// Does one fan-out step and returns the number of new children.
    pub(crate) fn fan_out(&self) -> u32 {
        self.store.fan_out(&FanOut::new(Scope::All, 100, &self.env)).unwrap().children
    }

    /// Claims up to ten tasks of the kind `A`, for an engine that ends at once.
    pub(crate) fn claim(&self) -> Vec<ClaimedTask> {
        self.claim_up_to(10).tasks()
    }

    pub(crate) fn claim_up_to(&self, limit: u32) -> ClaimOutcome {
        let registration = self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap();
        let quotas = vec![KindQuota::new("A".parse().unwrap(), limit)];
        let claim = Claim::new(registration.key(), quotas, 1000, &self.env).allow_isolated(true);
        self.store.claim(&claim).unwrap()
    }

    /// Settles these claims as succeeded and returns how each fence was answered.
    pub(crate) fn settle_succeeded(&self, fences: impl IntoIterator<Item = Fence>) -> Vec<FenceOutcome> {
        let results = fences.into_iter().map(|fence| (fence, AttemptResult::Succeeded { output: None }));
        self.store.settle(&Settle::new(results.collect(), &self.env)).unwrap().results
    }

    /// Runs every step, two seconds later, until no step changes anything.
    pub(crate) fn run_steps_until_idle(&self) {
        let (now, jitter) = (self.env.now().plus_millis(2000), self.env.jitter());
        let step = conductor_store::Step { now, ..self.step(10) };
        for _ in 0..100 {
            let before = self.store.change_token().unwrap();
            let ids = self.env.ids(100);
            let fan_out = FanOut { scope: Scope::All, now, ids, cursor: RotationCursor::default() };
            let _ = self.store.rescue(&Rescue { now, limit: 10, jitter }).unwrap();
            let _ = self.store.retry(&step).unwrap();
            let _ = self.store.promote(&step).unwrap();
            let _ = self.store.fan_out(&fan_out).unwrap();
            let _ = self.store.aggregate(&step).unwrap();
            if self.store.change_token().unwrap() == before {
                return;
            }
        }
        panic!("the steps do not end");
    }

    /// Reports all open leaves as succeeded until nothing is left to do.
    pub(crate) fn finish(&self) {
        for _ in 0..10 {
            self.run_steps_until_idle();
            for run in self.store.runs(None, 10).unwrap().items {
                let tasks = self.store.tasks(run.id, TaskFilter::default(), None, 100).unwrap().items;
                let is_open_leaf = |task: &&Task| task.child_counts.is_none() && !task.state.is_terminal();
                self.report(tasks.iter().filter(is_open_leaf).map(|task| Report::succeeded(task.id)));
            }
        }
    }

    #[track_caller]
    pub(crate) fn assert_run_state(&self, task: &Task, state: State, change: &str) {
        assert_eq!(self.run(task.run).state, state, "{change}");
    }
}
