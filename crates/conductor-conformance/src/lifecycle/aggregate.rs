//! Aggregate: what follows for parents and runs, and what they know meanwhile.

use crate::World;
use conductor_model::{ChildCounts, RunDraft, State, StateCounts, TaskDraft, TaskId};
use conductor_store::Scope;
use serde_json::json;

/// Ends a leaf in that state.
fn end(world: &World<'_>, leaf: TaskId, state: State) {
    match state {
        State::Succeeded => world.succeed(leaf),
        State::Failed => world.fail_for_good(leaf),
        _ => world.cancel(leaf),
    }
}

/// Children that end so give the parent, and a run of such root tasks, this state.
#[track_caller]
fn assert_follows(world: &World<'_>, ends: &[State], expected: State) {
    let (run, parent, children) = world.family(u32::try_from(ends.len()).expect("few"));
    let (flat, roots) = world.run_of(ends.iter().map(|_| TaskDraft::new("A")));
    for (nth, state) in ends.iter().enumerate() {
        world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0), "one of {ends:?} is open"));
        end(world, children[nth], *state);
        end(world, roots[nth], *state);
    }
    assert_eq!(world.aggregate(), (1, 2));
    assert_eq!(world.state(parent), expected, "the parent of {ends:?}");
    assert_eq!(world.run_state(run), expected, "the run of a parent of {ends:?}");
    assert_eq!(world.run_state(flat), expected, "the run of {ends:?}");
}

pub fn parent_and_run_succeed_when_all_succeeded(world: &World<'_>) {
    assert_follows(world, &[State::Succeeded], State::Succeeded);
    assert_follows(world, &[State::Succeeded; 3], State::Succeeded);
}

pub fn parent_and_run_fail_when_any_failed(world: &World<'_>) {
    assert_follows(world, &[State::Failed, State::Succeeded, State::Succeeded], State::Failed);
    assert_follows(world, &[State::Succeeded, State::Failed], State::Failed);
}

pub fn cancelled_child_without_failure_cancels_parent_and_run(world: &World<'_>) {
    assert_follows(world, &[State::Cancelled, State::Succeeded], State::Cancelled);
    assert_follows(world, &[State::Succeeded, State::Cancelled], State::Cancelled);
    assert_follows(world, &[State::Cancelled; 2], State::Cancelled);
}

pub fn failure_outweighs_cancel(world: &World<'_>) {
    assert_follows(world, &[State::Cancelled, State::Failed, State::Succeeded], State::Failed);
    assert_follows(world, &[State::Failed, State::Cancelled], State::Failed);
}

pub fn nothing_is_decided_before_all_children_exist(world: &World<'_>) {
    let (_, parent) = world.one(TaskDraft::new("P").input(json!({"fanout": 3})));
    let _ = world.fan_out_step(Scope::All, 2);
    world.children(parent).iter().for_each(|child| world.fail_for_good(child.id));
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
    assert_eq!(world.state(parent), State::Running);
    world.fan_out();
    world.succeed(world.children(parent)[2].id);
    assert_eq!(world.aggregate(), (1, 1));
    assert_eq!(world.state(parent), State::Failed);
}

pub fn failure_with_retry_left_decides_nothing(world: &World<'_>) {
    let (run, parent, children) = world.family(2);
    world.succeed(children[0]);
    world.fail(children[1]);
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
    assert_eq!((world.numbers(parent).open, world.numbers(parent).failed), (1, 0));
    assert_eq!(world.retry(), 1);
    world.succeed(children[1]);
    assert_eq!(world.aggregate(), (1, 1));
    assert_eq!((world.state(parent), world.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn parent_never_awaits_retry(world: &World<'_>) {
    let (_, parent, children) = world.family(1);
    world.fail_for_good(children[0]);
    world.aggregate();
    let row = world.task(parent);
    assert_eq!((row.state, row.due_at, row.retry_count), (State::Failed, None, 0));
    assert_eq!(world.retry(), 0);
}

pub fn states_propagate_level_by_level(world: &World<'_>) {
    let tree = json!({"fanout": [{"fanout": 2}, {"fanout": [{"fanout": 1}]}]});
    let (run, root) = world.one(TaskDraft::new("P").input(tree));
    world.fan_out();
    let level = world.children(root);
    for leaf in world.tasks(run).into_iter().filter(|task| task.child_counts.is_none()) {
        end(world, leaf.id, if leaf.name.as_str() == "P#2#1#1" { State::Failed } else { State::Succeeded });
    }
    assert_eq!(world.aggregate(), (4, 1));
    assert_eq!((world.state(level[0].id), world.state(level[1].id)), (State::Succeeded, State::Failed));
    assert_eq!((world.state(root), world.run_state(run)), (State::Failed, State::Failed));
}

pub fn parent_output_counts_child_states(world: &World<'_>) {
    let (_, parent, children) = world.family(6);
    for child in &children[..3] {
        world.succeed(*child);
    }
    for child in &children[3..5] {
        world.fail_for_good(*child);
    }
    world.cancel(children[5]);
    world.aggregate();
    let output: serde_json::Value = world.task(parent).output.expect("an output").to().expect("JSON");
    assert_eq!(output, json!({"succeeded": 3, "failed": 2, "cancelled": 1}));
}

pub fn parent_counts_its_children(world: &World<'_>) {
    let (_, parent, children) = world.family(4);
    let numbers = |open, failed, cancelled| {
        assert_eq!(
            world.numbers(parent),
            ChildCounts { total: Some(4), created: 4, open, failed, cancelled }
        );
    };
    numbers(4, 0, 0);
    world.start(children[0]);
    numbers(4, 0, 0);
    world.succeed(children[0]);
    numbers(3, 0, 0);
    world.fail(children[1]);
    numbers(3, 0, 0);
    world.fail_for_good(children[2]);
    numbers(2, 1, 0);
    world.cancel(children[1]);
    numbers(1, 1, 1);
    world.cancel(children[3]);
    numbers(0, 1, 2);
}

pub fn run_counts_root_tasks_and_all_states(world: &World<'_>) {
    let (run, roots) = world.run_of([TaskDraft::new("P").input(json!({"fanout": 2})), TaskDraft::new("A")]);
    world.fan_out();
    let row = world.run(run);
    assert_eq!(
        row.child_counts,
        ChildCounts { total: Some(2), created: 2, open: 2, failed: 0, cancelled: 0 }
    );
    assert_eq!(row.state_counts, StateCounts { pending: 3, running: 1, ..StateCounts::default() });
    world.cancel(roots[1]);
    let children = world.children(roots[0]);
    world.succeed(children[0].id);
    world.fail(children[1].id);
    let row = world.run(run);
    assert_eq!((row.child_counts.open, row.child_counts.cancelled), (1, 1));
    assert_eq!(
        row.state_counts,
        StateCounts { pending: 0, running: 1, succeeded: 1, failed: 1, cancelled: 1 }
    );
    assert_eq!(world.store().state_counts(Scope::Run(run)).expect("a tally"), row.state_counts);
}

pub fn run_starts_with_its_first_task(world: &World<'_>) {
    let (run, roots) = world.run_of(["A", "B"].map(TaskDraft::new));
    world.cancel(roots[1]);
    assert_eq!(world.run_state(run), State::Pending);
    world.start(roots[0]);
    assert_eq!(world.run_state(run), State::Running);
    let seen = world.events().len();
    world.succeed(roots[0]);
    assert_eq!(world.event_names(seen), ["task.succeeded"], "it starts once");
}

pub fn run_whose_tasks_never_started_skips_running(world: &World<'_>) {
    let (run, task) = world.leaf();
    world.cancel(task);
    let seen = world.events().len();
    assert_eq!(world.aggregate(), (0, 1));
    assert_eq!(world.run_state(run), State::Cancelled);
    assert_eq!(world.event_names(seen), ["run.aggregated"]);
}

pub fn repeated_aggregate_changes_nothing(world: &World<'_>) {
    let (_, _, children) = world.family(2);
    for child in &children {
        world.succeed(*child);
    }
    world.aggregate();
    world.pass_ms(1000);
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
}

pub fn step_decides_at_most_its_limit(world: &World<'_>) {
    let (run, roots) = world.run_of((0..5).map(|_| TaskDraft::new("P").open()));
    for parent in &roots {
        world.seal(*parent, 0).expect("a seal");
    }
    let step = world.step_of(Scope::All, 2);
    let done = world.aggregate_step(&step);
    assert_eq!((done.parents, done.runs, done.more), (2, 0, true));
    let done = world.aggregate_step(&world.step_of(Scope::All, 0));
    assert_eq!((done.parents, done.more), (1, true), "a limit of 0 counts as 1");
    for _ in 0..2 {
        world.submit(&RunDraft::new());
    }
    let mut steps = Vec::new();
    while steps.last() != Some(&0) {
        let done = world.aggregate_step(&step);
        steps.push(done.parents + done.runs);
    }
    assert!(steps.iter().all(|decided| *decided <= 2), "parents and runs together: {steps:?}");
    assert_eq!(steps.iter().sum::<u32>(), 5, "two parents, and three runs");
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn scope_of_one_run_excludes_others(world: &World<'_>) {
    let (one, other) = (world.submit(&RunDraft::new()), world.submit(&RunDraft::new()));
    let (_, parent) = world.open_parent();
    world.seal(parent, 0).expect("a seal");
    let scope = world.step_of(Scope::Run(one), 100);
    assert_eq!(world.aggregate_step(&scope).runs, 1);
    let done = world.writes_nothing(|| world.aggregate_step(&scope));
    assert_eq!((done.parents, done.runs, done.more), (0, 0, false));
    assert_eq!((world.run_state(other), world.state(parent)), (State::Pending, State::Pending));
}

pub fn decided_parent_has_timestamp_of_decision(world: &World<'_>) {
    let (run, parent, children) = world.family(1);
    world.succeed(children[0]);
    world.pass_ms(2000);
    world.aggregate();
    assert_eq!((world.task(parent).updated_at, world.run(run).updated_at), (world.now(), world.now()));
}
