//! What is kept of progress: a row for each task that reports it, and none of those that are over for long.

use super::claim_of;
use crate::sqlite::SqliteStore;
use crate::{
    AttemptResult, ClaimedTask, Environment, FenceOutcome, RecordProgress, RegisterEngine, Settle, Store,
    Submit,
};
use conductor_model::{Jitter, Progress, RunDraft, TaskDraft, Timestamp};

fn rows(store: &SqliteStore) -> u32 {
    let writer = store.lock_writer();
    let count = "SELECT count(*) FROM conductor_progress";
    writer.as_ref().unwrap().query_row(count, [], |row| row.get(0)).unwrap()
}

#[test]
fn progress_of_ended_attempts_is_deleted_later() {
    let store = SqliteStore::open_in_memory().unwrap();
    let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
    let run = RunDraft::new().tasks((0..20).map(|_| TaskDraft::new("A"))).validate().unwrap();
    store.submit(&Submit::new(run, &env)).unwrap();
    let registration = store.register_engine(&RegisterEngine::new(&env)).unwrap();
    let now = env.now();
    let claim = || store.claim(&claim_of(registration.key(), "A", 10, now)).unwrap().tasks;
    let report = |tasks: &[ClaimedTask]| {
        let items: Vec<_> = tasks.iter().map(|task| (task.fence, Progress::default())).collect();
        let answers = store.record_progress(&RecordProgress { items, now }).unwrap();
        assert!(answers.iter().all(|answer| *answer == FenceOutcome::Applied));
    };
    let first = claim();
    report(&first);
    assert_eq!(rows(&store), 10);
    let endings =
        first[2..].iter().map(|task| (task.fence, AttemptResult::Succeeded { output: None })).collect();
    let _ = store.settle(&Settle { results: endings, claim: None, now, jitter: Jitter(0) }).unwrap();
    assert_eq!(rows(&store), 10, "a settlement costs nothing for it");
    report(&claim()[..1]);
    assert_eq!(rows(&store), 3, "two that go on, and the new one");
}
