//! Revive: settled leaves are tried again, and exactly their ancestors reopen.

use crate::World;
use crate::harness::json_of;
use crate::harness::test_engine::success;
use conductor_model::{CancelCause, ChildCounts, Policy, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{NodeId, Report, Revive, ReviveError, ReviveFilter, ReviveOutcome, Scope};
use serde_json::json;

/// A tree three deep, all of whose leaves have ended: `P#1#1#1` in that state, the others as SUCCEEDED; and that leaf.
fn settled_tree(world: &World<'_>, state: State) -> (RunId, Vec<Task>, TaskId) {
    let tree = json!({"fanout": [{"fanout": [{"fanout": 2}, {"fanout": 1}]}, {"fanout": 1}]});
    let (run, _) = world.run_of([TaskDraft::new("P").input(tree), TaskDraft::new("Q")]);
    world.fan_out();
    let is_chosen = |task: &Task| task.name.as_str() == "P#1#1#1";
    for leaf in world.tasks(run).iter().filter(|task| task.child_counts.is_none()) {
        if is_chosen(leaf) {
            world.end(leaf.id, state);
        } else {
            world.apply(Report::succeeded_with(leaf.id, json_of("1")));
        }
    }
    world.aggregate();
    assert_eq!(world.run_state(run), state);
    let tasks = world.tasks(run);
    let leaf = tasks.iter().find(|task| is_chosen(task)).expect("a leaf").id;
    (run, tasks, leaf)
}

pub fn only_ancestors_of_leaf_reopen(world: &World<'_>) {
    for state in [State::Failed, State::Cancelled] {
        let (run, before, leaf) = settled_tree(world, state);
        world.pass_ms(1000);
        assert_eq!(world.revive(leaf), 4, "three parents and the run");
        assert_eq!(world.run_state(run), State::Running);
        for (was, is) in before.iter().zip(world.tasks(run)) {
            match is.name.as_str() {
                "P" | "P#1" | "P#1#1" => assert_eq!((is.state, &is.output), (State::Running, &None)),
                "P#1#1#1" => assert_eq!(is.state, State::Pending),
                _ => assert_eq!(*was, is, "the others keep their results"),
            }
        }
        world.succeed(leaf);
        world.settle();
        assert_eq!(world.run_state(run), State::Succeeded);
        assert!(world.tasks(run).iter().all(|task| task.state == State::Succeeded));
    }
}

pub fn revived_leaf_has_all_retries_and_keeps_attempts(world: &World<'_>) {
    let (_, leaf) = world.one(TaskDraft::new("A").max_retries(1));
    world.fail(leaf);
    world.retry();
    world.fail(leaf);
    let row = world.task(leaf);
    assert_eq!((row.state, row.due_at, row.retry_count, row.attempt), (State::Failed, None, 1, 2));
    world.aggregate();
    let _ = world.revive(leaf);
    let row = world.task(leaf);
    assert_eq!((row.state, row.due_at, row.retry_count, row.attempt), (State::Pending, None, 0, 2));
    world.fail(leaf);
    assert_eq!((world.retry(), world.task(leaf).attempt), (1, 3));
}

pub fn revived_leaf_is_claimed_with_new_fence(world: &World<'_>) {
    let hands = world.hands();
    let (_, leaf) = world.leaf();
    let first = hands.claim_one();
    let _ = world.cancel_task(leaf);
    let _ = world.revive(leaf);
    hands.assert_stale(first.fence);
    let second = hands.claim_one();
    assert_eq!((second.fence.task, second.fence.attempt), (leaf, 2));
    hands.assert_stale(first.fence);
    hands.end(&second, success());
}

pub fn leaf_of_running_run_reopens_no_ancestor(world: &World<'_>) {
    let (run, parent, children) = world.family(3);
    world.fail_for_good(children[0]);
    assert_eq!(world.revive(children[0]), 0, "nothing had ended yet");
    assert_eq!(world.numbers(parent), ChildCounts { created: 3, open: 3, ..ChildCounts::sealed(3) });
    assert_eq!(world.run_state(run), State::Running);
}

pub fn leaf_is_revived_before_parent_is_decided(world: &World<'_>) {
    let (run, parent, children) = world.family(2);
    world.succeed(children[0]);
    world.fail_for_good(children[1]);
    assert_eq!(world.revive(children[1]), 0);
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
    world.fail_for_good(children[1]);
    assert_eq!(world.aggregate_step(&world.step_of(Scope::All, 1)).parents, 1);
    assert_eq!((world.state(parent), world.run_state(run)), (State::Failed, State::Running));
    assert_eq!(world.revive(children[1]), 1, "the parent had ended, the run had not");
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
    world.succeed(children[1]);
    world.aggregate();
    assert_eq!((world.state(parent), world.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn only_final_failures_and_cancels_are_revived(world: &World<'_>) {
    let (_, roots) = world.run_of(["A", "B", "C", "D"].map(TaskDraft::new));
    world.start(roots[1]);
    world.succeed(roots[2]);
    world.fail(roots[3]);
    let states = [State::Pending, State::Running, State::Succeeded, State::Failed];
    for (leaf, expected) in roots.iter().zip(states) {
        let refused = world.revive_refused(*leaf);
        assert!(
            matches!(refused, ReviveError::NotSettled { task, state } if (task, state) == (*leaf, expected)),
            "{refused}"
        );
    }
}

pub fn parent_and_unknown_id_are_rejected(world: &World<'_>) {
    let (_, parent, children) = world.family(1);
    world.fail_for_good(children[0]);
    world.aggregate();
    let refused = world.revive_refused(parent);
    assert!(matches!(refused, ReviveError::Parent(id) if id == parent), "{refused}");
    let unknown = TaskId::from_u128(1);
    let refused = world.revive_refused(unknown);
    assert!(matches!(refused, ReviveError::NotFound(NodeId::Task(id)) if id == unknown), "{refused}");
    for below in [NodeId::Task(unknown), NodeId::Run(RunId::from_u128(1))] {
        let request =
            Revive::All { below, which: ReviveFilter::Failed, cursor: None, limit: 1, now: world.now() };
        let refused = world.store().revive(&request);
        assert!(matches!(refused, Err(ReviveError::NotFound(id)) if id == below), "{refused:?}");
    }
}

pub fn tolerated_failure_is_final(world: &World<'_>) {
    let (run, parent, children) = world
        .family_of(TaskDraft::new("P").input(json!({"fanout": [{"fanout": 1}, 0]})).policy(Policy::Ignore));
    let leaf = world.child_ids(children[0])[0];
    world.fail_for_good(leaf);
    world.succeed(children[1]);
    let _ = world.aggregate_step(&world.step());
    let _ = world.aggregate_step(&world.step());
    assert_eq!((world.state(parent), world.run_state(run)), (State::Succeeded, State::Running));
    let refused = world.revive_refused(leaf);
    assert!(matches!(refused, ReviveError::AncestorSucceeded(NodeId::Task(id)) if id == parent), "{refused}");
    assert!(refused.to_string().contains(&parent.to_string()), "{refused}");
    world.aggregate();
    let refused = world.revive_refused(leaf);
    assert!(matches!(refused, ReviveError::AncestorSucceeded(NodeId::Run(id)) if id == run), "{refused}");
    let all = world.revive_all(NodeId::Run(run), ReviveFilter::Failed, 10);
    assert_eq!((all.tasks, all.reopened, all.skipped), (0, 0, 1), "in bulk it is skipped and counted");
}

pub fn revival_during_unfinished_sweep_is_rejected(world: &World<'_>) {
    let (run, parent, children) = world.family(3);
    world.fail_for_good(children[0]);
    let _ = world.cancel_task(parent);
    let refused = world.revive_refused(children[0]);
    assert!(matches!(refused, ReviveError::CancelInProgress(NodeId::Task(id)) if id == parent), "{refused}");
    let all = world.writes_nothing(|| world.revive_all(NodeId::Run(run), ReviveFilter::Failed, 10));
    assert_eq!((all.tasks, all.skipped), (0, 1));
    for below in [NodeId::Run(run), NodeId::Task(parent)] {
        let all = world.writes_nothing(|| world.revive_all(below, ReviveFilter::FailedAndCancelled, 10));
        let is_marked = below == NodeId::Task(parent);
        assert_eq!((all.tasks, all.skipped), (0, 1 + u32::from(is_marked)), "not passed over without a word");
    }
    let _ = world.sweep_step(&world.step_of(Scope::All, 2));
    assert!(matches!(world.revive_refused(children[0]), ReviveError::CancelInProgress(_)));
    world.sweep();
    assert!(matches!(world.revive_refused(children[1]), ReviveError::CancelInProgress(_)), "not decided yet");
    world.aggregate();
    assert_eq!(world.revive(children[1]), 2);
}

pub fn revival_clears_cancel_causes(world: &World<'_>) {
    let (run, parent, children) = world.family(2);
    world.succeed(children[0]);
    let _ = world.cancel_run(run);
    world.settle();
    assert_eq!(
        (world.task(parent).cancel_cause, world.run(run).cancel_cause),
        (Some(CancelCause::Ancestor), Some(CancelCause::Requested))
    );
    let _ = world.revive(children[1]);
    assert_eq!((world.task(parent).cancel_cause, world.run(run).cancel_cause), (None, None));
    world.start(children[1]);
    world.succeed(children[1]);
    world.settle();
    assert_eq!((world.state(parent), world.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn revived_leaf_can_be_cancelled_again(world: &World<'_>) {
    let (run, parent, children) = world.family(3);
    for _ in 0..3 {
        let _ = world.cancel_run(run);
        world.settle();
        assert_eq!(world.states(&children), [State::Cancelled; 3]);
        for child in &children {
            let _ = world.revive(*child);
        }
        assert_eq!((world.state(parent), world.run_state(run)), (State::Running, State::Running));
    }
    for child in &children {
        world.succeed(*child);
    }
    world.settle();
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn passed_deadline_is_cleared(world: &World<'_>) {
    let draft = |ms| RunDraft::new().deadline_ms(ms).task(TaskDraft::new("A"));
    let (short, long) = (world.submit(&draft(1000)), world.submit(&draft(5000)));
    let (over, failed) = (world.roots(short)[0].id, world.roots(long)[0].id);
    world.fail_for_good(failed);
    world.pass_ms(1000);
    assert_eq!(world.expire(), 1);
    world.settle();
    let (_, _) = (world.revive(over), world.revive(failed));
    assert_eq!((world.run(short).deadline, world.run(short).cancel_cause), (None, None));
    let kept = world.run(long).deadline.expect("one that has not passed stays");
    assert_eq!(world.expire(), 0);
    assert_eq!(world.store().next_due().expect("a time"), Some(kept));
    world.succeed(over);
    world.pass_ms(4000);
    assert_eq!(world.expire(), 1);
    world.settle();
    assert_eq!((world.run_state(short), world.run_state(long)), (State::Succeeded, State::Cancelled));
}

pub fn cancelled_parent_resumes_fan_out(world: &World<'_>) {
    let (run, parent) = world.one(TaskDraft::new("P").input(json!({"fanout": 5})));
    let _ = world.fan_out_step(Scope::All, 2);
    world.succeed(world.child_ids(parent)[0]);
    let _ = world.cancel_task(parent);
    world.settle();
    let revived = world.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (1, 2));
    assert_eq!(world.fan_out(), 3);
    for child in &world.child_ids(parent)[1..] {
        world.succeed(*child);
    }
    world.settle();
    assert_eq!((world.state(parent), world.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn parent_cancelled_before_first_child_starts_again(world: &World<'_>) {
    let due = world.now().plus_millis(60_000);
    let drafts =
        [TaskDraft::new("P").input(json!({"fanout": 2})), TaskDraft::new("Q").input(json!({"fanout": 1}))];
    let [plain, delayed] = drafts;
    let (run, roots) = world.run_of([plain, delayed.due_at(due)]);
    let _ = world.cancel_run(run);
    world.settle();
    assert_eq!(world.states(&roots), [State::Cancelled; 2]);
    let revived = world.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (0, 3));
    assert_eq!(world.fan_out(), 3);
    for root in roots {
        world.child_ids(root).into_iter().for_each(|child| world.succeed(child));
    }
    world.settle();
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn cancelled_open_fan_out_reopens(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open().task(TaskDraft::new("P").open()));
    let parent = world.roots(run)[0].id;
    world.append(parent, 1, &["1"]).expect("an append");
    let _ = world.cancel_run(run);
    world.settle();
    assert_eq!(world.run_state(run), State::Cancelled);
    let revived = world.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (1, 2));
    world.append(parent, 2, &["2"]).expect("an append");
    world.seal(parent, 2).expect("a seal");
    world.append_tasks(run, 2, [TaskDraft::new("A")]).expect("an append");
    world.seal_run(run, 2).expect("a seal");
    let leaves = world.tasks(run).into_iter().filter(|task| task.child_counts.is_none());
    leaves.for_each(|leaf| world.succeed(leaf.id));
    world.settle();
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn cancelled_run_with_successful_tasks_is_redecided(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open().task(TaskDraft::new("A")));
    world.succeed(world.roots(run)[0].id);
    let _ = world.cancel_run(run);
    world.settle();
    assert_eq!(world.run_state(run), State::Cancelled);
    assert_eq!(world.revive_all(NodeId::Run(run), ReviveFilter::Failed, 10), ReviveOutcome::default());
    let revived = world.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (0, 1));
    world.seal_run(run, 1).expect("a seal");
    world.settle();
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn run_cancelled_before_join_runs_join(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().join("J").task(TaskDraft::new("A")));
    world.succeed(world.roots(run)[0].id);
    let _ = world.cancel_run(run);
    assert_eq!(world.run_state(run), State::Cancelled);
    let revived = world.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (0, 1));
    world.aggregate();
    world.succeed(world.join_id(NodeId::Run(run)));
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn bulk_revival_is_bounded_per_transaction(world: &World<'_>) {
    for limit in [0, 1, 2, 3, 7, 1000] {
        let tree = json!({"fanout": [{"fanout": 3}, {"fanout": [{"fanout": 2}, 0]}, 0]});
        let (run, roots) = world.run_of([TaskDraft::new("P").input(tree), TaskDraft::new("A")]);
        world.fan_out();
        for leaf in world.tasks(run).iter().filter(|task| task.child_counts.is_none()) {
            let name = leaf.name.as_str();
            world.end(
                leaf.id,
                match name {
                    "P#1#2" | "P#2#1#1" | "P#2#1#2" | "A" => State::Failed,
                    "P#2#2" => State::Cancelled,
                    _ => State::Succeeded,
                },
            );
        }
        world.aggregate();
        let revived = world.revive_all(NodeId::Run(run), ReviveFilter::Failed, limit);
        assert_eq!((revived.tasks, revived.reopened, revived.skipped), (4, 5, 0), "with a limit of {limit}");
        assert_eq!(world.run(run).state_counts.pending, 4);
        assert_eq!(world.state(roots[0]), State::Running);
        let rest = world.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, limit);
        assert_eq!((rest.tasks, rest.reopened), (1, 0));
        world
            .tasks(run)
            .iter()
            .filter(|task| task.state == State::Pending)
            .for_each(|task| world.succeed(task.id));
        world.settle();
        assert_eq!(world.run_state(run), State::Succeeded);
    }
}

pub fn refailed_leaf_is_revived_once(world: &World<'_>) {
    let (run, roots) = world.run_of((0..6).map(|_| TaskDraft::new("A")));
    for root in &roots {
        world.fail_for_good(*root);
    }
    world.aggregate();
    let mut request = Revive::All {
        below: NodeId::Run(run),
        which: ReviveFilter::Failed,
        cursor: None,
        limit: 2,
        now: world.now(),
    };
    let (mut revived, mut pages) = (0, 0);
    loop {
        let page = world.store().revive(&request).expect("a revival");
        revived += page.tasks;
        pages += 1;
        let pending = roots.iter().filter(|root| world.state(**root) == State::Pending);
        pending.for_each(|root| world.fail_for_good(*root));
        world.aggregate();
        let Some(next) = page.next else { break };
        request = request.after(next);
        assert!(pages < 10);
    }
    assert_eq!(revived, 6);
    assert_eq!(roots.iter().map(|root| world.task(*root).attempt).sum::<u32>(), 12);
}

pub fn only_descendants_of_given_parent_are_revived(world: &World<'_>) {
    for limit in [1, 2, 1000] {
        let tree = || json!({"fanout": [{"fanout": 2}, 0]});
        let names = ["P", "Q", "R"].map(|name| TaskDraft::new(name).input(tree()));
        let (run, roots) = world.run_of(names);
        world.fan_out();
        let leaves = world.tasks(run).into_iter().filter(|task| task.child_counts.is_none());
        leaves.for_each(|leaf| world.fail_for_good(leaf.id));
        world.aggregate();
        let revived = world.revive_all(NodeId::Task(roots[1]), ReviveFilter::Failed, limit);
        assert_eq!((revived.tasks, revived.reopened), (3, 3), "with a limit of {limit}");
        assert_eq!(world.states(&roots), [State::Failed, State::Running, State::Failed]);
        for task in world.tasks(run).iter().filter(|task| task.child_counts.is_none()) {
            let expected = if task.name.as_str().starts_with('Q') { State::Pending } else { State::Failed };
            assert_eq!(task.state, expected, "{}", task.name);
        }
    }
}

pub fn cancelled_leaves_are_revived_on_request_only(world: &World<'_>) {
    let (run, parent, children) = world.family(3);
    world.fail_for_good(children[0]);
    world.cancel(children[1]);
    world.succeed(children[2]);
    world.aggregate();
    let revived = world.revive_all(NodeId::Run(run), ReviveFilter::Failed, 10);
    assert_eq!((revived.tasks, world.state(children[1])), (1, State::Cancelled));
    world.succeed(children[0]);
    world.aggregate();
    assert_eq!((world.state(parent), world.run_state(run)), (State::Cancelled, State::Cancelled));
    let revived = world.revive_all(NodeId::Task(parent), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (1, 2));
}

pub fn revived_leaf_survives_older_sibling_failure(world: &World<'_>) {
    for bulk in [false, true] {
        let draft = TaskDraft::new("P").input(json!({"fanout": 4})).policy(Policy::FailFast);
        let (run, parent, children) = world.family_of(draft);
        // Both failed before the sweep came.
        world.fail_for_good(children[0]);
        world.fail_for_good(children[1]);
        world.settle();
        assert_eq!((world.state(parent), world.numbers(parent).cancelled), (State::Failed, 2));
        if bulk {
            let revived = world.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 1);
            assert_eq!((revived.tasks, revived.skipped), (4, 0));
        } else {
            let _ = world.revive(children[0]);
        }
        assert_eq!((world.task(parent).cancel_cause, world.state(parent)), (None, State::Running));
        world.writes_nothing(|| assert_eq!((world.sweep(), world.aggregate()), ((0, 0), (0, 0))));
        world.succeed(children[0]);
        if bulk {
            world.fail_for_good(children[1]);
            assert_eq!(
                world.task(parent).cancel_cause,
                Some(CancelCause::FailFast),
                "it fails fast as before"
            );
        }
        world.settle();
        assert_eq!((world.state(parent), world.run_state(run)), (State::Failed, State::Failed));
    }
}

pub fn revival_writes_events(world: &World<'_>) {
    let (run, parent, children) = world.family(1);
    world.fail_for_good(children[0]);
    world.aggregate();
    let seen = world.events().len();
    let _ = world.revive(children[0]);
    assert_eq!(world.event_names(seen), ["run.reopened", "task.reopened", "task.revived"]);
    let told: Vec<_> = world.events()[seen..].iter().map(|event| (event.run, event.task)).collect();
    assert_eq!(told, [(run, None), (run, Some(parent)), (run, Some(children[0]))]);
}

pub fn empty_revival_writes_nothing(world: &World<'_>) {
    let (run, parent, children) = world.family(2);
    for child in &children {
        world.succeed(*child);
    }
    world.aggregate();
    world.writes_nothing(|| {
        for below in [NodeId::Run(run), NodeId::Task(parent)] {
            let revived = world.revive_all(below, ReviveFilter::FailedAndCancelled, 1);
            assert_eq!((revived.tasks, revived.reopened, revived.skipped), (0, 0, 0));
        }
    });
}

pub fn unknown_cursor_is_rejected(world: &World<'_>) {
    let ((run, _), (_, stranger)) = (world.leaf(), world.leaf());
    for after in [stranger, TaskId::from_u128(1)] {
        let request = Revive::run(run, ReviveFilter::Failed, world.now()).after(after);
        let refused = world.store().revive(&request);
        assert!(
            matches!(refused, Err(ReviveError::NotFound(NodeId::Task(id))) if id == after),
            "{refused:?}"
        );
    }
}

pub fn revival_does_not_affect_claims(world: &World<'_>) {
    let hands = world.hands();
    let (run, roots) = world.run_of((0..4).map(|_| TaskDraft::new("A")));
    world.fail_for_good(roots[1]);
    world.cancel(roots[3]);
    let claimed = hands.claim("A", 10);
    assert_eq!(claimed.len(), 2);
    let revived = world.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 2);
    assert_eq!((revived.tasks, revived.reopened), (2, 0));
    for task in &claimed {
        hands.end(task, success());
    }
    assert_eq!(hands.claim("A", 10).len(), 2);
}
