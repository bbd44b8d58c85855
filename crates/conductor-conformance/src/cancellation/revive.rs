//! Revive: a settled leaf runs again, and exactly its ancestors reopen.

use crate::Harness;
use crate::harness::json_of;
use crate::harness::test_engine::success;
use conductor_model::{CancelCause, ChildCounts, Policy, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{NodeId, Report, Revive, ReviveError, ReviveFilter, Scope};
use serde_json::json;

/// A settled tree of three levels: the leaf `P#1#1#1` has the given state, all others are SUCCEEDED.
///
/// Returns the run, its tasks, and that leaf.
fn settled_tree(harness: &Harness<'_>, state: State) -> (RunId, Vec<Task>, TaskId) {
    let tree = json!({"fanout": [{"fanout": [{"fanout": 2}, {"fanout": 1}]}, {"fanout": 1}]});
    let (run, _) = harness.submit_tasks([TaskDraft::new("P").input(tree), TaskDraft::new("Q")]);
    harness.fan_out();
    let is_chosen = |task: &Task| task.name.as_str() == "P#1#1#1";
    for leaf in harness.tasks(run).iter().filter(|task| task.child_counts.is_none()) {
        if is_chosen(leaf) {
            harness.settle_leaf(leaf.id, state);
        } else {
            harness.apply(Report::succeeded_with(leaf.id, json_of("1")));
        }
    }
    harness.aggregate();
    assert_eq!(harness.run_state(run), state);
    let tasks = harness.tasks(run);
    let leaf = tasks.iter().find(|task| is_chosen(task)).expect("leaf exists").id;
    (run, tasks, leaf)
}

pub fn only_ancestors_of_leaf_reopen(harness: &Harness<'_>) {
    for state in [State::Failed, State::Cancelled] {
        let (run, before, leaf) = settled_tree(harness, state);
        harness.advance_ms(1000);
        assert_eq!(harness.revive(leaf), 4, "three parents and the run");
        assert_eq!(harness.run_state(run), State::Running);
        for (old, new) in before.iter().zip(harness.tasks(run)) {
            match new.name.as_str() {
                "P" | "P#1" | "P#1#1" => assert_eq!((new.state, &new.output), (State::Running, &None)),
                "P#1#1#1" => assert_eq!(new.state, State::Pending),
                _ => assert_eq!(*old, new, "all other tasks keep their results"),
            }
        }
        harness.succeed(leaf);
        harness.run_all_steps();
        assert_eq!(harness.run_state(run), State::Succeeded);
        assert!(harness.tasks(run).iter().all(|task| task.state == State::Succeeded));
    }
}

pub fn revived_leaf_has_all_retries_and_keeps_attempts(harness: &Harness<'_>) {
    let (_, leaf) = harness.submit_task(TaskDraft::new("A").max_retries(1));
    harness.fail(leaf);
    harness.retry();
    harness.fail(leaf);
    let row = harness.task(leaf);
    assert_eq!((row.state, row.due_at, row.retry_count, row.attempt), (State::Failed, None, 1, 2));
    harness.aggregate();
    let _ = harness.revive(leaf);
    let row = harness.task(leaf);
    assert_eq!((row.state, row.due_at, row.retry_count, row.attempt), (State::Pending, None, 0, 2));
    harness.fail(leaf);
    assert_eq!((harness.retry(), harness.task(leaf).attempt), (1, 3));
}

pub fn revived_leaf_is_claimed_with_new_fence(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, leaf) = harness.submit_leaf();
    let first = engine.claim_one();
    let _ = harness.cancel_task(leaf);
    let _ = harness.revive(leaf);
    engine.assert_stale(first.fence);
    let second = engine.claim_one();
    assert_eq!((second.fence.task, second.fence.attempt), (leaf, 2));
    engine.assert_stale(first.fence);
    engine.settle_one(&second, success());
}

pub fn leaf_of_running_run_reopens_no_ancestor(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(3);
    harness.fail_permanently(children[0]);
    assert_eq!(harness.revive(children[0]), 0, "no ancestor is settled yet");
    assert_eq!(harness.child_counts(parent), ChildCounts { created: 3, open: 3, ..ChildCounts::sealed(3) });
    assert_eq!(harness.run_state(run), State::Running);
}

pub fn leaf_is_revived_before_parent_is_decided(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(2);
    harness.succeed(children[0]);
    harness.fail_permanently(children[1]);
    assert_eq!(harness.revive(children[1]), 0);
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    harness.fail_permanently(children[1]);
    assert_eq!(harness.aggregate_step(&harness.bounded_step(Scope::All, 1)).parents, 1);
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Failed, State::Running));
    assert_eq!(harness.revive(children[1]), 1, "the parent was settled, the run was not");
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    harness.succeed(children[1]);
    harness.aggregate();
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn only_final_failures_and_cancels_are_revived(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks(["A", "B", "C", "D"].map(TaskDraft::new));
    harness.start(roots[1]);
    harness.succeed(roots[2]);
    harness.fail(roots[3]);
    let states = [State::Pending, State::Running, State::Succeeded, State::Failed];
    for (leaf, expected) in roots.iter().zip(states) {
        let rejected = harness.revive_error(*leaf);
        assert!(
            matches!(rejected, ReviveError::NotRevivable { task, state } if (task, state) == (*leaf, expected)),
            "{rejected}"
        );
    }
}

pub fn parent_and_unknown_id_are_rejected(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family(1);
    harness.fail_permanently(children[0]);
    harness.aggregate();
    let rejected = harness.revive_error(parent);
    assert!(matches!(rejected, ReviveError::IsParent(id) if id == parent), "{rejected}");
    let unknown = TaskId::from_u128(1);
    let rejected = harness.revive_error(unknown);
    assert!(matches!(rejected, ReviveError::NotFound(NodeId::Task(id)) if id == unknown), "{rejected}");
    for below in [NodeId::Task(unknown), NodeId::Run(RunId::from_u128(1))] {
        let request =
            Revive::All { below, which: ReviveFilter::Failed, cursor: None, limit: 1, now: harness.now() };
        let rejected = harness.store().revive(&request);
        assert!(matches!(rejected, Err(ReviveError::NotFound(id)) if id == below), "{rejected:?}");
    }
}

pub fn tolerated_failure_is_final(harness: &Harness<'_>) {
    let (run, parent, children) = harness
        .family_of(TaskDraft::new("P").input(json!({"fanout": [{"fanout": 1}, 0]})).policy(Policy::Ignore));
    let leaf = harness.child_ids(children[0])[0];
    harness.fail_permanently(leaf);
    harness.succeed(children[1]);
    let _ = harness.aggregate_step(&harness.step());
    let _ = harness.aggregate_step(&harness.step());
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Succeeded, State::Running));
    let rejected = harness.revive_error(leaf);
    assert!(
        matches!(rejected, ReviveError::AncestorSucceeded(NodeId::Task(id)) if id == parent),
        "{rejected}"
    );
    assert!(rejected.to_string().contains(&parent.to_string()), "{rejected}");
    harness.aggregate();
    let rejected = harness.revive_error(leaf);
    assert!(matches!(rejected, ReviveError::AncestorSucceeded(NodeId::Run(id)) if id == run), "{rejected}");
    let all = harness.revive_all(NodeId::Run(run), ReviveFilter::Failed, 10);
    assert_eq!(
        (all.tasks, all.reopened, all.skipped),
        (0, 0, 1),
        "a bulk revival skips the leaf and counts it"
    );
}

pub fn revival_during_unfinished_sweep_is_rejected(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(3);
    harness.fail_permanently(children[0]);
    let _ = harness.cancel_task(parent);
    let rejected = harness.revive_error(children[0]);
    assert!(
        matches!(rejected, ReviveError::CancelInProgress(NodeId::Task(id)) if id == parent),
        "{rejected}"
    );
    let all = harness.writes_nothing(|| harness.revive_all(NodeId::Run(run), ReviveFilter::Failed, 10));
    assert_eq!((all.tasks, all.skipped), (0, 1));
    for below in [NodeId::Run(run), NodeId::Task(parent)] {
        let all = harness.writes_nothing(|| harness.revive_all(below, ReviveFilter::FailedAndCancelled, 10));
        let is_counted = below == NodeId::Task(parent);
        assert_eq!((all.tasks, all.skipped), (0, 1 + u32::from(is_counted)), "skipped tasks are counted");
    }
    let _ = harness.sweep_step(&harness.bounded_step(Scope::All, 2));
    assert!(matches!(harness.revive_error(children[0]), ReviveError::CancelInProgress(_)));
    harness.sweep();
    assert!(
        matches!(harness.revive_error(children[1]), ReviveError::CancelInProgress(_)),
        "the parent is not decided yet"
    );
    harness.aggregate();
    assert_eq!(harness.revive(children[1]), 2);
}

pub fn revival_clears_cancel_causes(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(2);
    harness.succeed(children[0]);
    let _ = harness.cancel_run(run);
    harness.run_all_steps();
    assert_eq!(
        (harness.task(parent).cancel_cause, harness.run(run).cancel_cause),
        (Some(CancelCause::Ancestor), Some(CancelCause::Requested))
    );
    let _ = harness.revive(children[1]);
    assert_eq!((harness.task(parent).cancel_cause, harness.run(run).cancel_cause), (None, None));
    harness.start(children[1]);
    harness.succeed(children[1]);
    harness.run_all_steps();
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn revived_leaf_can_be_cancelled_again(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(3);
    for _ in 0..3 {
        let _ = harness.cancel_run(run);
        harness.run_all_steps();
        assert_eq!(harness.states(&children), [State::Cancelled; 3]);
        for child in &children {
            let _ = harness.revive(*child);
        }
        assert_eq!((harness.state(parent), harness.run_state(run)), (State::Running, State::Running));
    }
    for child in &children {
        harness.succeed(*child);
    }
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn passed_deadline_is_cleared(harness: &Harness<'_>) {
    let draft = |ms| RunDraft::new().deadline_ms(ms).task(TaskDraft::new("A"));
    let (short, long) = (harness.submit(&draft(1000)), harness.submit(&draft(5000)));
    let (over, failed) = (harness.roots(short)[0].id, harness.roots(long)[0].id);
    harness.fail_permanently(failed);
    harness.advance_ms(1000);
    assert_eq!(harness.expire(), 1);
    harness.run_all_steps();
    let (_, _) = (harness.revive(over), harness.revive(failed));
    assert_eq!((harness.run(short).deadline, harness.run(short).cancel_cause), (None, None));
    let kept = harness.run(long).deadline.expect("future deadline is kept");
    assert_eq!(harness.expire(), 0);
    assert_eq!(harness.store().next_due().expect("query succeeds"), Some(kept));
    harness.succeed(over);
    harness.advance_ms(4000);
    assert_eq!(harness.expire(), 1);
    harness.run_all_steps();
    assert_eq!((harness.run_state(short), harness.run_state(long)), (State::Succeeded, State::Cancelled));
}

pub fn revived_leaf_survives_older_sibling_failure(harness: &Harness<'_>) {
    for bulk in [false, true] {
        let draft = TaskDraft::new("P").input(json!({"fanout": 4})).policy(Policy::FailFast);
        let (run, parent, children) = harness.family_of(draft);
        // Both children fail before the sweep.
        harness.fail_permanently(children[0]);
        harness.fail_permanently(children[1]);
        harness.run_all_steps();
        assert_eq!((harness.state(parent), harness.child_counts(parent).cancelled), (State::Failed, 2));
        if bulk {
            let revived = harness.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 1);
            assert_eq!((revived.tasks, revived.skipped), (4, 0));
        } else {
            let _ = harness.revive(children[0]);
        }
        assert_eq!((harness.task(parent).cancel_cause, harness.state(parent)), (None, State::Running));
        harness.writes_nothing(|| assert_eq!((harness.sweep(), harness.aggregate()), ((0, 0), (0, 0))));
        harness.succeed(children[0]);
        if bulk {
            harness.fail_permanently(children[1]);
            harness.aggregate();
            assert_eq!(
                harness.task(parent).cancel_cause,
                Some(CancelCause::FailFast),
                "a new failure fails fast again"
            );
        }
        harness.run_all_steps();
        assert_eq!((harness.state(parent), harness.run_state(run)), (State::Failed, State::Failed));
    }
}

pub fn revived_leaf_survives_failure_before_end_of_parent(harness: &Harness<'_>) {
    let draft = TaskDraft::new("P").input(json!({"fanout": 2})).policy(Policy::FailFast);
    let (_, parent, children) = harness.family_of(draft);
    harness.fail_permanently(children[0]);
    harness.fail_permanently(children[1]);
    // A store that counts later decides the parent now, before any aggregate. Others have cancelled it by its policy.
    let _ = harness.cancel_task(parent);
    if harness.state(parent) == State::Running {
        harness.aggregate();
    }
    assert_eq!(harness.state(parent), State::Failed);
    let _ = harness.revive(children[1]);
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    assert_eq!((harness.task(parent).cancel_cause, harness.state(parent)), (None, State::Running));
}

pub fn revival_writes_events(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(1);
    harness.fail_permanently(children[0]);
    harness.aggregate();
    let seen = harness.events().len();
    let _ = harness.revive(children[0]);
    assert_eq!(harness.event_names(seen), ["run.reopened", "task.reopened", "task.revived"]);
    let nodes: Vec<_> = harness.events()[seen..].iter().map(|event| (event.run, event.task)).collect();
    assert_eq!(nodes, [(run, None), (run, Some(parent)), (run, Some(children[0]))]);
}
