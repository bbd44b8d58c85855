//! When `run_until_settled` returns, and when it continues to wait.

use crate::support::fixture::{Fixture, settle, try_settle};
use crate::support::gate::new_gate;
use crate::support::waiting::wait_until;
use conductor_model::{Backoff, Json, RunDraft, State, TaskDraft};
use conductor_store::{Append, NodeId, Report, Seal, Store, SubmitError};
use conductor_workers::{Blocked, Context, Engine, EngineBuilder, RunError, TaskError};
use serde_json::json;
use std::thread;
use std::time::Duration;

/// Builds an engine that handles `work` and ignores warnings.
fn engine_for_work(fixture: &Fixture) -> EngineBuilder {
    fixture.engine().handler("work", |(): (), _| Ok(())).on_warning(|_| {})
}

fn blocked(error: RunError) -> Blocked {
    match error {
        RunError::Blocked(blocked) => blocked,
        other => panic!("{other}"),
    }
}

#[test]
fn wait_ends_with_unhandled_kinds_named() {
    let fixture = Fixture::new();
    let engine = engine_for_work(&fixture).build().unwrap();
    let run = fixture.submit_all(["work", "paint", "print"].map(TaskDraft::new));
    let blocked = blocked(try_settle(&engine, run).unwrap_err());
    let kinds: Vec<_> = blocked.unhandled_kinds.iter().map(conductor_model::Kind::as_str).collect();
    assert_eq!((blocked.run, kinds.as_slice()), (run, ["paint", "print"].as_slice()));
    assert_eq!(
        blocked.to_string(),
        format!(
            "run {run} is blocked: this engine has no handler for kinds \"paint\", \"print\"; register a handler, or \
             call wait_for_external_work() if another engine handles them"
        )
    );
    assert_eq!(fixture.first_task(run).state, State::Succeeded);
}

#[test]
fn blocked_run_is_awaited_until_deadline() {
    let fixture = Fixture::new();
    let engine = engine_for_work(&fixture).build().unwrap();
    let run = engine.submit(RunDraft::new().deadline_ms(300).task(TaskDraft::new("paint"))).unwrap();
    assert_eq!(engine.run_until_settled(run).unwrap().state, State::Cancelled);
}

#[test]
fn wait_ends_with_external_tasks_named() {
    let fixture = Fixture::new();
    let engine = engine_for_work(&fixture).build().unwrap();
    let run = fixture.submit_all([TaskDraft::new("held").kind("work"), TaskDraft::new("work")]);
    let held = fixture.first_task(run).id;
    fixture.start_externally(held);
    let blocked = blocked(try_settle(&engine, run).unwrap_err());
    assert_eq!((blocked.external_tasks.as_slice(), blocked.unhandled_kinds.len()), ([held].as_slice(), 0));
    assert!(blocked.to_string().ends_with(&format!("another program runs {held}")), "{blocked}");
    fixture.report(Report::succeeded(held));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn blocked_error_lists_at_most_ten_kinds() {
    let fixture = Fixture::new();
    let (gate, waiter) = new_gate();
    let engine = fixture
        .engine()
        .workers(1)
        .handler("zzz", |(): (), _| Ok(()))
        .handler("busy", move |(): (), _| {
            waiter.wait();
            Ok(())
        })
        .on_warning(|_| {})
        .build()
        .unwrap();
    let other = fixture.submit(TaskDraft::new("busy"));
    engine.start();
    wait_until("the worker is busy", || fixture.first_task(other).state == State::Running);
    // Thirty kinds without a handler. The last kind has one, and waits for the worker.
    let kinds = (0..30).map(|n| format!("kind {n}")).chain(["zzz".to_owned()]);
    let run = fixture.submit_all(kinds.map(TaskDraft::new));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| try_settle(&engine, run));
        thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished(), "the handled kind was missed");
        gate.open();
        assert_eq!(blocked(waiting.join().unwrap().unwrap_err()).unhandled_kinds.len(), 10);
    });
    assert_eq!(fixture.tasks(run).pop().unwrap().state, State::Succeeded);
}

#[test]
fn wait_includes_external_work_when_configured() {
    let fixture = Fixture::on_disk();
    let engine = engine_for_work(&fixture).wait_for_external_work().build().unwrap();
    let run = fixture.submit_all(["work", "held", "paint"].map(TaskDraft::new));
    let held = fixture.tasks(run)[1].id;
    fixture.start_externally(held);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| settle(&engine, run));
        wait_until("the task of the engine is done", || fixture.first_task(run).state == State::Succeeded);
        thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished());
        fixture.report(Report::succeeded(held));
        let painter =
            Engine::builder(fixture.another_handle()).handler("paint", |(): (), _| Ok(())).build().unwrap();
        painter.start();
        assert_eq!(waiting.join().unwrap().state, State::Succeeded);
    });
}

#[test]
fn wait_continues_while_another_engine_holds_claims() {
    let fixture = Fixture::on_disk();
    let (gate, waiter) = new_gate();
    let paint = move |(): (), _: Context| {
        waiter.wait();
        Ok(())
    };
    let painter = Engine::builder(fixture.another_handle()).handler("paint", paint).build().unwrap();
    let engine = engine_for_work(&fixture).build().unwrap();
    let run = fixture.submit_all(["work", "paint"].map(TaskDraft::new));
    painter.start();
    wait_until("the task is claimed", || fixture.tasks(run)[1].state == State::Running);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| settle(&engine, run));
        thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished(), "the other engine holds a claim");
        gate.open();
        assert_eq!(waiting.join().unwrap().state, State::Succeeded);
    });
}

#[test]
fn wait_continues_until_delayed_tasks_are_due() {
    let fixture = Fixture::new();
    let fail_once = |(): (), context: Context| match context.retry_count() {
        0 => Err(TaskError::retry("once")),
        _ => Ok(()),
    };
    let engine = engine_for_work(&fixture).handler("fail", fail_once).build().unwrap();
    let later = fixture.env.now().plus_millis(700);
    let run = fixture.submit_all([
        TaskDraft::new("fail").backoff(Backoff::fixed(600).unwrap()),
        TaskDraft::new("later").kind("work").due_at(later),
    ]);
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn wait_continues_while_parent_or_run_is_open() {
    let fixture = Fixture::new();
    let engine = fixture.engine().handler("work", |_: u32, _| Ok(())).build().unwrap();
    let run = fixture.submit(TaskDraft::new("work").open());
    let parent = fixture.first_task(run).id;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| settle(&engine, run));
        for first in [1, 3, 5] {
            let items = vec![Json::of(&1).unwrap(), Json::of(&2).unwrap()];
            fixture.store.append(&Append::items(parent, first, items, &fixture.env)).unwrap();
            wait_until("the appended tasks are done", || {
                fixture.tasks(run).iter().filter(|task| task.state == State::Succeeded).count()
                    == first as usize + 1
            });
            thread::sleep(Duration::from_millis(250));
            assert!(!waiting.is_finished(), "the fan-out is open");
        }
        let now = fixture.env.now();
        fixture.store.seal(&Seal { parent: NodeId::Task(parent), children: 6, now }).unwrap();
        assert_eq!(waiting.join().unwrap().state, State::Succeeded);
    });
    fixture.assert_consistent(run);
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("work").input(1)).open()).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| settle(&engine, run));
        wait_until("the task is done", || fixture.first_task(run).state == State::Succeeded);
        thread::sleep(Duration::from_millis(250));
        assert!(!waiting.is_finished(), "the fan-out is open");
        let now = fixture.env.now();
        fixture.store.seal(&Seal { parent: NodeId::Run(run), children: 1, now }).unwrap();
        assert_eq!(waiting.join().unwrap().state, State::Succeeded);
    });
}

#[test]
fn engine_continues_after_each_run() {
    let fixture = Fixture::new();
    let engine = engine_for_work(&fixture).build().unwrap();
    for _ in 0..20 {
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("work"))).unwrap();
        assert_eq!(settle(&engine, run).state, State::Succeeded);
    }
    // The engine also runs tasks when no caller waits for them.
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("work"))).unwrap();
    wait_until("the run is done", || fixture.run(run).state == State::Succeeded);
}

#[test]
fn several_threads_wait_at_once() {
    let fixture = Fixture::new();
    let engine = engine_for_work(&fixture).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let run = engine.submit(RunDraft::new().task(TaskDraft::new("work"))).unwrap();
                assert_eq!(settle(&engine, run).state, State::Succeeded);
            });
        }
    });
}

#[test]
fn invalid_draft_is_rejected() {
    let fixture = Fixture::new();
    let engine = engine_for_work(&fixture).build().unwrap();
    let draft = RunDraft::new().task(TaskDraft::new("work").input(json!({"fanout": 0})));
    assert!(matches!(engine.submit(draft), Err(SubmitError::Invalid(_))));
    let keyed = |name: &str| RunDraft::new().idempotency_key("once").task(TaskDraft::new(name));
    let run = engine.submit(keyed("work")).unwrap();
    assert_eq!(engine.submit(keyed("work")).unwrap(), run);
    assert!(matches!(engine.submit(keyed("other")), Err(SubmitError::IdempotencyConflict { .. })));
}
