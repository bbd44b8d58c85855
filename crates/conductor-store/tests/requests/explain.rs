//! Explanations find the blocking leaf among more tasks than they read.

use crate::support::TestStore;
use conductor_model::{
    ExplainTarget, Explanation, Policy, RunDraft, RunId, StateReason, Task, TaskDraft, TaskId,
};
use conductor_store::{Admin, Cancel, EventFilter, NodeId, Query, Report};
use serde_json::json;

/// Submits a run, creates all children and returns the run with its root tasks.
fn submit_run(test: &TestStore, tasks: impl IntoIterator<Item = TaskDraft>) -> (RunId, Vec<Task>) {
    let run = test.submit(&RunDraft::new().tasks(tasks));
    test.fan_out_all(10_000);
    let roots = test.tasks(run).into_iter().filter(|task| task.parent.is_none()).collect();
    (run, roots)
}

fn children(test: &TestStore, parent: &Task) -> Vec<TaskId> {
    let children = test.tasks(parent.run).into_iter().filter(|task| task.parent == Some(parent.id));
    children.map(|task| task.id).collect()
}

/// Reports, and decides the parents.
fn report(test: &TestStore, reports: impl IntoIterator<Item = Report>) {
    test.report(reports);
    test.aggregate_all();
}

fn explain(test: &TestStore, target: impl Into<NodeId>) -> Explanation {
    test.store.explain(target.into(), test.env.now()).unwrap().unwrap()
}

/// The names of the tasks in the chain of causes.
fn names(explanation: &Explanation) -> Vec<String> {
    let (mut names, mut next) = (Vec::new(), explanation.caused_by.as_ref());
    while let Some(cause) = next {
        let ExplainTarget::Task { name, .. } = &cause.target else { panic!("{explanation}") };
        names.push(name.to_string());
        next = cause.caused_by.as_ref();
    }
    names
}

fn parent(name: impl AsRef<str>, children: u32) -> TaskDraft {
    TaskDraft::new(name).input(json!({ "fanout": children }))
}

/// Submits 1,000 parents of one child each. The children of the chosen parents succeed.
fn many_parents(test: &TestStore, succeeds: impl Fn(usize) -> bool) -> RunId {
    let (run, roots) = submit_run(test, (0..1000).map(|i| parent(format!("p{i}"), 1).kind("b")));
    let chosen: Vec<_> =
        roots.iter().enumerate().filter(|(i, _)| succeeds(*i)).map(|(_, root)| root.id).collect();
    let is_chosen = |leaf: &Task| leaf.parent.is_some_and(|parent| chosen.contains(&parent));
    let leaves = test.tasks(run).into_iter().filter(is_chosen);
    report(test, leaves.map(|leaf| Report::succeeded(leaf.id)));
    run
}

#[test]
fn open_parent_behind_many_is_found() {
    let test = TestStore::new();
    let run = many_parents(&test, |i| i < 950);
    assert_eq!(names(&explain(&test, run)), ["p950", "p950#1"]);
}

#[test]
fn open_parent_in_middle_is_found() {
    let test = TestStore::new();
    let run = many_parents(&test, |i| i != 480);
    assert_eq!(names(&explain(&test, run)), ["p480", "p480#1"]);
}

#[test]
fn ready_leaf_behind_other_parent_is_found() {
    let test = TestStore::new();
    let (_, roots) = submit_run(&test, [parent("big", 1000).kind("k"), parent("small", 900).kind("k")]);
    let children = children(&test, &roots[1]);
    let succeed = |from: usize, to: usize| {
        report(&test, children[from..to].iter().map(|leaf| Report::succeeded(*leaf)));
    };
    succeed(0, 320);
    assert_eq!(names(&explain(&test, roots[1].id)), ["small#321"]);
    succeed(400, 900);
    assert_eq!(names(&explain(&test, roots[1].id)), ["small#321"]);
    succeed(320, 399);
    assert_eq!(names(&explain(&test, roots[1].id)), ["small#400"]);
    // Isolated tasks have an index of their own.
    test.execute(
        "UPDATE conductor_ranges SET lease_losses = 2 WHERE state = 0 \
         AND block IN (SELECT block FROM conductor_blocks WHERE parent = 2048)",
    )
    .unwrap();
    assert_eq!(names(&explain(&test, roots[1].id)), ["small#400"]);
    report(&test, [Report::started(children[399])]);
    assert_eq!(names(&explain(&test, roots[1].id)), ["small#400"]);
    report(&test, [Report::failed(children[399], "no")]);
    assert!(matches!(explain(&test, roots[1].id).root_cause(), StateReason::RetryDue { .. }));
}

#[test]
fn failure_among_many_tolerated_is_found() {
    let test = TestStore::new();
    let tolerated = parent("tolerated", 1500).policy(Policy::Ignore);
    let (run, roots) = submit_run(&test, [tolerated, parent("strict", 900)]);
    let failed = children(&test, &roots[0]);
    for failed in failed.chunks(500) {
        report(&test, failed.iter().map(|leaf| Report::failed_permanently(*leaf, "bad")));
    }
    let others = children(&test, &roots[1]);
    let report_end = |(i, leaf): (usize, &TaskId)| match i {
        450 => Report::failed_permanently(*leaf, "worse"),
        _ => Report::succeeded(*leaf),
    };
    report(&test, others.iter().enumerate().map(report_end));
    let explanation = explain(&test, run);
    assert_eq!(names(&explanation), ["strict", "strict#451"], "{explanation}");
}

#[test]
fn search_beyond_limit_is_reported() {
    let test = TestStore::new();
    // Leaves share rows, and each child that is a parent has one of its own.
    let items = vec![json!({"fanout": 1}); 2100];
    let (run, roots) = submit_run(&test, [TaskDraft::new("root").input(json!({ "fanout": items }))]);
    let children = children(&test, &roots[0]);
    let leaves = test.tasks(run).into_iter().filter(|task| task.child_counts.is_none());
    let done = leaves.filter(|leaf| leaf.parent != Some(children[1050]));
    report(&test, done.map(|leaf| Report::succeeded(leaf.id)));
    let explanation = explain(&test, roots[0].id);
    assert_eq!(
        (explanation.reason.clone(), explanation.caused_by.clone()),
        (StateReason::WaitingForChildren { open: 1, children: 2100 }, None)
    );
    assert!(
        explanation
            .to_string()
            .ends_with("; the child that causes this was not found among the searched children"),
        "{explanation}"
    );
}

#[test]
fn cancelled_leaf_among_many_is_found() {
    let test = TestStore::new();
    let (run, roots) = submit_run(&test, (0..900).map(|i| parent(format!("p{i}"), 1)));
    let leaf = children(&test, &roots[450])[0];
    let cancel = Cancel::task(leaf, test.env.now()).reason("bad data");
    let _ = test.store.cancel(&cancel).unwrap();
    let others = test.tasks(run).into_iter().filter(|task| task.parent.is_some() && task.id != leaf);
    report(&test, others.map(|leaf| Report::succeeded(leaf.id)));
    let explanation = explain(&test, run);
    assert_eq!(names(&explanation), ["p450", "p450#1"], "{explanation}");
    assert!(explanation.to_string().ends_with("cancelled on request: bad data"), "{explanation}");
}

/// Cancels leaves one by one at this interval, and returns the explanation of each.
fn cancel_one_by_one(test: &TestStore, count: u32, interval_ms: u64) -> Vec<String> {
    let (_, roots) = submit_run(test, [parent("p", count)]);
    let leaves = children(test, &roots[0]);
    for (i, leaf) in (0..).zip(&leaves) {
        let now = test.env.now().plus_millis(i * interval_ms);
        let _ = test.store.cancel(&Cancel::task(*leaf, now).reason("bad data")).unwrap();
    }
    leaves.iter().map(|leaf| explain(test, *leaf).reason.to_string()).collect()
}

#[test]
fn cancel_reason_is_found_by_time() {
    for interval_ms in [0, 1] {
        let reasons = cancel_one_by_one(&TestStore::new(), 1202, interval_ms);
        assert!(reasons.iter().all(|reason| reason == "cancelled on request: bad data"), "{reasons:?}");
    }
}

#[test]
fn unknown_cancel_reason_is_omitted() {
    let test = TestStore::new();
    let (run, roots) = submit_run(&test, [parent("p", 3)]);
    let leaves = children(&test, &roots[0]);
    let _ = test.store.cancel(&Cancel::task(leaves[0], test.env.now()).reason("bad data")).unwrap();
    let event = test.store.events(EventFilter { run: Some(run), ..EventFilter::default() }, 0, 100).unwrap();
    let event = event.items.into_iter().find(|event| event.body.name() == "task.cancelled").unwrap();
    test.execute(&format!("DELETE FROM conductor_events WHERE key = {}", event.seq / 1024)).unwrap();
    assert_eq!(explain(&test, leaves[0]).reason.to_string(), "it was cancelled");
}
