//! The guarantees of the three workers of the original version.

use crate::support::fixture::Fixture;
use conductor_model::{Json, RunId, State, Task, TaskDraft, TaskId, Timestamp};
use conductor_store::{Environment, FanOut, Report, RotationCursor, Scope, Store};
use conductor_workers::steps::{self, aggregate, retry};
use serde_json::json;

/// A store with a fixed clock, and the three workers.
struct Workers(Fixture);

impl std::ops::Deref for Workers {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.0
    }
}

impl Workers {
    fn new() -> Self {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        Self(Fixture::with_environment(Environment::seeded(now, 7)))
    }

    /// Submits a run of one task.
    fn submit_task(&self, task: TaskDraft) -> (RunId, TaskId) {
        let run = self.submit(task);
        (run, self.first_task(run).id)
    }

    /// Submits a run with a parent of `n` children.
    fn submit_parent(&self, n: u32) -> (RunId, TaskId) {
        self.submit_task(TaskDraft::new("PARENT").input(json!({ "fanout": n })))
    }

    /// Submits a run with a parent, and creates its children.
    fn submit_family(&self, n: u32) -> (RunId, TaskId, Vec<Task>) {
        let (run, parent) = self.submit_parent(n);
        self.fan_out(Scope::Run(run));
        (run, parent, self.children(parent))
    }

    fn fan_out(&self, scope: Scope) -> u64 {
        steps::fan_out::run_once(&*self.store, scope, &self.env).unwrap().children
    }

    fn aggregate(&self, scope: Scope) -> aggregate::AggregateTotals {
        aggregate::run_once(&*self.store, scope, &self.env).unwrap()
    }

    fn retry(&self, scope: Scope) -> u64 {
        retry::run_once(&*self.store, scope, &self.env).unwrap().retried
    }

    fn succeed(&self, task: &Task) {
        self.report(Report::succeeded(task.id));
    }

    fn fail(&self, task: TaskId) {
        self.report(Report::failed(task, "Connection timeout"));
    }

    /// Returns the states of a parent and its run.
    fn states(&self, run: RunId, parent: TaskId) -> (State, State) {
        (self.task(parent).state, self.run(run).state)
    }
}

mod fan_out {
    use super::*;

    #[test]
    fn pending_parent_gets_n_children() {
        let workers = Workers::new();
        let (run, parent) = workers.submit_parent(3);
        assert_eq!(workers.task(parent).state, State::Pending);
        assert_eq!(workers.fan_out(Scope::Run(run)), 3);
        let children = workers.children(parent);
        assert_eq!(children.len(), 3);
        assert!(children.iter().all(|child| child.state == State::Pending && child.parent == Some(parent)));
    }

    #[test]
    fn repeated_step_creates_exactly_n_children() {
        let workers = Workers::new();
        let (run, parent) = workers.submit_parent(3);
        let created: Vec<_> = (0..5).map(|_| workers.fan_out(Scope::Run(run))).collect();
        assert_eq!(created, [3, 0, 0, 0, 0]);
        assert_eq!(workers.children(parent).len(), 3);
    }

    #[test]
    fn child_name_contains_parent_and_index() {
        let workers = Workers::new();
        let (_, _, children) = workers.submit_family(3);
        let names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["PARENT#1", "PARENT#2", "PARENT#3"]);
    }

    #[test]
    fn only_missing_children_are_created() {
        let workers = Workers::new();
        let (run, parent) = workers.submit_parent(5);
        let (scope, now) = (Scope::Run(run), workers.env.now());
        let interrupted = FanOut { scope, now, ids: workers.env.ids(2), cursor: RotationCursor::default() };
        assert_eq!(workers.store.fan_out(&interrupted).unwrap().children, 2);
        let first = workers.children(parent);
        assert_eq!(workers.fan_out(scope), 3);
        let all = workers.children(parent);
        assert_eq!((all.len(), &all[..2]), (5, &first[..]));
    }

    #[test]
    fn scope_limits_step_to_one_run() {
        let workers = Workers::new();
        let ((run, _), (_, other)) = (workers.submit_parent(2), workers.submit_parent(3));
        assert_eq!(workers.fan_out(Scope::Run(run)), 2);
        assert!(workers.children(other).is_empty());
        assert_eq!(workers.fan_out(Scope::All), 3);
    }
}

mod aggregation {
    use super::*;

    #[test]
    fn parent_and_run_succeed_after_all_children() {
        let workers = Workers::new();
        let (run, parent, children) = workers.submit_family(3);
        for child in &children {
            workers.succeed(child);
        }
        let totals = workers.aggregate(Scope::Run(run));
        assert_eq!((totals.parents, totals.runs), (1, 1));
        assert_eq!(workers.states(run, parent), (State::Succeeded, State::Succeeded));
    }

    #[test]
    fn parent_and_run_fail_after_failed_child() {
        let workers = Workers::new();
        let (run, parent, children) = workers.submit_family(3);
        workers.succeed(&children[0]);
        workers.report(Report::failed_permanently(children[1].id, "bad request"));
        workers.succeed(&children[2]);
        workers.aggregate(Scope::Run(run));
        assert_eq!(workers.states(run, parent), (State::Failed, State::Failed));
    }

    #[test]
    fn terminal_states_are_succeeded_failed_and_cancelled() {
        let terminal: Vec<_> = State::ALL.into_iter().filter(|state| state.is_terminal()).collect();
        assert_eq!(terminal, [State::Succeeded, State::Failed, State::Cancelled]);
        let workers = Workers::new();
        let (run, parent, children) = workers.submit_family(3);
        workers.succeed(&children[0]);
        workers.report(Report::cancelled(children[1].id));
        workers.report(Report::cancelled(children[2].id));
        workers.aggregate(Scope::Run(run));
        assert_eq!(workers.states(run, parent), (State::Cancelled, State::Cancelled));
    }

    #[test]
    fn parent_waits_until_all_children_are_terminal() {
        let workers = Workers::new();
        let (run, parent, children) = workers.submit_family(3);
        workers.report(Report::failed_permanently(children[0].id, "bad request"));
        workers.succeed(&children[1]);
        workers.report(Report::started(children[2].id));
        assert_eq!(workers.aggregate(Scope::Run(run)), aggregate::AggregateTotals::default());
        assert_eq!(workers.states(run, parent), (State::Running, State::Running));
        workers.succeed(&children[2]);
        workers.aggregate(Scope::Run(run));
        assert_eq!(workers.states(run, parent), (State::Failed, State::Failed));
    }

    #[test]
    fn run_state_follows_from_all_tasks() {
        let workers = Workers::new();
        for (second, expected) in [
            (Report::succeeded as fn(TaskId) -> Report, State::Succeeded),
            (|task| Report::failed_permanently(task, "bad request"), State::Failed),
            (Report::cancelled, State::Cancelled),
        ] {
            let run = workers.submit_all(["A", "B"].map(TaskDraft::new));
            let tasks = workers.tasks(run);
            workers.succeed(&tasks[0]);
            assert_eq!(workers.aggregate(Scope::Run(run)).runs, 0);
            workers.report(second(tasks[1].id));
            assert_eq!(workers.aggregate(Scope::Run(run)).runs, 1);
            assert_eq!(workers.run(run).state, expected);
        }
    }

    #[test]
    fn scope_limits_step_to_one_run() {
        let workers = Workers::new();
        let ((run, ..), (other, parent, children)) = (workers.submit_family(1), workers.submit_family(1));
        workers.succeed(&children[0]);
        assert_eq!(workers.aggregate(Scope::Run(run)), aggregate::AggregateTotals::default());
        assert_eq!(workers.states(other, parent), (State::Running, State::Running));
    }
}

mod retries {
    use super::*;

    #[test]
    fn default_limit_is_three() {
        let workers = Workers::new();
        let (_, task) = workers.submit_task(TaskDraft::new("TASK"));
        assert_eq!(workers.task(task).max_retries.get(), 3);
        let (_, task) = workers.submit_task(TaskDraft::new("CRITICAL_TASK").max_retries(10));
        assert_eq!(workers.task(task).max_retries.get(), 10);
    }

    #[test]
    fn retry_count_and_last_error_are_kept() {
        let workers = Workers::new();
        let (_, task) = workers.submit_task(TaskDraft::new("TASK"));
        for (retried, error) in [(1, "Network timeout"), (2, "Connection reset")] {
            workers.report(Report::failed(task, error));
            workers.retry(Scope::All);
            let task = workers.task(task);
            assert_eq!(task.retry_count, retried);
            assert_eq!(task.last_error.unwrap().as_str(), error);
        }
    }

    #[test]
    fn transient_failure_is_retried_until_success() {
        let workers = Workers::new();
        let (run, task) = workers.submit_task(TaskDraft::new("TASK"));
        workers.fail(task);
        workers.retry(Scope::Run(run));
        workers.report(Report::succeeded_with(task, Json::of(&"the answer").unwrap()));
        workers.aggregate(Scope::Run(run));
        assert_eq!(workers.states(run, task), (State::Succeeded, State::Succeeded));
    }

    #[test]
    fn failure_is_final_after_last_retry() {
        let workers = Workers::new();
        let (run, task) = workers.submit_task(TaskDraft::new("TASK"));
        for _ in 0..3 {
            workers.fail(task);
            assert_eq!(workers.retry(Scope::Run(run)), 1);
        }
        workers.fail(task);
        assert_eq!(workers.retry(Scope::Run(run)), 0);
        workers.aggregate(Scope::Run(run));
        assert_eq!(workers.states(run, task), (State::Failed, State::Failed));
    }

    #[test]
    fn task_is_retried_only_below_limit() {
        let workers = Workers::new();
        for limit in 0..4 {
            let (_, task) = workers.submit_task(TaskDraft::new("TASK").max_retries(limit));
            let mut retried = 0;
            loop {
                workers.fail(task);
                if workers.retry(Scope::All) == 0 {
                    break;
                }
                retried += 1;
            }
            assert_eq!((retried, i64::from(workers.task(task).retry_count)), (limit, limit));
        }
    }

    #[test]
    fn each_retry_increments_retry_count() {
        let workers = Workers::new();
        let (_, task) = workers.submit_task(TaskDraft::new("TASK"));
        for retried in 1..=3 {
            workers.fail(task);
            workers.retry(Scope::All);
            assert_eq!(workers.task(task).retry_count, retried);
        }
    }

    #[test]
    fn retried_task_is_pending() {
        let workers = Workers::new();
        let (_, task) = workers.submit_task(TaskDraft::new("TASK"));
        workers.fail(task);
        assert_eq!(workers.task(task).state, State::Failed);
        workers.retry(Scope::All);
        assert_eq!(workers.task(task).state, State::Pending);
    }

    #[test]
    fn step_returns_number_of_retried_tasks() {
        let workers = Workers::new();
        let (run, _, children) = workers.submit_family(5);
        assert_eq!(workers.retry(Scope::Run(run)), 0);
        for child in &children[..3] {
            workers.fail(child.id);
        }
        assert_eq!(workers.retry(Scope::Run(run)), 3);
        assert_eq!(workers.retry(Scope::Run(run)), 0);
    }

    #[test]
    fn scope_limits_step_to_one_run() {
        let workers = Workers::new();
        let ((run, one), (_, other)) =
            (workers.submit_task(TaskDraft::new("A")), workers.submit_task(TaskDraft::new("B")));
        workers.fail(one);
        workers.fail(other);
        assert_eq!(workers.retry(Scope::Run(run)), 1);
        assert_eq!((workers.task(one).state, workers.task(other).state), (State::Pending, State::Failed));
    }
}
