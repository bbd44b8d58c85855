//! One request is one transaction, which is counted in the write-ahead log.

use crate::support::TestStore;
use conductor_model::{AttemptFailure, IdBlock, Json, Progress, RunDraft, RunId, Task, TaskDraft};
use conductor_store::{
    Append, AttemptResult, Claim, ClaimedTask, EngineKey, FanOut, Fence, FenceOutcome, KindQuota, NodeId,
    RecordProgress, RegisterEngine, Release, Renew, Report, ReportBatch, Rescue, Scope, Seal, Settle,
    SqliteStore, Store, Submit,
};
use serde_json::json;
use std::path::Path;

/// Counts the transactions that were committed to a log that was never restarted.
///
/// The log has a header of 32 bytes, then frames. A frame has a header of 24 bytes, then a page. Bytes 4 to 8 of the
/// header are 0, except in the last frame of a transaction.
fn commits(database: &Path) -> usize {
    let log = std::fs::read(database.with_extension("db-wal")).unwrap();
    if log.is_empty() {
        return 0;
    }
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let frame = 24 + number(8) as usize;
    (32..log.len()).step_by(frame).filter(|at| number(at + 4) != 0).count()
}

impl TestStore {
    /// Counts the transactions of a request.
    fn transactions<T>(&self, request: impl FnOnce(&SqliteStore) -> T) -> (usize, T) {
        let before = commits(&self.path());
        let outcome = request(&self.store);
        (commits(&self.path()) - before, outcome)
    }

    /// Asserts that a request is one transaction.
    #[track_caller]
    fn once<T>(&self, request: impl FnOnce(&SqliteStore) -> T) -> T {
        let (transactions, outcome) = self.transactions(request);
        assert_eq!(transactions, 1);
        outcome
    }

    fn claim(&self, engine: EngineKey, limit: u32) -> Claim {
        let quota = KindQuota::new("work".parse().unwrap(), limit);
        Claim::new(engine, vec![quota], 60_000, &self.env).allow_isolated(true)
    }

    fn fan_out(&self, ids: IdBlock) -> FanOut {
        FanOut { ids, ..FanOut::new(Scope::All, 0, &self.env) }
    }
}

#[test]
fn each_request_is_one_transaction() {
    let test = TestStore::new();
    let roots = create_tasks(&test);
    report_and_retry(&test, &roots);
    claim_and_settle(&test);
    let (idle, ()) = test.transactions(|store| {
        let step = test.step(100);
        assert_eq!(store.retry(&step).unwrap().changed + store.promote(&step).unwrap().changed, 0);
        assert_eq!(store.fan_out(&test.fan_out(test.env.ids(9))).unwrap().children, 0);
        assert_eq!(store.aggregate(&step).unwrap().parents, 0);
    });
    assert_eq!(idle, 0, "a step without work is no transaction");
}

/// Submits parents on two levels, an open parent, a delayed task and a leaf; returns the root tasks.
fn create_tasks(test: &TestStore) -> Vec<Task> {
    let draft = RunDraft::new().tasks([
        TaskDraft::new("P").kind("work").input(json!({"fanout": [{"fanout": 2}, 1, 2, 3, 4]})),
        TaskDraft::new("O").kind("work").open(),
        TaskDraft::new("D").kind("other").due_at(test.env.now()),
        TaskDraft::new("R").kind("other"),
    ]);
    let submit = Submit::new(draft.validate().unwrap(), &test.env);
    let run: RunId = test.once(|store| store.submit(&submit)).unwrap().run;
    let roots = test.tasks(run);
    let items: Vec<Json> = vec!["1".parse().unwrap(), "2".parse().unwrap()];
    test.once(|store| store.append(&Append::items(roots[1].id, 1, items, &test.env))).unwrap();
    let seal = Seal { parent: NodeId::Task(roots[1].id), children: 2, now: test.env.now() };
    test.once(|store| store.seal(&seal)).unwrap();
    for level in [5, 2] {
        let fan_out = test.fan_out(test.env.ids(100));
        assert_eq!(test.once(|store| store.fan_out(&fan_out)).unwrap().children, level);
    }
    assert_eq!(test.once(|store| store.promote(&test.step(100))).unwrap().changed, 1);
    roots
}

fn report_and_retry(test: &TestStore, roots: &[Task]) {
    let reports = [Report::failed(roots[3].id, "it broke"), Report::succeeded(roots[2].id)];
    test.once(|store| store.report(&ReportBatch::new(reports, &test.env))).unwrap();
    assert_eq!(test.once(|store| store.retry(&test.step(100))).unwrap().changed, 1);
}

/// Works on the eight leaves of the kind `work`.
fn claim_and_settle(test: &TestStore) {
    let now = test.env.now();
    let registration = test.once(|store| store.register_engine(&RegisterEngine::new(&test.env))).unwrap();
    let claimed = test.once(|store| store.claim(&test.claim(registration.key(), 4))).unwrap().tasks();
    let fences = fences(&claimed);
    assert_eq!(fences.len(), 4);
    // A renewal that changes nothing writes nothing.
    let renew = Renew { fences: fences.clone(), lease_ms: 70_000, now };
    assert_eq!(test.once(|store| store.renew(&renew)).unwrap(), [FenceOutcome::Applied; 4]);
    let items = fences.iter().map(|fence| (*fence, Progress::default())).collect();
    let progress = RecordProgress { items, now };
    assert_eq!(test.once(|store| store.record_progress(&progress)).unwrap(), [FenceOutcome::Applied; 4]);
    let release = Release { fences: fences[3..].to_vec(), now };
    assert_eq!(test.once(|store| store.release(&release)).unwrap(), [FenceOutcome::Applied]);
    let results = vec![
        (fences[0], AttemptResult::Succeeded { output: None }),
        (fences[1], AttemptResult::Succeeded { output: Some("1".parse().unwrap()) }),
        (fences[2], AttemptResult::Failed(AttemptFailure::fatal("it broke"))),
    ];
    // The settlement and the next claim are one transaction.
    let settle = Settle::new(results, &test.env).and_claim(test.claim(registration.key(), 3));
    assert_eq!(test.once(|store| store.settle(&settle)).unwrap().claimed.tasks().len(), 3);
    drop(registration);
    assert_eq!(test.once(|store| store.rescue(&Rescue::new(100, &test.env))).unwrap().changed, 3);
    assert_eq!(test.once(|store| store.retry(&test.step(100))).unwrap().changed, 3);
    let registration = test.store.register_engine(&RegisterEngine::new(&test.env)).unwrap();
    let last = test.store.claim(&test.claim(registration.key(), 100)).unwrap().tasks();
    let succeeded = |fence| (fence, AttemptResult::Succeeded { output: None });
    let settle = Settle::new(self::fences(&last).into_iter().map(succeeded).collect(), &test.env);
    let settled = test.once(|store| store.settle(&settle)).unwrap();
    assert!(settled.results.iter().all(|answer| *answer == FenceOutcome::Applied));
    assert!(test.once(|store| store.aggregate(&test.step(100))).unwrap().parents > 0);
    while test.store.aggregate(&test.step(100)).unwrap().more {}
}

fn fences(tasks: &[ClaimedTask]) -> Vec<Fence> {
    tasks.iter().map(|task| task.fence).collect()
}
