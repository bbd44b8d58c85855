//! Everything computed again from the events, and compared with the rows.

use crate::AnyStore;
use crate::harness::{all_events, all_runs, all_tasks};
use conductor_model::{Replay, Run, State, StateCounts, Task};
use conductor_store::{Admin, Scope, Verify};

/// Computes every state and number again from the events alone: the rows must say the same.
///
/// # Panics
/// When they do not, or when the events contradict themselves.
pub fn assert_replays(store: &dyn AnyStore) {
    let mut replay = Replay::new();
    let mut last = 0;
    for event in all_events(store) {
        assert!(event.seq > last, "event {} comes after event {last}", event.seq);
        last = event.seq;
        replay.apply(&event).expect("the events tell a possible history");
    }
    let runs = all_runs(store);
    assert_eq!(runs.len(), replay.run_count(), "as many runs as were created");
    let mut tasks = 0;
    let mut tally = StateCounts::default();
    for run in &runs {
        assert_run(run, &replay);
        for task in all_tasks(store, run.id) {
            assert_task(&task, &replay);
            if task.index > 0 {
                tally.apply(None, task.state);
            }
            tasks += 1;
        }
    }
    assert_eq!(tasks, replay.task_count(), "as many tasks as were created");
    assert_eq!(store.state_counts(Scope::All).expect("a tally"), tally, "the tally of all runs");
}

/// The store itself finds nothing that diverges from its events.
///
/// # Panics
/// When it does.
pub fn assert_verified(store: &(impl Admin + ?Sized)) {
    let mut after = 0;
    loop {
        let found = store.verify(&Verify { integrity: true, ..Verify::all().after(after) });
        let found = found.expect("a verification");
        assert_eq!((found.divergences, found.found), (Vec::new(), 0), "nothing diverges");
        let Some(next) = found.next else { return };
        after = next;
    }
}

fn assert_run(run: &Run, replay: &Replay) {
    let told = replay.run(run.id).expect("a run that the events tell of");
    assert_eq!(
        (run.state, run.child_counts, run.state_counts, run.policy, run.cancel_cause),
        (told.state, told.status.counts, told.state_counts, told.status.policy, told.status.cancel_cause),
        "run {}, its row and its events",
        run.id
    );
}

fn assert_task(task: &Task, replay: &Replay) {
    let told = replay.task(task.id).expect("a task that the events tell of");
    let attempt = if task.child_counts.is_some() { 0 } else { task.attempt };
    assert_eq!(
        (task.run, task.parent, task.index, task.state, task.status().retry_due),
        (told.run, told.parent, told.index, told.state, told.retry_due),
        "task {}, its row and its events",
        task.name
    );
    let standing = told.status.unwrap_or_default();
    assert_eq!(
        (task.policy, task.cancel_cause, task.join.is_some()),
        (standing.policy, standing.cancel_cause, standing.join.has_join()),
        "task {}, its row and its events",
        task.name
    );
    assert_eq!(
        (task.retry_count, attempt, task.child_counts),
        (told.retry_count, told.attempt, told.child_counts()),
        "task {}, its row and its events",
        task.name
    );
    if task.due_at.is_some() {
        assert!(
            matches!(task.state, State::Pending | State::Failed),
            "{} is due as {}",
            task.name,
            task.state
        );
    }
}
