//! A workload with all kinds of rows.

use crate::world::World;
use conductor_model::{
    AttemptFailure, Jitter, JoinDraft, Policy, Progress, RunDraft, RunId, TaskDraft, TaskId, Timestamp,
};
use conductor_store::{
    Admin, Append, AttemptResult, Cancel, NodeId, Query, RecordProgress, RegisterEngine, Release, Report,
    Rescue, Revive, ReviveFilter, Seal, Store, Submit,
};
use serde_json::json;

fn submit(world: &World, run: &RunDraft) -> RunId {
    world.store.submit(&Submit::new(run.validate().unwrap(), &world.env)).unwrap().run
}

/// Runs with named roots, delayed roots, parents of parents, joins, and open fan-outs.
pub(crate) fn submit_all(world: &World) -> RunId {
    let later = Timestamp::from_millis(world.env.now().as_millis() + 4 * 3_600_000).unwrap();
    let items = json!({
        "fanout": ["a", {"fanout": 2, "width": 1.50, "x": null}, 0, false, "", null, {"fanout": [{"fanout": 1}, "q\"' 🦀"]}],
        "meta": 1
    });
    let counted = json!({"fanout": 1500, "b": [1, 2], "a": {"fanout": 3}});
    let run = RunDraft::new()
        .meta(json!({"who": "Ünïcode ' \" \\ 🦀"}))
        .join("join")
        .task(TaskDraft::new("COUNTED").kind("counted").input(counted).max_retries(1).join("join"))
        .task(TaskDraft::new("ITEMS").input(items).policy(Policy::Ignore).join(JoinDraft::new("join")))
        .task(TaskDraft::new("OPEN").input(json!({"kept": true})).open())
        .task(TaskDraft::new("LATER").due_at(later))
        .task(TaskDraft::new("PLAIN").input(json!("text")))
        .tasks((0..9).map(|number| {
            let task = TaskDraft::new(format!("ALIKE \"{number}\"")).kind("alike");
            if number % 3 == 1 { task } else { task.input(json!([number])) }
        }));
    let run = submit(world, &run);
    // Two blocks share the first 24 characters of their ids.
    let chosen = |low: u128| TaskId::from_u128((1 << 80) + low);
    let named = |name: &str, low| TaskDraft::new(name).kind(name).id(chosen(low));
    submit(world, &RunDraft::new().tasks([named("low", 3), named("high", 1023), named("middle", 500)]));
    let open = submit(world, &RunDraft::new().open());
    let tasks =
        ["first", "second"].map(|name| TaskDraft::new(name).input(json!({"n": name})).validate().unwrap());
    world.store.append(&Append::tasks(open, 1, tasks.to_vec(), &world.env)).unwrap();
    run
}

/// An engine claims children, settles a part of them, and releases others.
pub(crate) fn claims(world: &mut World) {
    let engine = world.store.register_engine(&RegisterEngine::new(&world.env)).unwrap();
    let claimed = world.claim(&engine, 1400);
    assert_eq!(claimed.len(), 1400);
    world.next_stage();
    let mut failures = [
        AttemptFailure::Error { error: "it's \"over\"".into(), retryable: true, retry_after_ms: Some(5) },
        AttemptFailure::Error { error: "over".into(), retryable: false, retry_after_ms: None },
        AttemptFailure::TimedOut,
        AttemptFailure::Error { error: "wait".into(), retryable: true, retry_after_ms: Some(90_000_000) },
    ]
    .into_iter();
    let (mut results, mut held) = (Vec::new(), Vec::new());
    for (number, task) in claimed.into_iter().enumerate() {
        let succeeded = |output: &str| AttemptResult::Succeeded { output: Some(output.parse().unwrap()) };
        match number % 7 {
            0 | 3 => results.push((task, AttemptResult::Succeeded { output: None })),
            1 => results.push((task, succeeded("{\"small\": 1.0}"))),
            2 if number < 100 => results.push((task, succeeded(&format!("\"{}\"", "long ".repeat(40))))),
            4 => match failures.next() {
                Some(failure) => results.push((task, AttemptResult::Failed(failure))),
                None => held.push(task),
            },
            _ => held.push(task),
        }
    }
    world.settle(results);
    assert!(world.ask("SELECT count(*) FROM conductor_ranges WHERE members IS NOT NULL AND state = 1") >= 2);
    assert!(world.ask("SELECT max(json_array_length(tasks)) FROM conductor_events") > 5);
    world.next_stage();
    let progress = Progress { done: 1, total: None, message: "one".into() };
    let items = vec![(held[0].fence, progress)];
    let _ = world.store.record_progress(&RecordProgress { items, now: world.env.now() }).unwrap();
    let released = held.split_off(held.len() - 200).into_iter().map(|task| task.fence).collect();
    let _ = world.store.release(&Release { fences: released, now: world.env.now() }).unwrap();
    world.next_stage();
    world.settle(held.drain(50..).map(|task| (task, AttemptResult::Succeeded { output: None })).collect());
    world.next_stage();
    drop(engine);
    let rescue = Rescue { now: world.env.now(), limit: 1000, jitter: Jitter(0) };
    assert_eq!(world.store.rescue(&rescue).unwrap().changed, 50);
    world.next_stage();
}

/// Callers outside of an engine report.
pub(crate) fn reports(world: &mut World) {
    let items = world.task("ITEMS").id;
    let [started, number, failed, empty, null] = [1, 3, 4, 5, 6].map(|index| world.child(items, index));
    world.report([
        Report::started(started),
        Report::succeeded_with(number, "0".parse().unwrap()),
        Report::failed(failed, "no"),
    ]);
    world.report([Report::failed_permanently(empty, "it's \"over\""), Report::cancelled(null)]);
    let long = format!("[\"{}\"]", "é".repeat(60)).parse().unwrap();
    world.report([Report::succeeded_with(world.task("middle").id, long)]);
    world.next_stage();
    assert!(world.store.retry(&world.step()).unwrap().changed > 1);
    assert_eq!(world.store.promote(&world.step()).unwrap().changed, 1);
    world.next_stage();
}

/// Cancels a fan-out, revives what failed or was cancelled, and finishes the rest.
pub(crate) fn cancel_and_finish(world: &mut World, run: RunId) {
    let counted = world.task("COUNTED").id;
    let _ = world.store.cancel(&Cancel::task(counted, world.env.now()).reason("a reason")).unwrap();
    world.next_stage();
    while world.store.sweep(&world.step()).unwrap().more {}
    world.next_stage();
    world.aggregate();
    world.next_stage();
    let mut revive = Revive::below(counted, ReviveFilter::FailedAndCancelled, world.env.now());
    while let Some(next) = world.store.revive(&revive).unwrap().next {
        revive = revive.after(next);
    }
    world.next_stage();
    // A parent with a cancelled child gets no join.
    let cancelled = world.task("ITEMS#6").id;
    let _ = world.store.revive(&Revive::leaf(cancelled, world.env.now())).unwrap();
    let open = world.task("OPEN").id;
    world.store.seal(&Seal { parent: NodeId::Task(open), children: 3, now: world.env.now() }).unwrap();
    // The leaves, the joins of their parents, the join of the run.
    for _ in 0..4 {
        let tasks = world
            .tasks(run)
            .into_iter()
            .filter(|task| !task.state.is_terminal() && task.child_counts.is_none());
        world.report(tasks.map(|task| Report::succeeded(task.id)));
        world.next_stage();
        world.aggregate();
        world.next_stage();
    }
    assert!(world.store.run(run).unwrap().unwrap().state.is_terminal());
    assert_eq!(world.ask("SELECT count(*) FROM tasks WHERE name LIKE '%#0' AND input IS NOT NULL"), 2);
}
