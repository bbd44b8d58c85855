//! What cancels and revivals do to joins.

use super::join::{claim_join, joined, open_join, open_join_of_a_run};
use crate::World;
use crate::harness::json_of;
use conductor_model::{Policy, State};
use conductor_store::{CancelError, CancelOutcome, NodeId, Report, ReviveError, ReviveFilter};

pub fn parent_is_cancelled_while_join_is_open(world: &World<'_>) {
    let (run, parent, children, join) = open_join(world, joined(2));
    let (hands, claimed) = claim_join(world);
    assert_eq!(world.cancel_task(parent), CancelOutcome::Requested);
    assert_eq!(world.state(parent), State::Running);
    assert_eq!(world.sweep(), (1, 0));
    assert_eq!((world.state(join), world.state(parent)), (State::Cancelled, State::Cancelled));
    hands.assert_stale(claimed.fence);
    assert_eq!(world.states(&children), [State::Succeeded; 2]);
    world.aggregate();
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn join_awaiting_retry_is_cancelled_with_parent(world: &World<'_>) {
    let (run, parent, _, join) = open_join(world, joined(2));
    world.fail(join);
    let _ = world.cancel_run(run);
    assert_eq!(world.sweep(), (1, 1));
    assert_eq!(world.states(&[join, parent]), [State::Cancelled; 2]);
    assert_eq!((world.retry(), world.aggregate()), (0, (0, 1)));
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn run_is_cancelled_while_join_is_open(world: &World<'_>) {
    let (run, parent, _, join) = open_join(world, joined(2));
    let (whole, last) = open_join_of_a_run(world);
    for target in [run, whole] {
        assert_eq!(world.cancel_run(target), CancelOutcome::Requested);
    }
    assert_eq!(world.sweep(), (2, 1));
    world.aggregate();
    assert_eq!(world.states(&[join, parent, last]), [State::Cancelled; 3]);
    assert_eq!((world.run_state(run), world.run_state(whole)), (State::Cancelled, State::Cancelled));
}

pub fn claim_below_cancelled_node_cancels_join(world: &World<'_>) {
    let (run, parent, _, join) = open_join(world, joined(2));
    let (whole, last) = open_join_of_a_run(world);
    for target in [run, whole] {
        let _ = world.cancel_run(target);
    }
    let hands = world.hands();
    assert_eq!(hands.claim("J", 10), []);
    assert_eq!(world.states(&[join, parent, last]), [State::Cancelled; 3]);
    assert_eq!(world.run_state(whole), State::Cancelled);
    world.settle();
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn join_settled_before_sweep_decides_parent(world: &World<'_>) {
    for (state, expected) in [
        (State::Succeeded, State::Succeeded),
        (State::Failed, State::Cancelled),
        (State::Cancelled, State::Cancelled),
    ] {
        let (_, parent, _, join) = open_join(world, joined(1));
        let _ = world.cancel_task(parent);
        world.end(join, state);
        assert_eq!((world.state(join), world.state(parent)), (state, expected));
        world.writes_nothing(|| assert_eq!(world.sweep(), (0, 0)));
    }
}

pub fn successful_join_is_final(world: &World<'_>) {
    let (run, parent, children) = world.family_of(joined(2).policy(Policy::Ignore));
    world.succeed(children[0]);
    world.fail_for_good(children[1]);
    world.aggregate();
    let _ = world.cancel_task(parent);
    world.succeed(world.join_id(NodeId::Task(parent)));
    world.aggregate();
    assert_eq!((world.state(parent), world.run_state(run)), (State::Succeeded, State::Succeeded));
    let refused = world.revive_refused(children[1]);
    assert!(
        matches!(refused, ReviveError::AncestorSucceeded(_)),
        "its output is that of the children as they were"
    );
    let all = world.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 1);
    assert_eq!((all.tasks, all.reopened, all.skipped), (0, 0, 1));
}

pub fn no_join_starts_below_cancelled_node(world: &World<'_>) {
    let (run, parent, children) = world.family_of(joined(2));
    let (_, alone, others) = world.family_of(joined(2));
    for child in children.iter().chain(&others) {
        world.succeed(*child);
    }
    let _ = world.cancel_run(run);
    assert_eq!(world.cancel_task(alone), CancelOutcome::Requested, "it was not decided: its join was to run");
    world.aggregate();
    world.settle();
    for head in [parent, alone] {
        assert_eq!(world.join(NodeId::Task(head)), None);
        assert_eq!(world.state(head), State::Cancelled);
    }
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn cancelled_join_cancels_its_parent(world: &World<'_>) {
    let (run, parent, _, join) = open_join(world, joined(2));
    assert_eq!(world.cancel_task(join), CancelOutcome::Cancelled);
    assert_eq!((world.state(join), world.state(parent)), (State::Cancelled, State::Cancelled));
    assert_eq!(world.aggregate(), (0, 1));
    assert_eq!(world.run_state(run), State::Cancelled);
    assert!(matches!(world.try_cancel(NodeId::Task(join)), Ok(CancelOutcome::Unchanged)));
    let (_, ended, _, join) = open_join(world, joined(2));
    world.succeed(join);
    let refused = world.try_cancel(NodeId::Task(ended));
    assert!(
        matches!(refused, Err(CancelError::AlreadySettled { state: State::Succeeded, .. })),
        "{refused:?}"
    );
}

pub fn failed_join_is_revived_with_its_ancestors(world: &World<'_>) {
    let (run, parent, children, join) = open_join(world, joined(2));
    world.fail_for_good(join);
    world.aggregate();
    assert_eq!(world.revive(join), 2, "the parent and the run");
    assert_eq!((world.state(join), world.state(parent)), (State::Pending, State::Running));
    assert_eq!(world.run_state(run), State::Running);
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
    world.apply(Report::succeeded_with(join, json_of("2")));
    world.aggregate();
    assert_eq!(world.task(parent).output.map(|output| output.to_string()).as_deref(), Some("2"));
    assert_eq!((world.run_state(run), world.task(join).attempt), (State::Succeeded, 2));
    assert_eq!(world.states(&children), [State::Succeeded; 2]);
    let (run, join) = open_join_of_a_run(world);
    let _ = world.cancel_task(join);
    assert_eq!(world.revive(join), 1);
    world.succeed(join);
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn nothing_below_open_join_is_revived(world: &World<'_>) {
    let (_, parent, children) = world.family_of(joined(2).policy(Policy::Ignore));
    world.succeed(children[0]);
    world.fail_for_good(children[1]);
    world.aggregate();
    let refused = world.revive_refused(children[1]);
    assert!(matches!(refused, ReviveError::JoinRunning(NodeId::Task(id)) if id == parent), "{refused}");
    world.start(world.join_id(NodeId::Task(parent)));
    let refused = world.revive_refused(children[1]);
    assert!(matches!(refused, ReviveError::JoinRunning(_)), "{refused}");
    let all = world.writes_nothing(|| world.revive_all(NodeId::Task(parent), ReviveFilter::Failed, 10));
    assert_eq!((all.tasks, all.skipped), (0, 1), "in bulk it is skipped and counted");
}

pub fn join_reruns_with_same_id_after_revival(world: &World<'_>) {
    let (run, parent, children) = world.family_of(joined(2).policy(Policy::Ignore));
    world.succeed(children[0]);
    world.fail_for_good(children[1]);
    world.aggregate();
    let join = world.join_id(NodeId::Task(parent));
    world.fail_for_good(join);
    world.aggregate();
    assert_eq!(world.revive(children[1]), 2);
    assert_eq!((world.state(join), world.state(parent)), (State::Failed, State::Running));
    world.succeed(children[1]);
    assert_eq!(world.aggregate(), (1, 0));
    let row = world.task(join);
    assert_eq!((row.id, row.state, row.retry_count, row.attempt), (join, State::Pending, 0, 1));
    world.apply(Report::succeeded_with(join, json_of("1")));
    world.aggregate();
    assert_eq!((world.state(parent), world.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn join_is_not_revived_before_ready(world: &World<'_>) {
    let (_, parent, children) = world.family_of(joined(2).policy(Policy::Ignore));
    world.succeed(children[0]);
    world.fail_for_good(children[1]);
    world.aggregate();
    let join = world.join_id(NodeId::Task(parent));
    world.fail_for_good(join);
    world.aggregate();
    let _ = world.revive(children[1]);
    let refused = world.revive_refused(join);
    assert!(matches!(refused, ReviveError::JoinNotReady(id) if id == join), "{refused}");
    let all = world.revive_all(NodeId::Task(parent), ReviveFilter::FailedAndCancelled, 1);
    assert_eq!((all.tasks, world.state(join)), (0, State::Failed));
    world.cancel(children[1]);
    world.aggregate();
    assert_eq!(world.state(parent), State::Cancelled);
    let refused = world.revive_refused(join);
    assert!(matches!(refused, ReviveError::JoinNotReady(id) if id == join), "{refused}");
    let all = world.revive_all(NodeId::Task(parent), ReviveFilter::Failed, 100);
    assert_eq!((all.tasks, world.state(join)), (0, State::Failed), "for a child was cancelled");
}
