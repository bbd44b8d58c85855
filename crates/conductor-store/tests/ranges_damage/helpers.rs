//! A store on a file in a temporary folder, and what all tests of this binary do with it.

use conductor_conformance::assert_verified;
use conductor_model::{Jitter, Json, RunDraft, RunId, State, Task, TaskDraft, Timestamp};
use conductor_store::ranges::RangeStore;
use conductor_store::{
    Admin, AttemptResult, Claim, ClaimOutcome, ClaimedTask, DivergenceKind, Environment, FanOut, KindQuota,
    Query, RegisterEngine, Repair, RepairReport, Report, ReportBatch, Rescue, Scope, Settle, SqliteOptions,
    Step, Store, Submit, TaskFilter, Verify, sqlite::Synchronous,
};
use rusqlite::Connection;
use tempfile::TempDir;

/// The present moment of every store: 2026-01-01T00:00:00Z.
const NOW_MS: i64 = 1_767_225_600_000;

pub(crate) struct Damaged {
    pub(crate) store: RangeStore,
    pub(crate) env: Environment,
    folder: TempDir,
    /// The run whose rows are changed.
    pub(crate) run: RunId,
    /// Another run, of one root task with two children.
    pub(crate) other: RunId,
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
        assert_eq!(test.kinds(), []);
        test
    }

    /// The same, with all children PENDING.
    pub(crate) fn untouched() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // No test cuts the power, so a commit need not wait for the disk.
        let options = SqliteOptions::default().synchronous(Synchronous::Normal);
        let store = RangeStore::create(folder.path().join("conductor.db"), options).unwrap();
        let env = Environment::seeded(Timestamp::from_millis(NOW_MS).unwrap(), 1);
        let submit = |items: &[&str]| {
            let task = TaskDraft::new("P").kind("A").fan_out(items.iter().copied()).max_retries(2);
            let draft = RunDraft::new().task(task).validate().unwrap();
            store.submit(&Submit::new(draft, &env)).unwrap().run
        };
        let (run, other) = (submit(&["a", "b", "c", "d"]), submit(&["x", "y"]));
        while store.fan_out(&FanOut::new(Scope::All, 100, &env)).unwrap().more {}
        Self { store, env, folder, run, other }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.folder.path().join("conductor.db")).unwrap()
    }

    /// Executes statements as another program would, without the checks of the tables.
    pub(crate) fn change(&self, sql: &str) {
        let connection = self.connect();
        connection.pragma_update(None, "ignore_check_constraints", true).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// Reads one column of texts.
    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        let connection = self.connect();
        let mut statement = connection.prepare(sql).unwrap();
        let texts = statement.query_map([], |row| row.get(0)).unwrap();
        texts.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// The error of a task, by its key.
    pub(crate) fn error(&self, key: i64) -> Option<String> {
        self.texts(&format!("SELECT error FROM conductor_errors WHERE task = {key}")).pop()
    }

    /// The tasks that have ended as FAILED.
    pub(crate) fn failed(&self) -> Vec<String> {
        self.texts("SELECT CAST(task AS TEXT) FROM conductor_ended WHERE state = 3 ORDER BY task")
    }

    pub(crate) fn all(&self, run: RunId) -> Vec<Task> {
        self.store.tasks(run, TaskFilter::default(), None, 100).unwrap().items
    }

    pub(crate) fn children(&self, run: RunId) -> Vec<Task> {
        self.all(run).into_iter().filter(|task| task.parent.is_some()).collect()
    }

    pub(crate) fn report(&self, reports: impl IntoIterator<Item = Report>) {
        let _ = self.store.report(&ReportBatch::new(reports, &self.env)).unwrap();
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
            self.settle(&claimed.tasks);
            idle = if claimed.tasks.is_empty() && claimed.rejected == 0 { idle + 1 } else { 0 };
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

    /// The kinds of divergence that a verification finds, each once.
    pub(crate) fn kinds(&self) -> Vec<DivergenceKind> {
        let report = self.store.verify(&Verify::all()).unwrap();
        let mut kinds: Vec<_> = report.divergences.iter().map(|divergence| divergence.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
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
                let tasks = self.all(run.id);
                self.report(tasks.iter().filter(is_open).map(|task| Report::succeeded(task.id)));
            }
        }
        let runs = self.store.runs(None, 10).unwrap().items;
        assert!(runs.iter().all(|run| run.state == State::Succeeded), "{runs:#?}");
        assert_verified(&self.store);
    }

    /// Repairs all runs, two rows in each transaction.
    pub(crate) fn repair(&self) -> RepairReport {
        self.store.repair(&Repair { rows: 2, ..Repair::all(&self.env) }).unwrap()
    }

    /// Asserts that a verification finds something, and that one repair mends all.
    #[track_caller]
    pub(crate) fn assert_mended(&self, change: &str) {
        assert_ne!(self.kinds(), [], "{change}");
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
