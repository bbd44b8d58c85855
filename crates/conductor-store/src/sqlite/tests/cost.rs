//! The cost of claims: the number of instructions that SQLite executes, which is the same on every machine.

use super::{SEEN, claim_of};
use crate::sqlite::SqliteStore;
use crate::{
    AttemptResult, ClaimedTask, EngineRegistration, Environment, FanOut, Monitor, NodeId, Query,
    RegisterEngine, Release, Renew, Rescue, Scope, Settle, Store, Submit,
};
use conductor_model::{Jitter, RunDraft, RunId, TaskDraft, Timestamp};
use rusqlite::StatementStatus;
use serde_json::json;
use std::collections::BTreeSet;

pub(super) const MANY: u32 = 20_000;

pub(super) struct Bench {
    pub(super) store: SqliteStore,
    pub(super) env: Environment,
    registration: EngineRegistration,
}

impl Bench {
    /// An empty store.
    pub(super) fn empty() -> Self {
        let store = SqliteStore::open_in_memory().unwrap();
        let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        let registration = store.register_engine(&RegisterEngine::new(&env)).unwrap();
        Self { store, env, registration }
    }

    /// A store with two runs of ready work. The second of them has `many` tasks; and there are as many delayed ones, as
    /// many of a kind that no engine handles, and as many settled ones.
    fn new(many: u32) -> Self {
        let bench = Self::empty();
        bench.submit([parent("A", 100)]);
        bench.submit([parent("A", many)]);
        let due = bench.env.now().plus_millis(1000);
        bench.submit((0..many).map(|_| TaskDraft::new("A").due_at(due)));
        bench.submit((0..many).map(|_| TaskDraft::new("D").due_at(due)));
        bench.submit([parent("B", many)]);
        bench.submit([parent("E", many)]);
        bench.finish("E", many);
        bench
    }

    /// Executes all tasks of a kind, of which there are so many.
    pub(super) fn finish(&self, kind: &str, tasks: u32) {
        let mut left = tasks;
        while left > 0 {
            let claimed = self.claim(kind, 1000);
            let succeeded = |task: &ClaimedTask| (task.fence, AttemptResult::Succeeded { output: None });
            let settle = Settle::new(claimed.iter().map(succeeded).collect(), &self.env);
            let settled = self.store.settle(&settle).unwrap();
            assert_eq!(settled.results.len(), claimed.len());
            left -= u32::try_from(claimed.len()).unwrap();
        }
    }

    fn submit(&self, tasks: impl IntoIterator<Item = TaskDraft>) {
        self.submit_run(&RunDraft::new().tasks(tasks));
    }

    pub(super) fn submit_run(&self, draft: &RunDraft) -> RunId {
        let run = draft.validate().unwrap();
        let run = self.store.submit(&Submit::new(run, &self.env)).unwrap().run;
        let step = || FanOut::new(Scope::All, 10_000, &self.env);
        while self.store.fan_out(&step()).unwrap().more {}
        run
    }

    /// Returns the result of an act, and the number of instructions of its statements.
    pub(super) fn cost<T>(&self, act: impl FnOnce(&Self) -> T) -> (T, i32) {
        // With an empty cache each statement begins to count at 0.
        self.store.lock_writer().as_ref().unwrap().flush_prepared_statement_cache();
        SEEN.with_borrow_mut(BTreeSet::clear);
        let done = act(self);
        let writer = self.store.lock_writer();
        let count = |sql: &String| {
            let statement = writer.as_ref().unwrap().prepare_cached(sql).unwrap();
            statement.get_status(StatementStatus::VmStep)
        };
        (done, SEEN.with_borrow(Clone::clone).iter().map(count).sum())
    }

    fn claim(&self, kind: &str, limit: u32) -> Vec<ClaimedTask> {
        let claim = claim_of(self.registration.key(), kind, limit, self.env.now());
        self.store.claim(&claim).unwrap().tasks()
    }

    /// The costs of the acts of an engine.
    fn costs(&self) -> Vec<(&'static str, i32)> {
        let now = self.env.now();
        let (claimed, of_claim) = self.cost(|bench| bench.claim("A", 20));
        assert_eq!(claimed.len(), 20);
        let fences: Vec<_> = claimed.iter().map(|task| task.fence).collect();
        let renew = Renew { fences: fences.clone(), lease_ms: 1000, now };
        let release = Release { fences: fences[..5].to_vec(), now };
        let settle = Settle {
            succeeded: Vec::new(),
            results: fences[5..]
                .iter()
                .map(|fence| (*fence, AttemptResult::Succeeded { output: None }))
                .collect(),
            claim: Some(claim_of(self.registration.key(), "A", 15, now)),
            now,
            jitter: Jitter(0),
        };
        // The one with many tasks.
        let run = self.store.runs(None, 2).unwrap().items[1].id;
        let rescue = Rescue { now, limit: 100, jitter: Jitter(0) };
        vec![
            ("a claim", of_claim),
            ("a claim of what is delayed", self.cost(|bench| bench.claim("D", 20)).1),
            ("a renewal", self.cost(|bench| bench.store.renew(&renew).unwrap()).1),
            ("a release", self.cost(|bench| bench.store.release(&release).unwrap()).1),
            ("a settlement", self.cost(|bench| bench.store.settle(&settle).unwrap()).1),
            ("an idle rescue", self.cost(|bench| bench.store.rescue(&rescue).unwrap()).1),
            ("an ETA", self.cost(|bench| bench.store.eta(run, now).unwrap()).1),
            ("the next due time", self.cost(|bench| bench.store.next_due().unwrap()).1),
        ]
    }
}

/// Asserts that an act costs the same in a large store as in a small one: within 5 %, and a few loops.
#[track_caller]
pub(super) fn assert_same_cost(what: &str, small: i32, large: i32) {
    let most = small + small / 20 + 20;
    assert!(small > 0 && large <= most, "{what} takes {small} instructions, and {large}");
}

pub(super) fn parent(kind: &str, children: u32) -> TaskDraft {
    TaskDraft::new("P").kind(kind).input(json!({ "fanout": children }))
}

#[test]
fn claim_cost_is_independent_of_store_size() {
    let (little, much) = (Bench::new(100).costs(), Bench::new(MANY).costs());
    for ((what, little), (_, much)) in little.into_iter().zip(much) {
        assert_same_cost(what, little, much);
    }
}

#[test]
fn claim_cost_is_proportional_to_claimed_tasks() {
    let bench = Bench::new(2000);
    let (_, ten) = bench.cost(|bench| bench.claim("A", 10));
    let (_, hundred) = bench.cost(|bench| bench.claim("A", 100));
    assert!(hundred < 12 * ten, "{ten} instructions for ten tasks, {hundred} for a hundred");
    let (_, one) = bench.cost(|bench| bench.claim("A", 1));
    assert!(one < ten, "{one} for one");
}

#[test]
fn explain_cost_is_independent_of_task_count() {
    let explain = |many| {
        let bench = Bench::new(many);
        let run = bench.store.runs(None, 2).unwrap().items[1].id;
        let now = bench.env.now();
        let (explained, steps) = bench.cost(|bench| bench.store.explain(NodeId::Run(run), now).unwrap());
        assert!(explained.is_some_and(|explained| explained.caused_by.is_some()));
        steps
    };
    let (many, more) = (explain(MANY / 2), explain(MANY));
    assert_same_cost("an explanation", many, more);
}
