//! Shorthand for the tests of this binary.

use crate::support::TestStore;
use conductor_conformance::assert_verified;
use conductor_model::{Jitter, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{Claim, KindQuota, RegisterEngine, Report, Rescue, Settle, Step, Store};
use serde_json::json;

/// Everything in the tables that a repair has to restore exactly, in whichever rows the leaves and the inputs are. The bit of a
/// leaf is in one of the two hexadecimal digits of its byte.
const EXACT_ROWS: [&str; 7] = [
    "SELECT json_array(block, prefix, low, count, run, parent, child_index, is_parent, kind, priority, max_retries, \
     timeout_ms, backoff, names) FROM conductor_blocks ORDER BY block",
    "SELECT json_array(block * 1024 + n, state, due_at, attempt, retry_count, run, parent, kind, priority) FROM conductor_ranges \
     JOIN conductor_offsets ON n BETWEEN first AND last AND (members IS NULL OR \
     (instr('0123456789ABCDEF', substr(hex(members), 2 + n / 8 * 2 - n % 8 / 4, 1)) - 1) >> (n % 4) & 1) \
     ORDER BY block, n",
    "SELECT json_array(task, state, attempt, retry_count) FROM conductor_ended ORDER BY task",
    "SELECT json_array(task, run, state, due_at, sealed, fanout, children, open_children, failed_children, \
     cancelled_children, policy, cancel_cause, join_open) FROM conductor_parents ORDER BY task",
    "SELECT json_array(key, id, state, sealed, fanout, children, open_children, failed_children, \
     cancelled_children, pending, running, succeeded, failed, cancelled, policy, cancel_cause, join_open) \
     FROM conductor_runs ORDER BY key",
    "SELECT json_array(task + e.key, e.value) FROM conductor_inputs, json_each(inputs) e ORDER BY task + e.key",
    "SELECT json_array(run, parent, id) FROM conductor_joins ORDER BY run, parent",
];

/// Lets a leaf that has ended stand in `conductor_ranges`, in another state.
macro_rules! ended_to_range {
    ($task:literal, $state:literal, $due_at:literal) => {
        concat!(
            "INSERT INTO conductor_ranges (block, first, last, state, due_at, attempt, retry_count, since, run, parent, kind, priority) \
             SELECT block, task % 1024, task % 1024, ",
            $state,
            ", ",
            $due_at,
            ", attempt, retry_count, at, run, parent, kind, priority \
             FROM conductor_ended JOIN conductor_blocks ON block = task / 1024 WHERE task = ",
            $task,
            "; DELETE FROM conductor_ended WHERE task = ",
            $task
        )
    };
}
pub(crate) use ended_to_range;

/// Lets the only leaf of a row of `conductor_ranges` stand in `conductor_ended`.
macro_rules! range_to_ended {
    ($block:literal, $state:literal) => {
        concat!(
            "INSERT INTO conductor_ended (task, at, state, attempt, retry_count) \
             SELECT block * 1024 + first, since, ",
            $state,
            ", attempt, retry_count FROM conductor_ranges WHERE block = ",
            $block,
            "; DELETE FROM conductor_ranges WHERE block = ",
            $block
        )
    };
}
pub(crate) use range_to_ended;

impl TestStore {
    /// Reads everything that a repair has to restore exactly.
    pub(crate) fn rows(&self) -> Vec<String> {
        EXACT_ROWS.iter().flat_map(|sql| self.texts(sql)).collect()
    }

    /// Asserts that a repair restored all rows, and shows only those that differ.
    #[track_caller]
    pub(crate) fn assert_rows(&self, before: &[String], why: impl std::fmt::Debug) {
        let after = self.rows();
        let only = |left: &[String], right: &[String]| {
            left.iter().filter(|row| !right.contains(row)).cloned().collect::<Vec<_>>()
        };
        let (lost, new) = (only(before, &after), only(&after, before));
        assert!(lost.is_empty() && new.is_empty(), "lost {lost:#?}, new {new:#?}: {why:#?}");
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
        let request =
            Settle { results: vec![], succeeded: vec![], claim: Some(claim), now, jitter: Jitter(0) };
        assert_eq!(self.store.settle(&request).unwrap().claimed.tasks().len(), 1);
        std::mem::forget(registration);
    }

    /// Submits a run whose tasks are in many states. The keys of a block begin at 1,024 times its number.
    ///
    /// | block | tasks |
    /// |---|---|
    /// | 1 | leaf `A`, SUCCEEDED |
    /// | 2 | leaf `B`, FAILED with a retry due |
    /// | 3 | parent `P` of the block 6 |
    /// | 4 | parent `Q` of the blocks 7 and 8, with a join |
    /// | 5 | leaf `C`, RUNNING and claimed |
    /// | 6 | `P#1` SUCCEEDED, `P#2` FAILED, `P#3` PENDING |
    /// | 7, 8 | leaf `Q#1`, parent `Q#2` of the block 9 |
    /// | 9 | `Q#2#1` and `Q#2#2` |
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
