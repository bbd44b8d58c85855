//! A store whose rows are damaged, and what tests do with it.
#![expect(dead_code, reason = "each test binary uses only a part of this module")]

use crate::support::TestStore;
use conductor_conformance::assert_verified;
use conductor_model::{Jitter, Json, RunDraft, RunId, State, Task, TaskDraft};
use conductor_store::{
    Admin, AttemptResult, Claim, ClaimOutcome, ClaimedTask, FanOut, KindQuota, Query, RegisterEngine, Report,
    Rescue, Scope, Settle, Step, Store, Verify,
};
use std::ops::Deref;

pub(crate) struct Damaged {
    test: TestStore,
    /// The run whose rows are changed.
    pub(crate) run: RunId,
    /// Another run, of one root task with two children.
    pub(crate) other: RunId,
}

impl Deref for Damaged {
    type Target = TestStore;

    fn deref(&self) -> &TestStore {
        &self.test
    }
}

impl Damaged {
    /// A store with two runs, both with a root task and children of the kind `A`.
    ///
    /// | key | task |
    /// |---|---|
    /// | 1024 | the root task of the first run |
    /// | 2048 | that of the other one |
    /// | 3072, 3073, … | the four children of the first |
    /// | 4096, 4097 | the two children of the other one |
    ///
    /// Of the four children the first SUCCEEDED, the second FAILED with a retry, the others are PENDING.
    pub(crate) fn new() -> Self {
        let test = Self::untouched();
        let children = test.children(test.run);
        let output: Json = "\"kept\"".parse().unwrap();
        test.report([Report::succeeded_with(children[0].id, output), Report::failed(children[1].id, "no")]);
        assert_eq!(test.divergence_kinds(), []);
        test
    }

    /// The same, with all children PENDING.
    pub(crate) fn untouched() -> Self {
        let test = TestStore::new();
        let submit = |items: &[&str]| {
            let task = TaskDraft::new("P").kind("A").fan_out(items.iter().copied()).max_retries(2);
            test.submit(&RunDraft::new().task(task))
        };
        let (run, other) = (submit(&["a", "b", "c", "d"]), submit(&["x", "y"]));
        test.fan_out_all(100);
        Self { test, run, other }
    }

    /// The error of a task, by its key.
    pub(crate) fn error(&self, key: i64) -> Option<String> {
        self.texts(&format!("SELECT error FROM conductor_errors WHERE task = {key}")).pop()
    }

    /// The tasks that have ended as FAILED.
    pub(crate) fn failed(&self) -> Vec<String> {
        self.texts("SELECT CAST(task AS TEXT) FROM conductor_ended WHERE state = 3 ORDER BY task")
    }

    pub(crate) fn children(&self, run: RunId) -> Vec<Task> {
        self.tasks(run).into_iter().filter(|task| task.parent.is_some()).collect()
    }

    /// Claims as many tasks as there are, for an engine that ends at once.
    pub(crate) fn claim(&self) -> ClaimOutcome {
        let registration = self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap();
        let quotas = vec![KindQuota::new("A".parse().unwrap(), 10)];
        self.store
            .claim(&Claim::new(registration.key(), quotas, 1000, &self.env).allow_isolated(true))
            .unwrap()
    }

    pub(crate) fn settle(&self, tasks: &[ClaimedTask]) {
        let result = |task: &ClaimedTask| (task.fence, AttemptResult::Succeeded { output: None });
        let _ = self.store.settle(&Settle::new(tasks.iter().map(result).collect(), &self.env)).unwrap();
    }

    /// Runs all steps, a day later.
    pub(crate) fn steps(&self) {
        let now = self.env.now().plus_millis(86_400_000);
        let step = Step { now, ..Step::new(Scope::All, 100, &self.env) };
        let _ = self.store.rescue(&Rescue { now, limit: 100, jitter: Jitter(0) }).unwrap();
        let _ = self.store.retry(&step).unwrap();
        let _ = self.store.promote(&step).unwrap();
        let _ = self.store.fan_out(&FanOut::new(Scope::All, 100, &self.env)).unwrap();
        let _ = self.store.sweep(&step).unwrap();
        let _ = self.store.aggregate(&step).unwrap();
    }

    /// Works until nothing is left to do.
    #[track_caller]
    pub(crate) fn work(&self) {
        let mut idle = 0;
        for _ in 0..30 {
            self.steps();
            let claimed = self.claim();
            self.settle(&claimed.tasks());
            idle = if claimed.tasks().is_empty() && claimed.rejected == 0 { idle + 1 } else { 0 };
            if idle == 4 {
                assert!(!claimed.more, "the claims do not end");
                return;
            }
        }
        panic!("the work does not end");
    }

    pub(crate) fn state(&self, run: RunId) -> State {
        self.store.run(run).unwrap().unwrap().state
    }

    /// Asserts that the other run goes on to its end.
    #[track_caller]
    pub(crate) fn assert_other_succeeds(&self, change: &str) {
        self.work();
        assert_eq!(self.state(self.other), State::Succeeded, "{change}");
    }

    /// How many divergences a verification finds.
    pub(crate) fn divergences(&self) -> usize {
        self.store.verify(&Verify::all()).unwrap().divergences.len()
    }

    /// Works until all runs have ended; joins and other kinds are reported.
    #[track_caller]
    pub(crate) fn finish(&self) {
        for _ in 0..10 {
            self.work();
            for run in self.store.runs(None, 10).unwrap().items {
                let is_open = |task: &&Task| task.child_counts.is_none() && !task.state.is_terminal();
                let tasks = self.tasks(run.id);
                self.report(tasks.iter().filter(is_open).map(|task| Report::succeeded(task.id)));
            }
        }
        let runs = self.store.runs(None, 10).unwrap().items;
        assert!(runs.iter().all(|run| run.state == State::Succeeded), "{runs:#?}");
        assert_verified(&self.store);
    }

    /// Asserts that a verification finds something, and that one repair mends all.
    #[track_caller]
    pub(crate) fn assert_mended(&self, change: &str) {
        assert_ne!(self.divergence_kinds(), [], "{change}");
        let report = self.repair();
        assert_eq!(report.unrepairable, [], "{change}");
        let left = self.store.verify(&Verify::all()).unwrap().divergences;
        assert_eq!(left, [], "{change}: {report:#?}");
    }

    /// Asserts that each leaf is in one place, and that both runs end.
    #[track_caller]
    pub(crate) fn assert_ends(&self, change: &str) {
        self.work();
        assert!(self.state(self.run).is_terminal(), "{change}");
        assert_eq!(self.state(self.other), State::Succeeded, "{change}");
        assert_verified(&self.store);
    }
}

/// A damage, and what follows from it while nothing repairs it.
pub(crate) struct Damage {
    pub(crate) change: &'static str,
    /// The keys of the tasks that fail.
    pub(crate) failed: &'static [i64],
    /// How their errors begin.
    pub(crate) error: &'static str,
}

/// Asserts for each damage that only its tasks fail, and that a repair mends it, before or after that.
#[track_caller]
pub(crate) fn assert_each(damages: &[Damage]) {
    for Damage { change, failed, error } in damages {
        let test = Damaged::new();
        test.change(change);
        test.assert_other_succeeds(change);
        let keys: Vec<String> = failed.iter().map(i64::to_string).collect();
        assert_eq!(test.failed(), keys, "{change}");
        for key in *failed {
            let sentence = test.error(*key).unwrap();
            assert!(sentence.starts_with(error), "{change}: {sentence}");
        }
        test.assert_mended(change);
        test.assert_ends(change);
        let test = Damaged::new();
        test.change(change);
        test.assert_mended(change);
        assert_eq!(test.failed(), Vec::<String>::new(), "{change}");
        test.assert_ends(change);
    }
}
