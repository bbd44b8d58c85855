//! What another program may do to the rows: the tables refuse most of it, and what they cannot refuse stops no step.
#![cfg(feature = "sqlite")]

use conductor_model::{Policy, RunDraft, State, Task, TaskDraft, Timestamp};
use conductor_store::{
    Claim, ClaimedTask, Ending, Enlist, FanOut, Fault, Fenced, Query, Release, Report, Reports, Rescue,
    Scope, Settle, Source, SqliteStore, Step, Store, Submit, TaskFilter, Turn, Want,
};
use rusqlite::Connection;
use serde_json::json;
use std::path::PathBuf;

struct Desk {
    _folder: tempfile::TempDir,
    path: PathBuf,
    store: SqliteStore,
    source: Source,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damage.db");
        let store = SqliteStore::open(&path).unwrap();
        let source = Source::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        Self { _folder: folder, path, store, source }
    }

    fn submit(&self, task: TaskDraft) -> Task {
        let run = RunDraft::new().task(task).check().unwrap();
        let run = self.store.submit(&Submit::new(run, &self.source)).unwrap().run;
        self.store.tasks(run, TaskFilter::default(), None, 1).unwrap().items.remove(0)
    }

    fn damage(&self, sql: &str) -> rusqlite::Result<()> {
        Connection::open(&self.path).unwrap().execute_batch(sql)
    }

    fn fan_out(&self) -> u32 {
        let step = FanOut { scope: Scope::All, now: self.source.now(), ids: self.source.ids(100) };
        self.store.fan_out(&step).unwrap().children
    }

    /// Claims whatever is ready of the kind `A`, for an engine that is gone afterwards.
    fn claim(&self) -> Vec<ClaimedTask> {
        let presence = self.store.enlist(&Enlist::new(&self.source)).unwrap();
        let wants = vec![Want { kind: "A".parse().unwrap(), limit: 10, turn: Turn::default() }];
        let (holder, now) = (presence.holder(), self.source.now());
        let claim = Claim { holder, wants, limit: 10, lease_ms: 1000, alone: true, now };
        self.store.claim(&claim).unwrap().tasks
    }

    fn task(&self, task: &Task) -> Task {
        self.store.task(task.id).unwrap().unwrap()
    }
}

#[test]
fn the_tables_refuse_what_no_store_writes() {
    let desk = Desk::new();
    desk.submit(TaskDraft::new("A").input(json!({"fanout": 2})));
    for nonsense in [
        "UPDATE conductor_tasks SET id = x'00'",
        "UPDATE conductor_tasks SET state = 9",
        "UPDATE conductor_tasks SET attempt = -1",
        "UPDATE conductor_tasks SET retry_count = -1",
        "UPDATE conductor_tasks SET max_retries = 1001",
        "UPDATE conductor_tasks SET fanout = 99999999999",
        "UPDATE conductor_tasks SET open_children = -1",
        "UPDATE conductor_tasks SET name = ''",
        "UPDATE conductor_tasks SET state = 2, due_at = 1",
        "UPDATE conductor_tasks SET created_at = 'yesterday'",
        "UPDATE conductor_runs SET id = 'no id'",
        "UPDATE conductor_runs SET pending = -1",
        "UPDATE conductor_runs SET children = -1",
        "UPDATE conductor_runs SET sealed = 0",
    ] {
        let refused = desk.damage(nonsense).unwrap_err().to_string();
        assert!(
            refused.contains("constraint failed") || refused.contains("cannot store"),
            "{nonsense}: {refused}"
        );
    }
}

#[test]
fn a_parent_whose_row_or_input_was_damaged_fails_and_its_neighbour_fans_out() {
    for damage in [
        "UPDATE conductor_inputs SET input = '{' WHERE task = 1",
        "UPDATE conductor_inputs SET input = '{\"fanout\": 3}' WHERE task = 1",
        "DELETE FROM conductor_inputs WHERE task = 1",
        "UPDATE conductor_tasks SET name = char(7) WHERE key = 1",
    ] {
        let desk = Desk::new();
        let hurt = desk.submit(TaskDraft::new("hurt").input(json!({"fanout": 2})));
        let well = desk.submit(TaskDraft::new("well").input(json!({"fanout": 2})));
        desk.damage(damage).unwrap();
        assert_eq!(desk.fan_out(), 2, "{damage}");
        assert_eq!(desk.task(&well).state, State::Running);
        assert_eq!(desk.fan_out(), 0, "{damage}");
        desk.damage("UPDATE conductor_tasks SET name = 'hurt' WHERE key = 1; DELETE FROM conductor_inputs")
            .unwrap();
        let hurt = desk.task(&hurt);
        assert_eq!(hurt.state, State::Failed, "{damage}");
        assert!(hurt.last_error.is_some(), "{damage}");
    }
}

#[test]
fn a_retry_whose_time_or_backoff_cannot_be_read_is_due_or_has_none() {
    let desk = Desk::new();
    let task = desk.submit(TaskDraft::new("A"));
    let failed = || desk.store.report(&Reports::new([Report::failed(task.id, "no")], &desk.source)).unwrap();
    let step = Step { scope: Scope::All, now: desk.source.now(), limit: 10 };
    for damage in [
        "UPDATE conductor_tasks SET due_at = -99999999999999999",
        "UPDATE conductor_tasks SET due_at = 99999999999999999",
        "UPDATE conductor_tasks SET backoff = '{'",
    ] {
        let _ = failed();
        desk.damage(damage).unwrap();
        assert_eq!(desk.store.retry(&step).unwrap().tasks, 1, "{damage}");
    }
}

#[test]
fn a_ready_task_whose_input_was_damaged_fails_and_the_claim_goes_on() {
    let deep = "[".repeat(65) + &"]".repeat(65);
    for damage in [
        "UPDATE conductor_inputs SET input = '{' WHERE task = 1".into(),
        "UPDATE conductor_inputs SET input = '' WHERE task = 1".into(),
        "UPDATE conductor_inputs SET input = CAST(x'22FF22' AS TEXT) WHERE task = 1".into(),
        format!("UPDATE conductor_inputs SET input = '{deep}' WHERE task = 1"),
    ] {
        let desk = Desk::new();
        let hurt = desk.submit(TaskDraft::new("A").input(1));
        let well = desk.submit(TaskDraft::new("A").input(2));
        desk.damage(&damage).unwrap();
        let claimed = desk.claim();
        assert_eq!(claimed.iter().map(|task| task.fence.task).collect::<Vec<_>>(), [well.id], "{damage}");
        desk.damage("DELETE FROM conductor_inputs").unwrap();
        let hurt = desk.task(&hurt);
        assert_eq!((hurt.state, hurt.due_at, hurt.attempt), (State::Failed, None, 1), "{damage}");
        let error = hurt.last_error.unwrap();
        assert!(error.as_str().starts_with("its input was changed: "), "{error}");
        assert_eq!(desk.claim().len(), 0, "once");
        let step = Step { scope: Scope::All, now: desk.source.now(), limit: 10 };
        assert_eq!(desk.store.aggregate(&step).unwrap().runs, 1);
    }
}

#[test]
fn children_fail_whose_parents_input_was_damaged_and_the_claim_goes_on() {
    let desk = Desk::new();
    desk.submit(TaskDraft::new("P").kind("A").input(json!({"fanout": 3, "width": 80})));
    let well = desk.submit(TaskDraft::new("A"));
    assert_eq!(desk.fan_out(), 3);
    desk.damage("UPDATE conductor_inputs SET input = '{'").unwrap();
    let claimed = desk.claim();
    assert_eq!(claimed.iter().map(|task| task.fence.task).collect::<Vec<_>>(), [well.id]);
    let step = Step { scope: Scope::All, now: desk.source.now(), limit: 10 };
    assert_eq!(desk.store.aggregate(&step).unwrap().parents, 1);
}

#[test]
fn a_place_or_a_kind_that_was_damaged_stops_no_claim() {
    for damage in [
        "UPDATE conductor_tasks SET ordinal = -1 WHERE key = 1",
        "UPDATE conductor_tasks SET ordinal = 99999999999 WHERE key = 1",
        "UPDATE conductor_tasks SET priority = 99999999999 WHERE key = 1",
        "UPDATE conductor_tasks SET backoff = '{' WHERE key = 1",
        "UPDATE conductor_tasks SET kind = 77 WHERE key = 1",
        "UPDATE conductor_tasks SET name = char(7) WHERE key = 1",
        "UPDATE conductor_tasks SET created_at = -99999999999999999 WHERE key = 1",
    ] {
        let desk = Desk::new();
        desk.submit(TaskDraft::new("A"));
        let well = desk.submit(TaskDraft::new("A"));
        desk.damage(damage).unwrap();
        assert!(desk.claim().iter().any(|task| task.fence.task == well.id), "{damage}");
    }
}

#[test]
fn a_lease_or_a_holder_that_was_damaged_stops_no_rescue_and_no_settlement() {
    for damage in [
        "UPDATE conductor_tasks SET lease_until = -99999999999999999 WHERE key = 1",
        "UPDATE conductor_tasks SET lease_until = 9223372036854775807 WHERE key = 1",
        "UPDATE conductor_tasks SET holder = 77 WHERE key = 1",
        "UPDATE conductor_tasks SET holder = NULL WHERE key = 1",
        "UPDATE conductor_tasks SET updated_at = 9223372036854775807 WHERE key = 1",
        "UPDATE conductor_tasks SET updated_at = -9223372036854775807 WHERE key = 1",
        "UPDATE conductor_tasks SET backoff = '{', lost = 2 WHERE key = 1",
        "DELETE FROM conductor_engines",
    ] {
        let desk = Desk::new();
        desk.submit(TaskDraft::new("A"));
        let well = desk.submit(TaskDraft::new("A"));
        let claimed = desk.claim();
        desk.damage(damage).unwrap();
        let (now, jitter) = (desk.source.now(), desk.source.jitter());
        let release = Release { fences: vec![claimed[1].fence], now };
        assert_eq!(desk.store.release(&release).unwrap(), [Fenced::Applied], "{damage}");
        let claimed = desk.claim();
        desk.store.next_due().unwrap();
        let endings = vec![(claimed[0].fence, Ending::Succeeded { output: None })];
        let settled = desk.store.settle(&Settle { endings, claim: None, now, jitter }).unwrap();
        assert_eq!(settled.endings, [Fenced::Applied], "{damage}");
        assert_eq!(desk.task(&well).state, State::Succeeded, "{damage}");
        let later = now.plus_millis(2000);
        let rescue = Rescue { now: later, limit: 10, jitter };
        assert_eq!(desk.store.rescue(&rescue).unwrap().tasks, 1, "{damage}");
    }
}

#[test]
fn a_policy_that_cannot_be_read_is_the_default() {
    let desk = Desk::new();
    let draft = TaskDraft::new("A").input(json!({"fanout": 2})).policy(Policy::Ignore);
    let parent = desk.submit(draft);
    assert_eq!(desk.fan_out(), 2);
    for nonsense in ["{", "never", "{\"tolerate_percent\": 101}"] {
        desk.damage(&format!("UPDATE conductor_tasks SET policy = '{nonsense}' WHERE parent = 0")).unwrap();
        assert!(matches!(desk.store.task(parent.id), Err(Fault::Unreadable { .. })), "{nonsense}");
    }
    let children = desk.store.children(parent.id, 0, 2).unwrap().items;
    let reports = [Report::succeeded(children[0].id), Report::failed_for_good(children[1].id, "no")];
    desk.store.report(&Reports::new(reports, &desk.source)).unwrap();
    let step = Step { scope: Scope::All, now: desk.source.now(), limit: 10 };
    while desk.store.aggregate(&step).unwrap().more {}
    assert_eq!(desk.store.run(parent.run).unwrap().unwrap().state, State::Failed);
}
