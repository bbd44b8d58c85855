//! What another program may do to the rows: the tables refuse most of it, and what they cannot refuse stops no step.
#![cfg(feature = "sqlite")]

use conductor_model::{Json, Policy, RunDraft, State, Task, TaskDraft, Timestamp};
use conductor_store::{
    Admin, Append, AttemptResult, Cancel, Claim, ClaimOutcome, ClaimedTask, Environment, FanOut,
    FenceOutcome, KindQuota, Query, RegisterEngine, Release, Renew, Report, ReportBatch, Rescue,
    RotationCursor, Scope, Settle, SqliteStore, Step, Store, StoreError, Submit, TaskFilter,
};
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

    fn submit(&self, task: TaskDraft) -> Task {
        let run = RunDraft::new().task(task).validate().unwrap();
        let run = self.store.submit(&Submit::new(run, &self.env)).unwrap().run;
        self.store.tasks(run, TaskFilter::default(), None, 1).unwrap().items.remove(0)
    }

    fn damage(&self, sql: &str) -> rusqlite::Result<()> {
        Connection::open(&self.path).unwrap().execute_batch(sql)
    }

    fn fan_out(&self) -> u32 {
        let step = FanOut::new(Scope::All, 100, &self.env);
        self.store.fan_out(&step).unwrap().children
    }

    /// Claims whatever is ready of the kind `A`, for an engine that is gone afterwards.
    fn claim(&self) -> Vec<ClaimedTask> {
        self.try_to_claim(10).tasks
    }

    fn try_to_claim(&self, limit: u32) -> ClaimOutcome {
        let registration = self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap();
        let wants = vec![KindQuota { kind: "A".parse().unwrap(), limit, cursor: RotationCursor::default() }];
        let (holder, now) = (registration.key(), self.env.now());
        let claim = Claim { engine: holder, quotas: wants, limit, lease_ms: 1000, allow_isolated: true, now };
        self.store.claim(&claim).unwrap()
    }

    /// Every step there is, until none of them changes anything: that comes soon, whatever was damaged.
    fn settle(&self) {
        let (now, jitter) = (self.env.now().plus_millis(2000), self.env.jitter());
        let step = Step { scope: Scope::All, now, limit: 10 };
        for _ in 0..100 {
            let before = self.store.change_token().unwrap();
            let _ = self.store.rescue(&Rescue { now, limit: 10, jitter }).unwrap();
            let _ = self.store.retry(&step).unwrap();
            let _ = self.store.promote(&step).unwrap();
            let _ = self
                .store
                .fan_out(&FanOut {
                    scope: Scope::All,
                    now,
                    ids: self.env.ids(100),
                    cursor: RotationCursor::default(),
                })
                .unwrap();
            let _ = self.store.aggregate(&step).unwrap();
            if self.store.change_token().unwrap() == before {
                return;
            }
        }
        panic!("the steps go on for ever");
    }

    fn succeed(&self, tasks: &[ClaimedTask]) {
        let (now, jitter) = (self.env.now(), self.env.jitter());
        let endings =
            tasks.iter().map(|task| (task.fence, AttemptResult::Succeeded { output: None })).collect();
        let settled = self.store.settle(&Settle { results: endings, claim: None, now, jitter }).unwrap();
        assert!(settled.results.iter().all(|fenced| *fenced == FenceOutcome::Applied));
    }

    /// Works on everything until nothing is left to do.
    fn finish(&self) {
        for _ in 0..10 {
            self.settle();
            for run in self.store.runs(None, 10).unwrap().items {
                let tasks = self.store.tasks(run.id, TaskFilter::default(), None, 100).unwrap().items;
                let open =
                    tasks.iter().filter(|task| task.child_counts.is_none() && !task.state.is_terminal());
                let reports = open.map(|task| Report::succeeded(task.id));
                let _ = self.store.report(&ReportBatch::new(reports, &self.env)).unwrap();
            }
        }
    }

    /// What a row says that no reader can be asked for any more.
    fn raw(&self, key: i64) -> (i64, Option<String>) {
        let sql = "SELECT state, last_error FROM conductor_tasks WHERE key = ?1";
        let connection = Connection::open(&self.path).unwrap();
        connection.query_row(sql, [key], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
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
    let failed = || desk.store.report(&ReportBatch::new([Report::failed(task.id, "no")], &desk.env)).unwrap();
    let step = Step { scope: Scope::All, now: desk.env.now(), limit: 10 };
    for damage in [
        "UPDATE conductor_tasks SET due_at = -99999999999999999",
        "UPDATE conductor_tasks SET due_at = 99999999999999999",
        "UPDATE conductor_tasks SET backoff = '{'",
    ] {
        let _ = failed();
        desk.damage(damage).unwrap();
        assert_eq!(desk.store.retry(&step).unwrap().changed, 1, "{damage}");
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
        let step = Step { scope: Scope::All, now: desk.env.now(), limit: 10 };
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
    let step = Step { scope: Scope::All, now: desk.env.now(), limit: 10 };
    assert_eq!(desk.store.aggregate(&step).unwrap().parents, 1);
}

#[test]
fn a_child_whose_input_was_deleted_fails_and_is_not_run_on_nothing() {
    let by_items = || TaskDraft::new("P").kind("A").fan_out(["x", "y"]);
    let counted = || TaskDraft::new("P").kind("A").input(json!({"fanout": 2}));
    for (draft, appended, damage, hurt) in [
        (by_items(), 0, "DELETE FROM conductor_inputs WHERE task = 4", vec![4]),
        (by_items(), 0, "DELETE FROM conductor_inputs", vec![3, 4]),
        (counted(), 0, "DELETE FROM conductor_inputs WHERE task = 1", vec![3, 4]),
        (TaskDraft::new("P").kind("A").open(), 2, "DELETE FROM conductor_inputs WHERE task = 3", vec![3]),
        (
            TaskDraft::new("P").kind("A").open().input(7),
            2,
            "DELETE FROM conductor_inputs WHERE task = 3",
            vec![3],
        ),
    ] {
        let desk = Desk::new();
        let parent = desk.submit(draft);
        let well = desk.submit(TaskDraft::new("A"));
        if appended > 0 {
            let items = (0..appended).map(|n| Json::of(&n).unwrap()).collect();
            desk.store.append(&Append::items(parent.id, 1, items, &desk.env)).unwrap();
        } else {
            assert_eq!(desk.fan_out(), 2);
        }
        desk.damage(damage).unwrap();
        let claimed = desk.claim();
        assert!(claimed.iter().any(|task| task.fence.task == well.id), "{damage}");
        assert_eq!(claimed.len(), 3 - hurt.len(), "{damage}");
        for key in hurt {
            let why = "its input was changed: it is missing";
            assert_eq!(desk.raw(key), (FAILED, Some(why.into())), "{damage}");
        }
        assert_eq!(desk.try_to_claim(10).rejected, 0, "once");
    }
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
        let (now, jitter) = (desk.env.now(), desk.env.jitter());
        let release = Release { fences: vec![claimed[1].fence], now };
        assert_eq!(desk.store.release(&release).unwrap(), [FenceOutcome::Applied], "{damage}");
        let claimed = desk.claim();
        desk.store.next_due().unwrap();
        let endings = vec![(claimed[0].fence, AttemptResult::Succeeded { output: None })];
        let settled = desk.store.settle(&Settle { results: endings, claim: None, now, jitter }).unwrap();
        assert_eq!(settled.results, [FenceOutcome::Applied], "{damage}");
        assert_eq!(desk.task(&well).state, State::Succeeded, "{damage}");
        let later = now.plus_millis(2000);
        let rescue = Rescue { now: later, limit: 10, jitter };
        assert_eq!(desk.store.rescue(&rescue).unwrap().changed, 1, "{damage}");
    }
}

/// States as rows have them.
const PENDING: i64 = 0;
const SUCCEEDED: i64 = 2;
const FAILED: i64 = 3;

#[test]
fn a_task_whose_run_or_parent_is_gone_fails_at_its_claim_and_its_neighbours_go_on() {
    for (damage, said) in [
        ("DELETE FROM conductor_runs WHERE key = 1", "the run with row key 1: its row is missing"),
        ("DELETE FROM conductor_tasks WHERE key = 1", "the task with row key 1: its row is missing"),
    ] {
        let desk = Desk::new();
        desk.submit(TaskDraft::new("P").kind("A").input(json!({"fanout": 3})));
        let well = desk.submit(TaskDraft::new("A"));
        assert_eq!(desk.fan_out(), 3);
        desk.damage(damage).unwrap();
        // One place: the damaged ones take it in vain, and say so.
        let claimed = desk.try_to_claim(1);
        assert!(claimed.tasks.is_empty() && claimed.more && claimed.rejected == 1, "{claimed:?}");
        let claimed = desk.claim();
        assert_eq!(claimed.iter().map(|task| task.fence.task).collect::<Vec<_>>(), [well.id], "{damage}");
        for child in 3..=5 {
            assert_eq!(desk.raw(child), (FAILED, Some(said.into())), "{damage}");
        }
        assert_eq!(desk.try_to_claim(10).rejected, 0, "once");
        desk.settle();
    }
}

#[test]
fn what_is_held_of_a_run_or_parent_that_is_gone_is_settled_released_renewed_and_rescued_like_the_others() {
    for damage in [
        "DELETE FROM conductor_runs WHERE key = 1",
        "DELETE FROM conductor_tasks WHERE key = 1",
        "UPDATE conductor_tasks SET sealed = NULL WHERE key = 1",
        "UPDATE conductor_tasks SET open_children = 99999999999 WHERE key = 1",
        "UPDATE conductor_tasks SET failed_children = 4294967295 WHERE key = 1",
        "UPDATE conductor_tasks SET children = 4 WHERE key = 1",
        "UPDATE conductor_runs SET running = 9223372036854775807 WHERE key = 1",
        "UPDATE conductor_runs SET open_children = 4294967295 WHERE key = 1",
    ] {
        let desk = Desk::new();
        let parent = TaskDraft::new("P").kind("A").input(json!({"fanout": 3})).max_retries(0);
        desk.submit(parent);
        let well = desk.submit(TaskDraft::new("A"));
        assert_eq!(desk.fan_out(), 3);
        let fences: Vec<_> = desk.claim().iter().map(|task| task.fence).collect();
        assert_eq!(fences.len(), 4);
        desk.damage(damage).unwrap();
        let (now, jitter) = (desk.env.now(), desk.env.jitter());
        let renew = Renew { fences: fences.clone(), lease_ms: 1000, now };
        assert_eq!(desk.store.renew(&renew).unwrap(), [FenceOutcome::Applied; 4], "{damage}");
        let endings =
            [0, 3].map(|nth: usize| (fences[nth], AttemptResult::Succeeded { output: None })).to_vec();
        let settled = desk.store.settle(&Settle { results: endings, claim: None, now, jitter }).unwrap();
        assert_eq!(settled.results, [FenceOutcome::Applied; 2], "{damage}");
        let release = Release { fences: vec![fences[1]], now };
        assert_eq!(desk.store.release(&release).unwrap(), [FenceOutcome::Applied], "{damage}");
        let states = [3, 4, 2].map(|key| desk.raw(key).0);
        assert_eq!(states, [SUCCEEDED, PENDING, SUCCEEDED], "{damage}");
        let rescue = Rescue { now: now.plus_millis(2000), limit: 10, jitter };
        assert_eq!(desk.store.rescue(&rescue).unwrap().changed, 1, "{damage}");
        assert_eq!(desk.raw(5), (FAILED, Some("lease expired".into())), "{damage}");
        desk.settle();
        assert_eq!(desk.store.run(well.run).unwrap().unwrap().state, State::Succeeded, "{damage}");
    }
}

#[test]
fn a_parent_whose_numbers_were_changed_fails_and_its_run_ends() {
    for damage in [
        "UPDATE conductor_tasks SET open_children = 99999999999 WHERE key = 1",
        "UPDATE conductor_tasks SET failed_children = 4294967295 WHERE key = 1",
        "UPDATE conductor_tasks SET children = 4 WHERE key = 1",
        "UPDATE conductor_tasks SET children = 99999999999, open_children = 0 WHERE key = 1",
        "UPDATE conductor_tasks SET sealed = NULL WHERE key = 1",
        // Fewer than there are: the next fan-out would create one twice.
        "UPDATE conductor_tasks SET children = 1 WHERE key = 1",
    ] {
        let desk = Desk::new();
        let hurt = desk.submit(TaskDraft::new("P").kind("A").input(json!({"fanout": 3})));
        assert_eq!(desk.fan_out(), 3);
        desk.damage(damage).unwrap();
        desk.settle();
        for task in desk.claim() {
            let (now, jitter) = (desk.env.now(), desk.env.jitter());
            let endings = vec![(task.fence, AttemptResult::Succeeded { output: None })];
            let _ = desk.store.settle(&Settle { results: endings, claim: None, now, jitter }).unwrap();
        }
        desk.settle();
        let (state, error) = desk.raw(1);
        assert_eq!(state, FAILED, "{damage}");
        assert!(error.unwrap().starts_with("its numbers were changed: "), "{damage}");
        assert_eq!(desk.store.run(hurt.run).unwrap().unwrap().state, State::Failed, "{damage}");
    }
}

#[test]
fn a_parent_of_a_run_that_is_gone_creates_no_children() {
    let desk = Desk::new();
    desk.submit(TaskDraft::new("hurt").input(json!({"fanout": 2})));
    let well = desk.submit(TaskDraft::new("well").input(json!({"fanout": 2})));
    desk.damage("DELETE FROM conductor_runs WHERE key = 1").unwrap();
    assert_eq!(desk.fan_out(), 2);
    assert_eq!(desk.task(&well).state, State::Running);
    assert_eq!(desk.raw(1), (FAILED, Some("its run cannot be read".into())));
}

#[test]
fn a_run_whose_numbers_were_changed_fails_and_is_found_once() {
    let desk = Desk::new();
    let hurt = desk.submit(TaskDraft::new("A"));
    let well = desk.submit(TaskDraft::new("A"));
    desk.store.report(&ReportBatch::new([Report::succeeded(hurt.id)], &desk.env)).unwrap();
    desk.damage("UPDATE conductor_runs SET children = 99999999999, fanout = 99999999999 WHERE key = 1")
        .unwrap();
    desk.store.report(&ReportBatch::new([Report::succeeded(well.id)], &desk.env)).unwrap();
    desk.settle();
    assert_eq!(desk.store.run(well.run).unwrap().unwrap().state, State::Succeeded);
    let why = desk.store.run(hurt.run).unwrap_err().to_string();
    assert!(why.contains("cannot be read"), "{why}");
    desk.damage("UPDATE conductor_runs SET children = 1, fanout = 1 WHERE key = 1").unwrap();
    assert_eq!(desk.store.run(hurt.run).unwrap().unwrap().state, State::Failed);
}

#[test]
fn a_retry_that_is_due_on_a_parent_is_none() {
    let desk = Desk::new();
    let hurt = desk.submit(TaskDraft::new("P").input(json!({"fanout": 1})));
    let well = desk.submit(TaskDraft::new("A"));
    assert_eq!(desk.fan_out(), 1);
    let _ = desk.store.report(&ReportBatch::new([Report::failed(well.id, "no")], &desk.env)).unwrap();
    desk.damage("UPDATE conductor_tasks SET state = 3, due_at = 1 WHERE key = 1").unwrap();
    let step = Step { scope: Scope::All, now: desk.env.now(), limit: 10 };
    let _ = desk.store.retry(&step).unwrap();
    assert_eq!(desk.task(&well).state, State::Pending);
    assert_eq!((desk.task(&hurt).state, desk.task(&hurt).due_at), (State::Failed, None));
    assert_eq!(desk.store.retry(&step).unwrap().changed, 0, "once");
}

#[test]
fn a_claimed_task_that_was_made_a_parent_stops_no_settlement() {
    let desk = Desk::new();
    desk.submit(TaskDraft::new("A"));
    desk.submit(TaskDraft::new("A"));
    let fences: Vec<_> = desk.claim().iter().map(|task| task.fence).collect();
    desk.damage("UPDATE conductor_tasks SET sealed = 1, fanout = 1, children = 0 WHERE key = 1").unwrap();
    let release = Release { fences, now: desk.env.now() };
    assert_eq!(desk.store.release(&release).unwrap(), [FenceOutcome::Stale, FenceOutcome::Applied]);
}

#[test]
fn an_attempt_or_a_number_of_retries_at_its_end_stops_no_claim_and_no_retry() {
    let desk = Desk::new();
    let hurt = desk.submit(TaskDraft::new("A"));
    let well = desk.submit(TaskDraft::new("A"));
    let failures = [hurt.id, well.id].map(|task| Report::failed(task, "no"));
    let _ = desk.store.report(&ReportBatch::new(failures, &desk.env)).unwrap();
    desk.damage("UPDATE conductor_tasks SET attempt = 2000000000, retry_count = 2000000000 WHERE key = 1")
        .unwrap();
    let step = Step { scope: Scope::All, now: desk.env.now(), limit: 10 };
    assert_eq!(desk.store.retry(&step).unwrap().changed, 2);
    let claimed = desk.claim();
    assert_eq!(claimed.iter().map(|task| task.fence.task).collect::<Vec<_>>(), [well.id]);
    let hurt = desk.task(&hurt);
    assert_eq!(hurt.last_error.unwrap().as_str(), "its attempt was changed, and cannot increase");
    desk.settle();
    assert_eq!(desk.store.run(hurt.run).unwrap().unwrap().state, State::Failed);
}

#[test]
fn a_task_whose_own_row_cannot_be_read_fails_where_it_is_found_and_its_neighbours_go_on() {
    for damage in ["id = x'00'", "attempt = -1", "retry_count = -1", "timeout_ms = -1"] {
        // The tables are told to take what they refuse.
        let damage = format!(
            "PRAGMA ignore_check_constraints = ON; UPDATE conductor_tasks SET {damage} WHERE key = 1"
        );
        for found_by in ["claim", "retry", "rescue"] {
            let desk = Desk::new();
            let (hurt, well) = (desk.submit(TaskDraft::new("A")), desk.submit(TaskDraft::new("A")));
            let (now, jitter) = (desk.env.now(), desk.env.jitter());
            let is_read = !damage.contains("timeout") || found_by == "claim";
            match found_by {
                "claim" => {
                    desk.damage(&damage).unwrap();
                    assert_eq!(desk.try_to_claim(10).rejected, 1, "{damage}");
                }
                "retry" => {
                    let failures = [hurt.id, well.id].map(|task| Report::failed(task, "no"));
                    let _ = desk.store.report(&ReportBatch::new(failures, &desk.env)).unwrap();
                    desk.damage(&damage).unwrap();
                    let _ = desk.store.retry(&Step { scope: Scope::All, now, limit: 10 }).unwrap();
                    assert_eq!(desk.task(&well).state, State::Pending, "{damage}");
                }
                _ => {
                    let fences: Vec<_> = desk.claim().iter().map(|task| task.fence).collect();
                    desk.damage(&damage).unwrap();
                    let renew = Renew { fences: fences.clone(), lease_ms: 1000, now };
                    assert_eq!(desk.store.renew(&renew).unwrap()[1], FenceOutcome::Applied, "{damage}");
                    let endings =
                        fences.into_iter().map(|fence| (fence, AttemptResult::Succeeded { output: None }));
                    let settle = Settle { results: endings.collect(), claim: None, now, jitter };
                    assert_eq!(
                        desk.store.settle(&settle).unwrap().results[1],
                        FenceOutcome::Applied,
                        "{damage}"
                    );
                    let rescue = Rescue { now: now.plus_millis(2000), limit: 10, jitter };
                    assert_eq!(desk.store.rescue(&rescue).unwrap().changed, u32::from(is_read), "{damage}");
                }
            }
            if is_read {
                let (state, error) = desk.raw(1);
                assert_eq!(state, FAILED, "{damage}, {found_by}");
                assert!(error.unwrap().starts_with("its row was changed: "), "{damage}, {found_by}");
            }
            desk.settle();
        }
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
        assert!(matches!(desk.store.task(parent.id), Err(StoreError::CorruptRow { .. })), "{nonsense}");
    }
    let children = desk.store.children(parent.id, 0, 2).unwrap().items;
    let reports = [Report::succeeded(children[0].id), Report::failed_permanently(children[1].id, "no")];
    desk.store.report(&ReportBatch::new(reports, &desk.env)).unwrap();
    let step = Step { scope: Scope::All, now: desk.env.now(), limit: 10 };
    while desk.store.aggregate(&step).unwrap().more {}
    assert_eq!(desk.store.run(parent.run).unwrap().unwrap().state, State::Failed);
}

#[test]
fn a_family_that_stands_otherwise_than_its_join_keeps_no_decision_from_the_others() {
    let reopened = [
        "UPDATE conductor_runs SET state = 1 WHERE key = 1",
        "UPDATE conductor_runs SET state = 0 WHERE key = 1",
        "UPDATE conductor_tasks SET state = 1 WHERE sealed IS NOT NULL AND run = 1",
        "UPDATE conductor_tasks SET state = 1 WHERE sealed IS NOT NULL AND run = 1;
         UPDATE conductor_tasks SET sealed = 1, fanout = 0, children = 0, open_children = 0, failed_children = 0,
             cancelled_children = 0, state = 3 WHERE ordinal = 0 AND run = 1",
        "UPDATE conductor_runs SET state = 1 WHERE key = 1;
         UPDATE conductor_tasks SET state = 4 WHERE ordinal = 0 AND run = 1 AND parent = 0",
    ];
    for damage in reopened {
        let desk = Desk::new();
        let draft = || RunDraft::new().task(TaskDraft::new("a").fan_out([1, 2]).join("j")).join("j");
        let submit = || desk.store.submit(&Submit::new(draft().validate().unwrap(), &desk.env)).unwrap().run;
        let hurt = submit();
        desk.finish();
        assert_eq!(desk.store.run(hurt).unwrap().unwrap().state, State::Succeeded);
        desk.damage(damage).unwrap();
        let well = submit();
        desk.finish();
        assert_eq!(desk.store.run(well).unwrap().unwrap().state, State::Succeeded, "{damage}");
        assert!(desk.store.run(hurt).unwrap().unwrap().state.is_terminal(), "{damage}");
        let step = Step { scope: Scope::All, now: desk.env.now(), limit: 10 };
        assert!(!desk.store.aggregate(&step).unwrap().more, "{damage}");
    }
}

#[test]
fn a_join_that_is_open_is_waited_for_whatever_its_family_says_and_keeps_nobody_from_being_settled() {
    for (damage, ends) in [
        ("UPDATE conductor_runs SET joining = 0 WHERE key = 1", State::Succeeded),
        ("UPDATE conductor_tasks SET joining = 0 WHERE sealed IS NOT NULL AND run = 1", State::Succeeded),
        ("UPDATE conductor_runs SET state = 3 WHERE key = 1", State::Failed),
        ("UPDATE conductor_tasks SET state = 2 WHERE sealed IS NOT NULL AND run = 1", State::Running),
    ] {
        for is_held in [false, true] {
            let desk = Desk::new();
            let task = TaskDraft::new("a").kind("A").fan_out([1]);
            let (task, run) = if damage.contains("tasks") {
                (task.join("A"), RunDraft::new())
            } else {
                (task, RunDraft::new().join("A"))
            };
            let hurt = run.task(task).validate().unwrap();
            let hurt = desk.store.submit(&Submit::new(hurt, &desk.env)).unwrap().run;
            assert_eq!(desk.fan_out(), 1);
            desk.succeed(&desk.claim());
            desk.settle();
            let well = desk.submit(TaskDraft::new("A"));
            let held = if is_held { desk.claim() } else { Vec::new() };
            desk.damage(damage).unwrap();
            let step = Step { scope: Scope::All, now: desk.env.now(), limit: 10 };
            for _ in 0..3 {
                let _ = desk.store.aggregate(&step).unwrap();
            }
            let held = if is_held { held } else { desk.claim() };
            assert_eq!(held.len(), 2, "the join and the neighbour: {damage}");
            desk.succeed(&held);
            desk.settle();
            assert_eq!(desk.task(&well).state, State::Succeeded, "{damage}");
            assert_eq!(desk.store.run(well.run).unwrap().unwrap().state, State::Succeeded, "{damage}");
            assert_eq!(desk.store.run(hurt).unwrap().unwrap().state, ends, "{damage}");
        }
    }
}

#[test]
fn what_cannot_be_read_keeps_no_sweep_and_no_deadline_from_the_others() {
    for damage in [
        "UPDATE conductor_runs SET children = 99999999999, fanout = 99999999999 WHERE key = 1",
        "UPDATE conductor_tasks SET children = 99999999999 WHERE key = 1",
        "PRAGMA ignore_check_constraints = ON; UPDATE conductor_tasks SET id = x'00' WHERE key = 3",
    ] {
        for by_deadline in [false, true] {
            let desk = Desk::new();
            let parent = || TaskDraft::new("P").kind("A").input(json!({"fanout": 2}));
            let submit = || {
                let draft = RunDraft::new().task(parent()).deadline_ms(1000).validate().unwrap();
                desk.store.submit(&Submit::new(draft, &desk.env)).unwrap().run
            };
            let runs = [submit(), submit()];
            assert_eq!(desk.fan_out(), 4);
            if !by_deadline {
                for run in runs {
                    let _ = desk.store.cancel(&Cancel::run(run, desk.env.now())).unwrap();
                }
            }
            desk.damage(damage).unwrap();
            let step = Step { scope: Scope::All, now: desk.env.now().plus_millis(1000), limit: 100 };
            let expired = desk.store.expire(&step).unwrap();
            assert!(!expired.more, "{damage}");
            let mut steps = 0;
            while desk.store.sweep(&step).unwrap().more {
                steps += 1;
                assert!(steps < 10, "it goes round in a circle: {damage}");
            }
            while desk.store.aggregate(&step).unwrap().more {}
            let other = desk.store.run(runs[1]).unwrap().unwrap();
            assert_eq!(other.state, State::Cancelled, "{damage}");
            assert_eq!(other.state_counts.cancelled, 3, "{damage}");
        }
    }
}
