//! Repaired tasks and runs continue.

use crate::support::TestStore;
use conductor_model::{Jitter, RunDraft, State, TaskDraft, Timestamp};
use conductor_store::{
    Admin, Append, Cancel, DivergenceKind, Environment, FanOut, Prune, Query, Report, ReportBatch, Rescue,
    Revive, ReviveFilter, Scope, SqliteStore, Step, Store, Submit, TaskFilter,
};
use serde_json::json;

#[test]
fn deleted_input_is_restored_from_parent() {
    let test = TestStore::new();
    let nested = json!({"fanout": [{"fanout": ["x", "y"]}, {"fanout": 1}]});
    let tasks = [TaskDraft::new("P").input(nested), TaskDraft::new("Q").open(), TaskDraft::new("R")];
    let run = test.submit(&RunDraft::new().tasks(tasks));
    test.run_steps();
    let items = [1, 2].map(|n| n.to_string().parse().unwrap()).to_vec();
    test.store.append(&Append::items(test.id_of(run, "Q"), 1, items, &test.env)).unwrap();
    assert_eq!(test.divergence_kinds(), []);
    let before = test.rows();
    // The inputs of leaves beside each other share a row.
    let delete_input_of = |name: &str| {
        let key = test.row_key(test.id_of(run, name));
        format!(
            "INSERT INTO conductor_inputs SELECT {key} + 1, task + count - {key} - 1, \
             (SELECT json_group_array(json(inputs -> e.key)) FROM json_each(inputs) e WHERE e.key > {key} - task) \
             FROM conductor_inputs WHERE {key} BETWEEN task AND task + count - 2;
             UPDATE conductor_inputs SET count = {key} - task, inputs = \
             (SELECT json_group_array(json(inputs -> e.key)) FROM json_each(inputs) e WHERE e.key < {key} - task) \
             WHERE {key} BETWEEN task + 1 AND task + count - 1;
             DELETE FROM conductor_inputs WHERE task = {key}"
        )
    };
    for names in [&["P#1#2"][..], &["P#1", "P#2"], &["P#1", "P#1#1", "P#1#2", "P#2"]] {
        for name in names {
            test.change(&delete_input_of(name));
        }
        assert_eq!(test.divergence_kinds(), [DivergenceKind::Input], "{names:?}");
        let report = test.repair();
        assert_eq!((report.repaired.len(), report.unrepairable), (names.len(), vec![]), "{names:?}");
        assert_eq!(report.repaired[0].action, "restored its input from the items of its parent");
        test.assert_rows(&before, names);
        assert_eq!(test.divergence_kinds(), []);
    }
    // The input of an appended child is stored nowhere else.
    test.change(&delete_input_of("Q#2"));
    assert_eq!(test.divergence_kinds(), [DivergenceKind::Input]);
    assert_eq!(test.repair().unrepairable[0].reason, "its input was stored only in the missing row");
}

#[test]
fn recreated_running_task_is_rescued() {
    for (change, action) in [
        ("DELETE FROM conductor_ranges WHERE state = 1", "; its worker is unknown"),
        (
            "DELETE FROM conductor_ranges WHERE state = 1; DELETE FROM conductor_blocks WHERE parent > 0",
            "created again as RUNNING; its worker is unknown",
        ),
    ] {
        let test = TestStore::new();
        let run = test.submit(&RunDraft::new().task(TaskDraft::new("P").fan_out([1, 2]).kind("claimed")));
        test.run_steps();
        test.claim_one("claimed");
        test.change(change);
        let report = test.repair();
        assert!(report.repaired.iter().any(|repaired| repaired.action.contains(action)), "{report:?}");
        let rescue = Rescue { now: test.env.now(), limit: 10, jitter: Jitter(0) };
        assert_eq!(test.store.rescue(&rescue).unwrap().changed, 1);
        let task = test.task_named(run, "P#1");
        assert_eq!((task.state, task.attempt, task.input.unwrap().as_str()), (State::Failed, 1, "1"));
        assert_eq!(test.divergence_kinds(), []);
    }
}

#[test]
fn cancelled_and_revived_runs_are_repaired() {
    let test = TestStore::new();
    let run = test.submit(&RunDraft::new().task(TaskDraft::new("P").input(json!({"fanout": 30}))));
    let step = FanOut::new(Scope::All, 20, &test.env);
    assert_eq!(test.store.fan_out(&step).unwrap().children, 20);
    let now = test.env.now();
    assert!(test.store.cancel(&Cancel::run(run, now)).is_ok());
    assert!(test.store.sweep(&test.step(5)).unwrap().more);
    assert_eq!(test.divergence_kinds(), []);
    test.change(
        "UPDATE conductor_runs SET cancel_cause = NULL; \
         UPDATE conductor_parents SET cancel_cause = NULL, swept = NULL",
    );
    assert_eq!(test.divergence_kinds(), [DivergenceKind::CancelCause]);
    assert_eq!(test.repair().unrepairable, []);
    assert!(test.store.sweep(&test.step(5)).unwrap().more);
    test.change("UPDATE conductor_parents SET swept = 99, cancel_cause = 4 WHERE task = 1024");
    assert_eq!(
        test.divergence_kinds(),
        [DivergenceKind::CancelCause],
        "the stored position is behind unswept children"
    );
    assert!(test.repair().repaired[0].action.contains("swept again"));
    assert_eq!(test.divergence_kinds(), []);
    test.run_steps();
    assert_eq!(test.run(run).state, State::Cancelled, "the sweep continued");
    let revive = Revive::run(run, ReviveFilter::FailedAndCancelled, now);
    assert!(test.store.revive(&revive).unwrap().tasks > 0);
    test.run_steps();
    assert_eq!(test.divergence_kinds(), []);
    test.change(
        "UPDATE conductor_ranges SET state = 4 WHERE block IN (SELECT min(block) FROM conductor_ranges)",
    );
    assert_eq!(test.repair().repaired.len(), 20);
    assert_eq!(test.divergence_kinds(), []);
}

#[test]
fn remains_of_deleted_run_are_pruned() {
    let test = TestStore::new();
    test.submit_example();
    let other = test.submit(&RunDraft::new().task(TaskDraft::new("A")));
    test.change("DELETE FROM conductor_runs WHERE key = 1; DELETE FROM conductor_submissions");
    assert_eq!(test.divergence_kinds(), [DivergenceKind::Row]);
    assert_eq!(test.repair().repaired.len(), 1);
    assert_eq!(test.divergence_kinds(), []);
    while test.store.prune(&Prune::before(Timestamp::MIN)).unwrap().more {}
    assert_eq!(test.divergence_kinds(), []);
    assert!(test.texts("SELECT prefix FROM conductor_blocks WHERE run = 1").is_empty());
    assert!(test.store.run(other).unwrap().is_some());
}

/// Works on runs of 1 to 29 children, one after the other.
fn work(store: &SqliteStore, env: &Environment) {
    for children in 1..30 {
        let task = TaskDraft::new("P").input(json!({"fanout": children}));
        let draft = RunDraft::new().task(task).validate().unwrap();
        let run = store.submit(&Submit::new(draft, env)).unwrap().run;
        let scope = Scope::Run(run);
        while store.fan_out(&FanOut::new(scope, 7, env)).unwrap().more {}
        let tasks = store.tasks(run, TaskFilter::default(), None, 100).unwrap().items;
        let reports = tasks[1..].iter().map(|leaf| Report::succeeded(leaf.id));
        let _ = store.report(&ReportBatch::new(reports, env)).unwrap();
        while store.aggregate(&Step::new(scope, 10, env)).unwrap().more {}
    }
}

#[test]
fn run_is_repaired_beside_active_workers() {
    let test = TestStore::new();
    let run = test.submit_example();
    let before = test.rows();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| work(&SqliteStore::open(test.path()).unwrap(), &Environment::system()));
        let mut rounds = 0;
        while !worker.is_finished() || rounds == 0 {
            test.change(
                "UPDATE conductor_parents SET state = 0, open_children = 9 WHERE task = 3072;
                 DELETE FROM conductor_ended WHERE task = 6145; UPDATE conductor_runs SET failed = 3 WHERE key = 1",
            );
            assert_eq!(test.repair().repaired.len(), 5);
            assert_eq!(test.divergence_kinds(), []);
            rounds += 1;
        }
        worker.join().unwrap();
    });
    let is_of_example = |row: &String| before.contains(row);
    assert_eq!(test.rows().into_iter().filter(is_of_example).count(), before.len());
    test.finish(run);
}
