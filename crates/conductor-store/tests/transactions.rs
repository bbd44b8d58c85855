//! One intent, one transaction: counted in the log of the file, where each commit leaves its mark.
#![cfg(feature = "sqlite")]

use conductor_model::{AttemptFailure, IdBlock, Jitter, Progress, RunDraft, TaskDraft, Timestamp};
use conductor_store::{
    Append, AttemptResult, Claim, EngineKey, Environment, FanOut, Fence, FenceOutcome, KindQuota, NodeId,
    Query, RecordProgress, RegisterEngine, Release, Renew, Report, ReportBatch, Rescue, RotationCursor,
    Scope, Seal, Settle, SqliteStore, Step, Store, Submit, TaskFilter,
};
use serde_json::json;
use std::path::{Path, PathBuf};

/// How many transactions were committed to a log that was never begun anew.
///
/// The log has a header of 32 bytes, and frames of a header of 24 bytes and a page each. Bytes 4 to 8 of a frame's header
/// are 0, except in the last frame of a transaction.
fn commits(database: &Path) -> usize {
    let log = std::fs::read(database.with_extension("db-wal")).unwrap();
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let frame = 24 + number(8) as usize;
    (32..log.len()).step_by(frame).filter(|at| number(at + 4) != 0).count()
}

struct Desk {
    store: SqliteStore,
    env: Environment,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conductor.db");
        let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        Self { store: SqliteStore::open(&path).unwrap(), env, path, _folder: folder }
    }

    /// How many transactions something takes.
    fn transactions<T>(&self, act: impl FnOnce(&SqliteStore) -> T) -> (usize, T) {
        let before = commits(&self.path);
        let done = act(&self.store);
        (commits(&self.path) - before, done)
    }

    /// Does something that is one transaction.
    #[track_caller]
    fn once<T>(&self, act: impl FnOnce(&SqliteStore) -> T) -> T {
        let (transactions, done) = self.transactions(act);
        assert_eq!(transactions, 1);
        done
    }

    fn claim(&self, holder: EngineKey, limit: u32, lease_ms: u64) -> Claim {
        let wants =
            vec![KindQuota { kind: "work".parse().unwrap(), limit, cursor: RotationCursor::default() }];
        Claim { engine: holder, quotas: wants, limit, lease_ms, allow_isolated: true, now: self.env.now() }
    }

    fn settle(&self, endings: Vec<(Fence, AttemptResult)>, claim: Option<Claim>) -> Settle {
        Settle { results: endings, claim, now: self.env.now(), jitter: Jitter(0) }
    }
}

#[test]
fn each_intent_is_one_transaction() {
    let desk = Desk::new();
    let now = desk.env.now();
    let step = Step { scope: Scope::All, now, limit: 100 };
    // Something in two levels, something open, something delayed, something that is held from outside.
    let draft = RunDraft::new().tasks([
        TaskDraft::new("P").kind("work").input(json!({"fanout": [{"fanout": 2}, 1, 2, 3, 4]})),
        TaskDraft::new("O").kind("work").open(),
        TaskDraft::new("D").kind("other").due_at(now),
        TaskDraft::new("R").kind("other"),
    ]);
    let run =
        desk.once(|store| store.submit(&Submit::new(draft.validate().unwrap(), &desk.env))).unwrap().run;
    let roots = desk.store.tasks(run, TaskFilter::default(), None, 10).unwrap().items;
    let items = vec!["1".parse().unwrap(), "2".parse().unwrap()];
    desk.once(|store| store.append(&Append::items(roots[1].id, 1, items, &desk.env))).unwrap();
    desk.once(|store| store.seal(&Seal { parent: NodeId::Task(roots[1].id), children: 2, now })).unwrap();
    let fan_out = |ids: IdBlock| FanOut { scope: Scope::All, now, ids, cursor: RotationCursor::default() };
    for level in [5, 2] {
        let done = desk.once(|store| store.fan_out(&fan_out(desk.env.ids(100)))).unwrap();
        assert_eq!(done.children, level);
    }
    assert_eq!(desk.once(|store| store.promote(&step)).unwrap().changed, 1);
    let reports = [Report::failed(roots[3].id, "it broke"), Report::succeeded(roots[2].id)];
    desk.once(|store| store.report(&ReportBatch::new(reports, &desk.env))).unwrap();
    assert_eq!(desk.once(|store| store.retry(&step)).unwrap().changed, 1);
    // Eight leaves for an engine.
    let registration = desk.once(|store| store.register_engine(&RegisterEngine::new(&desk.env))).unwrap();
    let claimed = desk.once(|store| store.claim(&desk.claim(registration.key(), 4, 60_000))).unwrap().tasks;
    assert_eq!(claimed.len(), 4);
    let fences: Vec<Fence> = claimed.iter().map(|task| task.fence).collect();
    let renew = Renew { fences: fences.clone(), lease_ms: 60_000, now };
    assert_eq!(desk.once(|store| store.renew(&renew)).unwrap(), [FenceOutcome::Applied; 4]);
    let items = fences.iter().map(|fence| (*fence, Progress::default())).collect();
    let progressed = RecordProgress { items, now };
    assert_eq!(desk.once(|store| store.record_progress(&progressed)).unwrap(), [FenceOutcome::Applied; 4]);
    let release = Release { fences: fences[3..].to_vec(), now };
    assert_eq!(desk.once(|store| store.release(&release)).unwrap(), [FenceOutcome::Applied]);
    let endings = vec![
        (fences[0], AttemptResult::Succeeded { output: None }),
        (fences[1], AttemptResult::Succeeded { output: Some("1".parse().unwrap()) }),
        (fences[2], AttemptResult::Failed(AttemptFailure::fatal("it broke"))),
    ];
    // What ended, and what comes next, in one.
    let next = Some(desk.claim(registration.key(), 3, 60_000));
    let settled = desk.once(|store| store.settle(&desk.settle(endings, next))).unwrap();
    assert_eq!(settled.claimed.tasks.len(), 3);
    drop(registration);
    let rescued = desk.once(|store| store.rescue(&Rescue::new(100, &desk.env))).unwrap();
    assert_eq!(rescued.changed, 3);
    assert_eq!(desk.once(|store| store.retry(&step)).unwrap().changed, 3);
    let registration = desk.store.register_engine(&RegisterEngine::new(&desk.env)).unwrap();
    let last = desk.store.claim(&desk.claim(registration.key(), 100, 60_000)).unwrap().tasks;
    let succeeded = |fence| (fence, AttemptResult::Succeeded { output: None });
    let endings = last.iter().map(|task| succeeded(task.fence)).collect();
    let settled = desk.once(|store| store.settle(&desk.settle(endings, None))).unwrap();
    assert!(settled.results.iter().all(|answer| *answer == FenceOutcome::Applied));
    assert!(desk.once(|store| store.aggregate(&step)).unwrap().parents > 0);
    // Nothing to do is no transaction.
    while desk.store.aggregate(&step).unwrap().more {}
    let (idle, ()) = desk.transactions(|store| {
        assert_eq!(store.retry(&step).unwrap().changed + store.promote(&step).unwrap().changed, 0);
        assert_eq!(store.fan_out(&fan_out(desk.env.ids(9))).unwrap().children, 0);
        assert_eq!(store.aggregate(&step).unwrap().parents, 0);
    });
    assert_eq!(idle, 0);
}
