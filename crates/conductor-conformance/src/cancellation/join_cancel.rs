//! Joins under cancels and revivals.

use super::join::{OpenJoin, claim_join, open_join, open_join_of_run, parent_with_join};
use crate::Harness;
use crate::harness::json_of;
use conductor_model::{Policy, State};
use conductor_store::{CancelError, CancelOutcome, NodeId, Report, ReviveError, ReviveFilter, Scope};

pub fn parent_is_cancelled_while_join_is_open(harness: &Harness<'_>) {
    let OpenJoin { run, parent, children, join } = open_join(harness, parent_with_join(2));
    let (engine, claimed) = claim_join(harness);
    assert_eq!(harness.cancel_task(parent), CancelOutcome::Requested);
    assert_eq!(harness.state(parent), State::Running);
    assert_eq!(harness.sweep(), (1, 0));
    assert_eq!((harness.state(join), harness.state(parent)), (State::Cancelled, State::Cancelled));
    engine.assert_stale(claimed.fence);
    assert_eq!(harness.states(&children), [State::Succeeded; 2]);
    harness.aggregate();
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn one_sweep_cancels_join_of_large_family(harness: &Harness<'_>) {
    let OpenJoin { parent, children, join, .. } = open_join(harness, parent_with_join(2_500));
    let _ = harness.cancel_task(parent);
    // The step reads the children in more than one portion.
    let done = harness.sweep_step(&harness.bounded_step(Scope::All, 50_000));
    assert_eq!((done.tasks, done.parents), (1, 0));
    assert_eq!(harness.states(&[join, parent]), [State::Cancelled; 2]);
    assert_eq!(harness.state(children[2_499]), State::Succeeded);
    harness.writes_nothing(|| assert_eq!(harness.sweep(), (0, 0)));
}

pub fn join_awaiting_retry_is_cancelled_with_parent(harness: &Harness<'_>) {
    let OpenJoin { run, parent, join, .. } = open_join(harness, parent_with_join(2));
    harness.fail(join);
    let _ = harness.cancel_run(run);
    assert_eq!(harness.sweep(), (1, 1));
    assert_eq!(harness.states(&[join, parent]), [State::Cancelled; 2]);
    assert_eq!((harness.retry(), harness.aggregate()), (0, (0, 1)));
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn run_is_cancelled_while_join_is_open(harness: &Harness<'_>) {
    let OpenJoin { run, parent, join, .. } = open_join(harness, parent_with_join(2));
    let (joined_run, last) = open_join_of_run(harness);
    for target in [run, joined_run] {
        assert_eq!(harness.cancel_run(target), CancelOutcome::Requested);
    }
    assert_eq!(harness.sweep(), (2, 1));
    harness.aggregate();
    assert_eq!(harness.states(&[join, parent, last]), [State::Cancelled; 3]);
    assert_eq!((harness.run_state(run), harness.run_state(joined_run)), (State::Cancelled, State::Cancelled));
}

pub fn claim_below_cancelled_node_cancels_join(harness: &Harness<'_>) {
    let OpenJoin { run, parent, join, .. } = open_join(harness, parent_with_join(2));
    let (joined_run, last) = open_join_of_run(harness);
    for target in [run, joined_run] {
        let _ = harness.cancel_run(target);
    }
    let engine = harness.engine();
    assert_eq!(engine.claim("J", 10), []);
    assert_eq!(harness.states(&[join, parent, last]), [State::Cancelled; 3]);
    assert_eq!(harness.run_state(joined_run), State::Cancelled);
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn join_settled_before_sweep_decides_parent(harness: &Harness<'_>) {
    for (state, expected) in [
        (State::Succeeded, State::Succeeded),
        (State::Failed, State::Cancelled),
        (State::Cancelled, State::Cancelled),
    ] {
        let OpenJoin { parent, join, .. } = open_join(harness, parent_with_join(1));
        let _ = harness.cancel_task(parent);
        harness.settle_leaf(join, state);
        assert_eq!((harness.state(join), harness.state(parent)), (state, expected));
        harness.writes_nothing(|| assert_eq!(harness.sweep(), (0, 0)));
    }
}

pub fn successful_join_is_final(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family_of(parent_with_join(2).policy(Policy::Ignore));
    harness.succeed(children[0]);
    harness.fail_permanently(children[1]);
    harness.aggregate();
    let _ = harness.cancel_task(parent);
    harness.succeed(harness.join_id(NodeId::Task(parent)));
    harness.aggregate();
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Succeeded, State::Succeeded));
    let rejected = harness.revive_error(children[1]);
    assert!(
        matches!(rejected, ReviveError::AncestorSucceeded(_)),
        "the output of the join was made from the children as they were"
    );
    let all = harness.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 1);
    assert_eq!((all.tasks, all.reopened, all.skipped), (0, 0, 1));
}

pub fn no_join_starts_below_cancelled_node(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family_of(parent_with_join(2));
    let (_, cancelled, others) = harness.family_of(parent_with_join(2));
    for child in children.iter().chain(&others) {
        harness.succeed(*child);
    }
    let _ = harness.cancel_run(run);
    assert_eq!(
        harness.cancel_task(cancelled),
        CancelOutcome::Requested,
        "the parent cannot be decided before its join"
    );
    harness.aggregate();
    harness.run_all_steps();
    for node in [parent, cancelled] {
        assert_eq!(harness.join(NodeId::Task(node)), None);
        assert_eq!(harness.state(node), State::Cancelled);
    }
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn cancelled_join_cancels_its_parent(harness: &Harness<'_>) {
    let OpenJoin { run, parent, join, .. } = open_join(harness, parent_with_join(2));
    assert_eq!(harness.cancel_task(join), CancelOutcome::Cancelled);
    assert_eq!((harness.state(join), harness.state(parent)), (State::Cancelled, State::Cancelled));
    assert_eq!(harness.aggregate(), (0, 1));
    assert_eq!(harness.run_state(run), State::Cancelled);
    assert!(matches!(harness.try_cancel(NodeId::Task(join)), Ok(CancelOutcome::Unchanged)));
    let OpenJoin { parent: settled, join, .. } = open_join(harness, parent_with_join(2));
    harness.succeed(join);
    let rejected = harness.try_cancel(NodeId::Task(settled));
    assert!(
        matches!(rejected, Err(CancelError::AlreadySettled { state: State::Succeeded, .. })),
        "{rejected:?}"
    );
}

pub fn failed_join_is_revived_with_its_ancestors(harness: &Harness<'_>) {
    let OpenJoin { run, parent, children, join } = open_join(harness, parent_with_join(2));
    harness.fail_permanently(join);
    harness.aggregate();
    assert_eq!(harness.revive(join), 2, "the parent and the run");
    assert_eq!((harness.state(join), harness.state(parent)), (State::Pending, State::Running));
    assert_eq!(harness.run_state(run), State::Running);
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    harness.apply(Report::succeeded_with(join, json_of("2")));
    harness.aggregate();
    assert_eq!(harness.task(parent).output.map(|output| output.to_string()).as_deref(), Some("2"));
    assert_eq!((harness.run_state(run), harness.task(join).attempt), (State::Succeeded, 2));
    assert_eq!(harness.states(&children), [State::Succeeded; 2]);
    let (run, join) = open_join_of_run(harness);
    let _ = harness.cancel_task(join);
    assert_eq!(harness.revive(join), 1);
    harness.succeed(join);
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn nothing_below_open_join_is_revived(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family_of(parent_with_join(2).policy(Policy::Ignore));
    harness.succeed(children[0]);
    harness.fail_permanently(children[1]);
    harness.aggregate();
    let rejected = harness.revive_error(children[1]);
    assert!(matches!(rejected, ReviveError::JoinRunning(NodeId::Task(id)) if id == parent), "{rejected}");
    harness.start(harness.join_id(NodeId::Task(parent)));
    let rejected = harness.revive_error(children[1]);
    assert!(matches!(rejected, ReviveError::JoinRunning(_)), "{rejected}");
    let all = harness.writes_nothing(|| harness.revive_all(NodeId::Task(parent), ReviveFilter::Failed, 10));
    assert_eq!((all.tasks, all.skipped), (0, 1), "a bulk revival skips the leaf and counts it");
}

pub fn join_reruns_with_same_id_after_revival(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family_of(parent_with_join(2).policy(Policy::Ignore));
    harness.succeed(children[0]);
    harness.fail_permanently(children[1]);
    harness.aggregate();
    let join = harness.join_id(NodeId::Task(parent));
    harness.fail_permanently(join);
    harness.aggregate();
    assert_eq!(harness.revive(children[1]), 2);
    assert_eq!((harness.state(join), harness.state(parent)), (State::Failed, State::Running));
    harness.succeed(children[1]);
    assert_eq!(harness.aggregate(), (1, 0));
    let row = harness.task(join);
    assert_eq!((row.id, row.state, row.retry_count, row.attempt), (join, State::Pending, 0, 1));
    harness.apply(Report::succeeded_with(join, json_of("1")));
    harness.aggregate();
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn join_is_not_revived_before_ready(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family_of(parent_with_join(2).policy(Policy::Ignore));
    harness.succeed(children[0]);
    harness.fail_permanently(children[1]);
    harness.aggregate();
    let join = harness.join_id(NodeId::Task(parent));
    harness.fail_permanently(join);
    harness.aggregate();
    let _ = harness.revive(children[1]);
    let rejected = harness.revive_error(join);
    assert!(matches!(rejected, ReviveError::JoinNotReady(id) if id == join), "{rejected}");
    let all = harness.revive_all(NodeId::Task(parent), ReviveFilter::FailedAndCancelled, 1);
    assert_eq!((all.tasks, harness.state(join)), (0, State::Failed));
    harness.report_cancelled(children[1]);
    harness.aggregate();
    assert_eq!(harness.state(parent), State::Cancelled);
    let rejected = harness.revive_error(join);
    assert!(matches!(rejected, ReviveError::JoinNotReady(id) if id == join), "{rejected}");
    let all = harness.revive_all(NodeId::Task(parent), ReviveFilter::Failed, 100);
    assert_eq!((all.tasks, harness.state(join)), (0, State::Failed), "a child is cancelled");
}
