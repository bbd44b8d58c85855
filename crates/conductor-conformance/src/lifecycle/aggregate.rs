//! Aggregate: the states and counts of parents and runs follow from those of their children.

use crate::Harness;
use crate::harness::test_engine::success;
use conductor_model::{ChildCounts, RunDraft, State, StateCounts, TaskDraft};
use conductor_store::{FenceOutcome, Scope};
use serde_json::json;

/// Checks the state of a parent whose children settle in the given states, and of a run with such root tasks.
#[track_caller]
fn assert_follows(harness: &Harness<'_>, states: &[State], expected: State) {
    let (run, parent, children) = harness.family(u32::try_from(states.len()).expect("count fits"));
    let (run_of_leaves, roots) = harness.submit_tasks(states.iter().map(|_| TaskDraft::new("A")));
    for (index, state) in states.iter().enumerate() {
        harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0), "one of {states:?} is open"));
        harness.settle_leaf(children[index], *state);
        harness.settle_leaf(roots[index], *state);
    }
    assert_eq!(harness.aggregate(), (1, 2));
    assert_eq!(harness.state(parent), expected, "the parent of {states:?}");
    assert_eq!(harness.run_state(run), expected, "the run of a parent of {states:?}");
    assert_eq!(harness.run_state(run_of_leaves), expected, "the run of {states:?}");
}

pub fn parent_and_run_succeed_when_all_succeeded(harness: &Harness<'_>) {
    assert_follows(harness, &[State::Succeeded], State::Succeeded);
    assert_follows(harness, &[State::Succeeded; 3], State::Succeeded);
}

pub fn parent_and_run_fail_when_any_failed(harness: &Harness<'_>) {
    assert_follows(harness, &[State::Failed, State::Succeeded, State::Succeeded], State::Failed);
    assert_follows(harness, &[State::Succeeded, State::Failed], State::Failed);
}

pub fn cancelled_child_without_failure_cancels_parent_and_run(harness: &Harness<'_>) {
    assert_follows(harness, &[State::Cancelled, State::Succeeded], State::Cancelled);
    assert_follows(harness, &[State::Succeeded, State::Cancelled], State::Cancelled);
    assert_follows(harness, &[State::Cancelled; 2], State::Cancelled);
}

pub fn failure_outweighs_cancel(harness: &Harness<'_>) {
    assert_follows(harness, &[State::Cancelled, State::Failed, State::Succeeded], State::Failed);
    assert_follows(harness, &[State::Failed, State::Cancelled], State::Failed);
}

pub fn nothing_is_decided_before_all_children_exist(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 3})));
    let _ = harness.fan_out_step(Scope::All, 2);
    harness.children(parent).iter().for_each(|child| harness.fail_permanently(child.id));
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    assert_eq!(harness.state(parent), State::Running);
    harness.fan_out();
    harness.succeed(harness.children(parent)[2].id);
    assert_eq!(harness.aggregate(), (1, 1));
    assert_eq!(harness.state(parent), State::Failed);
}

pub fn failure_with_retry_left_decides_nothing(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(2);
    harness.succeed(children[0]);
    harness.fail(children[1]);
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    assert_eq!((harness.child_counts(parent).open, harness.child_counts(parent).failed), (1, 0));
    assert_eq!(harness.retry(), 1);
    harness.succeed(children[1]);
    assert_eq!(harness.aggregate(), (1, 1));
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn parent_never_awaits_retry(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family(1);
    harness.fail_permanently(children[0]);
    harness.aggregate();
    let row = harness.task(parent);
    assert_eq!((row.state, row.due_at, row.retry_count), (State::Failed, None, 0));
    assert_eq!(harness.retry(), 0);
}

pub fn states_propagate_level_by_level(harness: &Harness<'_>) {
    let tree = json!({"fanout": [{"fanout": 2}, {"fanout": [{"fanout": 1}]}]});
    let (run, root) = harness.submit_task(TaskDraft::new("P").input(tree));
    harness.fan_out();
    let level = harness.children(root);
    for leaf in harness.tasks(run).into_iter().filter(|task| task.child_counts.is_none()) {
        harness.settle_leaf(
            leaf.id,
            if leaf.name.as_str() == "P#2#1#1" { State::Failed } else { State::Succeeded },
        );
    }
    assert_eq!(harness.aggregate(), (4, 1));
    assert_eq!((harness.state(level[0].id), harness.state(level[1].id)), (State::Succeeded, State::Failed));
    assert_eq!((harness.state(root), harness.run_state(run)), (State::Failed, State::Failed));
}

pub fn parent_output_counts_child_states(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family(6);
    for child in &children[..3] {
        harness.succeed(*child);
    }
    for child in &children[3..5] {
        harness.fail_permanently(*child);
    }
    harness.report_cancelled(children[5]);
    harness.aggregate();
    let output: serde_json::Value =
        harness.task(parent).output.expect("output is stored").to().expect("output is JSON");
    assert_eq!(output, json!({"succeeded": 3, "failed": 2, "cancelled": 1}));
}

pub fn parent_counts_its_children(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family(4);
    let assert_counts = |open, failed, cancelled| {
        assert_eq!(
            harness.child_counts(parent),
            ChildCounts { total: Some(4), created: 4, open, failed, cancelled }
        );
    };
    assert_counts(4, 0, 0);
    harness.start(children[0]);
    assert_counts(4, 0, 0);
    harness.succeed(children[0]);
    assert_counts(3, 0, 0);
    harness.fail(children[1]);
    assert_counts(3, 0, 0);
    harness.fail_permanently(children[2]);
    assert_counts(2, 1, 0);
    harness.report_cancelled(children[1]);
    assert_counts(1, 1, 1);
    harness.report_cancelled(children[3]);
    assert_counts(0, 1, 2);
}

pub fn run_counts_root_tasks_and_all_states(harness: &Harness<'_>) {
    let (run, roots) =
        harness.submit_tasks([TaskDraft::new("P").input(json!({"fanout": 2})), TaskDraft::new("A")]);
    harness.fan_out();
    let row = harness.run(run);
    assert_eq!(
        row.child_counts,
        ChildCounts { total: Some(2), created: 2, open: 2, failed: 0, cancelled: 0 }
    );
    assert_eq!(row.state_counts, StateCounts { pending: 3, running: 1, ..StateCounts::default() });
    harness.report_cancelled(roots[1]);
    let children = harness.children(roots[0]);
    harness.succeed(children[0].id);
    harness.fail(children[1].id);
    let row = harness.run(run);
    assert_eq!((row.child_counts.open, row.child_counts.cancelled), (1, 1));
    assert_eq!(
        row.state_counts,
        StateCounts { pending: 0, running: 1, succeeded: 1, failed: 1, cancelled: 1 }
    );
    assert_eq!(harness.store().state_counts(Scope::Run(run)).expect("a counts"), row.state_counts);
}

pub fn run_starts_with_its_first_task(harness: &Harness<'_>) {
    let (run, roots) = harness.submit_tasks(["A", "B"].map(TaskDraft::new));
    harness.report_cancelled(roots[1]);
    assert_eq!(harness.run_state(run), State::Pending);
    harness.start(roots[0]);
    assert_eq!(harness.run_state(run), State::Running);
    let seen = harness.events().len();
    harness.succeed(roots[0]);
    assert_eq!(harness.event_names(seen), ["task.succeeded"], "a run starts once");
}

pub fn run_whose_tasks_never_started_skips_running(harness: &Harness<'_>) {
    let (run, task) = harness.submit_leaf();
    harness.report_cancelled(task);
    let seen = harness.events().len();
    assert_eq!(harness.aggregate(), (0, 1));
    assert_eq!(harness.run_state(run), State::Cancelled);
    assert_eq!(harness.event_names(seen), ["run.aggregated"]);
}

pub fn repeated_aggregate_changes_nothing(harness: &Harness<'_>) {
    let (_, _, children) = harness.family(2);
    for child in &children {
        harness.succeed(*child);
    }
    harness.aggregate();
    harness.advance_ms(1000);
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
}

pub fn step_decides_at_most_its_limit(harness: &Harness<'_>) {
    let (run, roots) = harness.submit_tasks((0..5).map(|_| TaskDraft::new("P").open()));
    for parent in &roots {
        harness.seal(*parent, 0).expect("seal succeeds");
    }
    let step = harness.bounded_step(Scope::All, 2);
    let done = harness.aggregate_step(&step);
    assert_eq!((done.parents, done.runs, done.more), (2, 0, true));
    let done = harness.aggregate_step(&harness.bounded_step(Scope::All, 0));
    assert_eq!((done.parents, done.more), (1, true), "a limit of 0 counts as 1");
    for _ in 0..2 {
        harness.submit(&RunDraft::new());
    }
    let mut steps = Vec::new();
    while steps.last() != Some(&0) {
        let done = harness.aggregate_step(&step);
        steps.push(done.parents + done.runs);
    }
    assert!(
        steps.iter().all(|decided| *decided <= 2),
        "the limit covers parents and runs together: {steps:?}"
    );
    assert_eq!(steps.iter().sum::<u32>(), 5, "two parents and three runs");
    assert_eq!(harness.run_state(run), State::Succeeded);
}

/// Creates three parents whose children settle in one settlement, and two that are sealed without children.
fn submit_decidable_parents(harness: &Harness<'_>) {
    let engine = harness.engine();
    let families = (0..3).map(|_| TaskDraft::new("P").kind("A").input(json!({"fanout": 2})));
    let (_, roots) = harness.submit_tasks(families.chain((0..2).map(|_| TaskDraft::new("P").open())));
    harness.fan_out();
    for parent in &roots[3..] {
        harness.seal(*parent, 0).expect("seal succeeds");
    }
    let results = engine.claim("A", 10).into_iter().map(|task| (task.fence, success()));
    assert_eq!(engine.settle(results), [FenceOutcome::Applied; 6]);
}

pub fn step_decides_as_many_as_its_limit(harness: &Harness<'_>) {
    submit_decidable_parents(harness);
    let done = harness.aggregate_step(&harness.bounded_step(Scope::All, 5));
    assert_eq!((done.parents, done.runs), (5, 0));
    assert_eq!(harness.aggregate(), (0, 1));
    submit_decidable_parents(harness);
    let done = harness.aggregate_step(&harness.bounded_step(Scope::All, 4));
    assert_eq!((done.parents, done.runs, done.more), (4, 0, true));
    assert_eq!(harness.aggregate(), (1, 1));
}

pub fn scope_of_one_run_excludes_others(harness: &Harness<'_>) {
    let (one, other) = (harness.submit(&RunDraft::new()), harness.submit(&RunDraft::new()));
    let (_, parent) = harness.submit_open_parent();
    harness.seal(parent, 0).expect("seal succeeds");
    let scope = harness.bounded_step(Scope::Run(one), 100);
    assert_eq!(harness.aggregate_step(&scope).runs, 1);
    let done = harness.writes_nothing(|| harness.aggregate_step(&scope));
    assert_eq!((done.parents, done.runs, done.more), (0, 0, false));
    assert_eq!((harness.run_state(other), harness.state(parent)), (State::Pending, State::Pending));
}

pub fn decided_parent_has_timestamp_of_decision(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(1);
    harness.succeed(children[0]);
    harness.advance_ms(2000);
    harness.aggregate();
    assert_eq!(
        (harness.task(parent).updated_at, harness.run(run).updated_at),
        (harness.now(), harness.now())
    );
}
