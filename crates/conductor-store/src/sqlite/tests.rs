//! Query plans of frequent statements: each must find its rows through an index.

mod cost;
mod cost_of_marks;
mod plans;
mod progress;

use super::{
    SqliteStore, aggregate, children, claim, create, event_log, fan_out, lease, ledger, monitor, promote,
    prune, query, report, rescue, retry, submit, submit_in, task_row, transit,
};
use crate::{
    Admin, Append, AttemptResult, Cancel, Claim, EngineKey, Environment, EventFilter, FanOut, Fence,
    KindQuota, Monitor, NodeId, Prune, Query, RecordProgress, RegisterEngine, Release, Renew, Repair, Report,
    ReportBatch, Rescue, Revive, ReviveFilter, RotationCursor, Scope, Seal, Settle, Step, Store,
    StuckThreshold, Submit, TaskFilter, Verify,
};
use conductor_model::{
    AttemptFailure, Jitter, JoinDraft, Policy, Progress, RunDraft, State, TaskDraft, Timestamp,
};
use rusqlite::Connection;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The lines of EXPLAIN QUERY PLAN.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let unbound = rusqlite::params_from_iter((0..statement.parameter_count()).map(|_| rusqlite::types::Null));
    let lines = statement.query_map(unbound, |row| row.get(3)).unwrap();
    lines.map(|line: rusqlite::Result<String>| line.unwrap().replace("COVERING ", "")).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of statements")]
fn hot_statements_use_index_without_sorting() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let connection = writer.as_ref().unwrap();
    let (tasks, children) = (query::tasks_sql(), query::children_sql());
    let (events, events_of_run) = (query::events_sql(false), query::events_sql(true));
    let statements = [
        (
            "runs to fan out in",
            fan_out::NEXT_RUN,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_wants (wants=? AND run>? AND run<?)",
        ),
        (
            "parents to fan out",
            fan_out::TO_FAN_OUT,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_wants (wants=? AND run=?)",
        ),
        (
            "parents to decide",
            aggregate::PARENTS_TO_DECIDE,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_wants (wants=? AND run>? AND run<?)",
        ),
        (
            "runs to decide",
            aggregate::RUNS_TO_DECIDE,
            "SEARCH conductor_runs USING INDEX conductor_runs_wants (wants=? AND rowid>? AND rowid<?)",
        ),
        (
            "retries that are due",
            retry::RETRY_DUE,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_due (state=? AND due_at<?)",
        ),
        (
            "retries of a clock that jumped",
            retry::RETRY_JUMPED,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_due (state=? AND due_at>?)",
        ),
        (
            "starts that are due",
            promote::START_DUE,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_due (state=? AND due_at<?)",
        ),
        (
            "a task by its id",
            task_row::SELECT_BY_ID,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_id (id=?)",
        ),
        (
            "a task by its key",
            task_row::SELECT_BY_KEY,
            "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        ("a transition", transit::UPDATE, "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)"),
        ("a promotion", promote::PROMOTE, "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)"),
        ("a sign of life", report::TOUCH, "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            "a parent's numbers",
            ledger::SELECT_PARENT,
            "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            "writing a parent's numbers",
            ledger::UPDATE_PARENT,
            "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        ("a run's numbers", ledger::SELECT_RUN, "SEARCH conductor_runs USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            "writing a run's numbers",
            ledger::UPDATE_RUN,
            "SEARCH conductor_runs USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        ("an idempotency key", submit::SELECT_BY_IDEMPOTENCY_KEY, "(idempotency_key=?)"),
        (
            "the tasks of a run",
            &tasks,
            "SEARCH t USING INDEX conductor_tasks_place (run=? AND (parent,ordinal)>(?,?))",
        ),
        (
            "the children of a parent",
            &children,
            "SEARCH t USING INDEX conductor_tasks_place (run=? AND parent=? AND ordinal>?)",
        ),
        ("events", &events, "SEARCH e USING INTEGER PRIMARY KEY (rowid>?)"),
        (
            "the events of a run",
            &events_of_run,
            "SEARCH e USING INDEX conductor_events_run (run=? AND rowid>?)",
        ),
    ];
    for (what, sql, expected) in statements {
        let plan = plan(connection, sql);
        assert!(plan.iter().any(|line| line.contains(expected)), "{what}: {plan:#?}");
        let bad = plan.iter().find(|line| line.contains("SCAN") || line.contains("TEMP B-TREE"));
        assert_eq!(bad, None, "{what}: {plan:#?}");
    }
}

/// Row keys that a statement is given as one parameter show as a virtual table that is read whole.
const GIVEN_KEYS: &str = "SCAN rarray VIRTUAL TABLE";

#[test]
fn claim_statements_use_index_without_sorting() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let connection = writer.as_ref().unwrap();
    let by_key = "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)";
    let running = "SEARCH conductor_tasks USING INDEX conductor_tasks_running";
    let statements = [
        (
            "the next run",
            claim::NEXT_RUN,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_ready (kind=? AND run>?)",
        ),
        (
            "ready leaves",
            claim::SELECT_READY,
            "SEARCH t USING INDEX conductor_tasks_ready (kind=? AND run=?)",
        ),
        (
            "a leaf that is run alone",
            claim::SELECT_ALONE,
            "SEARCH t USING INDEX conductor_tasks_alone (kind=?)",
        ),
        ("what fences name", task_row::SELECT_BY_KEYS, by_key),
        ("a transition of many", transit::UPDATE_LEAVES, by_key),
        ("a renewal", lease::RENEW, by_key),
        ("leases that are over", rescue::LEASE_OVER, running),
        ("leases of a clock that jumped", rescue::LEASE_JUMPED, running),
        ("what engines hold", rescue::HELD_BY, running),
        ("what one engine holds", query::HELD, running),
        ("a delayed start or a retry", query::NEXT_DUE, "USING INDEX conductor_tasks_due (state=?"),
        ("the end of a lease", query::NEXT_DUE, "USING INDEX conductor_tasks_running (lease_until>?)"),
    ];
    for (what, sql, expected) in statements {
        let plan = plan(connection, sql);
        assert!(plan.iter().any(|line| line.contains(expected)), "{what}: {plan:#?}");
        let scans = |line: &&String| line.contains("SCAN") && !line.starts_with(GIVEN_KEYS);
        let bad = plan.iter().find(|line| scans(line) || line.contains("TEMP B-TREE"));
        assert_eq!(bad, None, "{what}: {plan:#?}");
    }
    let leaves = plan(connection, event_log::INSERT_LEAVES);
    assert!(leaves.iter().all(|line| line.starts_with(GIVEN_KEYS)), "{leaves:#?}");
}

#[test]
fn insert_reads_only_its_values() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let connection = writer.as_ref().unwrap();
    for insert in [create::INSERT_TASK, create::INSERT_INPUT, event_log::INSERT] {
        assert_eq!(plan(connection, insert), Vec::<String>::new());
    }
    for insert in [children::insert_tasks_sql(256), children::insert_inputs_sql(256)] {
        assert_eq!(plan(connection, &insert), ["SCAN 256-ROW VALUES CLAUSE"]);
    }
}

thread_local! {
    /// The statements that this thread has run.
    static SEEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// A statement goes to SQLite.
pub(super) fn seen(sql: &str) {
    SEEN.with_borrow_mut(|seen| seen.insert(sql.into()));
}

/// Asks everything of a store once.
fn use_everything(store: &SqliteStore) -> Result<(), Box<dyn std::error::Error>> {
    let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000)?, 1);
    let (scope, now) = (Scope::All, env.now());
    let items = TaskDraft::new("items").input(json!({"fanout": ["a", {"fanout": 2}]}));
    let delayed = TaskDraft::new("delayed").due_at(now).max_retries(1);
    let draft =
        RunDraft::new().idempotency_key("k").meta(1).tasks([items, delayed, TaskDraft::new("open").open()]);
    let run = store.submit(&Submit::new(draft.open().validate()?, &env))?.run;
    let roots = store.tasks(run, TaskFilter::default(), None, 10)?.items;
    let task = TaskDraft::new("appended").validate()?;
    store.append(&Append::tasks(run, 4, vec![task], &env))?;
    store.append(&Append::items(roots[2].id, 1, vec!["1".parse()?], &env))?;
    store.seal(&Seal { parent: NodeId::Task(roots[2].id), children: 1, now })?;
    store.seal(&Seal { parent: NodeId::Run(run), children: 4, now })?;
    let step = Step { scope: Scope::Run(run), now, limit: 100 };
    while store.fan_out(&FanOut::new(scope, 100, &env))?.more {}
    assert_eq!(store.promote(&step)?.changed, 1);
    let fail =
        [Report::started(roots[1].id), Report::started(roots[1].id), Report::failed(roots[1].id, "no")];
    store.report(&ReportBatch::new(fail.clone().into_iter().chain(fail), &env))?;
    assert_eq!(store.retry(&step)?.changed, 1);
    let all = store.tasks(run, TaskFilter::default(), Some(roots[0].id), 100)?.items;
    let done = all.iter().map(|task| Report::succeeded(task.id));
    store.report(&ReportBatch::new(done.clone().chain(done), &env))?;
    while store.aggregate(&step)?.more {}
    assert_eq!(store.run(run)?.map(|run| run.state), Some(State::Succeeded));
    store.runs(Some(run), 1)?;
    store.task(roots[0].id)?;
    store.children(roots[0].id, 0, 1)?;
    for parent in [NodeId::Run(run), NodeId::Task(roots[0].id)] {
        store.child_outputs(parent, 0, 10)?;
        store.child_failures(parent, 0, 10)?;
        store.explain(parent, now)?;
    }
    for filter in [EventFilter::default(), EventFilter { task: Some(roots[1].id), ..EventFilter::default() }]
    {
        store.events(filter, 0, 10)?;
    }
    for scope in [Scope::All, Scope::Run(run)] {
        store.state_counts(scope)?;
        store.health(scope, StuckThreshold::at(now))?;
        store.stuck(scope, StuckThreshold::at(now), 10)?;
        store.retry_metrics(scope)?;
    }
    store.summary(run, StuckThreshold::at(now))?;
    store.eta(run, now)?;
    assert_eq!(store.verify(&Verify::all())?.found, 0);
    assert_eq!(store.repair(&Repair::all(&env))?.runs, 1);
    let mut writer = store.lock_writer();
    let tx = writer.as_mut().ok_or("no writer")?.transaction()?;
    submit_in(&tx, &Submit::new(RunDraft::new().validate()?, &env))?;
    Ok(tx.rollback()?)
}

/// Works on leaves by claims, in every way.
fn use_claims(store: &SqliteStore) -> Result<(), Box<dyn std::error::Error>> {
    let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000)?, 2);
    let (now, jitter) = (env.now(), Jitter(0));
    let children = TaskDraft::new("children").kind("claimed").fan_out(["a", "b", "c"]).max_retries(1);
    let counted = TaskDraft::new("counted").kind("claimed").input(json!({"fanout": 2}));
    let draft = RunDraft::new().tasks([children, counted, TaskDraft::new("claimed")]);
    store.submit(&Submit::new(draft.validate()?, &env))?;
    while store.fan_out(&FanOut::new(Scope::All, 100, &env))?.more {}
    let registration = store.register_engine(&RegisterEngine::new(&env))?;
    let claim = claim_of(registration.key(), "claimed", 2, now);
    let at_once = RunDraft::new().task(TaskDraft::new("at once"));
    let at_once = Submit::new(at_once.validate()?, &env);
    let (_, claimed) = store.submit_and_claim(&at_once, &claim_of(registration.key(), "at once", 1, now))?;
    let fence = claimed.tasks[0].fence;
    let _ = store.settle(&Settle::new(vec![(fence, AttemptResult::Succeeded { output: None })], &env))?;
    let claimed = store.claim(&claim)?.tasks;
    let fences: Vec<_> = claimed.iter().map(|task| task.fence).collect();
    assert_eq!(store.unknown_claims(registration.key(), &fences[1..], 10)?, fences[..1]);
    let progress = |fence: &Fence| (*fence, Progress { done: 1, total: None, message: "one".into() });
    let _ = store.record_progress(&RecordProgress { items: fences.iter().map(progress).collect(), now })?;
    store.task_progress(fences[0].task)?;
    store.run_progress(claimed[0].run, None, 10)?;
    let _ = store.renew(&Renew { fences: fences.clone(), lease_ms: 1000, now })?;
    let _ = store.release(&Release { fences, now })?;
    let mut fences = store.claim(&claim_of(registration.key(), "claimed", 4, now))?.tasks;
    assert_eq!(fences.len(), 4);
    let endings = [
        AttemptResult::Succeeded { output: None },
        AttemptResult::Succeeded { output: Some("1".parse()?) },
        AttemptResult::Failed(AttemptFailure::TimedOut),
    ];
    let endings = fences.drain(..3).map(|task| task.fence).zip(endings).collect();
    let settled = store.settle(&Settle { results: endings, claim: Some(claim), now, jitter })?;
    assert_eq!(settled.claimed.tasks.len(), 2);
    drop(registration);
    assert_eq!(store.rescue(&Rescue { now, limit: 100, jitter })?.changed, 3);
    store.change_token()?;
    store.next_due()?;
    while store.prune(&Prune { settled_before: Timestamp::MAX, limit: 5 })?.more {}
    Ok(())
}

/// Cancels, expires, joins and revives, in every way.
fn use_marks(store: &SqliteStore) -> Result<(), Box<dyn std::error::Error>> {
    let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000)?, 3);
    let (scope, now) = (Scope::All, env.now());
    let step = Step { scope, now: now.plus_millis(1000), limit: 100 };
    let nested = json!({"fanout": [{"fanout": 2}, 0, 0]});
    let parent = || TaskDraft::new("marked").policy(Policy::FailFast).join(JoinDraft::new("join"));
    let tasks = [parent().input(&nested), parent().open(), TaskDraft::new("leaf")];
    let draft = RunDraft::new().policy(Policy::Ignore).join("join").deadline_ms(1000).tasks(tasks);
    let run = store.submit(&Submit::new(draft.validate()?, &env))?.run;
    while store.fan_out(&FanOut::new(scope, 100, &env))?.more {}
    let roots = store.tasks(run, TaskFilter::default(), None, 3)?.items;
    let children = store.children(roots[0].id, 0, 10)?.items;
    store.report(&ReportBatch::new([Report::failed_permanently(children[1].id, "no")], &env))?;
    let _ = store.cancel(&Cancel::task(roots[1].id, now))?;
    let _ = store.cancel(&Cancel::task(roots[2].id, now).reason("a reason"))?;
    assert_eq!(store.expire(&step)?.changed, 1);
    while store.sweep(&step)?.more {}
    while store.aggregate(&step)?.more {}
    assert_eq!(store.run(run)?.map(|run| run.state), Some(State::Cancelled));
    let _ = store.revive(&Revive::leaf(children[1].id, now))?;
    let below = Revive::below(roots[0].id, ReviveFilter::FailedAndCancelled, now);
    let revived = store.revive(&below)?;
    let _ = store.revive(&below.after(revived.next.unwrap_or(children[0].id)))?;
    let _ = store.revive(&Revive::run(run, ReviveFilter::FailedAndCancelled, now))?;
    store.seal(&Seal { parent: NodeId::Task(roots[1].id), children: 0, now })?;
    // The children, the joins of their parents, the join of the run.
    for _ in 0..4 {
        for of in [NodeId::Task(roots[0].id), NodeId::Task(roots[1].id), NodeId::Run(run)] {
            store.explain(of, now)?;
        }
        let open = store.tasks(run, TaskFilter { state: Some(State::Pending) }, None, 100)?.items;
        let leaves = open.iter().filter(|task| task.child_counts.is_none());
        store.report(&ReportBatch::new(leaves.map(|task| Report::succeeded(task.id)), &env))?;
        while store.aggregate(&step)?.more {}
    }
    assert_eq!(store.run(run)?.map(|run| run.state), Some(State::Succeeded));
    use_joins_that_are_cancelled(store, &env)
}

fn use_joins_that_are_cancelled(
    store: &SqliteStore,
    env: &Environment,
) -> Result<(), Box<dyn std::error::Error>> {
    let now = env.now();
    let step = Step { scope: Scope::All, now, limit: 100 };
    let run = RunDraft::new().join("join").task(TaskDraft::new("empty").open().join("join"));
    let run = store.submit(&Submit::new(run.validate()?, env))?.run;
    let parent = store.tasks(run, TaskFilter::default(), None, 1)?.items.remove(0).id;
    store.seal(&Seal { parent: NodeId::Task(parent), children: 0, now })?;
    while store.aggregate(&step)?.more {}
    let _ = store.cancel(&Cancel::run(run, now))?;
    while store.sweep(&step)?.more {}
    while store.aggregate(&step)?.more {}
    let _ = store.revive(&Revive::run(run, ReviveFilter::FailedAndCancelled, now))?;
    assert_eq!(store.run(run)?.map(|run| run.state), Some(State::Running));
    Ok(())
}

fn claim_of(holder: EngineKey, kind: &str, limit: u32, now: Timestamp) -> Claim {
    let wants = vec![KindQuota { kind: kind.parse().unwrap(), limit, cursor: RotationCursor::default() }];
    Claim { engine: holder, quotas: wants, limit, lease_ms: 1000, allow_isolated: true, now }
}

#[test]
fn no_statement_scans_growing_tables() {
    let store = SqliteStore::open_in_memory().unwrap();
    SEEN.with_borrow_mut(BTreeSet::clear);
    use_everything(&store).unwrap();
    use_claims(&store).unwrap();
    use_marks(&store).unwrap();
    let statements = SEEN.with_borrow(Clone::clone);
    assert!(statements.len() > 55, "{} statements", statements.len());
    let writer = store.lock_writer();
    // What may be read whole: what was found to be stuck (s), the engines, keys that were given, indexes of what is few.
    let few = [
        GIVEN_KEYS,
        "SCAN conductor_engines",
        "SCAN conductor_kinds",
        "SCAN conductor_pruned",
        // What running tasks report of their progress.
        "SCAN reported",
        // What is open in a part of an index, and what is above it.
        "SCAN above",
        // The first thousand of an index.
        "SCAN overdue",
        "SCAN s",
        "SCAN (subquery",
        "SCAN CONSTANT ROW",
        "ROW VALUES CLAUSE",
        "INDEX conductor_runs_",
        "INDEX conductor_tasks_retried",
        "INDEX conductor_tasks_wants",
    ];
    // Each of these reads what it is asked for: the tallies of all runs, and the tasks of a run that is removed.
    let a_run = "conductor_tasks USING INDEX conductor_tasks_place (run=?)";
    let removed = format!("SEARCH {a_run}");
    let whole = [(query::TALLY, "SCAN conductor_runs"), (prune::TASKS, &removed)];
    for sql in statements {
        let plan = plan(writer.as_ref().unwrap(), &sql);
        let allowed = whole.iter().find(|(statement, _)| sql == *statement).map(|(_, line)| *line);
        let bad = |line: &&String| {
            let scans = line.contains("SCAN") && !few.iter().any(|few| line.contains(few));
            (scans || line.ends_with(a_run)) && allowed != Some(line.as_str())
        };
        assert_eq!(plan.iter().find(bad), None, "{sql}\n{plan:#?}");
        // Only what is stuck is sorted, to show the longest first.
        let sorts = plan.iter().any(|line| line.contains("TEMP B-TREE")) && sql != monitor::stuck_sql();
        assert!(!sorts, "{sql}\n{plan:#?}");
    }
}
