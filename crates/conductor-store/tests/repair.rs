//! What somebody did to the rows by hand is found by name, and mended where the events say how it was.
#![cfg(feature = "sqlite")]

use conductor_conformance::{assert_replays, assert_verified};
use conductor_model::{Jitter, RunDraft, RunId, State, Task, TaskDraft, TaskId, Timestamp};
use conductor_store::{
    Admin, Append, Cancel, Claim, Divergence, DivergenceKind, Environment, FanOut, KindQuota, Prune, Query,
    RegisterEngine, Repair, RepairReport, Report, ReportBatch, Rescue, Revive, ReviveFilter, RotationCursor,
    Scope, Settle, SqliteStore, Step, Store, Submit, TaskFilter, Verify,
};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;
use std::path::PathBuf;

struct Desk {
    _folder: tempfile::TempDir,
    path: PathBuf,
    store: SqliteStore,
    env: Environment,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damage.db");
        let store = SqliteStore::open(&path).unwrap();
        let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        Self { _folder: folder, path, store, env }
    }

    fn submit(&self, run: impl Into<RunDraft>) -> RunId {
        self.store.submit(&Submit::new(run.into().validate().unwrap(), &self.env)).unwrap().run
    }

    fn tasks(&self, run: RunId) -> Vec<Task> {
        self.store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items
    }

    fn named(&self, run: RunId, name: &str) -> TaskId {
        self.tasks(run).into_iter().find(|task| task.name.as_str() == name).unwrap().id
    }

    fn steps(&self) {
        let (scope, now) = (Scope::All, self.env.now());
        let step = Step { scope, now, limit: 1000 };
        for _ in 0..5 {
            while self.store.fan_out(&FanOut::new(scope, 100, &self.env)).unwrap().more {}
            while self.store.sweep(&step).unwrap().more {}
            while self.store.aggregate(&step).unwrap().more {}
        }
    }

    fn report(&self, reports: impl IntoIterator<Item = Report>) {
        let _ = self.store.report(&ReportBatch::new(reports, &self.env)).unwrap();
    }

    /// Whatever another program may do.
    fn damage(&self, sql: &str) {
        let other = Connection::open(&self.path).unwrap();
        other.pragma_update(None, "ignore_check_constraints", true).unwrap();
        other.pragma_update(None, "foreign_keys", false).unwrap();
        other.execute_batch(sql).unwrap();
    }

    fn found(&self) -> Vec<DivergenceKind> {
        let found = self.store.verify(&Verify::all()).unwrap();
        let mut aspects: Vec<_> = found.divergences.iter().map(|divergence| divergence.kind).collect();
        aspects.sort_unstable();
        aspects.dedup();
        aspects
    }

    fn repair(&self) -> RepairReport {
        let mut all = RepairReport::default();
        let mut request = Repair { rows: 2, ..Repair::all(&self.env) };
        loop {
            let done = self.store.repair(&request).unwrap();
            all.repaired.extend(done.repaired);
            all.unrepairable.extend(done.unrepairable);
            all.runs += done.runs;
            let Some(next) = done.next else { return all };
            request = request.after(next);
        }
    }

    /// A run with something of everything; its tasks have the row keys from 1 on:
    /// 1 the leaf `A` (SUCCEEDED), 2 the leaf `B` (a retry due), 3 the parent `P`, 4 the parent `Q` with a join, 5 the
    /// leaf `C` (a claim holds it), 6 to 8 `P#1` (SUCCEEDED), `P#2` (FAILED) and `P#3`, 9 and 10 `Q#1` and the parent
    /// `Q#2` of 11 and 12.
    fn everything(&self) -> RunId {
        let tasks = [
            TaskDraft::new("A"),
            TaskDraft::new("B").max_retries(2),
            TaskDraft::new("P").input(json!({"fanout": 3, "width": 80})).max_retries(1),
            TaskDraft::new("Q").input(json!({"fanout": ["a", {"fanout": 2}]})).join("J"),
            TaskDraft::new("C").kind("claimed"),
        ];
        let run = self.submit(RunDraft::new().tasks(tasks).idempotency_key("once"));
        self.steps();
        let id = |name| self.named(run, name);
        let (a, b, first, second) = (id("A"), id("B"), id("P#1"), id("P#2"));
        self.report([Report::succeeded(a), Report::failed(b, "no"), Report::succeeded(first)]);
        self.report([Report::failed_permanently(second, "broken")]);
        self.claim("claimed");
        assert_eq!(self.tasks(run).len(), 12);
        assert_eq!(self.found(), []);
        run
    }

    /// Claims one task, for an engine that is gone afterwards.
    fn claim(&self, kind: &str) {
        let registration = self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap();
        let wants =
            vec![KindQuota { kind: kind.parse().unwrap(), limit: 1, cursor: RotationCursor::default() }];
        let (holder, now) = (registration.key(), self.env.now());
        let claim =
            Claim { engine: holder, quotas: wants, limit: 1, lease_ms: 60_000, allow_isolated: true, now };
        let request = Settle { results: vec![], claim: Some(claim), now, jitter: Jitter(0) };
        assert_eq!(self.store.settle(&request).unwrap().claimed.tasks.len(), 1);
        std::mem::forget(registration);
    }

    /// What is in the tables, but for what a repair may choose.
    fn rows(&self) -> Vec<String> {
        let connection = Connection::open(&self.path).unwrap();
        let mut rows = Vec::new();
        for sql in [
            "SELECT json_array(key, hex(id), run, parent, ordinal, state, kind, priority, due_at, attempt, retry_count, \
             max_retries, sealed, fanout, children, open_children, failed_children, cancelled_children, name, \
             backoff, timeout_ms, policy, mark, joining) FROM conductor_tasks ORDER BY key",
            "SELECT json_array(key, hex(id), state, sealed, fanout, children, open_children, failed_children, \
             cancelled_children, pending, running, succeeded, failed, cancelled, policy, mark, joining) \
             FROM conductor_runs ORDER BY key",
            "SELECT json_array(task, input) FROM conductor_inputs ORDER BY task",
            "SELECT json_array(run, task, hex(id)) FROM conductor_joins ORDER BY run, task",
        ] {
            let mut statement = connection.prepare(sql).unwrap();
            let texts = statement.query_map([], |row| row.get(0)).unwrap();
            rows.extend(texts.collect::<rusqlite::Result<Vec<String>>>().unwrap());
        }
        rows
    }
}

/// Damage, what of it is found, and whether all of it can be mended.
type Planted = (&'static str, &'static [DivergenceKind]);

#[test]
fn what_the_events_tell_is_found_by_name_and_mended() {
    use DivergenceKind::{
        Attempt, CancelCause, ChildCounts, DueAt, Id, Input, JoinPlan, JoinStatus, Lease, Policy, Position,
        RetryCount, Row, StateCounts,
    };
    let planted: &[Planted] = &[
        ("UPDATE conductor_tasks SET state = 0 WHERE key = 1", &[DivergenceKind::State]),
        ("UPDATE conductor_tasks SET state = 2 WHERE key = 8", &[DivergenceKind::State]),
        ("UPDATE conductor_tasks SET state = 1 WHERE key = 7", &[DivergenceKind::State]),
        ("UPDATE conductor_tasks SET state = 0 WHERE key = 3", &[DivergenceKind::State]),
        ("UPDATE conductor_tasks SET state = 4, due_at = NULL WHERE key = 2", &[DivergenceKind::State, DueAt]),
        ("UPDATE conductor_tasks SET due_at = due_at + 1 WHERE key = 2", &[DueAt]),
        ("UPDATE conductor_tasks SET due_at = NULL WHERE key = 2", &[DueAt]),
        ("UPDATE conductor_tasks SET due_at = 5 WHERE key = 7", &[DueAt]),
        ("UPDATE conductor_tasks SET due_at = 99999999999999 WHERE key = 9", &[DueAt]),
        ("UPDATE conductor_tasks SET retry_count = 1 WHERE key = 2", &[RetryCount]),
        ("UPDATE conductor_tasks SET attempt = 0 WHERE key = 5", &[Attempt]),
        ("UPDATE conductor_tasks SET lease_until = 5, holder = 1 WHERE key = 8", &[Lease]),
        ("UPDATE conductor_tasks SET open_children = 0 WHERE key = 3", &[ChildCounts]),
        ("UPDATE conductor_tasks SET fanout = 4 WHERE key = 3", &[ChildCounts]),
        ("UPDATE conductor_tasks SET children = 2 WHERE key = 3", &[ChildCounts]),
        ("UPDATE conductor_tasks SET sealed = NULL WHERE key = 3", &[ChildCounts]),
        (
            "UPDATE conductor_tasks SET sealed = 1, fanout = 1, children = 0, open_children = 0, failed_children = 0, \
             cancelled_children = 0 WHERE key = 8",
            &[ChildCounts],
        ),
        ("UPDATE conductor_tasks SET policy = '\"ignore\"' WHERE key = 3", &[Policy]),
        ("UPDATE conductor_tasks SET policy = '{' WHERE key = 3", &[Policy]),
        ("UPDATE conductor_tasks SET mark = 1 WHERE key = 3", &[CancelCause]),
        ("UPDATE conductor_tasks SET joining = 1 WHERE key = 4", &[JoinStatus]),
        ("UPDATE conductor_tasks SET joining = 0 WHERE key = 3", &[JoinStatus]),
        ("UPDATE conductor_tasks SET ordinal = 9 WHERE key = 8", &[Position]),
        ("UPDATE conductor_tasks SET parent = 4, ordinal = 9 WHERE key = 8", &[Position]),
        (
            "UPDATE conductor_tasks SET ordinal = 99 WHERE key = 7; UPDATE conductor_tasks SET ordinal = 2 WHERE key = 8;
             UPDATE conductor_tasks SET ordinal = 3 WHERE key = 7",
            &[Position],
        ),
        ("UPDATE conductor_tasks SET id = randomblob(16) WHERE key = 8", &[Id]),
        ("DELETE FROM conductor_tasks WHERE key = 7", &[Row]),
        ("DELETE FROM conductor_tasks WHERE key = 8", &[Row]),
        ("DELETE FROM conductor_tasks WHERE key IN (6, 7, 8)", &[Row]),
        ("DELETE FROM conductor_tasks WHERE key = 10", &[Input, Row]),
        ("DELETE FROM conductor_tasks WHERE key = 9; DELETE FROM conductor_inputs WHERE task = 9", &[Row]),
        (
            "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, created_at, updated_at, attempt, \
             retry_count, max_retries) VALUES (randomblob(16), 1, 3, 4, 0, 1, 0, 0, 0, 0, 0, 0)",
            &[Row],
        ),
        ("INSERT INTO conductor_inputs VALUES (77, '1')", &[Input]),
        ("DELETE FROM conductor_inputs WHERE task = 9", &[Input]),
        ("DELETE FROM conductor_inputs WHERE task IN (9, 10)", &[Input]),
        ("UPDATE conductor_inputs SET task = 78 WHERE task = 10", &[Input]),
        ("INSERT INTO conductor_joins VALUES (1, 3, randomblob(16), 1, 0, NULL, NULL)", &[JoinPlan]),
        ("UPDATE conductor_runs SET state = 2", &[DivergenceKind::State]),
        ("UPDATE conductor_runs SET open_children = 1", &[ChildCounts]),
        ("UPDATE conductor_runs SET fanout = NULL, sealed = 0", &[ChildCounts]),
        ("UPDATE conductor_runs SET running = 0, succeeded = 100", &[StateCounts]),
        ("UPDATE conductor_runs SET mark = 2", &[CancelCause]),
        ("UPDATE conductor_runs SET policy = '\"fail_fast\"'", &[Policy]),
        ("UPDATE conductor_runs SET joining = 1", &[JoinStatus]),
    ];
    for (damage, aspects) in planted {
        let desk = Desk::new();
        let run = desk.everything();
        let before = desk.rows();
        desk.damage(damage);
        let mut expected = aspects.to_vec();
        expected.sort_unstable();
        assert_eq!(desk.found(), expected, "{damage}");
        let done = desk.repair();
        assert_eq!(done.unrepairable, [], "{damage}");
        assert!(!done.repaired.is_empty(), "{damage}");
        assert!(done.repaired.iter().all(|repaired| !repaired.action.is_empty()), "{damage}");
        assert_eq!(desk.found(), [], "{damage}");
        assert_eq!(desk.rows(), before, "{damage}: {done:#?}");
        assert_replays(&desk.store);
        assert_eq!(desk.repair(), RepairReport { runs: 1, ..RepairReport::default() }, "{damage}");
        finish(&desk, run);
    }
}

/// Works on everything until the run has ended, for what was mended must go on.
fn finish(desk: &Desk, run: RunId) {
    let now = desk.env.now().plus_millis(1_000_000);
    for _ in 0..20 {
        let step = Step { scope: Scope::All, now, limit: 1000 };
        let _ = desk.store.rescue(&Rescue { now, limit: 1000, jitter: Jitter(0) }).unwrap();
        let _ = desk.store.retry(&step).unwrap();
        desk.report(
            desk.tasks(run)
                .iter()
                .filter(|task| task.child_counts.is_none())
                .map(|task| Report::succeeded(task.id)),
        );
        desk.steps();
    }
    assert_eq!(
        desk.store.run(run).unwrap().unwrap().state,
        State::Failed,
        "because of one child that was broken"
    );
    assert_verified(&desk.store);
}

#[test]
fn children_of_which_no_row_and_no_event_is_left_get_new_row_keys() {
    let desk = Desk::new();
    let run = desk.everything();
    let before = desk.tasks(run);
    desk.damage("DELETE FROM conductor_tasks WHERE key IN (11, 12)");
    assert_eq!(desk.found(), [DivergenceKind::Row]);
    assert_eq!(desk.repair().repaired.len(), 2);
    assert_eq!(desk.found(), []);
    let same = |task: &Task| (task.id, task.name.clone(), task.state, task.input.clone(), task.parent);
    assert_eq!(
        desk.tasks(run).iter().map(same).collect::<Vec<_>>(),
        before.iter().map(same).collect::<Vec<_>>()
    );
    finish(&desk, run);
}

#[test]
fn what_cannot_be_mended_is_said() {
    for (damage, aspects, left) in [
        ("DELETE FROM conductor_tasks WHERE key = 1", vec![DivergenceKind::Row], vec![DivergenceKind::Row]),
        ("DELETE FROM conductor_joins", vec![DivergenceKind::JoinPlan], vec![DivergenceKind::JoinPlan]),
        ("UPDATE conductor_joins SET kind = 99", vec![DivergenceKind::Kind], vec![DivergenceKind::Kind]),
        (
            "DELETE FROM conductor_inputs WHERE task = 3",
            vec![DivergenceKind::Input],
            vec![DivergenceKind::Input],
        ),
        ("DELETE FROM conductor_inputs", vec![DivergenceKind::Input], vec![DivergenceKind::Input]),
        (
            "UPDATE conductor_tasks SET kind = 99 WHERE key = 1",
            vec![DivergenceKind::Kind],
            vec![DivergenceKind::Kind],
        ),
        (
            "DELETE FROM conductor_events WHERE task = 1 AND name = 9",
            vec![DivergenceKind::Events],
            vec![DivergenceKind::Events],
        ),
        (
            "UPDATE conductor_events SET payload = '{' WHERE name = 7",
            vec![DivergenceKind::Events],
            vec![DivergenceKind::Events],
        ),
        // Not the rows are wrong where no event is left.
        ("DELETE FROM conductor_events", vec![DivergenceKind::Events], vec![DivergenceKind::Events]),
    ] {
        let desk = Desk::new();
        desk.everything();
        desk.damage(damage);
        assert_eq!(desk.found(), aspects, "{damage}");
        let done = desk.repair();
        assert_eq!(done.repaired, [], "{damage}");
        assert!(
            done.unrepairable.iter().all(|left| !left.reason.is_empty()) && !done.unrepairable.is_empty(),
            "{damage}"
        );
        assert_eq!(desk.found(), left, "{damage}");
    }
}

#[test]
fn one_bad_value_is_a_divergence_of_its_row_and_the_rest_of_the_file_is_verified_and_mended() {
    use DivergenceKind::{Attempt, CancelCause, Events, Id, Policy, Row, StateCounts};
    const MOST: i64 = i64::MAX;
    const LEAST: i64 = i64::MIN;
    for (damage, found, left) in [
        ("UPDATE conductor_events SET name = -1 WHERE seq = 9".into(), vec![Events], vec![Events]),
        (format!("UPDATE conductor_events SET name = {MOST} WHERE seq = 9"), vec![Events], vec![Events]),
        (format!("UPDATE conductor_events SET task = {MOST} WHERE seq = 9"), vec![Events], vec![Events]),
        (format!("UPDATE conductor_events SET task = {LEAST} WHERE seq = 9"), vec![Events], vec![Events]),
        (format!("UPDATE conductor_events SET task = {MOST} WHERE seq = 3"), vec![Events], vec![Events]),
        (
            "UPDATE conductor_events SET payload = CAST(x'22FF22' AS TEXT) WHERE seq = 9".into(),
            vec![Events],
            vec![Events],
        ),
        (format!("UPDATE conductor_runs SET pending = {MOST} WHERE key = 1"), vec![StateCounts], vec![]),
        ("UPDATE conductor_runs SET failed = -1 WHERE key = 1".into(), vec![StateCounts], vec![]),
        (
            "UPDATE conductor_runs SET policy = CAST(x'22FF22' AS TEXT) WHERE key = 1".into(),
            vec![Policy],
            vec![],
        ),
        (format!("UPDATE conductor_runs SET mark = {LEAST} WHERE key = 1"), vec![CancelCause], vec![]),
        (format!("UPDATE conductor_tasks SET mark = {LEAST} WHERE key = 3"), vec![CancelCause], vec![]),
        ("UPDATE conductor_runs SET id = x'00' WHERE key = 1".into(), vec![Id], vec![Id]),
        ("UPDATE conductor_tasks SET id = x'00' WHERE key = 7".into(), vec![Id], vec![]),
        ("UPDATE conductor_tasks SET id = x'00' WHERE key = 1".into(), vec![Id], vec![Id]),
        (format!("UPDATE conductor_tasks SET key = {MOST} WHERE key = 7"), vec![Row], vec![]),
        (format!("UPDATE conductor_tasks SET key = {LEAST} WHERE key = 7"), vec![Row], vec![]),
    ] {
        let desk = Desk::new();
        desk.everything();
        desk.submit(RunDraft::new().task(TaskDraft::new("A")));
        desk.damage(&damage);
        desk.damage("UPDATE conductor_tasks SET attempt = 7 WHERE run = 2");
        let mut expected = [found, vec![Attempt]].concat();
        expected.sort_unstable();
        assert_eq!(desk.found(), expected, "{damage}");
        let _ = desk.repair();
        assert_eq!(desk.found(), left, "{damage}");
    }
}

#[test]
fn a_row_whose_key_was_changed_gets_it_back_at_once_with_all_that_it_holds() {
    let outputs = |desk: &Desk| -> Vec<String> {
        let connection = Connection::open(&desk.path).unwrap();
        let sql = "SELECT json_array(key, output) FROM conductor_tasks ORDER BY key";
        let mut statement = connection.prepare(sql).unwrap();
        let texts = statement.query_map([], |row| row.get(0)).unwrap();
        texts.collect::<rusqlite::Result<_>>().unwrap()
    };
    for key in 1..=12 {
        for (other, more, is_input_moved) in
            [(9000, "", false), (-3, ", state = 1, retry_count = 5, ordinal = 77", false), (9000, "", true)]
        {
            // In what place a root task stands, nothing says but its row.
            let more = if key <= 5 { more.trim_end_matches(", ordinal = 77") } else { more };
            let desk = Desk::new();
            let run = desk.everything();
            desk.damage("UPDATE conductor_tasks SET output = '\"made in ' || key || '\"'");
            let before = (desk.rows(), outputs(&desk));
            desk.damage(&format!("UPDATE conductor_tasks SET key = {other}{more} WHERE key = {key}"));
            if is_input_moved {
                desk.damage(&format!("UPDATE conductor_inputs SET task = {other} WHERE task = {key}"));
            }
            assert!(desk.found().contains(&DivergenceKind::Row), "{key} {other}{more}");
            let done = desk.repair();
            assert_eq!(done.unrepairable, [], "{key} {other}{more}");
            assert_eq!(desk.found(), [], "{key} {other}{more}");
            if more.is_empty() {
                assert_eq!(done.repaired[0].action, "gave its row its key back");
            }
            assert_eq!((desk.rows(), outputs(&desk)), before, "{key} {other}{more}");
            finish(&desk, run);
        }
    }
}

#[test]
fn an_only_child_and_a_join_whose_keys_were_changed_get_them_back() {
    for damage in ["parent > 0 AND ordinal = 1", "ordinal = 0"] {
        let desk = Desk::new();
        let run = desk.submit(RunDraft::new().task(TaskDraft::new("P").fan_out([1]).join("J")));
        desk.steps();
        desk.report([Report::succeeded(desk.named(run, "P#1"))]);
        desk.steps();
        desk.report([Report::started(desk.named(run, "P#0"))]);
        let before = desk.rows();
        desk.damage(&format!("UPDATE conductor_tasks SET key = 9000 WHERE {damage}"));
        assert!(desk.found().contains(&DivergenceKind::Row), "{damage}");
        assert_eq!(desk.repair().unrepairable, [], "{damage}");
        assert_eq!(desk.rows(), before, "{damage}");
        assert_eq!(desk.found(), [], "{damage}");
    }
}

#[test]
fn numbers_at_their_end_in_an_event_are_counted_no_further() {
    let desk = Desk::new();
    desk.everything();
    let numbers = json!({"total": 5, "created": 0, "open": u32::MAX, "failed": 0, "cancelled": 0});
    let tally = json!({"pending": u64::MAX, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0});
    let adopted = json!({"state": "PENDING", "child_counts": numbers, "state_counts": tally});
    desk.damage(&format!(
        "UPDATE conductor_events SET name = 18, payload = '{adopted}' WHERE seq = 1;
         DELETE FROM conductor_events WHERE seq = 2"
    ));
    assert_eq!(desk.found(), [DivergenceKind::ChildCounts, DivergenceKind::StateCounts]);
}

#[test]
fn an_input_that_was_deleted_is_found_and_given_back_where_its_parent_has_it() {
    let desk = Desk::new();
    let nested = json!({"fanout": [{"fanout": ["x", "y"]}, {"fanout": 1}]});
    let tasks = [TaskDraft::new("P").input(nested), TaskDraft::new("Q").open(), TaskDraft::new("R")];
    let run = desk.submit(RunDraft::new().tasks(tasks));
    desk.steps();
    let items = [1, 2].map(|n| n.to_string().parse().unwrap()).to_vec();
    desk.store.append(&Append::items(desk.named(run, "Q"), 1, items, &desk.env)).unwrap();
    assert_eq!(desk.found(), []);
    let before = desk.rows();
    let of = |name: &str| {
        let id = desk.named(run, name).as_u128();
        format!(
            "DELETE FROM conductor_inputs WHERE task = (SELECT key FROM conductor_tasks WHERE hex(id) = '{id:032X}')"
        )
    };
    for names in [&["P#1#2"][..], &["P#1", "P#2"], &["P#1", "P#1#1", "P#1#2", "P#2"]] {
        for name in names {
            desk.damage(&of(name));
        }
        assert_eq!(desk.found(), [DivergenceKind::Input], "{names:?}");
        let done = desk.repair();
        assert_eq!((done.repaired.len(), done.unrepairable), (names.len(), vec![]), "{names:?}");
        assert_eq!(done.repaired[0].action, "gave it its item of its parent's input again");
        assert_eq!(desk.rows(), before, "{names:?}");
        assert_eq!(desk.found(), []);
    }
    // What was appended stands nowhere else.
    desk.damage(&of("Q#2"));
    assert_eq!(desk.found(), [DivergenceKind::Input]);
    assert_eq!(desk.repair().unrepairable[0].reason, "what it was to work on is noted nowhere else");
}

#[test]
fn a_row_that_was_moved_to_another_run_comes_back() {
    for (first, second) in [(1, 2), (2, 1)] {
        let desk = Desk::new();
        let family = || RunDraft::new().task(TaskDraft::new("P").input(json!({"fanout": 2})));
        desk.submit(family());
        desk.submit(family());
        desk.steps();
        let ids: Vec<_> = desk.store.runs(None, 10).unwrap().items.iter().map(|run| run.id).collect();
        desk.report([Report::started(desk.named(ids[first - 1], "P#2"))]);
        let before = desk.rows();
        desk.damage(&format!(
            "UPDATE conductor_tasks SET run = {second}, parent = {second}, ordinal = 3 WHERE run = {first} AND parent > 0 \
             AND ordinal = 2"
        ));
        assert_eq!(desk.found(), [DivergenceKind::Row]);
        let done = desk.repair();
        assert_eq!(done.unrepairable, []);
        assert_eq!(desk.found(), []);
        assert_eq!(desk.rows(), before, "{done:#?}");
    }
}

#[test]
fn what_is_left_of_a_run_whose_row_is_gone_is_given_to_the_prune() {
    let desk = Desk::new();
    desk.everything();
    let other = desk.submit(RunDraft::new().task(TaskDraft::new("A")));
    desk.damage("DELETE FROM conductor_runs WHERE key = 1; DELETE FROM conductor_submissions");
    assert_eq!(desk.found(), [DivergenceKind::Row]);
    assert_eq!(desk.repair().repaired.len(), 1);
    assert_eq!(desk.found(), []);
    while desk.store.prune(&Prune::before(Timestamp::MIN)).unwrap().more {}
    assert_eq!(desk.found(), []);
    let left: i64 = Connection::open(&desk.path)
        .unwrap()
        .query_row("SELECT count(*) FROM conductor_tasks WHERE run = 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
    assert!(desk.store.run(other).unwrap().is_some());
}

#[test]
fn a_join_that_was_deleted_is_created_again() {
    for wait in [true, false] {
        let desk = Desk::new();
        let run = desk.submit(RunDraft::new().task(TaskDraft::new("P").fan_out([1]).join("J")).join("K"));
        desk.steps();
        desk.report([Report::succeeded(desk.named(run, "P#1"))]);
        desk.steps();
        let join = desk.tasks(run).into_iter().find(|task| task.index == 0).unwrap().id;
        if wait {
            desk.report([Report::started(join)]);
        } else {
            desk.report([Report::succeeded(join)]);
            desk.steps();
        }
        let before = desk.rows();
        desk.damage("DELETE FROM conductor_tasks WHERE ordinal = 0");
        assert_eq!(desk.found(), [DivergenceKind::Row]);
        let done = desk.repair();
        assert_eq!(done.unrepairable, []);
        assert_eq!(desk.rows(), before, "{done:#?}");
        assert_eq!(desk.found(), []);
    }
}

#[test]
fn a_family_whose_decision_is_gone_is_decided_again_as_its_join_ended() {
    let succeeded: fn(TaskId) -> Report = Report::succeeded;
    let failed: fn(TaskId) -> Report = |join| Report::failed_permanently(join, "no");
    let cancelled: fn(TaskId) -> Report = Report::cancelled;
    for (end, state) in
        [(succeeded, State::Succeeded), (failed, State::Failed), (cancelled, State::Cancelled)]
    {
        for (is_repaired_row, of_parent) in [(false, false), (true, false), (false, true), (true, true)] {
            let desk = Desk::new();
            let task = TaskDraft::new("P").fan_out([1]);
            let run = if of_parent {
                RunDraft::new().task(task.join("J"))
            } else {
                RunDraft::new().task(task).join("J")
            };
            let run = desk.submit(run);
            desk.steps();
            desk.report([Report::succeeded(desk.named(run, "P#1"))]);
            desk.steps();
            let join = desk.tasks(run).into_iter().find(|task| task.index == 0).unwrap().id;
            desk.report([end(join)]);
            desk.steps();
            assert_eq!(desk.store.run(run).unwrap().unwrap().state, state);
            let before = desk.rows();
            let name = if of_parent { "3, 17" } else { "3" };
            desk.damage(&format!(
                "DELETE FROM conductor_events WHERE name IN ({name}) AND seq > \
                 (SELECT max(seq) FROM conductor_events WHERE name NOT IN (3, 17))"
            ));
            if is_repaired_row {
                // What a repair that did not decide left behind.
                desk.damage("UPDATE conductor_runs SET state = 1");
            }
            assert!(desk.found().contains(&DivergenceKind::Events));
            assert_eq!(desk.repair().unrepairable, []);
            desk.steps();
            assert_eq!(desk.found(), []);
            assert_eq!(desk.rows(), before);
            assert_eq!(desk.store.run(run).unwrap().unwrap().state, state);
            assert_replays(&desk.store);
        }
    }
}

#[test]
fn marked_and_revived_runs_are_verified_and_mended() {
    let desk = Desk::new();
    let run = desk.submit(RunDraft::new().task(TaskDraft::new("P").input(json!({"fanout": 30}))));
    let step = FanOut::new(Scope::All, 20, &desk.env);
    assert_eq!(desk.store.fan_out(&step).unwrap().children, 20);
    let now = desk.env.now();
    assert!(desk.store.cancel(&Cancel::run(run, now)).is_ok());
    assert!(desk.store.sweep(&Step { scope: Scope::All, now, limit: 5 }).unwrap().more);
    assert_eq!(desk.found(), []);
    desk.damage(
        "UPDATE conductor_runs SET mark = NULL; UPDATE conductor_tasks SET mark = NULL, swept = NULL",
    );
    assert_eq!(desk.found(), [DivergenceKind::CancelCause]);
    assert_eq!(desk.repair().unrepairable, []);
    assert!(desk.store.sweep(&Step { scope: Scope::All, now, limit: 5 }).unwrap().more);
    desk.damage("UPDATE conductor_tasks SET swept = 99, mark = 4 WHERE key = 1");
    assert_eq!(desk.found(), [DivergenceKind::CancelCause], "the sweep passed its children by");
    assert!(desk.repair().repaired[0].action.contains("swept again"));
    assert_eq!(desk.found(), []);
    desk.steps();
    assert_eq!(desk.store.run(run).unwrap().unwrap().state, State::Cancelled, "the sweep went on");
    let revive = Revive::run(run, ReviveFilter::FailedAndCancelled, now);
    assert!(desk.store.revive(&revive).unwrap().tasks > 0);
    desk.steps();
    assert_eq!(desk.found(), []);
    desk.damage("UPDATE conductor_tasks SET state = 4 WHERE key IN (3, 4, 5)");
    assert_eq!(desk.repair().repaired.len(), 3);
    assert_eq!(desk.found(), []);
}

#[test]
fn more_divergences_than_are_listed_are_counted() {
    let desk = Desk::new();
    desk.submit(RunDraft::new().task(TaskDraft::new("P").input(json!({"fanout": 50}))));
    desk.steps();
    desk.damage("UPDATE conductor_tasks SET attempt = 7 WHERE parent > 0");
    let found = desk.store.verify(&Verify { max_divergences: 10, ..Verify::all() }).unwrap();
    assert_eq!((found.divergences.len(), found.found), (10, 50));
    let shown = found.divergences[0].to_string();
    assert!(shown.ends_with(": attempt: 7, where 0 follows from the events"), "{shown}");
    assert_eq!(desk.repair().repaired.len(), 50);
    assert_eq!(desk.found(), []);
}

#[test]
fn a_file_whose_index_was_damaged_is_found_out_on_demand() {
    let desk = Desk::new();
    desk.everything();
    desk.damage(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_master SET sql = 'CREATE INDEX conductor_tasks_retried ON conductor_tasks (run, attempt) WHERE attempt > 0'
            WHERE name = 'conductor_tasks_retried';",
    );
    let again = SqliteStore::open(&desk.path).unwrap();
    let found = again.verify(&Verify { integrity: true, ..Verify::all() }).unwrap();
    assert!(
        found.divergences.iter().all(|divergence| divergence.kind == DivergenceKind::Integrity)
            && found.found > 0,
        "{found:?}"
    );
}

#[test]
fn a_running_task_that_was_created_again_is_rescued() {
    let desk = Desk::new();
    let run = desk.submit(RunDraft::new().task(TaskDraft::new("P").fan_out([1, 2]).kind("claimed")));
    desk.steps();
    desk.claim("claimed");
    desk.damage("DELETE FROM conductor_tasks WHERE state = 1 AND parent > 0");
    let done = desk.repair();
    assert!(done.repaired.iter().any(|repaired| repaired.action.contains("RUNNING")), "{done:?}");
    let rescue = Rescue { now: desk.env.now(), limit: 10, jitter: Jitter(0) };
    assert_eq!(desk.store.rescue(&rescue).unwrap().changed, 1);
    let task = desk.store.task(desk.named(run, "P#1")).unwrap().unwrap();
    assert_eq!((task.state, task.attempt, task.input.unwrap().as_str()), (State::Failed, 1, "1"));
    assert_eq!(desk.found(), []);
}

#[test]
fn one_run_is_mended_while_others_are_worked_on() {
    let desk = Desk::new();
    let hurt = desk.everything();
    let before = desk.rows();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let (store, env) = (SqliteStore::open(&desk.path).unwrap(), Environment::system());
            for n in 1..30 {
                let task = TaskDraft::new("P").input(json!({"fanout": n}));
                let run = RunDraft::new().task(task).validate().unwrap();
                let run = store.submit(&Submit::new(run, &env)).unwrap().run;
                let (scope, now) = (Scope::Run(run), env.now());
                while store.fan_out(&FanOut::new(scope, 7, &env)).unwrap().more {}
                let leaves = store.tasks(run, TaskFilter::default(), None, 100).unwrap().items;
                let _ = store.report(&ReportBatch::new(
                    leaves[1..].iter().map(|task| Report::succeeded(task.id)),
                    &env,
                ));
                while store.aggregate(&Step { scope, now, limit: 10 }).unwrap().more {}
            }
        });
        let mut rounds = 0;
        while !worker.is_finished() || rounds == 0 {
            desk.damage(
                "UPDATE conductor_tasks SET state = 0, open_children = 9 WHERE key = 3;
                 DELETE FROM conductor_tasks WHERE key = 7; UPDATE conductor_runs SET failed = 3 WHERE key = 1",
            );
            assert_eq!(desk.repair().repaired.len(), 4);
            assert_eq!(desk.found(), []);
            rounds += 1;
        }
        worker.join().unwrap();
    });
    let ours = |row: &String| before.contains(row);
    assert_eq!(desk.rows().into_iter().filter(ours).count(), before.len());
    finish(&desk, hurt);
}

/// Several things that were done by hand to the same file, of which the second repair leaves nothing that it mends again.
fn is_settled_after(done: &[&str]) {
    let desk = Desk::new();
    desk.everything();
    desk.submit(RunDraft::new().task(TaskDraft::new("P").fan_out([1])));
    desk.steps();
    desk.damage(&done.join(";"));
    assert_ne!(desk.found(), []);
    let _ = (desk.repair(), desk.repair());
    let last = desk.repair();
    assert_eq!(last.repaired, []);
    assert_eq!(desk.found().len(), last.unrepairable.len());
}

#[test]
fn a_row_that_was_given_a_key_before_all_others_takes_no_others_place() {
    is_settled_after(&[
        "UPDATE conductor_tasks SET id = x'00000000000000000000000000000000' WHERE key = 12",
        "UPDATE conductor_tasks SET key = 0 WHERE key = 11",
    ]);
}

#[test]
fn where_no_key_is_left_the_rest_is_mended() {
    is_settled_after(&[
        "DELETE FROM conductor_events WHERE seq = 3",
        "DELETE FROM conductor_tasks WHERE key = 14",
        "UPDATE conductor_tasks SET key = 9223372036854775807 WHERE key = 1",
    ]);
}

/// One thing that somebody may do by hand.
fn meddling() -> impl Strategy<Value = String> {
    let number = |most: i64| (0..=most).prop_map(|n| n.to_string());
    let maybe = |most: i64| prop_oneof![Just("NULL".to_owned()), (0..=most).prop_map(|n| n.to_string())];
    let of_a_task = prop_oneof![
        (Just("state"), number(4)),
        (Just("due_at"), maybe(9)),
        (Just("attempt"), number(3)),
        (Just("retry_count"), number(3)),
        (Just("lease_until"), maybe(9)),
        (Just("holder"), maybe(9)),
        (Just("ordinal"), number(6)),
        (Just("parent"), number(14)),
        (Just("run"), number(3)),
        (Just("sealed"), maybe(1)),
        (Just("fanout"), maybe(4)),
        (Just("children"), maybe(4)),
        (Just("open_children"), maybe(4)),
        (Just("failed_children"), maybe(4)),
        (Just("policy"), Just("'{'".to_owned())),
        (Just("mark"), maybe(4)),
        (Just("swept"), maybe(4)),
        (Just("joining"), maybe(1)),
        (Just("id"), (0..20_u8).prop_map(|n| format!("x'000000000000000000000000000000{n:02x}'"))),
        (Just("kind"), number(9)),
        (Just("key"), prop_oneof![number(20), Just("9000".to_owned()), Just(i64::MAX.to_string())]),
    ];
    let of_a_run = prop_oneof![
        (Just("state"), number(4)),
        (Just("children"), number(9)),
        (Just("open_children"), number(9)),
        (Just("pending"), number(9)),
        (Just("mark"), maybe(4)),
        (Just("joining"), maybe(1)),
    ];
    prop_oneof![
        8 => (1..15_i64, of_a_task).prop_map(|(key, (column, value))| {
            format!("UPDATE OR IGNORE conductor_tasks SET {column} = {value} WHERE key = {key}")
        }),
        2 => (1..3_i64, of_a_run).prop_map(|(key, (column, value))| {
            format!("UPDATE conductor_runs SET {column} = {value} WHERE key = {key}")
        }),
        3 => (1..15_i64).prop_map(|key| format!("DELETE FROM conductor_tasks WHERE key = {key}")),
        1 => (1..15_i64).prop_map(|key| format!("DELETE FROM conductor_inputs WHERE task = {key}")),
        1 => (1..60_i64).prop_map(|seq| format!("DELETE FROM conductor_events WHERE seq = {seq}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was done to the rows: what a repair does not mend is what a verification finds afterwards.
    #[test]
    fn a_repair_mends_everything_that_it_does_not_give_up(done in proptest::collection::vec(meddling(), 1..6)) {
        let desk = Desk::new();
        desk.everything();
        desk.submit(RunDraft::new().task(TaskDraft::new("P").fan_out([1])));
        desk.steps();
        desk.damage(&done.join(";"));
        // What could not be mended at first may be afterwards, and a row may be moved to a run that was looked at before.
        let _ = (desk.repair(), desk.repair());
        let last = desk.repair();
        let in_words = |divergences: Vec<Divergence>| {
            let mut words: Vec<_> = divergences.iter().map(ToString::to_string).collect();
            words.sort_unstable();
            words
        };
        let left = in_words(last.unrepairable.into_iter().map(|unrepairable| unrepairable.divergence).collect());
        let found = in_words(desk.store.verify(&Verify::all()).unwrap().divergences);
        prop_assert_eq!(found, left, "{:#?}", last.repaired);
        prop_assert_eq!(last.repaired, vec![]);
    }
}
