//! Cancel: a mark, and nothing begins below it.

use crate::World;
use crate::claims::rescue::lonely;
use crate::harness::test_engine::{success, want};
use conductor_model::{CancelCause, DEFAULT_LEASE_MS, EventBody, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{
    AppendError, Cancel, CancelError, CancelOutcome, Claim, FenceOutcome, NodeId, Report, ReportOutcome,
    ReportRejection, Scope, SealError,
};
use serde_json::json;

fn tree() -> TaskDraft {
    TaskDraft::new("P").kind("A").input(json!({"fanout": [{"fanout": [{"fanout": 2}, "leaf"]}, "leaf"]}))
}

/// A leaf in a tree three deep, the deepest one.
fn deepest(world: &World<'_>, run: RunId) -> TaskId {
    let tasks = world.tasks(run);
    tasks.iter().find(|task| task.name.as_str() == "P#1#1#2").expect("a leaf").id
}

pub fn open_leaf_is_cancelled_at_once(world: &World<'_>) {
    let due = world.now().plus_millis(5000);
    let drafts = ["A", "B", "C"].map(TaskDraft::new).into_iter().chain([TaskDraft::new("D").due_at(due)]);
    let (run, roots) = world.run_of(drafts);
    world.start(roots[1]);
    world.fail(roots[2]);
    for leaf in &roots {
        let seen = world.events().len();
        assert_eq!(world.cancel_task(*leaf), CancelOutcome::Cancelled);
        let row = world.task(*leaf);
        assert_eq!((row.state, row.due_at, row.cancel_cause), (State::Cancelled, None, None));
        assert_eq!(world.event_names(seen), ["task.cancelled"]);
    }
    assert_eq!(world.aggregate(), (0, 1));
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn settled_leaf_is_not_cancelled(world: &World<'_>) {
    let (_, roots) = world.run_of(["A", "B", "C"].map(TaskDraft::new));
    for (leaf, state) in roots.iter().zip([State::Succeeded, State::Failed]) {
        world.end(*leaf, state);
        world.assert_ended(NodeId::Task(*leaf), state);
    }
    world.cancel(roots[2]);
    world.writes_nothing(|| assert_eq!(world.cancel_task(roots[2]), CancelOutcome::Unchanged));
}

pub fn unknown_id_is_rejected(world: &World<'_>) {
    world.leaf();
    for target in [NodeId::Task(TaskId::from_u128(1)), NodeId::Run(RunId::from_u128(1))] {
        let refused = world.writes_nothing(|| world.try_cancel(target));
        assert!(matches!(refused, Err(CancelError::NotFound(id)) if id == target), "{refused:?}");
    }
}

pub fn cancelled_claim_is_stale_and_others_settle(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of([TaskDraft::new("A"), TaskDraft::new("A")]);
    let claimed = hands.claim("A", 2);
    assert_eq!(world.cancel_task(roots[0]), CancelOutcome::Cancelled);
    assert_eq!(world.task(roots[0]).lease_until, None);
    hands.assert_stale(claimed[0].fence);
    let endings = claimed.iter().map(|task| (task.fence, success()));
    assert_eq!(hands.settle(endings), [FenceOutcome::Stale, FenceOutcome::Applied]);
    assert_eq!(world.states(&roots), [State::Cancelled, State::Succeeded]);
}

pub fn cancelled_leaf_does_not_affect_siblings(world: &World<'_>) {
    let (run, parent, children) = world.family(3);
    let _ = world.cancel_task(children[1]);
    assert_eq!((world.task(parent).cancel_cause, world.run(run).cancel_cause), (None, None));
    world.succeed(children[0]);
    world.succeed(children[2]);
    world.settle();
    assert_eq!((world.state(parent), world.run_state(run)), (State::Cancelled, State::Cancelled));
}

pub fn parent_is_cancelled_after_its_open_descendants(world: &World<'_>) {
    let (run, parent, children) = world.family(3);
    world.succeed(children[1]);
    let seen = world.events().len();
    assert_eq!(world.cancel_task(parent), CancelOutcome::Requested);
    assert_eq!(world.event_names(seen), ["task.cancel_requested"]);
    let row = world.task(parent);
    assert_eq!((row.state, row.cancel_cause), (State::Running, Some(CancelCause::Requested)));
    assert_eq!(world.run(run).cancel_cause, None);
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
    assert_eq!(world.sweep(), (2, 0));
    assert_eq!(world.states(&children), [State::Cancelled, State::Succeeded, State::Cancelled]);
    assert_eq!(world.aggregate(), (1, 1));
    assert_eq!((world.state(parent), world.run_state(run)), (State::Cancelled, State::Cancelled));
}

pub fn run_is_cancelled_after_its_open_tasks(world: &World<'_>) {
    let (run, roots) = world.run_of([tree(), TaskDraft::new("A")]);
    world.fan_out();
    assert_eq!(world.cancel_run(run), CancelOutcome::Requested);
    assert_eq!(
        (world.run(run).cancel_cause, world.task(roots[0]).cancel_cause),
        (Some(CancelCause::Requested), None)
    );
    assert_eq!(world.sweep(), (5, 3));
    assert_eq!(world.task(roots[0]).cancel_cause, Some(CancelCause::Ancestor));
    assert_eq!(world.aggregate(), (3, 1));
    assert_eq!(world.run(run).state_counts.cancelled, 8);
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn nested_parents_are_cancelled_level_by_level(world: &World<'_>) {
    let (run, root) = world.one(tree());
    world.fan_out();
    let middle = world.children(root)[0].id;
    let _ = world.cancel_task(middle);
    let outside = world.children(root)[1].id;
    world.settle();
    assert_eq!((world.state(middle), world.state(root)), (State::Cancelled, State::Running));
    assert!(world.children(middle).iter().all(|child| child.state == State::Cancelled));
    assert_eq!(world.state(deepest(world, run)), State::Cancelled);
    world.succeed(outside);
    world.settle();
    assert_eq!((world.state(root), world.run_state(run)), (State::Cancelled, State::Cancelled));
}

pub fn nothing_is_created_below_cancelled_node(world: &World<'_>) {
    let draft = || TaskDraft::new("P").input(json!({"fanout": 5}));
    let (begun, alone) = world.one(draft());
    let (run, below) = world.one(draft());
    let _ = world.fan_out_step(Scope::Run(begun), 2);
    let _ = world.cancel_task(alone);
    let _ = world.cancel_run(run);
    assert_eq!(world.fan_out(), 0);
    assert_eq!((world.numbers(alone).created, world.numbers(below).created), (2, 0));
    world.settle();
    assert_eq!(world.states(&[alone, below]), [State::Cancelled; 2]);
    assert_eq!((world.numbers(alone).created, world.numbers(below).created), (2, 0));
    assert_eq!(world.numbers(alone).total, Some(5), "what it was to have stays");
}

pub fn nothing_is_created_three_levels_below_cancel(world: &World<'_>) {
    let (run, root) = world.one(tree());
    let _ = world.fan_out_step(Scope::All, 4);
    let before = world.tasks(run).len();
    let _ = world.cancel_task(root);
    assert_eq!(world.fan_out(), 0);
    world.settle();
    assert_eq!(world.tasks(run).len(), before);
    assert!(world.tasks(run).iter().all(|task| task.state == State::Cancelled));
}

pub fn claim_below_cancelled_node_cancels_tasks(world: &World<'_>) {
    let hands = world.hands();
    let (run, root) = world.one(tree());
    world.fan_out();
    let leaf = deepest(world, run);
    for target in [NodeId::Task(world.task(leaf).parent.expect("a parent")), NodeId::Task(root)] {
        let open = world.run(run).state_counts.pending;
        let _ = world.try_cancel(target).expect("a cancel");
        let doomed = if target == NodeId::Task(root) { open } else { 2 };
        let claimed = hands.claim("A", 10);
        assert_eq!(claimed.len() as u64, open - doomed, "{claimed:?}");
        let _ = hands.release(&crate::harness::test_engine::fences(&claimed));
    }
    let tasks = world.tasks(run);
    let mut leaves = tasks.iter().filter(|task| task.child_counts.is_none());
    assert!(leaves.all(|leaf| leaf.state == State::Cancelled), "{tasks:?}");
    world.settle();
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn claim_meeting_only_cancelled_tasks_reports_more(world: &World<'_>) {
    let hands = world.hands();
    let (doomed, _, _) = world.family_of(TaskDraft::new("P").kind("A").input(json!({"fanout": 10})));
    let (_, other) = world.leaf();
    let _ = world.cancel_run(doomed);
    let mut claimed = Vec::new();
    let mut claim = hands.request([want("A", 2)], 2);
    for _ in 0..20 {
        let done = hands.ask(&claim);
        claimed.extend(done.tasks);
        claim.quotas[0].cursor = done.cursors[0];
        if !done.more {
            break;
        }
    }
    assert_eq!(claimed.iter().map(|task| task.fence.task).collect::<Vec<_>>(), [other]);
}

pub fn claim_meeting_cancelled_isolated_task_reports_more(world: &World<'_>) {
    let hands = world.hands();
    let (doomed, other) = (lonely(world, &hands), lonely(world, &hands));
    let _ = world.cancel_run(world.task(doomed).run);
    let claim = Claim { allow_isolated: true, ..hands.request([want("A", 5)], 5) };
    let claimed = hands.ask(&claim);
    assert_eq!((claimed.tasks.len(), claimed.more, world.state(doomed)), (0, true, State::Cancelled));
    assert_eq!(hands.ask(&claim).tasks[0].fence.task, other);
}

pub fn starts_are_rejected_and_results_are_recorded(world: &World<'_>) {
    let (run, parent, children) = world.family(5);
    world.start(children[0]);
    let _ = world.cancel_run(run);
    let refused = world.writes_nothing(|| world.report(Report::started(children[1])));
    assert_eq!(refused, ReportOutcome::Rejected(ReportRejection::CancelInProgress(children[1])));
    assert_eq!(
        world.report(Report::started(children[0])),
        ReportOutcome::Unchanged,
        "a sign of life is none"
    );
    world.succeed(children[0]);
    world.succeed(children[1]);
    world.fail_for_good(children[2]);
    world.fail(children[3]);
    assert_eq!(world.sweep(), (2, 1));
    let ends = [State::Succeeded, State::Succeeded, State::Failed, State::Cancelled, State::Cancelled];
    assert_eq!(world.states(&children), ends);
    world.aggregate();
    assert_eq!((world.state(parent), world.run_state(run)), (State::Cancelled, State::Cancelled));
    let output: serde_json::Value = world.task(parent).output.expect("an output").to().expect("JSON");
    assert_eq!(output, json!({"succeeded": 2, "failed": 1, "cancelled": 2}));
}

pub fn claim_settled_before_sweep_counts(world: &World<'_>) {
    let hands = world.hands();
    let (run, _) = world.run_of([TaskDraft::new("A"), TaskDraft::new("A")]);
    let claimed = hands.claim("A", 2);
    let _ = world.cancel_run(run);
    hands.end(&claimed[0], success());
    assert_eq!(hands.renew(&[claimed[1].fence]), [FenceOutcome::Applied], "until it is swept");
    assert_eq!(world.sweep(), (1, 0));
    hands.assert_stale(claimed[1].fence);
    world.aggregate();
    assert_eq!((world.run_state(run), world.run(run).state_counts.succeeded), (State::Cancelled, 1));
}

pub fn nothing_is_appended_below_cancelled_node(world: &World<'_>) {
    let open = || world.submit(&RunDraft::new().open().task(TaskDraft::new("P").open()));
    for cancel_run in [false, true] {
        let run = open();
        let parent = world.roots(run)[0].id;
        world.append(parent, 1, &["1", "2"]).expect("an append");
        let target = if cancel_run { NodeId::Run(run) } else { NodeId::Task(parent) };
        let _ = world.try_cancel(target).expect("a cancel");
        world.writes_nothing(|| {
            let refused = world.append(parent, 2, &["2", "3"]);
            assert!(
                matches!(refused, Err(AppendError::CancelInProgress(NodeId::Task(id))) if id == parent),
                "{refused:?}"
            );
            let known = world.append(parent, 1, &["1", "2"]).expect("a repeated append");
            assert_eq!((known.created, known.next_index), (0, 3));
            if cancel_run {
                let refused = world.append_tasks(run, 2, [TaskDraft::new("B")]);
                assert!(
                    matches!(refused, Err(AppendError::CancelInProgress(id)) if id == target),
                    "{refused:?}"
                );
            }
        });
        if !cancel_run {
            assert_eq!(world.append_tasks(run, 2, [TaskDraft::new("B")]).expect("an append").created, 1);
        }
    }
}

pub fn nothing_is_sealed_below_cancelled_node(world: &World<'_>) {
    for cancel_run in [false, true] {
        let run = world.submit(&RunDraft::new().open().task(TaskDraft::new("P").open()));
        let parent = world.roots(run)[0].id;
        world.append(parent, 1, &["1"]).expect("an append");
        let target = if cancel_run { NodeId::Run(run) } else { NodeId::Task(parent) };
        let _ = world.try_cancel(target).expect("a cancel");
        world.writes_nothing(|| {
            let refused = world.seal(parent, 1);
            assert!(
                matches!(refused, Err(SealError::CancelInProgress(NodeId::Task(id))) if id == parent),
                "{refused:?}"
            );
            if cancel_run {
                let refused = world.seal_run(run, 1);
                assert!(
                    matches!(refused, Err(SealError::CancelInProgress(id)) if id == target),
                    "{refused:?}"
                );
            }
        });
        world.settle();
        assert_eq!((world.state(parent), world.numbers(parent).total), (State::Cancelled, None));
    }
}

pub fn repeated_cancel_changes_nothing(world: &World<'_>) {
    let (run, parent, _) = world.family(2);
    for target in [NodeId::Task(parent), NodeId::Run(run)] {
        assert_eq!(world.try_cancel(target).expect("a cancel"), CancelOutcome::Requested);
        world.writes_nothing(|| {
            assert_eq!(world.try_cancel(target).expect("a cancel"), CancelOutcome::Unchanged);
        });
    }
    world.settle();
    for target in [NodeId::Task(parent), NodeId::Run(run)] {
        assert_eq!(world.head_state(target), State::Cancelled);
        world.writes_nothing(|| {
            assert_eq!(world.try_cancel(target).expect("a cancel"), CancelOutcome::Unchanged);
        });
    }
}

pub fn settled_parent_and_run_are_not_cancelled(world: &World<'_>) {
    for state in [State::Succeeded, State::Failed] {
        let (run, parent, children) = world.family(1);
        world.end(children[0], state);
        world.aggregate();
        world.assert_ended(NodeId::Task(parent), state);
        world.assert_ended(NodeId::Run(run), state);
    }
}

pub fn decidable_parent_is_decided_instead(world: &World<'_>) {
    for state in [State::Succeeded, State::Failed] {
        let (run, parent, children) = world.family(2);
        world.succeed(children[0]);
        world.end(children[1], state);
        for target in [NodeId::Task(parent), NodeId::Run(run)] {
            assert_eq!(world.try_cancel(target).expect("a cancel"), CancelOutcome::AlreadySettled(state));
            assert_eq!(world.head_state(target), state);
        }
        assert_eq!((world.task(parent).cancel_cause, world.run(run).cancel_cause), (None, None));
        assert!(world.task(parent).output.is_some(), "as any parent has that is decided");
    }
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
}

pub fn last_result_before_cancel_wins(world: &World<'_>) {
    let (late, _, children) = world.family(2);
    let (early, _, others) = world.family(2);
    for child in &children {
        world.succeed(*child);
    }
    world.aggregate();
    world.assert_ended(NodeId::Run(late), State::Succeeded);
    let _ = world.cancel_run(early);
    for child in &others {
        world.succeed(*child);
    }
    world.settle();
    assert_eq!(world.run_state(early), State::Cancelled, "a mark holds, whatever comes in after it");
}

pub fn delayed_parent_is_cancelled_at_once(world: &World<'_>) {
    let due = world.now().plus_millis(60_000);
    let (run, parent) = world.one(TaskDraft::new("P").input(json!({"fanout": 3})).due_at(due));
    let _ = world.cancel_task(parent);
    let row = world.task(parent);
    assert_eq!((row.state, row.due_at), (State::Cancelled, None));
    world.pass_ms(60_000);
    world.settle();
    assert_eq!((world.tasks(run).len(), world.run_state(run)), (1, State::Cancelled));
}

pub fn delayed_parent_is_cancelled_with_run(world: &World<'_>) {
    let due = world.now().plus_millis(60_000);
    let drafts =
        [TaskDraft::new("P").input(json!({"fanout": 3})).due_at(due), TaskDraft::new("A").due_at(due)];
    let (run, roots) = world.run_of(drafts);
    let _ = world.cancel_run(run);
    world.settle();
    assert_eq!(world.states(&roots), [State::Cancelled; 2]);
    assert_eq!((world.run_state(run), world.store().next_due().expect("a time")), (State::Cancelled, None));
}

pub fn open_fan_out_is_cancelled_with_its_children(world: &World<'_>) {
    for items in [&[][..], &["1", "2"]] {
        let (run, parent) = world.open_parent();
        world.append(parent, 1, items).expect("an append");
        let _ = world.cancel_task(parent);
        world.settle();
        assert_eq!((world.state(parent), world.run_state(run)), (State::Cancelled, State::Cancelled));
        let refused = world.append(parent, 3, &["3"]);
        assert!(refused.is_err(), "{refused:?}");
        assert!(world.seal(parent, u32::try_from(items.len()).expect("few")).is_err());
    }
}

pub fn empty_open_run_is_cancelled_at_once(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open());
    let _ = world.cancel_run(run);
    assert_eq!(
        (world.run_state(run), world.run(run).cancel_cause),
        (State::Cancelled, Some(CancelCause::Requested))
    );
    assert!(world.append_tasks(run, 1, [TaskDraft::new("A")]).is_err());
}

pub fn reason_is_stored_in_event(world: &World<'_>) {
    let (run, parent, children) = world.family(2);
    let (task, whole) = (|id| Cancel::task(id, world.now()), Cancel::run(run, world.now()));
    for cancel in [task(children[0]), task(parent), whole] {
        let target = format!("{:?}", cancel.target);
        let _ = world.store().cancel(&cancel.reason(target.as_str())).expect("a cancel");
        let said = match world.events().pop().expect("an event").body {
            EventBody::TaskCancelled { reason }
            | EventBody::TaskCancelRequested { cause: CancelCause::Requested, reason }
            | EventBody::RunCancelRequested { cause: CancelCause::Requested, reason } => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(said.expect("a reason").as_str(), target);
    }
}

pub fn due_retry_below_cancelled_node_starts_nothing(world: &World<'_>) {
    let hands = world.hands();
    let (run, leaf) = world.leaf();
    let (other, claimed) = world.leaf();
    world.fail(leaf);
    let _ = world.cancel_run(run);
    assert_eq!(world.retry(), 1);
    assert_eq!(hands.claim_one().fence.task, claimed, "and not what is doomed");
    assert_eq!((world.state(leaf), world.run_state(other)), (State::Cancelled, State::Running));
}

pub fn lost_claim_below_cancelled_node_is_not_retried(world: &World<'_>) {
    let hands = world.hands();
    let (run, leaf) = world.leaf();
    let _ = hands.claim_one();
    let _ = world.cancel_run(run);
    world.pass_ms(i64::try_from(DEFAULT_LEASE_MS).expect("short") + 1);
    assert_eq!(world.rescue(), 1);
    assert_eq!(world.sweep(), (1, 0));
    world.aggregate();
    assert_eq!((world.state(leaf), world.run_state(run)), (State::Cancelled, State::Cancelled));
    world.assert_nothing_to_claim(&hands.request([want("A", 1)], 1));
}

pub fn leaf_below_cancelled_node_can_be_cancelled(world: &World<'_>) {
    let (run, _, children) = world.family(2);
    let _ = world.cancel_run(run);
    assert_eq!(world.cancel_task(children[0]), CancelOutcome::Cancelled);
    assert_eq!(world.sweep(), (1, 1));
    world.aggregate();
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn parent_below_cancelled_node_can_be_cancelled(world: &World<'_>) {
    let (run, parent, _) = world.family(2);
    let _ = world.cancel_run(run);
    assert_eq!(world.cancel_task(parent), CancelOutcome::Requested);
    assert_eq!(world.sweep(), (2, 0), "it is marked already");
    world.aggregate();
    assert_eq!(
        (world.run_state(run), world.task(parent).cancel_cause),
        (State::Cancelled, Some(CancelCause::Requested))
    );
}
