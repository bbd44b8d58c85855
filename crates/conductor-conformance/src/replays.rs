//! Replays all events, and compares the result with the rows.

use crate::fixture::AnyStore;
use crate::harness::{all_events, all_runs, all_tasks};
use conductor_model::{Replay, Run, State, StateCounts, Task};
use conductor_store::{Admin, Scope, Verify};

/// Computes all states and counts from the events alone, and checks that the rows agree.
///
/// Reads the whole store.
///
/// # Panics
/// If a row differs from the events, or if the events are not a legal history.
pub fn assert_replays(store: &dyn AnyStore) {
    let mut replay = Replay::new();
    let mut last = 0;
    for event in all_events(store) {
        assert!(event.seq > last, "event {} follows event {last}", event.seq);
        last = event.seq;
        replay.apply(&event).expect("events are a legal history");
    }
    let runs = all_runs(store);
    assert_eq!(runs.len(), replay.run_count(), "number of runs, in rows and events");
    let mut tasks = 0;
    let mut state_counts = StateCounts::default();
    for run in &runs {
        assert_run(run, &replay);
        for task in all_tasks(store, run.id) {
            assert_task(&task, &replay);
            if task.index > 0 {
                state_counts.apply(None, task.state);
            }
            tasks += 1;
        }
    }
    assert_eq!(tasks, replay.task_count(), "number of tasks, in rows and events");
    assert_eq!(
        store.state_counts(Scope::All).expect("query succeeds"),
        state_counts,
        "state counts of all runs"
    );
}

/// Checks that the store finds no divergence between its rows and its events ([`Admin::verify`]).
///
/// # Panics
/// If the store finds a divergence.
pub fn assert_verified(store: &(impl Admin + ?Sized)) {
    let mut after = 0;
    loop {
        let found = store.verify(&Verify { integrity: true, ..Verify::all().after(after) });
        let found = found.expect("verify succeeds");
        assert_eq!((found.divergences, found.found), (Vec::new(), 0), "the store has no divergences");
        let Some(next) = found.next else { return };
        after = next;
    }
}

fn assert_run(run: &Run, replay: &Replay) {
    let replayed = replay.run(run.id).expect("run is in the events");
    assert_eq!(
        (run.state, run.child_counts, run.state_counts, run.policy, run.cancel_cause),
        (
            replayed.state,
            replayed.status.counts,
            replayed.state_counts,
            replayed.status.policy,
            replayed.status.cancel_cause
        ),
        "run {}, in row and events",
        run.id
    );
}

fn assert_task(task: &Task, replay: &Replay) {
    let replayed = replay.task(task.id).expect("task is in the events");
    let attempt = if task.child_counts.is_some() { 0 } else { task.attempt };
    assert_eq!(
        (task.run, task.parent, task.index, task.state, task.status().retry_due),
        (replayed.run, replayed.parent, replayed.index, replayed.state, replayed.retry_due),
        "task {}, in row and events",
        task.name
    );
    let status = replayed.status.unwrap_or_default();
    assert_eq!(
        (task.policy, task.cancel_cause, task.join.is_some()),
        (status.policy, status.cancel_cause, status.join.has_join()),
        "task {}, in row and events",
        task.name
    );
    assert_eq!(
        (task.retry_count, attempt, task.child_counts),
        (replayed.retry_count, replayed.attempt, replayed.child_counts()),
        "task {}, in row and events",
        task.name
    );
    if task.due_at.is_some() {
        assert!(
            matches!(task.state, State::Pending | State::Failed),
            "{} has a due time in the state {}",
            task.name,
            task.state
        );
    }
}
