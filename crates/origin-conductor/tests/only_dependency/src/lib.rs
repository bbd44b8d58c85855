//! A program that depends on nothing but `origin-conductor` can name every type that it meets.
#![cfg(test)]

use origin_conductor::model::{RunReplay, transition_table};
use origin_conductor::prelude::*;
use origin_conductor::sqlite::rusqlite::Connection;
use origin_conductor::store::{Admin, Fence, Monitor, Page, Query, Store, StuckThreshold, TaskFilter};
use origin_conductor::{
    AppendError, AppendOutcome, Blocked, BuildError, CancelCause, CancelOutcome, ChildCounts, EngineStore,
    Environment, Event, EventBody, Explanation, Health, HealthReport, Json, Kind, NodeId, OutputError,
    Report, ReportOutcome, ReviveFilter, ReviveOutcome, Run, RunError, RunId, Scope, StateCounts,
    StateReason, StopHandle, Subscription, Task, TaskId, Timestamp, ValidationError, Warning,
};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn double(number: u32, _: Context) -> Result<u32, TaskError> {
    number.checked_mul(2).ok_or_else(|| TaskError::fatal("overflow"))
}

#[expect(clippy::needless_pass_by_value, reason = "a handler's form")]
fn sum(numbers: Children<u32>, _: Context) -> Result<u32, TaskError> {
    numbers.outputs().sum()
}

fn engine(warned: impl Fn(&Warning) + Send + Sync + 'static) -> Result<Engine, Box<dyn Error>> {
    let built: Result<Engine, BuildError> = Engine::builder(SqliteStore::open_in_memory()?)
        .handler("double", double)
        .handler("sum", sum)
        .environment(Environment::system())
        .on_warning(warned)
        .build();
    Ok(built?)
}

#[test]
fn program_names_types_of_whole_run() -> Outcome<()> {
    let engine = engine(|_| {})?;
    let store: &dyn EngineStore = engine.store();
    let stop: StopHandle = engine.stop_handle();
    let mut events: Subscription = engine.subscribe(0);

    let draft =
        RunDraft::new().task(TaskDraft::new("double").fan_out([1, 2]).policy(Policy::Ignore).join("sum"));
    let run: RunId = engine.submit(draft)?;
    let settled: Result<Run, RunError> = engine.run_until_settled(run);
    let settled = settled?;
    let (counts, of_run): (StateCounts, ChildCounts) = (settled.state_counts, settled.child_counts);
    assert_eq!((counts.succeeded, of_run.created), (3, 1)); // state counts leave the join out
    let cause: Option<CancelCause> = settled.cancel_cause;
    assert!(cause.is_none());

    let root: Task = engine.root_tasks(run)?.remove(0);
    let (id, kind, created_at): (TaskId, Kind, Timestamp) = (root.id, root.kind, root.created_at);
    let output: Result<Option<u32>, OutputError> = engine.output(id);
    assert_eq!((output?, kind.as_str()), (Some(6), "double"));
    assert!(created_at <= engine.environment().now());

    let event: Option<Event> = events.next_timeout(Duration::from_secs(10))?;
    let body: EventBody = event.ok_or("the submission has an event")?.body;
    assert_eq!(body.name(), "run.created");
    let why: Option<Explanation> = engine.explain(run)?;
    assert_eq!(*why.ok_or("the run exists")?.root_cause(), StateReason::Succeeded);
    let health: HealthReport = engine.health(Scope::All)?;
    assert_eq!(health.health, Health::Healthy);

    let page: Page<Task, TaskId> = Query::tasks(store, run, TaskFilter::default(), None, 10)?;
    assert_eq!(page.items.len(), 4);
    let no_fences: Vec<Fence> = Query::stale_claims(store, &[])?;
    assert!(no_fences.is_empty());
    assert!(Monitor::stuck(store, Scope::All, StuckThreshold::at(created_at), 10)?.is_empty());
    stop.stop();
    Ok(())
}

#[test]
fn program_names_types_of_requests() -> Outcome<()> {
    let engine = engine(|_| {})?;
    let run = engine
        .submit(RunDraft::new().tasks([TaskDraft::new("double").open(), TaskDraft::new("elsewhere")]))?;
    let roots = engine.root_tasks(run)?;
    let appended: Result<AppendOutcome, AppendError> = engine.append(roots[0].id, 1, [1]);
    assert_eq!(appended?.next_index, 2);
    let reported: Vec<ReportOutcome> = engine.report([Report::succeeded_with(roots[1].id, Json::of(&7)?)])?;
    assert_eq!(reported, [ReportOutcome::Applied]);
    let node: NodeId = run.into();
    let cancelled: CancelOutcome = engine.cancel(node, "not needed")?;
    assert_eq!(cancelled, CancelOutcome::Requested);
    assert_eq!(engine.run_until_settled(run)?.state, State::Cancelled);
    let revived: ReviveOutcome = engine.revive_all(run, ReviveFilter::Failed)?;
    assert_eq!(revived.tasks, 0);
    Ok(())
}

#[test]
fn blocked_run_names_its_external_task() -> Outcome<()> {
    let engine = engine(|_| {})?;
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("elsewhere")))?;
    let task = engine.root_tasks(run)?[0].id;
    assert_eq!(engine.report([Report::started(task)])?, [ReportOutcome::Applied]);
    let Err(RunError::Blocked(blocked)) = engine.run_until_settled(run) else { panic!("the run is blocked") };
    let Blocked { external_tasks, .. } = blocked;
    assert_eq!(external_tasks, [task]);
    Ok(())
}

fn needs_store<S: Store + Admin>(_: &S) {}

#[test]
fn modules_reach_lower_crates_and_rusqlite() -> Outcome<()> {
    let store = Arc::new(SqliteStore::open_in_memory()?);
    needs_store(&*store);
    assert!(transition_table().contains("SUCCEEDED"));
    assert_eq!(RunReplay::default().len(), 0);
    let issues: ValidationError = RunDraft::new().task(TaskDraft::new("a#b")).validate().unwrap_err();
    assert_eq!(issues.issues()[0].path, "tasks[0].name");
    let one: i64 = Connection::open_in_memory()?.query_row("SELECT 1", [], |row| row.get(0))?;
    assert_eq!(one, 1);
    Ok(())
}
