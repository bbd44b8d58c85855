//! What random programs found, in a few words each.
#![cfg(feature = "sqlite")]

use conductor_conformance::assert_replays;
use conductor_model::{CancelCause, Policy, RunDraft, RunId, State, Task, TaskDraft, TaskId, Timestamp};
use conductor_store::{
    Admin, Cancel, Environment, FanOut, Query, Report, ReportBatch, Revive, ReviveError, ReviveFilter,
    RotationCursor, Scope, SqliteStore, Step, Store, Submit, TaskFilter,
};
use serde_json::json;

struct World {
    store: SqliteStore,
    env: Environment,
    run: RunId,
}

impl World {
    fn new(run: &RunDraft) -> Self {
        let store = SqliteStore::open_in_memory().unwrap();
        let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        let run = store.submit(&Submit::new(run.validate().unwrap(), &env)).unwrap().run;
        let world = Self { store, env, run };
        let step = FanOut {
            scope: Scope::All,
            now: world.now(),
            ids: world.env.ids(100),
            cursor: RotationCursor::default(),
        };
        while world.store.fan_out(&step).unwrap().more {}
        world
    }

    fn now(&self) -> Timestamp {
        self.env.now()
    }

    fn task(&self, name: &str) -> Task {
        let tasks = self.store.tasks(self.run, TaskFilter::default(), None, 100).unwrap().items;
        tasks.into_iter().find(|task| task.name.as_str() == name).unwrap()
    }

    fn id(&self, name: &str) -> TaskId {
        self.task(name).id
    }

    fn state(&self, name: &str) -> State {
        self.task(name).state
    }

    fn report(&self, report: Report) {
        let _ = self.store.report(&ReportBatch::new([report], &self.env)).unwrap();
    }

    fn succeed(&self, name: &str) {
        self.report(Report::succeeded(self.id(name)));
    }

    fn fail(&self, name: &str) {
        self.report(Report::failed_permanently(self.id(name), "it broke"));
    }

    fn settle(&self) {
        let step = Step { scope: Scope::All, now: self.now(), limit: 10 };
        while self.store.sweep(&step).unwrap().more | self.store.aggregate(&step).unwrap().more {}
    }
}

/// At the end the events must tell a possible history, too.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_replays(&self.store);
        }
    }
}

fn parent(children: u32) -> TaskDraft {
    TaskDraft::new("P").input(json!({ "fanout": children }))
}

/// The first revived leaf stood beside the second failure, which marked the parent anew: the rest was skipped, and what was
/// revived was cancelled.
#[test]
fn all_failures_below_a_parent_that_fails_fast_can_be_revived() {
    let world = World::new(&RunDraft::new().task(parent(3).policy(Policy::FailFast)));
    world.fail("P#1");
    world.fail("P#2");
    world.settle();
    assert_eq!((world.state("P"), world.state("P#3")), (State::Failed, State::Cancelled));
    let revived = world.store.revive(&Revive::run(world.run, ReviveFilter::FailedAndCancelled, world.now()));
    let revived = revived.unwrap();
    assert_eq!((revived.tasks, revived.skipped, world.task("P").cancel_cause), (3, 0, None));
    for name in ["P#1", "P#2", "P#3"] {
        world.succeed(name);
    }
    world.settle();
    assert_eq!(world.state("P"), State::Succeeded);
}

/// The parent ended CANCELLED above a join that had SUCCEEDED; once it was revived, no aggregate step could run that join
/// again, and every one of them failed.
#[test]
fn a_join_that_succeeds_before_the_sweep_comes_to_it_ends_its_parent_well() {
    let world = World::new(&RunDraft::new().task(parent(2).policy(Policy::Ignore).join("sum")));
    world.succeed("P#1");
    world.fail("P#2");
    world.settle();
    world.report(Report::started(world.id("P#0")));
    let _ = world.store.cancel(&Cancel::task(world.id("P"), world.now())).unwrap();
    world.succeed("P#0");
    assert_eq!(
        (world.state("P"), world.task("P").cancel_cause),
        (State::Succeeded, Some(CancelCause::Requested))
    );
    let refused = world.store.revive(&Revive::leaf(world.id("P#2"), world.now()));
    assert!(matches!(refused, Err(ReviveError::AncestorSucceeded(_))), "{refused:?}");
    world.settle();
}

#[test]
fn no_join_comes_into_being_below_a_run_that_is_marked() {
    let world = World::new(&RunDraft::new().task(parent(1).join("sum")).task(TaskDraft::new("other")));
    world.succeed("P#1");
    let _ = world.store.cancel(&Cancel::run(world.run, world.now())).unwrap();
    // Before the sweep came to it.
    let step = Step { scope: Scope::All, now: world.now(), limit: 10 };
    let _ = world.store.aggregate(&step).unwrap();
    assert_eq!(
        (world.state("P"), world.task("P").cancel_cause),
        (State::Cancelled, Some(CancelCause::Ancestor))
    );
    let tasks = world.store.tasks(world.run, TaskFilter::default(), None, 100).unwrap().items;
    assert!(tasks.iter().all(|task| task.index > 0), "{tasks:?}");
}

/// While it was open again, so was a child that it has to wait for.
#[test]
fn a_join_is_not_revived_before_its_time() {
    let world = World::new(&RunDraft::new().task(parent(2).policy(Policy::Ignore).join("sum")));
    world.succeed("P#1");
    world.fail("P#2");
    world.settle();
    world.fail("P#0");
    let _ = world.store.revive(&Revive::leaf(world.id("P#2"), world.now())).unwrap();
    let refused = world.store.revive(&Revive::leaf(world.id("P#0"), world.now()));
    assert!(matches!(refused, Err(ReviveError::JoinNotReady(_))), "{refused:?}");
    // In bulk it is none of those that are wanted.
    let revived = world.store.revive(&Revive::run(world.run, ReviveFilter::Failed, world.now())).unwrap();
    assert_eq!((revived.tasks, revived.skipped, world.state("P#0")), (0, 0, State::Failed));
    world.succeed("P#2");
    world.settle();
    // By itself.
    assert_eq!(world.state("P#0"), State::Pending);
    world.succeed("P#0");
    assert_eq!(world.state("P"), State::Succeeded);
}
