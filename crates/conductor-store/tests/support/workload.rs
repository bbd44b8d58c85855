//! Calls of all methods of a store. The unit tests of the SQLite store include this file to see all its statements.

use conductor_model::{
    AttemptFailure, Jitter, JoinDraft, Policy, Progress, RunDraft, State, TaskDraft, Timestamp,
};
use conductor_store::{
    Admin, Append, AttemptResult, Cancel, Claim, EngineKey, Environment, EventFilter, FanOut, Fence,
    KindQuota, Monitor, NodeId, Prune, Query, RecordProgress, RegisterEngine, Release, Renew, Repair, Report,
    ReportBatch, Rescue, Revive, ReviveFilter, RotationCursor, Scope, Seal, Settle, SqliteStore, Step, Store,
    StuckThreshold, Submit, TaskFilter, Verify,
};
use serde_json::json;

/// Calls every method of a store once.
pub(crate) fn use_everything(store: &SqliteStore) -> Result<(), Box<dyn std::error::Error>> {
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
    Ok(())
}

/// Claims, settles, renews, releases and rescues tasks.
pub(crate) fn use_claims(store: &SqliteStore) -> Result<(), Box<dyn std::error::Error>> {
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
    let fence = claimed.tasks()[0].fence;
    let _ = store.settle(&Settle::new(vec![(fence, AttemptResult::Succeeded { output: None })], &env))?;
    let claimed = store.claim(&claim)?.tasks();
    let fences: Vec<_> = claimed.iter().map(|task| task.fence).collect();
    assert_eq!(store.unknown_claims(registration.key(), &fences[1..], 10)?, fences[..1]);
    let progress = |fence: &Fence| (*fence, Progress { done: 1, total: None, message: "one".into() });
    let _ = store.record_progress(&RecordProgress { items: fences.iter().map(progress).collect(), now })?;
    store.task_progress(fences[0].task)?;
    store.run_progress(claimed[0].run, None, 10)?;
    let _ = store.renew(&Renew { fences: fences.clone(), lease_ms: 1000, now })?;
    let _ = store.release(&Release { fences, now })?;
    let mut fences = store.claim(&claim_of(registration.key(), "claimed", 4, now))?.tasks();
    assert_eq!(fences.len(), 4);
    let results = [
        AttemptResult::Succeeded { output: None },
        AttemptResult::Succeeded { output: Some("1".parse()?) },
        AttemptResult::Failed(AttemptFailure::TimedOut),
    ];
    let results = fences.drain(..3).map(|task| task.fence).zip(results).collect();
    let settled =
        store.settle(&Settle { results, succeeded: Vec::new(), claim: Some(claim), now, jitter })?;
    assert_eq!(settled.claimed.tasks().len(), 2);
    drop(registration);
    assert_eq!(store.rescue(&Rescue { now, limit: 100, jitter })?.changed, 3);
    store.change_token()?;
    store.next_due()?;
    while store.prune(&Prune { settled_before: Timestamp::MAX, limit: 5 })?.more {}
    Ok(())
}

/// Cancels, expires, joins and revives.
pub(crate) fn use_cancels(store: &SqliteStore) -> Result<(), Box<dyn std::error::Error>> {
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
    use_cancelled_joins(store, &env)
}

fn use_cancelled_joins(store: &SqliteStore, env: &Environment) -> Result<(), Box<dyn std::error::Error>> {
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

pub(crate) fn claim_of(engine: EngineKey, kind: &str, limit: u32, now: Timestamp) -> Claim {
    let quotas = vec![KindQuota { kind: kind.parse().unwrap(), limit, cursor: RotationCursor::default() }];
    Claim { engine, quotas, limit, lease_ms: 1000, allow_isolated: true, now }
}
