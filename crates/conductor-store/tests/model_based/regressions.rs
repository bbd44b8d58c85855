//! Failures that random programs found, each as a short test.

use conductor_conformance::assert_replays;
use conductor_model::{CancelCause, Policy, RunDraft, RunId, State, Task, TaskDraft, TaskId, Timestamp};
use conductor_store::{
    Admin, Cancel, Environment, FanOut, Query, Report, ReportBatch, Revive, ReviveError, ReviveFilter, Scope,
    SqliteStore, Step, Store, Submit, TaskFilter,
};
use serde_json::json;

/// A store in memory with one run.
struct TestRun {
    store: SqliteStore,
    env: Environment,
    run: RunId,
}

impl TestRun {
    /// Submits the run and creates all children.
    fn new(draft: &RunDraft) -> Self {
        let store = SqliteStore::open_in_memory().unwrap();
        let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        let run = store.submit(&Submit::new(draft.validate().unwrap(), &env)).unwrap().run;
        while store.fan_out(&FanOut::new(Scope::All, 100, &env)).unwrap().more {}
        Self { store, env, run }
    }

    fn now(&self) -> Timestamp {
        self.env.now()
    }

    fn tasks(&self) -> Vec<Task> {
        self.store.tasks(self.run, TaskFilter::default(), None, 100).unwrap().items
    }

    fn task(&self, name: &str) -> Task {
        self.tasks().into_iter().find(|task| task.name.as_str() == name).unwrap()
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

    fn step(&self) -> Step {
        Step::new(Scope::All, 10, &self.env)
    }

    fn sweep_and_aggregate(&self) {
        let step = self.step();
        while self.store.sweep(&step).unwrap().more | self.store.aggregate(&step).unwrap().more {}
    }
}

/// In the end, the events must replay to the tables.
impl Drop for TestRun {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_replays(&self.store);
        }
    }
}

fn parent(children: u32) -> TaskDraft {
    TaskDraft::new("P").input(json!({ "fanout": children }))
}

/// The second failure cancelled the parent again after the first leaf was revived. The other leaves were skipped, and
/// the revived leaf was cancelled.
#[test]
fn all_fail_fast_failures_can_be_revived() {
    let test = TestRun::new(&RunDraft::new().task(parent(3).policy(Policy::FailFast)));
    test.fail("P#1");
    test.fail("P#2");
    test.sweep_and_aggregate();
    assert_eq!((test.state("P"), test.state("P#3")), (State::Failed, State::Cancelled));
    let revived = test.store.revive(&Revive::run(test.run, ReviveFilter::FailedAndCancelled, test.now()));
    let revived = revived.unwrap();
    assert_eq!((revived.tasks, revived.skipped, test.task("P").cancel_cause), (3, 0, None));
    for name in ["P#1", "P#2", "P#3"] {
        test.succeed(name);
    }
    test.sweep_and_aggregate();
    assert_eq!(test.state("P"), State::Succeeded);
}

/// The parent was CANCELLED although its join had SUCCEEDED. After a revival, every aggregate step failed, because the
/// join could not run again.
#[test]
fn join_success_before_sweep_settles_parent() {
    let test = TestRun::new(&RunDraft::new().task(parent(2).policy(Policy::Ignore).join("sum")));
    test.succeed("P#1");
    test.fail("P#2");
    test.sweep_and_aggregate();
    test.report(Report::started(test.id("P#0")));
    let _ = test.store.cancel(&Cancel::task(test.id("P"), test.now())).unwrap();
    test.succeed("P#0");
    assert_eq!(
        (test.state("P"), test.task("P").cancel_cause),
        (State::Succeeded, Some(CancelCause::Requested))
    );
    let rejected = test.store.revive(&Revive::leaf(test.id("P#2"), test.now()));
    assert!(matches!(rejected, Err(ReviveError::AncestorSucceeded(_))), "{rejected:?}");
    test.sweep_and_aggregate();
}

#[test]
fn cancelled_run_starts_no_join() {
    let test = TestRun::new(&RunDraft::new().task(parent(1).join("sum")).task(TaskDraft::new("other")));
    test.succeed("P#1");
    let _ = test.store.cancel(&Cancel::run(test.run, test.now())).unwrap();
    // Without a sweep.
    let _ = test.store.aggregate(&test.step()).unwrap();
    assert_eq!(
        (test.state("P"), test.task("P").cancel_cause),
        (State::Cancelled, Some(CancelCause::Ancestor))
    );
    let tasks = test.tasks();
    assert!(tasks.iter().all(|task| task.index > 0), "{tasks:?}");
}

/// The join was open again beside a child for which it has to wait.
#[test]
fn join_with_open_child_is_not_revived() {
    let test = TestRun::new(&RunDraft::new().task(parent(2).policy(Policy::Ignore).join("sum")));
    test.succeed("P#1");
    test.fail("P#2");
    test.sweep_and_aggregate();
    test.fail("P#0");
    let _ = test.store.revive(&Revive::leaf(test.id("P#2"), test.now())).unwrap();
    let rejected = test.store.revive(&Revive::leaf(test.id("P#0"), test.now()));
    assert!(matches!(rejected, Err(ReviveError::JoinNotReady(_))), "{rejected:?}");
    // A revival of the run does not select the join.
    let revived = test.store.revive(&Revive::run(test.run, ReviveFilter::Failed, test.now())).unwrap();
    assert_eq!((revived.tasks, revived.skipped, test.state("P#0")), (0, 0, State::Failed));
    test.succeed("P#2");
    test.sweep_and_aggregate();
    // The join restarts by itself.
    assert_eq!(test.state("P#0"), State::Pending);
    test.succeed("P#0");
    assert_eq!(test.state("P"), State::Succeeded);
}
