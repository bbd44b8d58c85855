//! Below a cancelled node nothing starts, and open tasks are cancelled.

use super::cancel::{deepest, tree};
use crate::Harness;
use crate::harness::test_engine::{fences, quota, success};
use conductor_model::{CancelCause, DEFAULT_LEASE_MS, RunDraft, State, TaskDraft};
use conductor_store::{
    AppendError, CancelOutcome, Claim, FenceOutcome, NodeId, Report, ReportOutcome, ReportRejection, Scope,
    SealError,
};
use serde_json::json;

pub fn nothing_is_created_below_cancelled_node(harness: &Harness<'_>) {
    let draft = || TaskDraft::new("P").input(json!({"fanout": 5}));
    let (started, cancelled) = harness.submit_task(draft());
    let (run, below) = harness.submit_task(draft());
    let _ = harness.fan_out_step(Scope::Run(started), 2);
    let _ = harness.cancel_task(cancelled);
    let _ = harness.cancel_run(run);
    assert_eq!(harness.fan_out(), 0);
    assert_eq!((harness.child_counts(cancelled).created, harness.child_counts(below).created), (2, 0));
    harness.run_all_steps();
    assert_eq!(harness.states(&[cancelled, below]), [State::Cancelled; 2]);
    assert_eq!((harness.child_counts(cancelled).created, harness.child_counts(below).created), (2, 0));
    assert_eq!(harness.child_counts(cancelled).total, Some(5), "the planned total is kept");
}

pub fn nothing_is_created_three_levels_below_cancel(harness: &Harness<'_>) {
    let (run, root) = harness.submit_task(tree());
    let _ = harness.fan_out_step(Scope::All, 4);
    let before = harness.tasks(run).len();
    let _ = harness.cancel_task(root);
    assert_eq!(harness.fan_out(), 0);
    harness.run_all_steps();
    assert_eq!(harness.tasks(run).len(), before);
    assert!(harness.tasks(run).iter().all(|task| task.state == State::Cancelled));
}

pub fn claim_below_cancelled_node_cancels_tasks(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, root) = harness.submit_task(tree());
    harness.fan_out();
    let leaf = deepest(harness, run);
    for target in [NodeId::Task(harness.task(leaf).parent.expect("task has a parent")), NodeId::Task(root)] {
        let open = harness.run(run).state_counts.pending;
        let _ = harness.try_cancel(target).expect("cancel succeeds");
        let cancelled = if target == NodeId::Task(root) { open } else { 2 };
        let claimed = engine.claim("A", 10);
        assert_eq!(claimed.len() as u64, open - cancelled, "{claimed:?}");
        let _ = engine.release(&fences(&claimed));
    }
    let tasks = harness.tasks(run);
    let mut leaves = tasks.iter().filter(|task| task.child_counts.is_none());
    assert!(leaves.all(|leaf| leaf.state == State::Cancelled), "{tasks:?}");
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn claim_meeting_only_cancelled_tasks_reports_more(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (cancelled, _, _) = harness.family_of(TaskDraft::new("P").kind("A").input(json!({"fanout": 10})));
    let (_, other) = harness.submit_leaf();
    let _ = harness.cancel_run(cancelled);
    let mut claimed = Vec::new();
    let mut claim = engine.claim_request([quota("A", 2)], 2);
    for _ in 0..20 {
        let done = engine.claim_with(&claim);
        claimed.extend(done.tasks());
        claim.quotas[0].cursor = done.cursors[0];
        if !done.more {
            break;
        }
    }
    assert_eq!(claimed.iter().map(|task| task.fence.task).collect::<Vec<_>>(), [other]);
}

pub fn claim_meeting_cancelled_isolated_task_reports_more(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (cancelled, other) = (engine.isolated_task(), engine.isolated_task());
    let _ = harness.cancel_run(harness.task(cancelled).run);
    let claim = Claim { allow_isolated: true, ..engine.claim_request([quota("A", 5)], 5) };
    let claimed = engine.claim_with(&claim);
    assert_eq!((claimed.tasks().len(), claimed.more, harness.state(cancelled)), (0, true, State::Cancelled));
    assert_eq!(engine.claim_with(&claim).tasks()[0].fence.task, other);
}

pub fn starts_are_rejected_and_results_are_recorded(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(5);
    harness.start(children[0]);
    let _ = harness.cancel_run(run);
    let rejected = harness.writes_nothing(|| harness.report(Report::started(children[1])));
    assert_eq!(rejected, ReportOutcome::Rejected(ReportRejection::CancelInProgress(children[1])));
    assert_eq!(
        harness.report(Report::started(children[0])),
        ReportOutcome::Unchanged,
        "a heartbeat below a cancelled node changes nothing"
    );
    harness.succeed(children[0]);
    harness.succeed(children[1]);
    harness.fail_permanently(children[2]);
    harness.fail(children[3]);
    assert_eq!(harness.sweep(), (2, 1));
    let states = [State::Succeeded, State::Succeeded, State::Failed, State::Cancelled, State::Cancelled];
    assert_eq!(harness.states(&children), states);
    harness.aggregate();
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Cancelled, State::Cancelled));
    let output: serde_json::Value =
        harness.task(parent).output.expect("output is stored").to().expect("output is JSON");
    assert_eq!(output, json!({"succeeded": 2, "failed": 1, "cancelled": 2}));
}

pub fn claim_settled_before_sweep_counts(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, _) = harness.submit_tasks([TaskDraft::new("A"), TaskDraft::new("A")]);
    let claimed = engine.claim("A", 2);
    let _ = harness.cancel_run(run);
    engine.settle_one(&claimed[0], success());
    assert_eq!(
        engine.renew(&[claimed[1].fence]),
        [FenceOutcome::Applied],
        "a claim is valid until it is swept"
    );
    assert_eq!(harness.sweep(), (1, 0));
    engine.assert_stale(claimed[1].fence);
    harness.aggregate();
    assert_eq!((harness.run_state(run), harness.run(run).state_counts.succeeded), (State::Cancelled, 1));
}

pub fn nothing_is_appended_below_cancelled_node(harness: &Harness<'_>) {
    let open = || harness.submit(&RunDraft::new().open().task(TaskDraft::new("P").open()));
    for cancel_run in [false, true] {
        let run = open();
        let parent = harness.roots(run)[0].id;
        harness.append(parent, 1, &["1", "2"]).expect("append succeeds");
        let target = if cancel_run { NodeId::Run(run) } else { NodeId::Task(parent) };
        let _ = harness.try_cancel(target).expect("cancel succeeds");
        harness.writes_nothing(|| {
            let rejected = harness.append(parent, 2, &["2", "3"]);
            assert!(
                matches!(rejected, Err(AppendError::CancelInProgress(NodeId::Task(id))) if id == parent),
                "{rejected:?}"
            );
            let known = harness.append(parent, 1, &["1", "2"]).expect("repeated append succeeds");
            assert_eq!((known.created, known.next_index), (0, 3));
            if cancel_run {
                let rejected = harness.append_tasks(run, 2, [TaskDraft::new("B")]);
                assert!(
                    matches!(rejected, Err(AppendError::CancelInProgress(id)) if id == target),
                    "{rejected:?}"
                );
            }
        });
        if !cancel_run {
            assert_eq!(
                harness.append_tasks(run, 2, [TaskDraft::new("B")]).expect("append succeeds").created,
                1
            );
        }
    }
}

pub fn nothing_is_sealed_below_cancelled_node(harness: &Harness<'_>) {
    for cancel_run in [false, true] {
        let run = harness.submit(&RunDraft::new().open().task(TaskDraft::new("P").open()));
        let parent = harness.roots(run)[0].id;
        harness.append(parent, 1, &["1"]).expect("append succeeds");
        let target = if cancel_run { NodeId::Run(run) } else { NodeId::Task(parent) };
        let _ = harness.try_cancel(target).expect("cancel succeeds");
        harness.writes_nothing(|| {
            let rejected = harness.seal(parent, 1);
            assert!(
                matches!(rejected, Err(SealError::CancelInProgress(NodeId::Task(id))) if id == parent),
                "{rejected:?}"
            );
            if cancel_run {
                let rejected = harness.seal_run(run, 1);
                assert!(
                    matches!(rejected, Err(SealError::CancelInProgress(id)) if id == target),
                    "{rejected:?}"
                );
            }
        });
        harness.run_all_steps();
        assert_eq!((harness.state(parent), harness.child_counts(parent).total), (State::Cancelled, None));
    }
}

pub fn due_retry_below_cancelled_node_starts_nothing(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, leaf) = harness.submit_leaf();
    let (other, claimed) = harness.submit_leaf();
    harness.fail(leaf);
    let _ = harness.cancel_run(run);
    assert_eq!(harness.retry(), 1);
    assert_eq!(engine.claim_one().fence.task, claimed, "the cancelled leaf is not claimed");
    assert_eq!((harness.state(leaf), harness.run_state(other)), (State::Cancelled, State::Running));
}

pub fn lost_claim_below_cancelled_node_is_not_retried(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, leaf) = harness.submit_leaf();
    let _ = engine.claim_one();
    let _ = harness.cancel_run(run);
    harness.advance_ms(i64::try_from(DEFAULT_LEASE_MS).expect("lease fits") + 1);
    assert_eq!(harness.rescue(), 1);
    assert_eq!(harness.sweep(), (1, 0));
    harness.aggregate();
    assert_eq!((harness.state(leaf), harness.run_state(run)), (State::Cancelled, State::Cancelled));
    engine.assert_nothing_to_claim();
}

pub fn leaf_below_cancelled_node_can_be_cancelled(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(2);
    let _ = harness.cancel_run(run);
    assert_eq!(harness.cancel_task(children[0]), CancelOutcome::Cancelled);
    assert_eq!(harness.sweep(), (1, 1));
    harness.aggregate();
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn parent_below_cancelled_node_can_be_cancelled(harness: &Harness<'_>) {
    let (run, parent, _) = harness.family(2);
    let _ = harness.cancel_run(run);
    assert_eq!(harness.cancel_task(parent), CancelOutcome::Requested);
    assert_eq!(harness.sweep(), (2, 0), "the parent is already being cancelled");
    harness.aggregate();
    assert_eq!(
        (harness.run_state(run), harness.task(parent).cancel_cause),
        (State::Cancelled, Some(CancelCause::Requested))
    );
}
