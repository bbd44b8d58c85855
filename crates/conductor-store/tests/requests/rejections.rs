//! Requests that do not fit the present rows: each has a clear error and writes nothing.

use crate::fixture::{
    CANCELLED, ENDED_RUN, FAILED, LEAF, OPEN_PARENT, OPEN_RUN, PARENT, RETRY_DUE, RUNNING, SEALED_RUN,
    SUCCEEDED, UNKNOWN, append_items, error_text, json, new_task, run, task,
};
use crate::support::TestStore;
use conductor_model::{IdBlock, Jitter, MAX_TASKS, RunDraft, TaskDraft, Timestamp};
use conductor_store::{
    Admin, Append, Cancel, NodeId, Report, ReportBatch, ReportOutcome, Revive, ReviveFilter, Seal, Store,
    Submit,
};

/// A request, and its error.
type Request = (fn(&TestStore) -> Result<(), String>, &'static str);

fn append_tasks(test: &TestStore, to: u128, first: u32, names: &[&str]) -> Result<(), String> {
    let tasks = names.iter().map(|name| new_task(name)).collect();
    error_text(test.store.append(&Append::tasks(run(to), first, tasks, &test.env)))
}

fn seal(test: &TestStore, parent: u128, children: u32) -> Result<(), String> {
    let seal = Seal { parent: NodeId::Task(task(parent)), children, now: test.env.now() };
    error_text(test.store.seal(&seal))
}

fn seal_run(test: &TestStore, parent: u128, children: u32) -> Result<(), String> {
    let seal = Seal { parent: NodeId::Run(run(parent)), children, now: test.env.now() };
    error_text(test.store.seal(&seal))
}

fn no_ids() -> IdBlock {
    IdBlock::new(1, 0).unwrap()
}

const SUBMISSIONS: &[Request] = &[
    (
        |test| test.submit_json(r#"{"idempotency_key": "used", "meta": "another"}"#),
        "run 00000000000000000000000002 has this idempotency key, but another payload; use another key, or submit the same payload",
    ),
    (
        |test| {
            let run = RunDraft::new().validate().unwrap();
            error_text(test.store.submit(&Submit { run, now: test.env.now(), ids: no_ids() }))
        },
        "0 ids are not enough for the submission; pass as many as `NewRun::ids_needed` returns",
    ),
    (
        |test| {
            let tasks = [TaskDraft::new("A"), TaskDraft::new("B").id(task(LEAF))];
            let run = RunDraft::new().meta(1).tasks(tasks).validate().unwrap();
            error_text(test.store.submit(&Submit::new(run, &test.env)))
        },
        "task 00000000000000000000000001 exists already; choose another id, or none",
    ),
];

const JOINS: &[Request] = &[
    (
        |test| {
            let run = RunDraft::new().id(run(UNKNOWN)).join("J").validate().unwrap();
            error_text(test.store.submit(&Submit { run, now: test.env.now(), ids: no_ids() }))
        },
        "0 ids are not enough for the submission; pass as many as `NewRun::ids_needed` returns",
    ),
    (
        |test| {
            let tasks = vec![TaskDraft::new("A").id(task(UNKNOWN)).open().join("J").validate().unwrap()];
            let (run, now) = (run(OPEN_RUN), test.env.now());
            error_text(test.store.append(&Append::Tasks { run, first_index: 2, tasks, now, ids: no_ids() }))
        },
        "0 ids are not enough for the append; pass one per task and one per join",
    ),
];

fn cancel(test: &TestStore, target: NodeId) -> Result<(), String> {
    error_text(test.store.cancel(&Cancel { target, reason: None, now: test.env.now() }))
}

fn revive(test: &TestStore, leaf: u128) -> Result<(), String> {
    error_text(test.store.revive(&Revive::leaf(task(leaf), test.env.now())))
}

const CANCELS: &[Request] = &[
    (
        |test| cancel(test, NodeId::Task(task(UNKNOWN))),
        "task 00000000000000000000000009 does not exist; check the id, or whether the run was pruned",
    ),
    (
        |test| cancel(test, NodeId::Run(run(UNKNOWN))),
        "run 00000000000000000000000009 does not exist; check the id, or whether the run was pruned",
    ),
    (
        |test| cancel(test, NodeId::Task(task(SUCCEEDED))),
        "task 00000000000000000000000003 is SUCCEEDED already; only open work can be cancelled",
    ),
    (
        |test| cancel(test, NodeId::Task(task(FAILED))),
        "task 00000000000000000000000004 is FAILED already; only open work can be cancelled",
    ),
    (
        |test| cancel(test, NodeId::Run(run(ENDED_RUN))),
        "run 00000000000000000000000003 is SUCCEEDED already; only open work can be cancelled",
    ),
];

const REVIVALS: &[Request] = &[
    (
        |test| revive(test, UNKNOWN),
        "task 00000000000000000000000009 does not exist; check the id, or whether the run was pruned",
    ),
    (
        |test| revive(test, PARENT),
        "task 00000000000000000000000008 is a parent; revive its failed children instead",
    ),
    (
        |test| revive(test, LEAF),
        "task 00000000000000000000000001 is PENDING; only permanently failed or cancelled tasks can be revived",
    ),
    (
        |test| revive(test, SUCCEEDED),
        "task 00000000000000000000000003 is SUCCEEDED; only permanently failed or cancelled tasks can be revived",
    ),
    (
        |test| revive(test, RETRY_DUE),
        "task 00000000000000000000000005 is FAILED with a retry scheduled; only permanently failed or cancelled tasks can be revived",
    ),
    (
        |test| {
            let request = Revive::run(run(UNKNOWN), ReviveFilter::Failed, test.env.now());
            error_text(test.store.revive(&request))
        },
        "run 00000000000000000000000009 does not exist; check the id, or whether the run was pruned",
    ),
    (
        |test| {
            let request = Revive::run(run(OPEN_RUN), ReviveFilter::Failed, test.env.now());
            error_text(test.store.revive(&request.after(task(FAILED))))
        },
        "task 00000000000000000000000004 does not exist; check the id, or whether the run was pruned",
    ),
];

const APPENDS: &[Request] = &[
    (
        |test| append_items(test, UNKNOWN, 1, &["1"]),
        "task 00000000000000000000000009 does not exist; check the id, or whether the run was pruned",
    ),
    (
        |test| append_items(test, LEAF, 1, &["1"]),
        "task 00000000000000000000000001 has no fan-out; only a task submitted as `open` gets children by append",
    ),
    (
        |test| append_items(test, PARENT, 3, &["1"]),
        "task 00000000000000000000000008 is sealed; start another run for more tasks",
    ),
    (|test| append_items(test, OPEN_PARENT, 0, &["1"]), "the append starts at index 0; the first index is 1"),
    (
        |test| append_items(test, OPEN_PARENT, 4, &["4"]),
        "the append starts at index 4, but the next index is 3; append from 3",
    ),
    (
        |test| append_items(test, OPEN_PARENT, u32::MAX, &["4"]),
        "the append starts at index 4294967295, but the next index is 3; append from 3",
    ),
    (
        |test| {
            let items = vec![json("1"); MAX_TASKS + 1];
            error_text(test.store.append(&Append::items(task(OPEN_PARENT), 3, items, &test.env)))
        },
        "100001 children are too many; at most 100000 per append",
    ),
    (
        |test| {
            let (parent, items, now) = (task(OPEN_PARENT), vec![json("1")], test.env.now());
            error_text(test.store.append(&Append::Items {
                parent,
                first_index: 3,
                items,
                now,
                ids: no_ids(),
            }))
        },
        "0 ids are not enough for the append; pass one per task and one per join",
    ),
    (
        |test| append_tasks(test, UNKNOWN, 1, &["B"]),
        "run 00000000000000000000000009 does not exist; check the id, or whether the run was pruned",
    ),
    (
        |test| append_tasks(test, SEALED_RUN, 9, &["B"]),
        "run 00000000000000000000000002 is sealed; start another run for more tasks",
    ),
    (
        |test| append_tasks(test, ENDED_RUN, 1, &["B"]),
        "run 00000000000000000000000003 is sealed; start another run for more tasks",
    ),
    (|test| append_tasks(test, OPEN_RUN, 0, &["B"]), "the append starts at index 0; the first index is 1"),
    (
        |test| append_tasks(test, OPEN_RUN, 3, &["B"]),
        "the append starts at index 3, but the next index is 2; append from 2",
    ),
    (
        |test| {
            let tasks = vec![new_task("B"), TaskDraft::new("C").id(task(LEAF)).validate().unwrap()];
            error_text(test.store.append(&Append::tasks(run(OPEN_RUN), 2, tasks, &test.env)))
        },
        "task 00000000000000000000000001 exists already; choose another id, or none",
    ),
];

const SEALS: &[Request] = &[
    (
        |test| seal(test, UNKNOWN, 0),
        "task 00000000000000000000000009 does not exist; check the id, or whether the run was pruned",
    ),
    (
        |test| seal(test, LEAF, 0),
        "task 00000000000000000000000001 has no fan-out; seal only a task submitted as `open`",
    ),
    (
        |test| seal(test, PARENT, 3),
        "task 00000000000000000000000008 is sealed with 2 children already, not 3; the number is final",
    ),
    (|test| seal(test, OPEN_PARENT, 1), "task 00000000000000000000000007 has 2 children, not 1: count again"),
    (
        |test| seal(test, OPEN_PARENT, 3),
        "task 00000000000000000000000007 has 2 children, not 3: append the missing ones first",
    ),
    (
        |test| seal_run(test, UNKNOWN, 0),
        "run 00000000000000000000000009 does not exist; check the id, or whether the run was pruned",
    ),
    (
        |test| seal_run(test, SEALED_RUN, 7),
        "run 00000000000000000000000002 is sealed with 8 root tasks already, not 7; the number is final",
    ),
    (
        |test| seal_run(test, ENDED_RUN, 1),
        "run 00000000000000000000000003 is sealed with 0 root tasks already, not 1; the number is final",
    ),
    (
        |test| seal_run(test, OPEN_RUN, 0),
        "run 00000000000000000000000001 has 1 root task, not 0: count again",
    ),
    (
        |test| seal_run(test, OPEN_RUN, 2),
        "run 00000000000000000000000001 has 1 root task, not 2: append the missing ones first",
    ),
];

const REPORTS: &[Request] = &[
    (
        |test| test.report_one(Report::succeeded(task(UNKNOWN))),
        "task 00000000000000000000000009 does not exist; check the id, or whether the run was pruned",
    ),
    (
        |test| test.report_one(Report::succeeded(task(PARENT))),
        "task 00000000000000000000000008 is a parent; report its children instead",
    ),
    (
        |test| test.report_one(Report::cancelled(task(OPEN_PARENT))),
        "task 00000000000000000000000007 is a parent; report its children instead",
    ),
    (|test| test.report_one(Report::started(task(LEAF)).for_attempt(0)), "stale: the attempt is 0"),
    (|test| test.report_one(Report::started(task(LEAF)).for_attempt(2)), "stale: the attempt is 0"),
    (
        |test| test.report_one(Report::succeeded(task(RUNNING)).for_attempt(u32::MAX)),
        "stale: the attempt is 1",
    ),
    (
        |test| test.report_one(Report::started(task(SUCCEEDED))),
        "task 00000000000000000000000003: start is not possible in state SUCCEEDED",
    ),
    (
        |test| test.report_one(Report::succeeded(task(SUCCEEDED))),
        "task 00000000000000000000000003: succeed is not possible in state SUCCEEDED",
    ),
    (
        |test| test.report_one(Report::succeeded_with(task(SUCCEEDED), json("1.0"))),
        "task 00000000000000000000000003: succeed is not possible in state SUCCEEDED",
    ),
    (
        |test| test.report_one(Report::failed(task(SUCCEEDED), "late")),
        "task 00000000000000000000000003: fail is not possible in state SUCCEEDED",
    ),
    (
        |test| test.report_one(Report::cancelled(task(SUCCEEDED))),
        "task 00000000000000000000000003: cancel is not possible in state SUCCEEDED",
    ),
    (
        |test| test.report_one(Report::started(task(FAILED))),
        "task 00000000000000000000000004: start is not possible in state FAILED",
    ),
    (
        |test| test.report_one(Report::failed(task(FAILED), "another reason")),
        "task 00000000000000000000000004: fail is not possible in state FAILED",
    ),
    (
        |test| test.report_one(Report::cancelled(task(FAILED))),
        "task 00000000000000000000000004: cancel is not possible in state FAILED",
    ),
    (
        |test| test.report_one(Report::succeeded(task(RETRY_DUE))),
        "task 00000000000000000000000005: succeed is not possible in state FAILED with a retry scheduled",
    ),
    (
        |test| test.report_one(Report::started(task(RETRY_DUE))),
        "task 00000000000000000000000005: start is not possible in state FAILED with a retry scheduled",
    ),
    (
        |test| test.report_one(Report::succeeded(task(CANCELLED))),
        "task 00000000000000000000000006: succeed is not possible in state CANCELLED",
    ),
    (
        |test| test.report_one(Report::failed(task(CANCELLED), "late")),
        "task 00000000000000000000000006: fail is not possible in state CANCELLED",
    ),
];

#[test]
fn rejected_request_writes_nothing() {
    let test = TestStore::with_example();
    let before = test.dump();
    let mut wrong = Vec::new();
    for (i, (request, error)) in
        [SUBMISSIONS, JOINS, APPENDS, SEALS, REPORTS, CANCELS, REVIVALS].concat().into_iter().enumerate()
    {
        let answer = request(&test).expect_err("the request is rejected");
        let is_unchanged = test.dump() == before;
        if answer != error || !is_unchanged {
            wrong.push(format!("{i}\n  {answer}\n  unchanged: {is_unchanged}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rejected_report_leaves_rest_of_batch_applied() {
    let test = TestStore::with_example();
    let reports = [Report::succeeded(task(UNKNOWN)), Report::succeeded(task(LEAF))];
    let request = ReportBatch { reports: reports.into(), now: Timestamp::MAX, jitter: Jitter(0) };
    let answers = test.store.report(&request).unwrap();
    assert!(matches!(answers[..], [ReportOutcome::Rejected(_), ReportOutcome::Applied]), "{answers:?}");
}
