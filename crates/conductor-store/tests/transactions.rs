//! One intent, one transaction: counted in the log of the file, where each commit leaves its mark.
#![cfg(feature = "sqlite")]

use conductor_model::{AttemptFailure, IdBlock, Jitter, Progress, RunDraft, TaskDraft, Timestamp};
use conductor_store::{
    Append, Claim, Ending, Enlist, FanOut, Fence, Fenced, Holder, ParentId, Progressed, Query, Release,
    Renew, Report, Reports, Rescue, Scope, Seal, Settle, Source, SqliteStore, Step, Store, Submit,
    TaskFilter, Turn, Want,
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
    source: Source,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conductor.db");
        let source = Source::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        Self { store: SqliteStore::open(&path).unwrap(), source, path, _folder: folder }
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

    fn claim(&self, holder: Holder, limit: u32, lease_ms: u64) -> Claim {
        let wants = vec![Want { kind: "work".parse().unwrap(), limit, turn: Turn::default() }];
        Claim { holder, wants, limit, lease_ms, alone: true, now: self.source.now() }
    }

    fn settle(&self, endings: Vec<(Fence, Ending)>, claim: Option<Claim>) -> Settle {
        Settle { endings, claim, now: self.source.now(), jitter: Jitter(0) }
    }
}

#[test]
fn each_intent_is_one_transaction() {
    let desk = Desk::new();
    let now = desk.source.now();
    let step = Step { scope: Scope::All, now, limit: 100 };
    // Something in two levels, something open, something delayed, something that is held from outside.
    let draft = RunDraft::new().tasks([
        TaskDraft::new("P").kind("work").input(json!({"fanout": [{"fanout": 2}, 1, 2, 3, 4]})),
        TaskDraft::new("O").kind("work").open(),
        TaskDraft::new("D").kind("other").due_at(now),
        TaskDraft::new("R").kind("other"),
    ]);
    let run =
        desk.once(|store| store.submit(&Submit::new(draft.check().unwrap(), &desk.source))).unwrap().run;
    let roots = desk.store.tasks(run, TaskFilter::default(), None, 10).unwrap().items;
    let items = vec!["1".parse().unwrap(), "2".parse().unwrap()];
    desk.once(|store| store.append(&Append::items(roots[1].id, 1, items, &desk.source))).unwrap();
    desk.once(|store| store.seal(&Seal { parent: ParentId::Task(roots[1].id), children: 2, now })).unwrap();
    let fan_out = |ids: IdBlock| FanOut { scope: Scope::All, now, ids, turn: Turn::default() };
    for level in [5, 2] {
        let done = desk.once(|store| store.fan_out(&fan_out(desk.source.ids(100)))).unwrap();
        assert_eq!(done.children, level);
    }
    assert_eq!(desk.once(|store| store.promote(&step)).unwrap().tasks, 1);
    let reports = [Report::failed(roots[3].id, "it broke"), Report::succeeded(roots[2].id)];
    desk.once(|store| store.report(&Reports::new(reports, &desk.source))).unwrap();
    assert_eq!(desk.once(|store| store.retry(&step)).unwrap().tasks, 1);
    // Eight leaves for an engine.
    let presence = desk.once(|store| store.enlist(&Enlist::new(&desk.source))).unwrap();
    let claimed = desk.once(|store| store.claim(&desk.claim(presence.holder(), 4, 60_000))).unwrap().tasks;
    assert_eq!(claimed.len(), 4);
    let fences: Vec<Fence> = claimed.iter().map(|task| task.fence).collect();
    let renew = Renew { fences: fences.clone(), lease_ms: 60_000, now };
    assert_eq!(desk.once(|store| store.renew(&renew)).unwrap(), [Fenced::Applied; 4]);
    let items = fences.iter().map(|fence| (*fence, Progress::default())).collect();
    let progressed = Progressed { items, now };
    assert_eq!(desk.once(|store| store.progress(&progressed)).unwrap(), [Fenced::Applied; 4]);
    let release = Release { fences: fences[3..].to_vec(), now };
    assert_eq!(desk.once(|store| store.release(&release)).unwrap(), [Fenced::Applied]);
    let endings = vec![
        (fences[0], Ending::Succeeded { output: None }),
        (fences[1], Ending::Succeeded { output: Some("1".parse().unwrap()) }),
        (fences[2], Ending::Failed(AttemptFailure::fatal("it broke"))),
    ];
    // What ended, and what comes next, in one.
    let next = Some(desk.claim(presence.holder(), 3, 60_000));
    let settled = desk.once(|store| store.settle(&desk.settle(endings, next))).unwrap();
    assert_eq!(settled.claimed.tasks.len(), 3);
    drop(presence);
    let rescued = desk.once(|store| store.rescue(&Rescue::new(100, &desk.source))).unwrap();
    assert_eq!(rescued.tasks, 3);
    assert_eq!(desk.once(|store| store.retry(&step)).unwrap().tasks, 3);
    let presence = desk.store.enlist(&Enlist::new(&desk.source)).unwrap();
    let last = desk.store.claim(&desk.claim(presence.holder(), 100, 60_000)).unwrap().tasks;
    let succeeded = |fence| (fence, Ending::Succeeded { output: None });
    let endings = last.iter().map(|task| succeeded(task.fence)).collect();
    let settled = desk.once(|store| store.settle(&desk.settle(endings, None))).unwrap();
    assert!(settled.endings.iter().all(|answer| *answer == Fenced::Applied));
    assert!(desk.once(|store| store.aggregate(&step)).unwrap().parents > 0);
    // Nothing to do is no transaction.
    while desk.store.aggregate(&step).unwrap().more {}
    let (idle, ()) = desk.transactions(|store| {
        assert_eq!(store.retry(&step).unwrap().tasks + store.promote(&step).unwrap().tasks, 0);
        assert_eq!(store.fan_out(&fan_out(desk.source.ids(9))).unwrap().children, 0);
        assert_eq!(store.aggregate(&step).unwrap().parents, 0);
    });
    assert_eq!(idle, 0);
}
