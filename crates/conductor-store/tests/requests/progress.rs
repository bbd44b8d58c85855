//! The rows of progress: one for each running task that reports it. Rows of ended attempts are deleted later.

use crate::support::TestStore;
use conductor_model::{Jitter, Progress, RunDraft, TaskDraft};
use conductor_store::{
    AttemptResult, Claim, ClaimedTask, FenceOutcome, KindQuota, RecordProgress, RegisterEngine,
    RotationCursor, Settle, Store,
};

fn rows(test: &TestStore) -> u32 {
    test.connect().query_row("SELECT count(*) FROM conductor_progress", [], |row| row.get(0)).unwrap()
}

#[test]
fn progress_of_ended_attempts_is_deleted_later() {
    let test = TestStore::new();
    test.submit(&RunDraft::new().tasks((0..20).map(|_| TaskDraft::new("A"))));
    let registration = test.store.register_engine(&RegisterEngine::new(&test.env)).unwrap();
    let (engine, now) = (registration.key(), test.env.now());
    let claim = || {
        let kind = "A".parse().unwrap();
        let quotas = vec![KindQuota { kind, limit: 10, cursor: RotationCursor::default() }];
        let claim = Claim { engine, quotas, limit: 10, lease_ms: 1000, allow_isolated: true, now };
        test.store.claim(&claim).unwrap().tasks()
    };
    let report = |tasks: &[ClaimedTask]| {
        let items: Vec<_> = tasks.iter().map(|task| (task.fence, Progress::default())).collect();
        let answers = test.store.record_progress(&RecordProgress { items, now }).unwrap();
        assert!(answers.iter().all(|answer| *answer == FenceOutcome::Applied));
    };
    let first = claim();
    report(&first);
    assert_eq!(rows(&test), 10);
    let results =
        first[2..].iter().map(|task| (task.fence, AttemptResult::Succeeded { output: None })).collect();
    let _ = test
        .store
        .settle(&Settle { results, succeeded: vec![], claim: None, now, jitter: Jitter(0) })
        .unwrap();
    assert_eq!(rows(&test), 10, "settling deletes no progress");
    report(&claim()[..1]);
    assert_eq!(rows(&test), 3, "two tasks that still run, and the new one");
}
