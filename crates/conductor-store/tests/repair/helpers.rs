//! Shorthand for the tests of this binary.

use crate::support::TestStore;
use conductor_conformance::assert_verified;
use conductor_model::{Jitter, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{
    Admin, Claim, DivergenceKind, KindQuota, RegisterEngine, Repair, RepairReport, Report, Rescue, Settle,
    Step, Store, Verify,
};
use serde_json::json;

/// Everything in the tables that a repair has to restore exactly.
const EXACT_ROWS: [&str; 4] = [
    "SELECT json_array(key, hex(id), run, parent, ordinal, state, kind, priority, due_at, attempt, retry_count, \
     max_retries, sealed, fanout, children, open_children, failed_children, cancelled_children, name, \
     backoff, timeout_ms, policy, mark, joining) FROM conductor_tasks ORDER BY key",
    "SELECT json_array(key, hex(id), state, sealed, fanout, children, open_children, failed_children, \
     cancelled_children, pending, running, succeeded, failed, cancelled, policy, mark, joining) \
     FROM conductor_runs ORDER BY key",
    "SELECT json_array(task, input) FROM conductor_inputs ORDER BY task",
    "SELECT json_array(run, task, hex(id)) FROM conductor_joins ORDER BY run, task",
];

impl TestStore {
    /// Executes statements without the checks of the tables.
    pub(crate) fn change(&self, sql: &str) {
        let connection = self.connect();
        connection.pragma_update(None, "ignore_check_constraints", true).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// Reads one column of texts.
    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        let connection = self.connect();
        let mut statement = connection.prepare(sql).unwrap();
        let texts = statement.query_map([], |row| row.get(0)).unwrap();
        texts.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// Reads everything that a repair has to restore exactly.
    pub(crate) fn rows(&self) -> Vec<String> {
        EXACT_ROWS.iter().flat_map(|sql| self.texts(sql)).collect()
    }

    /// Runs the steps until all children exist and all parents are decided.
    pub(crate) fn run_steps(&self) {
        for _ in 0..5 {
            self.fan_out_all(100);
            while self.store.sweep(&self.step(1000)).unwrap().more {}
            self.aggregate_all();
        }
    }

    /// Finds the only join of a run that exists.
    pub(crate) fn join_of(&self, run: RunId) -> TaskId {
        self.tasks(run).into_iter().find(|task| task.index == 0).unwrap().id
    }

    /// Claims one task of this kind, for an engine that stays registered.
    pub(crate) fn claim_one(&self, kind: &str) {
        let registration = self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap();
        let quota = KindQuota::new(kind.parse().unwrap(), 1);
        let claim = Claim::new(registration.key(), vec![quota], 60_000, &self.env).allow_isolated(true);
        let now = self.env.now();
        let request = Settle { results: vec![], claim: Some(claim), now, jitter: Jitter(0) };
        assert_eq!(self.store.settle(&request).unwrap().claimed.tasks.len(), 1);
        std::mem::forget(registration);
    }

    /// Verifies all runs and returns the kinds of divergence, each once.
    pub(crate) fn divergence_kinds(&self) -> Vec<DivergenceKind> {
        let report = self.store.verify(&Verify::all()).unwrap();
        let mut kinds: Vec<_> = report.divergences.iter().map(|divergence| divergence.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Repairs all runs, two rows in each transaction.
    pub(crate) fn repair(&self) -> RepairReport {
        let mut all = RepairReport::default();
        let mut request = Repair { rows: 2, ..Repair::all(&self.env) };
        loop {
            let report = self.store.repair(&request).unwrap();
            all.repaired.extend(report.repaired);
            all.unrepairable.extend(report.unrepairable);
            all.runs += report.runs;
            let Some(next) = report.next else { return all };
            request = request.after(next);
        }
    }

    /// Submits a run whose tasks are in many states. The tasks have these row keys:
    ///
    /// | key | task |
    /// |---|---|
    /// | 1 | leaf `A`, SUCCEEDED |
    /// | 2 | leaf `B`, FAILED with a retry due |
    /// | 3 | parent `P` of 6, 7 and 8 |
    /// | 4 | parent `Q` of 9 and 10, with a join |
    /// | 5 | leaf `C`, RUNNING and claimed |
    /// | 6, 7, 8 | `P#1` SUCCEEDED, `P#2` FAILED, `P#3` PENDING |
    /// | 9, 10 | leaf `Q#1`, parent `Q#2` of 11 and 12 |
    pub(crate) fn submit_example(&self) -> RunId {
        let tasks = [
            TaskDraft::new("A"),
            TaskDraft::new("B").max_retries(2),
            TaskDraft::new("P").input(json!({"fanout": 3, "width": 80})).max_retries(1),
            TaskDraft::new("Q").input(json!({"fanout": ["a", {"fanout": 2}]})).join("J"),
            TaskDraft::new("C").kind("claimed"),
        ];
        let run = self.submit(&RunDraft::new().tasks(tasks).idempotency_key("once"));
        self.run_steps();
        let id = |name| self.id_of(run, name);
        let (a, b, first, second) = (id("A"), id("B"), id("P#1"), id("P#2"));
        self.report([Report::succeeded(a), Report::failed(b, "no"), Report::succeeded(first)]);
        self.report([Report::failed_permanently(second, "broken")]);
        self.claim_one("claimed");
        assert_eq!(self.tasks(run).len(), 12);
        assert_eq!(self.divergence_kinds(), []);
        run
    }

    /// Finishes the run of [`Self::submit_example`], and asserts that repaired tasks continue.
    pub(crate) fn finish(&self, run: RunId) {
        let now = self.env.now().plus_millis(1_000_000);
        for _ in 0..20 {
            if self.run(run).state.is_terminal() {
                break;
            }
            let _ = self.store.rescue(&Rescue { now, limit: 1000, jitter: Jitter(0) }).unwrap();
            let _ = self.store.retry(&Step { now, ..self.step(1000) }).unwrap();
            let leaves = self.tasks(run).into_iter().filter(|task| task.child_counts.is_none());
            self.report(leaves.map(|task| Report::succeeded(task.id)));
            self.run_steps();
        }
        assert_eq!(self.run(run).state, State::Failed, "one child failed permanently");
        assert_verified(&self.store);
    }
}
