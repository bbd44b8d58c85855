//! Expire: a run that is not decided at its deadline is cancelled.

use crate::World;
use conductor_model::{CancelCause, EventBody, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{NodeId, Scope};
use serde_json::json;

/// A run that may take so long, with one leaf.
fn limited(world: &World<'_>, ms: u64) -> (RunId, TaskId) {
    let run = world.submit(&RunDraft::new().deadline_ms(ms).task(TaskDraft::new("A")));
    (run, world.roots(run)[0].id)
}

pub fn deadline_counts_from_submission(world: &World<'_>) {
    world.pass_ms(250);
    let (run, _) = limited(world, 1000);
    assert_eq!(world.run(run).deadline, Some(world.now().plus_millis(1000)));
    let (other, _) = world.leaf();
    assert_eq!(world.run(other).deadline, None);
}

pub fn run_is_cancelled_exactly_at_deadline(world: &World<'_>) {
    let (run, leaf) = limited(world, 1000);
    world.pass_ms(999);
    world.writes_nothing(|| assert_eq!(world.expire(), 0));
    world.pass_ms(1);
    let seen = world.events().len();
    assert_eq!(world.expire(), 1);
    let told = world.events().pop().expect("an event");
    assert_eq!(world.event_names(seen), ["run.cancel_requested"]);
    assert_eq!(told.body, EventBody::RunCancelRequested { cause: CancelCause::Deadline, reason: None });
    assert_eq!(
        (world.run(run).cancel_cause, world.run_state(run)),
        (Some(CancelCause::Deadline), State::Pending)
    );
    world.settle();
    assert_eq!((world.run_state(run), world.state(leaf)), (State::Cancelled, State::Cancelled));
    world.writes_nothing(|| assert_eq!(world.expire(), 0));
}

pub fn passed_deadline_is_handled_once(world: &World<'_>) {
    let (run, _) = limited(world, 10);
    world.pass_ms(500);
    assert_eq!(world.expire(), 1);
    world.writes_nothing(|| assert_eq!(world.expire(), 0, "the mark of {run} is there already"));
}

pub fn next_due_is_earliest_deadline(world: &World<'_>) {
    let next = || world.store().next_due().expect("an answer");
    let (first, _) = limited(world, 1000);
    let (second, leaf) = limited(world, 2000);
    assert_eq!(next(), Some(world.run(first).deadline.expect("a deadline")));
    let _ = world.cancel_run(first);
    assert_eq!(next(), world.run(second).deadline, "what is marked waits for no deadline");
    world.succeed(leaf);
    world.aggregate();
    assert_eq!(next(), None, "nor does what has ended");
}

pub fn settled_run_is_not_expired(world: &World<'_>) {
    for state in [State::Succeeded, State::Failed, State::Cancelled] {
        let (run, leaf) = limited(world, 1000);
        world.end(leaf, state);
        world.aggregate();
        world.pass_ms(2000);
        world.writes_nothing(|| assert_eq!(world.expire(), 0));
        assert_eq!((world.run_state(run), world.run(run).cancel_cause), (state, None));
    }
}

pub fn decidable_run_at_deadline_is_in_time(world: &World<'_>) {
    let (run, leaf) = limited(world, 1000);
    world.succeed(leaf);
    world.pass_ms(1000);
    assert_eq!(world.expire(), 0);
    assert_eq!(world.store().next_due().expect("an answer"), None, "nobody looks at it again");
    world.aggregate();
    assert_eq!((world.run_state(run), world.run(run).cancel_cause), (State::Succeeded, None));
}

pub fn run_awaiting_later_retry_is_cancelled(world: &World<'_>) {
    let (run, leaf) = limited(world, 1000);
    world.fail(leaf);
    world.pass_ms(1000);
    assert_eq!(world.expire(), 1);
    world.sweep();
    world.aggregate();
    assert_eq!((world.run_state(run), world.state(leaf)), (State::Cancelled, State::Cancelled));
}

pub fn open_run_is_cancelled_at_deadline(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open().deadline_ms(10));
    world.pass_ms(10);
    assert_eq!(world.expire(), 1);
    assert!(world.append_tasks(run, 1, [TaskDraft::new("A")]).is_err());
    world.settle();
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn open_join_is_cancelled_with_its_run(world: &World<'_>) {
    let draft = || RunDraft::new().deadline_ms(1000).join("J").task(TaskDraft::new("A"));
    let (begun, awaited) = (world.submit(&draft()), world.submit(&draft()));
    for run in [begun, awaited] {
        world.succeed(world.roots(run)[0].id);
    }
    let _ = world.aggregate_step(&world.step_of(Scope::Run(begun), 10));
    let join = world.join_id(NodeId::Run(begun));
    world.start(join);
    world.pass_ms(1000);
    assert_eq!(world.expire(), 2);
    world.settle();
    assert_eq!((world.run_state(begun), world.state(join)), (State::Cancelled, State::Cancelled));
    assert_eq!(world.run_state(awaited), State::Cancelled);
    assert_eq!(world.join(NodeId::Run(awaited)), None, "it never began");
}

pub fn requested_cancel_keeps_its_cause(world: &World<'_>) {
    let (run, _) = limited(world, 1000);
    let _ = world.cancel_run(run);
    world.pass_ms(1000);
    world.writes_nothing(|| assert_eq!(world.expire(), 0));
    assert_eq!(world.run(run).cancel_cause, Some(CancelCause::Requested));
}

pub fn scope_of_one_run_excludes_others(world: &World<'_>) {
    let (run, _) = limited(world, 1000);
    let (later, _) = limited(world, 1001);
    let (endless, _, _) = world.family_of(TaskDraft::new("P").input(json!({"fanout": 2})));
    world.pass_ms(1000);
    let scope = |run| world.expire_step(&world.step_of(Scope::Run(run), 10));
    world.writes_nothing(|| assert_eq!((scope(later).changed, scope(endless).changed), (0, 0)));
    let done = scope(run);
    assert_eq!((done.changed, done.more), (1, false));
    assert_eq!((world.run(later).cancel_cause, world.run(endless).cancel_cause), (None, None));
}

pub fn step_expires_at_most_its_limit(world: &World<'_>) {
    let runs: Vec<RunId> = (0..5).map(|_| limited(world, 1000).0).collect();
    world.pass_ms(1000);
    let mut marked = Vec::new();
    loop {
        let done = world.expire_step(&world.step_of(Scope::All, 2));
        marked.push(done.changed);
        if !done.more {
            break;
        }
    }
    assert_eq!(marked, [2, 2, 1]);
    assert!(runs.iter().all(|run| world.run(*run).cancel_cause == Some(CancelCause::Deadline)));
}
