//! Cancel: leaves settle at once, parents and runs when nothing below them is open.

use crate::Harness;
use crate::harness::test_engine::success;
use conductor_model::{CancelCause, EventBody, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{CancelError, CancelOutcome, FenceOutcome, NodeId};
use serde_json::json;

pub(crate) fn tree() -> TaskDraft {
    TaskDraft::new("P").kind("A").input(json!({"fanout": [{"fanout": [{"fanout": 2}, "leaf"]}, "leaf"]}))
}

/// The deepest leaf of a run of [`tree`].
pub(crate) fn deepest(harness: &Harness<'_>, run: RunId) -> TaskId {
    let tasks = harness.tasks(run);
    tasks.iter().find(|task| task.name.as_str() == "P#1#1#2").expect("leaf exists").id
}

pub fn open_leaf_is_cancelled_at_once(harness: &Harness<'_>) {
    let due = harness.now().plus_millis(5000);
    let drafts = ["A", "B", "C"].map(TaskDraft::new).into_iter().chain([TaskDraft::new("D").due_at(due)]);
    let (run, roots) = harness.submit_tasks(drafts);
    harness.start(roots[1]);
    harness.fail(roots[2]);
    for leaf in &roots {
        let seen = harness.events().len();
        assert_eq!(harness.cancel_task(*leaf), CancelOutcome::Cancelled);
        let row = harness.task(*leaf);
        assert_eq!((row.state, row.due_at, row.cancel_cause), (State::Cancelled, None, None));
        assert_eq!(harness.event_names(seen), ["task.cancelled"]);
    }
    assert_eq!(harness.aggregate(), (0, 1));
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn settled_leaf_is_not_cancelled(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks(["A", "B", "C"].map(TaskDraft::new));
    for (leaf, state) in roots.iter().zip([State::Succeeded, State::Failed]) {
        harness.settle_leaf(*leaf, state);
        harness.assert_already_settled(NodeId::Task(*leaf), state);
    }
    harness.report_cancelled(roots[2]);
    harness.writes_nothing(|| assert_eq!(harness.cancel_task(roots[2]), CancelOutcome::Unchanged));
}

pub fn unknown_id_is_rejected(harness: &Harness<'_>) {
    harness.submit_leaf();
    for target in [NodeId::Task(TaskId::from_u128(1)), NodeId::Run(RunId::from_u128(1))] {
        let rejected = harness.writes_nothing(|| harness.try_cancel(target));
        assert!(matches!(rejected, Err(CancelError::NotFound(id)) if id == target), "{rejected:?}");
    }
}

pub fn cancelled_claim_is_stale_and_others_settle(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) = harness.submit_tasks([TaskDraft::new("A"), TaskDraft::new("A")]);
    let claimed = engine.claim("A", 2);
    assert_eq!(harness.cancel_task(roots[0]), CancelOutcome::Cancelled);
    assert_eq!(harness.task(roots[0]).lease_until, None);
    engine.assert_stale(claimed[0].fence);
    let results = claimed.iter().map(|task| (task.fence, success()));
    assert_eq!(engine.settle(results), [FenceOutcome::Stale, FenceOutcome::Applied]);
    assert_eq!(harness.states(&roots), [State::Cancelled, State::Succeeded]);
}

pub fn cancelled_leaf_does_not_affect_siblings(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(3);
    let _ = harness.cancel_task(children[1]);
    assert_eq!((harness.task(parent).cancel_cause, harness.run(run).cancel_cause), (None, None));
    harness.succeed(children[0]);
    harness.succeed(children[2]);
    harness.run_all_steps();
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Cancelled, State::Cancelled));
}

pub fn parent_is_cancelled_after_its_open_descendants(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(3);
    harness.succeed(children[1]);
    let seen = harness.events().len();
    assert_eq!(harness.cancel_task(parent), CancelOutcome::Requested);
    assert_eq!(harness.event_names(seen), ["task.cancel_requested"]);
    let row = harness.task(parent);
    assert_eq!((row.state, row.cancel_cause), (State::Running, Some(CancelCause::Requested)));
    assert_eq!(harness.run(run).cancel_cause, None);
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    assert_eq!(harness.sweep(), (2, 0));
    assert_eq!(harness.states(&children), [State::Cancelled, State::Succeeded, State::Cancelled]);
    assert_eq!(harness.aggregate(), (1, 1));
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Cancelled, State::Cancelled));
}

pub fn run_is_cancelled_after_its_open_tasks(harness: &Harness<'_>) {
    let (run, roots) = harness.submit_tasks([tree(), TaskDraft::new("A")]);
    harness.fan_out();
    assert_eq!(harness.cancel_run(run), CancelOutcome::Requested);
    assert_eq!(
        (harness.run(run).cancel_cause, harness.task(roots[0]).cancel_cause),
        (Some(CancelCause::Requested), None)
    );
    assert_eq!(harness.sweep(), (5, 3));
    assert_eq!(harness.task(roots[0]).cancel_cause, Some(CancelCause::Ancestor));
    assert_eq!(harness.aggregate(), (3, 1));
    assert_eq!(harness.run(run).state_counts.cancelled, 8);
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn nested_parents_are_cancelled_level_by_level(harness: &Harness<'_>) {
    let (run, root) = harness.submit_task(tree());
    harness.fan_out();
    let middle = harness.children(root)[0].id;
    let _ = harness.cancel_task(middle);
    let outside = harness.children(root)[1].id;
    harness.run_all_steps();
    assert_eq!((harness.state(middle), harness.state(root)), (State::Cancelled, State::Running));
    assert!(harness.children(middle).iter().all(|child| child.state == State::Cancelled));
    assert_eq!(harness.state(deepest(harness, run)), State::Cancelled);
    harness.succeed(outside);
    harness.run_all_steps();
    assert_eq!((harness.state(root), harness.run_state(run)), (State::Cancelled, State::Cancelled));
}

pub fn repeated_cancel_changes_nothing(harness: &Harness<'_>) {
    let (run, parent, _) = harness.family(2);
    for target in [NodeId::Task(parent), NodeId::Run(run)] {
        assert_eq!(harness.try_cancel(target).expect("cancel succeeds"), CancelOutcome::Requested);
        harness.writes_nothing(|| {
            assert_eq!(harness.try_cancel(target).expect("cancel succeeds"), CancelOutcome::Unchanged);
        });
    }
    harness.run_all_steps();
    for target in [NodeId::Task(parent), NodeId::Run(run)] {
        assert_eq!(harness.node_state(target), State::Cancelled);
        harness.writes_nothing(|| {
            assert_eq!(harness.try_cancel(target).expect("cancel succeeds"), CancelOutcome::Unchanged);
        });
    }
}

pub fn settled_parent_and_run_are_not_cancelled(harness: &Harness<'_>) {
    for state in [State::Succeeded, State::Failed] {
        let (run, parent, children) = harness.family(1);
        harness.settle_leaf(children[0], state);
        harness.aggregate();
        harness.assert_already_settled(NodeId::Task(parent), state);
        harness.assert_already_settled(NodeId::Run(run), state);
    }
}

pub fn decidable_parent_is_decided_instead(harness: &Harness<'_>) {
    for state in [State::Succeeded, State::Failed] {
        let (run, parent, children) = harness.family(2);
        harness.succeed(children[0]);
        harness.settle_leaf(children[1], state);
        for target in [NodeId::Task(parent), NodeId::Run(run)] {
            assert_eq!(
                harness.try_cancel(target).expect("cancel succeeds"),
                CancelOutcome::AlreadySettled(state)
            );
            assert_eq!(harness.node_state(target), state);
        }
        assert_eq!((harness.task(parent).cancel_cause, harness.run(run).cancel_cause), (None, None));
        assert!(harness.task(parent).output.is_some(), "a parent that is decided has an output");
    }
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
}

pub fn last_result_before_cancel_wins(harness: &Harness<'_>) {
    let (late, _, children) = harness.family(2);
    let (early, _, others) = harness.family(2);
    for child in &children {
        harness.succeed(*child);
    }
    harness.aggregate();
    harness.assert_already_settled(NodeId::Run(late), State::Succeeded);
    let _ = harness.cancel_run(early);
    for child in &others {
        harness.succeed(*child);
    }
    harness.run_all_steps();
    assert_eq!(harness.run_state(early), State::Cancelled, "later results do not undo a cancel");
}

pub fn delayed_parent_is_cancelled_at_once(harness: &Harness<'_>) {
    let due = harness.now().plus_millis(60_000);
    let (run, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 3})).due_at(due));
    let _ = harness.cancel_task(parent);
    let row = harness.task(parent);
    assert_eq!((row.state, row.due_at), (State::Cancelled, None));
    harness.advance_ms(60_000);
    harness.run_all_steps();
    assert_eq!((harness.tasks(run).len(), harness.run_state(run)), (1, State::Cancelled));
}

pub fn delayed_parent_is_cancelled_with_run(harness: &Harness<'_>) {
    let due = harness.now().plus_millis(60_000);
    let drafts =
        [TaskDraft::new("P").input(json!({"fanout": 3})).due_at(due), TaskDraft::new("A").due_at(due)];
    let (run, roots) = harness.submit_tasks(drafts);
    let _ = harness.cancel_run(run);
    harness.run_all_steps();
    assert_eq!(harness.states(&roots), [State::Cancelled; 2]);
    assert_eq!(
        (harness.run_state(run), harness.store().next_due().expect("query succeeds")),
        (State::Cancelled, None)
    );
}

pub fn open_fan_out_is_cancelled_with_its_children(harness: &Harness<'_>) {
    for items in [&[][..], &["1", "2"]] {
        let (run, parent) = harness.submit_open_parent();
        harness.append(parent, 1, items).expect("append succeeds");
        let _ = harness.cancel_task(parent);
        harness.run_all_steps();
        assert_eq!((harness.state(parent), harness.run_state(run)), (State::Cancelled, State::Cancelled));
        let rejected = harness.append(parent, 3, &["3"]);
        assert!(rejected.is_err(), "{rejected:?}");
        assert!(harness.seal(parent, u32::try_from(items.len()).expect("count fits")).is_err());
    }
}

pub fn empty_open_run_is_cancelled_at_once(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open());
    let _ = harness.cancel_run(run);
    assert_eq!(
        (harness.run_state(run), harness.run(run).cancel_cause),
        (State::Cancelled, Some(CancelCause::Requested))
    );
    assert!(harness.append_tasks(run, 1, [TaskDraft::new("A")]).is_err());
}

pub fn reason_is_stored_in_event(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(2);
    for target in [NodeId::Task(children[0]), NodeId::Task(parent), NodeId::Run(run)] {
        let text = target.to_string();
        let _ = harness.cancel_because(target, &text);
        let reason = match harness.events().pop().expect("event exists").body {
            EventBody::TaskCancelled { reason }
            | EventBody::TaskCancelRequested { cause: CancelCause::Requested, reason }
            | EventBody::RunCancelRequested { cause: CancelCause::Requested, reason } => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason.expect("reason is stored").as_str(), text);
    }
}
