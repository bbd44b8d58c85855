//! Prune: old settled runs are removed with their tasks and events, and no others.

use crate::Harness;
use crate::harness::drain;
use conductor_model::{RunDraft, RunId, State, StateCounts, Task, TaskDraft, TaskId};
use conductor_store::{
    Cancel, CancelError, EventFilter, NodeId, Prune, PruneOutcome, Report, ReportOutcome, ReportRejection,
    Revive, ReviveError, ReviveFilter, Scope, StoreError, SubmitError, TaskFilter, Verify,
};
use serde_json::json;

/// Runs one transaction of a prune for all runs that are settled by now.
fn step(harness: &Harness<'_>, limit: u32) -> PruneOutcome {
    let settled_before = harness.now().plus_millis(1);
    harness.store().prune(&Prune { settled_before, limit }).expect("prune succeeds")
}

/// Prunes until no work is left, and returns how many runs, tasks and events were removed.
fn prune(harness: &Harness<'_>) -> (u32, u32, u32) {
    let add =
        |sum: (u32, u32, u32), one: PruneOutcome| (sum.0 + one.runs, sum.1 + one.tasks, sum.2 + one.events);
    drain(|| step(harness, 1000)).into_iter().fold((0, 0, 0), add)
}

/// Submits a run with one parent, whose children all succeed.
fn settled_family(harness: &Harness<'_>, children: u32) -> (RunId, TaskId, Vec<TaskId>) {
    let (run, parent, children) = harness.family(children);
    for child in &children {
        harness.succeed(*child);
    }
    harness.aggregate();
    assert_eq!(harness.run_state(run), State::Succeeded);
    (run, parent, children)
}

pub fn settled_run_is_removed_whole(harness: &Harness<'_>) {
    let (run, parent, children) = settled_family(harness, 3);
    let events = harness.events().len();
    assert_eq!(prune(harness), (1, 4, u32::try_from(events).expect("count fits")));
    let store = harness.store();
    assert_eq!(store.run(run).expect("query succeeds"), None);
    assert_eq!(store.task(parent).expect("query succeeds"), None);
    assert_eq!(store.task(children[0]).expect("query succeeds"), None);
    assert_eq!(store.tasks(run, TaskFilter::default(), None, 10).expect("query succeeds").items, []);
    assert_eq!(store.state_counts(Scope::All).expect("a counts"), StateCounts::default());
    assert_eq!(harness.events(), []);
    assert!(
        matches!(store.verify(&Verify::run(run)), Err(StoreError::RunNotFound(unknown)) if unknown == run)
    );
}

pub fn unsettled_runs_are_kept(harness: &Harness<'_>) {
    let (pending, _) = harness.submit_leaf();
    let (running, leaf) = harness.submit_leaf();
    harness.start(leaf);
    let (waiting, leaf) = harness.submit_leaf();
    harness.fail(leaf);
    let (to_decide, leaf) = harness.submit_leaf();
    harness.succeed(leaf);
    let open = harness.submit(&RunDraft::new().open());
    let before = harness.rows();
    assert_eq!(prune(harness), (0, 0, 0));
    assert_eq!(harness.rows(), before);
    for run in [pending, running, waiting, to_decide, open] {
        harness.run(run);
    }
}

pub fn runs_settled_after_cutoff_are_kept(harness: &Harness<'_>) {
    let (old, ..) = settled_family(harness, 1);
    harness.advance_ms(1000);
    let then = harness.now();
    let (new, ..) = settled_family(harness, 1);
    let outcomes = drain(|| harness.store().prune(&Prune::before(then)).expect("prune succeeds"));
    assert_eq!(outcomes.iter().map(|outcome| outcome.runs).sum::<u32>(), 1);
    assert_eq!(harness.store().run(old).expect("query succeeds"), None);
    harness.run(new);
}

pub fn failed_and_cancelled_runs_are_removed(harness: &Harness<'_>) {
    let (_, leaf) = harness.submit_leaf();
    harness.fail_permanently(leaf);
    let (_, leaf) = harness.submit_leaf();
    harness.report_cancelled(leaf);
    harness.submit(&RunDraft::new());
    harness.aggregate();
    assert_eq!(prune(harness).0, 3);
}

pub fn transaction_removes_at_most_its_limit(harness: &Harness<'_>) {
    settled_family(harness, 20);
    let events = u32::try_from(harness.events().len()).expect("count fits");
    let (mut tasks, mut removed) = (0, 0);
    loop {
        let done = step(harness, 7);
        assert!(done.tasks + done.events <= 7, "{done:?}");
        (tasks, removed) = (tasks + done.tasks, removed + done.events);
        if !done.more {
            break;
        }
        assert!(
            done != PruneOutcome { more: true, ..PruneOutcome::default() } || tasks + removed < 21 + events
        );
    }
    assert_eq!((tasks, removed), (21, events));
    assert_eq!(step(harness, 7), PruneOutcome::default(), "no work is left");
}

pub fn run_settled_first_is_removed_whole_before_others(harness: &Harness<'_>) {
    let (later, _, children) = harness.family(1);
    let (first, ..) = settled_family(harness, 20);
    harness.advance_ms(1000);
    harness.succeed(children[0]);
    harness.aggregate();
    let mut done = step(harness, 3);
    while done.runs == 0 {
        assert_eq!(harness.rows().run_ids(), [later]);
        assert!(done.tasks + done.events > 0, "{first} is not removed: {done:?}");
        done = step(harness, 3);
    }
    assert_eq!(harness.store().run(first).expect("query succeeds"), None);
    assert_eq!(prune(harness).0, 1);
}

pub fn half_removed_run_is_invisible(harness: &Harness<'_>) {
    let (run, parent, children) = settled_family(harness, 20);
    let (other, ..) = harness.family(1);
    assert!(step(harness, 3).more);
    let store = harness.store();
    assert_eq!(store.run(run).expect("query succeeds"), None);
    assert_eq!(harness.rows().run_ids(), [other]);
    for task in children.iter().chain([&parent]) {
        assert_eq!(store.task(*task).expect("query succeeds"), None);
    }
    assert_eq!(store.children(parent, 0, 10).expect("query succeeds").items, []);
    assert_eq!(store.state_counts(Scope::All).expect("a counts").total(), 2);
    let of_run = EventFilter { run: Some(run), ..EventFilter::default() };
    assert_eq!(store.events(of_run, 0, 10).expect("query succeeds").items, []);
    assert_eq!(
        store
            .health(Scope::All, harness.stuck_threshold())
            .expect("query succeeds")
            .counts
            .state_counts
            .total(),
        2
    );
    crate::assert_verified(store);
    assert_eq!(prune(harness).0, 1);
}

pub fn half_removed_run_cannot_be_revived(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(20);
    for child in &children {
        harness.fail_permanently(*child);
    }
    harness.aggregate();
    assert!(step(harness, 3).more);
    let (store, now) = (harness.store(), harness.now());
    let revive = Revive::run(run, ReviveFilter::Failed, now);
    assert!(matches!(store.revive(&revive), Err(ReviveError::NotFound(_))));
    // A store may begin at either end.
    for left in [children[0], children[19]] {
        let rejected = store.revive(&Revive::leaf(left, now)).expect_err("request is rejected");
        assert!(matches!(rejected, ReviveError::NotFound(_)), "{rejected}");
        let rejected = store.cancel(&Cancel::task(left, now)).expect_err("request is rejected");
        assert!(matches!(rejected, CancelError::NotFound(NodeId::Task(id)) if id == left), "{rejected}");
        assert_eq!(
            harness.report(Report::started(left)),
            ReportOutcome::Rejected(ReportRejection::NotFound(left))
        );
    }
    harness.run_all_steps();
    assert_eq!(prune(harness).0, 1);
}

pub fn idempotency_key_and_id_are_free_again(harness: &Harness<'_>) {
    let id = harness.env().ids(1).take_run().expect("id is left");
    let draft = |n: u32| RunDraft::new().idempotency_key("daily").id(id).meta(json!(n));
    let first = harness.submit(&draft(1));
    harness.aggregate();
    let conflict = harness.try_submit(&draft(2)).expect_err("submit is rejected");
    assert!(matches!(conflict, SubmitError::IdempotencyConflict { run } if run == first));
    prune(harness);
    assert_eq!(harness.submit(&draft(2)), first);
}

pub fn following_reader_continues_after_prune(harness: &Harness<'_>) {
    settled_family(harness, 2);
    let last = harness.events().last().expect("event exists").seq;
    prune(harness);
    let (run, _) = harness.submit_leaf();
    let page = harness.store().events(EventFilter::default(), last, 10).expect("query succeeds").items;
    assert!(!page.is_empty() && page.iter().all(|event| event.run == run && event.seq > last));
}

pub fn idle_prune_writes_nothing(harness: &Harness<'_>) {
    harness.submit_leaf();
    prune(harness);
    let change_token = harness.change_token();
    assert_eq!(step(harness, 1000), PruneOutcome::default());
    assert_eq!(harness.change_token(), change_token);
}

pub fn joins_and_wide_inputs_are_removed(harness: &Harness<'_>) {
    let wide = "x".repeat(100_000);
    let tasks = (0..3).map(|n| TaskDraft::new(format!("T{n}")).input(json!({ "wide": wide })));
    let draft =
        RunDraft::new().tasks(tasks).task(TaskDraft::new("P").fan_out([wide.as_str(), "b"]).join("J"));
    let run = harness.submit(&draft);
    harness.fan_out();
    loop {
        harness.aggregate();
        let open = |task: &Task| task.child_counts.is_none() && task.state == State::Pending;
        let tasks = harness.tasks(run);
        let Some(task) = tasks.iter().find(|task| open(task)) else { break };
        harness.succeed(task.id);
    }
    assert_eq!(harness.run_state(run), State::Succeeded);
    assert_eq!(prune(harness).1, 7);
}
