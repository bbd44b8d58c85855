//! What ended long ago is removed, whole, and nothing else.

use crate::World;
use conductor_model::{RunDraft, RunId, State, StateCounts, TaskDraft, TaskId};
use conductor_store::{
    EventFilter, NodeId, Prune, PruneOutcome, Report, ReportOutcome, ReportRejection, Revive, ReviveError,
    Scope, StoreError, SubmitError, TaskFilter, Verify,
};
use serde_json::json;

/// One transaction, for everything that has ended by now.
fn step(world: &World<'_>, limit: u32) -> PruneOutcome {
    let settled_before = world.now().plus_millis(1);
    world.store().prune(&Prune { settled_before, limit }).expect("a prune")
}

/// Prunes until nothing is left to do: runs, tasks and events.
fn prune(world: &World<'_>) -> (u32, u32, u32) {
    let mut all = (0, 0, 0);
    loop {
        let done = step(world, 1000);
        all = (all.0 + done.runs, all.1 + done.tasks, all.2 + done.events);
        if !done.more {
            return all;
        }
    }
}

/// A run of one parent with so many children, all of which succeeded.
fn settled_family(world: &World<'_>, children: u32) -> (RunId, TaskId, Vec<TaskId>) {
    let (run, parent, children) = world.family(children);
    for child in &children {
        world.succeed(*child);
    }
    world.aggregate();
    assert_eq!(world.run_state(run), State::Succeeded);
    (run, parent, children)
}

pub fn settled_run_is_removed_whole(world: &World<'_>) {
    let (run, parent, children) = settled_family(world, 3);
    let events = world.events().len();
    assert_eq!(prune(world), (1, 4, u32::try_from(events).expect("a few events")));
    let store = world.store();
    assert_eq!(store.run(run).expect("an answer"), None);
    assert_eq!(store.task(parent).expect("an answer"), None);
    assert_eq!(store.task(children[0]).expect("an answer"), None);
    assert_eq!(store.tasks(run, TaskFilter::default(), None, 10).expect("a page").items, []);
    assert_eq!(store.state_counts(Scope::All).expect("a tally"), StateCounts::default());
    assert_eq!(world.events(), []);
    assert!(
        matches!(store.verify(&Verify::run(run)), Err(StoreError::RunNotFound(unknown)) if unknown == run)
    );
}

pub fn unsettled_runs_are_kept(world: &World<'_>) {
    let (pending, _) = world.leaf();
    let (running, leaf) = world.leaf();
    world.start(leaf);
    let (waiting, leaf) = world.leaf();
    world.fail(leaf);
    let (to_decide, leaf) = world.leaf();
    world.succeed(leaf);
    let open = world.submit(&RunDraft::new().open());
    let before = world.rows();
    assert_eq!(prune(world), (0, 0, 0));
    assert_eq!(world.rows(), before);
    for run in [pending, running, waiting, to_decide, open] {
        world.run(run);
    }
}

pub fn runs_settled_after_cutoff_are_kept(world: &World<'_>) {
    let (old, ..) = settled_family(world, 1);
    world.pass_ms(1000);
    let then = world.now();
    let (new, ..) = settled_family(world, 1);
    let mut runs = 0;
    loop {
        let done = world.store().prune(&Prune::before(then)).expect("a prune");
        runs += done.runs;
        if !done.more {
            break;
        }
    }
    assert_eq!(runs, 1);
    assert_eq!(world.store().run(old).expect("an answer"), None);
    world.run(new);
}

pub fn failed_and_cancelled_runs_are_removed(world: &World<'_>) {
    let (_, leaf) = world.leaf();
    world.fail_for_good(leaf);
    let (_, leaf) = world.leaf();
    world.cancel(leaf);
    world.submit(&RunDraft::new());
    world.aggregate();
    assert_eq!(prune(world).0, 3);
}

pub fn transaction_removes_at_most_its_limit(world: &World<'_>) {
    settled_family(world, 20);
    let events = u32::try_from(world.events().len()).expect("a few events");
    let (mut tasks, mut gone) = (0, 0);
    loop {
        let done = step(world, 7);
        assert!(done.tasks + done.events <= 7, "{done:?}");
        (tasks, gone) = (tasks + done.tasks, gone + done.events);
        if !done.more {
            break;
        }
        assert!(done != PruneOutcome { more: true, ..PruneOutcome::default() } || tasks + gone < 21 + events);
    }
    assert_eq!((tasks, gone), (21, events));
    assert_eq!(step(world, 7), PruneOutcome::default(), "nothing is left to do");
}

pub fn half_removed_run_is_invisible(world: &World<'_>) {
    let (run, parent, children) = settled_family(world, 20);
    let (other, ..) = world.family(1);
    assert!(step(world, 3).more);
    let store = world.store();
    assert_eq!(store.run(run).expect("an answer"), None);
    assert_eq!(world.rows().runs_of(), [other]);
    for task in children.iter().chain([&parent]) {
        assert_eq!(store.task(*task).expect("an answer"), None);
    }
    assert_eq!(store.children(parent, 0, 10).expect("a page").items, []);
    assert_eq!(store.state_counts(Scope::All).expect("a tally").total(), 2);
    let of_run = EventFilter { run: Some(run), ..EventFilter::default() };
    assert_eq!(store.events(of_run, 0, 10).expect("a page").items, []);
    assert_eq!(store.health(Scope::All, world.watch()).expect("a report").counts.state_counts.total(), 2);
    crate::assert_verified(store);
    assert_eq!(prune(world).0, 1);
}

pub fn half_removed_run_cannot_be_revived(world: &World<'_>) {
    let (run, _, children) = world.family(20);
    for child in &children {
        world.fail_for_good(*child);
    }
    world.aggregate();
    assert!(step(world, 3).more);
    let (store, now) = (world.store(), world.now());
    let left = children[19];
    for revive in [Revive::leaf(left, now), Revive::run(run, conductor_store::ReviveFilter::Failed, now)] {
        let refused = store.revive(&revive).expect_err("a refusal");
        assert!(matches!(refused, ReviveError::NotFound(_)), "{refused}");
    }
    let refused = store.cancel(&conductor_store::Cancel::task(left, now)).expect_err("a refusal");
    assert!(
        matches!(refused, conductor_store::CancelError::NotFound(NodeId::Task(id)) if id == left),
        "{refused}"
    );
    assert_eq!(world.report(Report::started(left)), ReportOutcome::Rejected(ReportRejection::NotFound(left)));
    world.settle();
    assert_eq!(prune(world).0, 1);
}

pub fn idempotency_key_and_id_are_free_again(world: &World<'_>) {
    let id = world.env().ids(1).take_run().expect("an id");
    let draft = |n: u32| RunDraft::new().idempotency_key("daily").id(id).meta(json!(n));
    let first = world.submit(&draft(1));
    world.aggregate();
    let conflict = world.try_submit(&draft(2)).expect_err("a conflict");
    assert!(matches!(conflict, SubmitError::IdempotencyConflict { run } if run == first));
    prune(world);
    assert_eq!(world.submit(&draft(2)), first);
}

pub fn following_reader_continues_after_prune(world: &World<'_>) {
    settled_family(world, 2);
    let last = world.events().last().expect("an event").seq;
    prune(world);
    let (run, _) = world.leaf();
    let page = world.store().events(EventFilter::default(), last, 10).expect("a page").items;
    assert!(!page.is_empty() && page.iter().all(|event| event.run == run && event.seq > last));
}

pub fn idle_prune_writes_nothing(world: &World<'_>) {
    world.leaf();
    prune(world);
    let change_token = world.store().change_token().expect("a pulse");
    assert_eq!(step(world, 1000), PruneOutcome::default());
    assert_eq!(world.store().change_token().expect("a pulse"), change_token);
}

pub fn joins_and_wide_inputs_are_removed(world: &World<'_>) {
    let wide = "x".repeat(100_000);
    let tasks = (0..3).map(|n| TaskDraft::new(format!("T{n}")).input(json!({ "wide": wide })));
    let draft =
        RunDraft::new().tasks(tasks).task(TaskDraft::new("P").fan_out([wide.as_str(), "b"]).join("J"));
    let run = world.submit(&draft);
    world.fan_out();
    loop {
        world.aggregate();
        let open = |task: &conductor_model::Task| task.child_counts.is_none() && task.state == State::Pending;
        let tasks = world.tasks(run);
        let Some(task) = tasks.iter().find(|task| open(task)) else { break };
        world.succeed(task.id);
    }
    assert_eq!(world.run_state(run), State::Succeeded);
    assert_eq!(prune(world).1, 7);
}
