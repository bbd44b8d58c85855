//! When waiting for a run ends, and when it must not.

use crate::desk::{Desk, gate, settle, succeeded, try_to_settle, until};
use conductor_model::{Backoff, Json, RunDraft, State, TaskDraft};
use conductor_store::{Append, NodeId, Seal, Store, SubmitError};
use conductor_workers::{Blocked, Context, Engine, RunError, TaskError};
use serde_json::json;
use std::thread;
use std::time::Duration;

fn quiet(desk: &Desk) -> conductor_workers::EngineBuilder {
    desk.engine().handler("work", |(): (), _| Ok(())).on_warning(|_| {})
}

fn blocked(error: RunError) -> Blocked {
    match error {
        RunError::Blocked(blocked) => blocked,
        other => panic!("{other}"),
    }
}

#[test]
fn wait_ends_with_unhandled_kinds_named() {
    let desk = Desk::new();
    let engine = quiet(&desk).build().unwrap();
    let run = desk.submit_all(["work", "paint", "print"].map(TaskDraft::new));
    let blocked = blocked(try_to_settle(&engine, run).unwrap_err());
    let kinds: Vec<_> = blocked.unhandled_kinds.iter().map(conductor_model::Kind::as_str).collect();
    assert_eq!((blocked.run, kinds.as_slice()), (run, ["paint", "print"].as_slice()));
    assert_eq!(
        blocked.to_string(),
        format!("run {run} waits for others: this engine has no handler for paint, print")
    );
    assert_eq!(desk.first(run).state, State::Succeeded);
}

#[test]
fn blocked_run_is_awaited_until_deadline() {
    let desk = Desk::new();
    let engine = quiet(&desk).build().unwrap();
    let run = engine.submit(RunDraft::new().deadline_ms(300).task(TaskDraft::new("paint"))).unwrap();
    assert_eq!(engine.run_until_settled(run).unwrap().state, State::Cancelled);
}

#[test]
fn wait_ends_with_external_tasks_named() {
    let desk = Desk::new();
    let engine = quiet(&desk).build().unwrap();
    let run = desk.submit_all([TaskDraft::new("held").kind("work"), TaskDraft::new("work")]);
    let held = desk.first(run).id;
    desk.hold(held);
    let blocked = blocked(try_to_settle(&engine, run).unwrap_err());
    assert_eq!((blocked.external_tasks.as_slice(), blocked.unhandled_kinds.len()), ([held].as_slice(), 0));
    assert!(blocked.to_string().ends_with(&format!("held from outside: {held}")), "{blocked}");
    desk.report(succeeded(held));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn blocked_error_lists_at_most_ten_kinds() {
    let desk = Desk::new();
    let (hold, wait) = gate();
    let engine = desk
        .engine()
        .workers(1)
        .handler("zzz", |(): (), _| Ok(()))
        .handler("busy", move |(): (), _| {
            wait.pass();
            Ok(())
        })
        .on_warning(|_| {})
        .build()
        .unwrap();
    let other = desk.submit(TaskDraft::new("busy"));
    engine.start();
    until("the worker is taken", || desk.first(other).state == State::Running);
    // Thirty kinds that nobody handles, and one at the end that waits for the worker.
    let kinds = (0..30).map(|n| format!("kind {n}")).chain(["zzz".to_owned()]);
    let run = desk.submit_all(kinds.map(TaskDraft::new));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| try_to_settle(&engine, run));
        thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished(), "the one that is handled was overlooked");
        hold.open();
        assert_eq!(blocked(waiting.join().unwrap().unwrap_err()).unhandled_kinds.len(), 10);
    });
    assert_eq!(desk.tasks(run).pop().unwrap().state, State::Succeeded);
}

#[test]
fn wait_includes_external_work_when_configured() {
    let desk = Desk::on_disk();
    let engine = quiet(&desk).wait_for_external_work().build().unwrap();
    let run = desk.submit_all(["work", "held", "paint"].map(TaskDraft::new));
    let held = desk.tasks(run)[1].id;
    desk.hold(held);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| settle(&engine, run));
        until("its own work is done", || desk.first(run).state == State::Succeeded);
        thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished());
        desk.report(succeeded(held));
        let painter =
            Engine::builder(desk.open_again()).handler("paint", |(): (), _| Ok(())).build().unwrap();
        painter.start();
        assert_eq!(waiting.join().unwrap().state, State::Succeeded);
    });
}

#[test]
fn wait_continues_while_another_engine_holds_claims() {
    let desk = Desk::on_disk();
    let (hold, wait) = gate();
    let paint = move |(): (), _: Context| {
        wait.pass();
        Ok(())
    };
    let painter = Engine::builder(desk.open_again()).handler("paint", paint).build().unwrap();
    let engine = quiet(&desk).build().unwrap();
    let run = desk.submit_all(["work", "paint"].map(TaskDraft::new));
    painter.start();
    until("it is claimed", || desk.tasks(run)[1].state == State::Running);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| settle(&engine, run));
        thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished(), "the other engine holds a claim");
        hold.open();
        assert_eq!(waiting.join().unwrap().state, State::Succeeded);
    });
}

#[test]
fn wait_continues_until_delayed_tasks_are_due() {
    let desk = Desk::new();
    let fail_once = |(): (), context: Context| match context.retry_count() {
        0 => Err(TaskError::retry("once")),
        _ => Ok(()),
    };
    let engine = quiet(&desk).handler("fail", fail_once).build().unwrap();
    let later = desk.env.now().plus_millis(700);
    let run = desk.submit_all([
        TaskDraft::new("fail").backoff(Backoff::fixed(600).unwrap()),
        TaskDraft::new("later").kind("work").due_at(later),
    ]);
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn wait_continues_while_parent_or_run_is_open() {
    let desk = Desk::new();
    let engine = desk.engine().handler("work", |_: u32, _| Ok(())).build().unwrap();
    let run = desk.submit(TaskDraft::new("work").open());
    let parent = desk.first(run).id;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| settle(&engine, run));
        for first in [1, 3, 5] {
            let items = vec![Json::of(&1).unwrap(), Json::of(&2).unwrap()];
            desk.store.append(&Append::items(parent, first, items, &desk.env)).unwrap();
            until("what was appended is done", || {
                desk.tasks(run).iter().filter(|task| task.state == State::Succeeded).count()
                    == first as usize + 1
            });
            thread::sleep(Duration::from_millis(250));
            assert!(!waiting.is_finished(), "more may come");
        }
        let now = desk.env.now();
        desk.store.seal(&Seal { parent: NodeId::Task(parent), children: 6, now }).unwrap();
        assert_eq!(waiting.join().unwrap().state, State::Succeeded);
    });
    desk.assert_whole(run);
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("work").input(1)).open()).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| settle(&engine, run));
        until("its task is done", || desk.first(run).state == State::Succeeded);
        thread::sleep(Duration::from_millis(250));
        assert!(!waiting.is_finished(), "more may come");
        let now = desk.env.now();
        desk.store.seal(&Seal { parent: NodeId::Run(run), children: 1, now }).unwrap();
        assert_eq!(waiting.join().unwrap().state, State::Succeeded);
    });
}

#[test]
fn engine_continues_after_each_run() {
    let desk = Desk::new();
    let engine = quiet(&desk).build().unwrap();
    for _ in 0..20 {
        let run = engine.submit(RunDraft::new().task(TaskDraft::new("work"))).unwrap();
        assert_eq!(settle(&engine, run).state, State::Succeeded);
    }
    // Also on what nobody waits for.
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("work"))).unwrap();
    until("it is done", || desk.run(run).state == State::Succeeded);
}

#[test]
fn several_threads_wait_at_once() {
    let desk = Desk::new();
    let engine = quiet(&desk).build().unwrap();
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
    let desk = Desk::new();
    let engine = quiet(&desk).build().unwrap();
    let draft = RunDraft::new().task(TaskDraft::new("work").input(json!({"fanout": 0})));
    assert!(matches!(engine.submit(draft), Err(SubmitError::Invalid(_))));
    let keyed = |name: &str| RunDraft::new().idempotency_key("once").task(TaskDraft::new(name));
    let run = engine.submit(keyed("work")).unwrap();
    assert_eq!(engine.submit(keyed("work")).unwrap(), run);
    assert!(matches!(engine.submit(keyed("other")), Err(SubmitError::IdempotencyConflict { .. })));
}
