//! Revive in bulk: all failed or cancelled leaves below a node, in bounded transactions.

use crate::Harness;
use crate::harness::test_engine::success;
use conductor_model::{RunDraft, State, TaskDraft, TaskId};
use conductor_store::{NodeId, Revive, ReviveError, ReviveFilter, ReviveOutcome, Scope};
use serde_json::json;

pub fn cancelled_parent_resumes_fan_out(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 5})));
    let _ = harness.fan_out_step(Scope::All, 2);
    harness.succeed(harness.child_ids(parent)[0]);
    let _ = harness.cancel_task(parent);
    harness.run_all_steps();
    let revived = harness.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (1, 2));
    assert_eq!(harness.fan_out(), 3);
    for child in &harness.child_ids(parent)[1..] {
        harness.succeed(*child);
    }
    harness.run_all_steps();
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Succeeded, State::Succeeded));
}

pub fn parent_cancelled_before_first_child_starts_again(harness: &Harness<'_>) {
    let due = harness.now().plus_millis(60_000);
    let drafts =
        [TaskDraft::new("P").input(json!({"fanout": 2})), TaskDraft::new("Q").input(json!({"fanout": 1}))];
    let [plain, delayed] = drafts;
    let (run, roots) = harness.submit_tasks([plain, delayed.due_at(due)]);
    let _ = harness.cancel_run(run);
    harness.run_all_steps();
    assert_eq!(harness.states(&roots), [State::Cancelled; 2]);
    let revived = harness.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (0, 3));
    assert_eq!(harness.fan_out(), 3);
    for root in roots {
        harness.child_ids(root).into_iter().for_each(|child| harness.succeed(child));
    }
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn cancelled_open_fan_out_reopens(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open().task(TaskDraft::new("P").open()));
    let parent = harness.roots(run)[0].id;
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    let _ = harness.cancel_run(run);
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Cancelled);
    let revived = harness.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (1, 2));
    harness.append(parent, 2, &["2"]).expect("append succeeds");
    harness.seal(parent, 2).expect("seal succeeds");
    harness.append_tasks(run, 2, [TaskDraft::new("A")]).expect("append succeeds");
    harness.seal_run(run, 2).expect("seal succeeds");
    let leaves = harness.tasks(run).into_iter().filter(|task| task.child_counts.is_none());
    leaves.for_each(|leaf| harness.succeed(leaf.id));
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn cancelled_run_with_successful_tasks_is_redecided(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open().task(TaskDraft::new("A")));
    harness.succeed(harness.roots(run)[0].id);
    let _ = harness.cancel_run(run);
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Cancelled);
    assert_eq!(harness.revive_all(NodeId::Run(run), ReviveFilter::Failed, 10), ReviveOutcome::default());
    let revived = harness.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (0, 1));
    harness.seal_run(run, 1).expect("seal succeeds");
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn run_cancelled_before_join_runs_join(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().join("J").task(TaskDraft::new("A")));
    harness.succeed(harness.roots(run)[0].id);
    let _ = harness.cancel_run(run);
    assert_eq!(harness.run_state(run), State::Cancelled);
    let revived = harness.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (0, 1));
    harness.aggregate();
    harness.succeed(harness.join_id(NodeId::Run(run)));
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn bulk_revival_is_bounded_per_transaction(harness: &Harness<'_>) {
    for limit in [0, 1, 2, 3, 7, 1000] {
        let tree = json!({"fanout": [{"fanout": 3}, {"fanout": [{"fanout": 2}, 0]}, 0]});
        let (run, roots) = harness.submit_tasks([TaskDraft::new("P").input(tree), TaskDraft::new("A")]);
        harness.fan_out();
        for leaf in harness.tasks(run).iter().filter(|task| task.child_counts.is_none()) {
            let name = leaf.name.as_str();
            harness.settle_leaf(
                leaf.id,
                match name {
                    "P#1#2" | "P#2#1#1" | "P#2#1#2" | "A" => State::Failed,
                    "P#2#2" => State::Cancelled,
                    _ => State::Succeeded,
                },
            );
        }
        harness.aggregate();
        let revived = harness.revive_all(NodeId::Run(run), ReviveFilter::Failed, limit);
        assert_eq!((revived.tasks, revived.reopened, revived.skipped), (4, 5, 0), "with a limit of {limit}");
        assert_eq!(harness.run(run).state_counts.pending, 4);
        assert_eq!(harness.state(roots[0]), State::Running);
        let rest = harness.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, limit);
        assert_eq!((rest.tasks, rest.reopened), (1, 0));
        harness
            .tasks(run)
            .iter()
            .filter(|task| task.state == State::Pending)
            .for_each(|task| harness.succeed(task.id));
        harness.run_all_steps();
        assert_eq!(harness.run_state(run), State::Succeeded);
    }
}

pub fn refailed_leaf_is_revived_once(harness: &Harness<'_>) {
    let (run, roots) = harness.submit_tasks((0..6).map(|_| TaskDraft::new("A")));
    for root in &roots {
        harness.fail_permanently(*root);
    }
    harness.aggregate();
    let mut request = Revive::All {
        below: NodeId::Run(run),
        which: ReviveFilter::Failed,
        cursor: None,
        limit: 2,
        now: harness.now(),
    };
    let (mut revived, mut pages) = (0, 0);
    loop {
        let page = harness.store().revive(&request).expect("revive succeeds");
        revived += page.tasks;
        pages += 1;
        let pending = roots.iter().filter(|root| harness.state(**root) == State::Pending);
        pending.for_each(|root| harness.fail_permanently(*root));
        harness.aggregate();
        let Some(next) = page.next else { break };
        request = request.after(next);
        assert!(pages < 10);
    }
    assert_eq!(revived, 6);
    assert_eq!(roots.iter().map(|root| harness.task(*root).attempt).sum::<u32>(), 12);
}

pub fn only_descendants_of_given_parent_are_revived(harness: &Harness<'_>) {
    for limit in [1, 2, 1000] {
        let tree = || json!({"fanout": [{"fanout": 2}, 0]});
        let names = ["P", "Q", "R"].map(|name| TaskDraft::new(name).input(tree()));
        let (run, roots) = harness.submit_tasks(names);
        harness.fan_out();
        let leaves = harness.tasks(run).into_iter().filter(|task| task.child_counts.is_none());
        leaves.for_each(|leaf| harness.fail_permanently(leaf.id));
        harness.aggregate();
        let revived = harness.revive_all(NodeId::Task(roots[1]), ReviveFilter::Failed, limit);
        assert_eq!((revived.tasks, revived.reopened), (3, 3), "with a limit of {limit}");
        assert_eq!(harness.states(&roots), [State::Failed, State::Running, State::Failed]);
        for task in harness.tasks(run).iter().filter(|task| task.child_counts.is_none()) {
            let expected = if task.name.as_str().starts_with('Q') { State::Pending } else { State::Failed };
            assert_eq!(task.state, expected, "{}", task.name);
        }
    }
}

pub fn cancelled_leaves_are_revived_on_request_only(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(3);
    harness.fail_permanently(children[0]);
    harness.report_cancelled(children[1]);
    harness.succeed(children[2]);
    harness.aggregate();
    let revived = harness.revive_all(NodeId::Run(run), ReviveFilter::Failed, 10);
    assert_eq!((revived.tasks, harness.state(children[1])), (1, State::Cancelled));
    harness.succeed(children[0]);
    harness.aggregate();
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Cancelled, State::Cancelled));
    let revived = harness.revive_all(NodeId::Task(parent), ReviveFilter::FailedAndCancelled, 10);
    assert_eq!((revived.tasks, revived.reopened), (1, 2));
}

pub fn empty_revival_writes_nothing(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(2);
    for child in &children {
        harness.succeed(*child);
    }
    harness.aggregate();
    harness.writes_nothing(|| {
        for below in [NodeId::Run(run), NodeId::Task(parent)] {
            let revived = harness.revive_all(below, ReviveFilter::FailedAndCancelled, 1);
            assert_eq!((revived.tasks, revived.reopened, revived.skipped), (0, 0, 0));
        }
    });
}

pub fn unknown_cursor_is_rejected(harness: &Harness<'_>) {
    let ((run, _), (_, foreign)) = (harness.submit_leaf(), harness.submit_leaf());
    for after in [foreign, TaskId::from_u128(1)] {
        let request = Revive::run(run, ReviveFilter::Failed, harness.now()).after(after);
        let rejected = harness.store().revive(&request);
        assert!(
            matches!(rejected, Err(ReviveError::NotFound(NodeId::Task(id))) if id == after),
            "{rejected:?}"
        );
    }
}

pub fn revival_does_not_affect_claims(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, roots) = harness.submit_tasks((0..4).map(|_| TaskDraft::new("A")));
    harness.fail_permanently(roots[1]);
    harness.report_cancelled(roots[3]);
    let claimed = engine.claim("A", 10);
    assert_eq!(claimed.len(), 2);
    let revived = harness.revive_all(NodeId::Run(run), ReviveFilter::FailedAndCancelled, 2);
    assert_eq!((revived.tasks, revived.reopened), (2, 0));
    for task in &claimed {
        engine.settle_one(task, success());
    }
    assert_eq!(engine.claim("A", 10).len(), 2);
}
