//! What the original promised of its three workers, promise by promise.

use conductor_model::{Json, RunDraft, RunId, State, Task, TaskDraft, TaskId, Timestamp};
use conductor_store::{
    Environment, FanOut, Query, Report, ReportBatch, ReportOutcome, RotationCursor, Scope, SqliteStore,
    Store, Submit, TaskFilter,
};
use conductor_workers::steps::{self, aggregate, retry};
use serde_json::json;

struct Desk {
    store: SqliteStore,
    env: Environment,
}

impl Desk {
    fn new() -> Self {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        Self { store: SqliteStore::open_in_memory().unwrap(), env: Environment::seeded(now, 7) }
    }

    fn submit(&self, task: TaskDraft) -> (RunId, TaskId) {
        let run = RunDraft::new().task(task).validate().unwrap();
        let run = self.store.submit(&Submit::new(run, &self.env)).unwrap().run;
        (run, self.tasks(run)[0].id)
    }

    /// A run with a parent of `n` children.
    fn parent(&self, n: u32) -> (RunId, TaskId) {
        self.submit(TaskDraft::new("PARENT").input(json!({ "fanout": n })))
    }

    /// The same, with its children.
    fn family(&self, n: u32) -> (RunId, TaskId, Vec<Task>) {
        let (run, parent) = self.parent(n);
        self.fan_out(Scope::Run(run));
        (run, parent, self.children(parent))
    }

    fn fan_out(&self, scope: Scope) -> u64 {
        steps::fan_out::run_once(&self.store, scope, &self.env).unwrap().children
    }

    fn aggregate(&self, scope: Scope) -> aggregate::AggregateTotals {
        aggregate::run_once(&self.store, scope, &self.env).unwrap()
    }

    fn retry(&self, scope: Scope) -> u64 {
        retry::run_once(&self.store, scope, &self.env).unwrap().retried
    }

    fn report(&self, report: Report) {
        let answers = self.store.report(&ReportBatch::new([report], &self.env)).unwrap();
        assert_eq!(answers, [ReportOutcome::Applied]);
    }

    fn succeed(&self, task: &Task) {
        self.report(Report::succeeded(task.id));
    }

    fn fail(&self, task: TaskId) {
        self.report(Report::failed(task, "Connection timeout"));
    }

    fn tasks(&self, run: RunId) -> Vec<Task> {
        self.store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items
    }

    fn children(&self, parent: TaskId) -> Vec<Task> {
        self.store.children(parent, 0, 1000).unwrap().items
    }

    fn task(&self, id: TaskId) -> Task {
        self.store.task(id).unwrap().unwrap()
    }

    fn states(&self, run: RunId, parent: TaskId) -> (State, State) {
        (self.task(parent).state, self.store.run(run).unwrap().unwrap().state)
    }
}

mod fan_out {
    use super::*;

    #[test]
    fn pending_parent_gets_n_children() {
        let desk = Desk::new();
        let (run, parent) = desk.parent(3);
        assert_eq!(desk.task(parent).state, State::Pending);
        assert_eq!(desk.fan_out(Scope::Run(run)), 3);
        let children = desk.children(parent);
        assert_eq!(children.len(), 3);
        assert!(children.iter().all(|child| child.state == State::Pending && child.parent == Some(parent)));
    }

    #[test]
    fn repeated_step_creates_exactly_n_children() {
        let desk = Desk::new();
        let (run, parent) = desk.parent(3);
        let created: Vec<_> = (0..5).map(|_| desk.fan_out(Scope::Run(run))).collect();
        assert_eq!(created, [3, 0, 0, 0, 0]);
        assert_eq!(desk.children(parent).len(), 3);
    }

    #[test]
    fn child_name_contains_parent_and_index() {
        let desk = Desk::new();
        let (_, _, children) = desk.family(3);
        let names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["PARENT#1", "PARENT#2", "PARENT#3"]);
    }

    #[test]
    fn only_missing_children_are_created() {
        let desk = Desk::new();
        let (run, parent) = desk.parent(5);
        let (scope, now) = (Scope::Run(run), desk.env.now());
        let interrupted = FanOut { scope, now, ids: desk.env.ids(2), cursor: RotationCursor::default() };
        assert_eq!(desk.store.fan_out(&interrupted).unwrap().children, 2);
        let first = desk.children(parent);
        assert_eq!(desk.fan_out(scope), 3);
        let all = desk.children(parent);
        assert_eq!((all.len(), &all[..2]), (5, &first[..]));
    }

    #[test]
    fn scope_limits_step_to_one_run() {
        let desk = Desk::new();
        let ((run, _), (_, other)) = (desk.parent(2), desk.parent(3));
        assert_eq!(desk.fan_out(Scope::Run(run)), 2);
        assert!(desk.children(other).is_empty());
        assert_eq!(desk.fan_out(Scope::All), 3);
    }
}

mod aggregation {
    use super::*;

    #[test]
    fn parent_and_run_succeed_after_all_children() {
        let desk = Desk::new();
        let (run, parent, children) = desk.family(3);
        for child in &children {
            desk.succeed(child);
        }
        let done = desk.aggregate(Scope::Run(run));
        assert_eq!((done.parents, done.runs), (1, 1));
        assert_eq!(desk.states(run, parent), (State::Succeeded, State::Succeeded));
    }

    #[test]
    fn parent_and_run_fail_after_failed_child() {
        let desk = Desk::new();
        let (run, parent, children) = desk.family(3);
        desk.succeed(&children[0]);
        desk.report(Report::failed_permanently(children[1].id, "bad request"));
        desk.succeed(&children[2]);
        desk.aggregate(Scope::Run(run));
        assert_eq!(desk.states(run, parent), (State::Failed, State::Failed));
    }

    #[test]
    fn terminal_states_are_succeeded_failed_and_cancelled() {
        let terminal: Vec<_> = State::ALL.into_iter().filter(|state| state.is_terminal()).collect();
        assert_eq!(terminal, [State::Succeeded, State::Failed, State::Cancelled]);
        let desk = Desk::new();
        let (run, parent, children) = desk.family(3);
        desk.succeed(&children[0]);
        desk.report(Report::cancelled(children[1].id));
        desk.report(Report::cancelled(children[2].id));
        desk.aggregate(Scope::Run(run));
        assert_eq!(desk.states(run, parent), (State::Cancelled, State::Cancelled));
    }

    #[test]
    fn parent_waits_until_all_children_are_terminal() {
        let desk = Desk::new();
        let (run, parent, children) = desk.family(3);
        desk.report(Report::failed_permanently(children[0].id, "bad request"));
        desk.succeed(&children[1]);
        desk.report(Report::started(children[2].id));
        assert_eq!(desk.aggregate(Scope::Run(run)), aggregate::AggregateTotals::default());
        assert_eq!(desk.states(run, parent), (State::Running, State::Running));
        desk.succeed(&children[2]);
        desk.aggregate(Scope::Run(run));
        assert_eq!(desk.states(run, parent), (State::Failed, State::Failed));
    }

    #[test]
    fn run_state_follows_from_all_tasks() {
        let desk = Desk::new();
        for (second, expected) in [
            (Report::succeeded as fn(TaskId) -> Report, State::Succeeded),
            (|task| Report::failed_permanently(task, "bad request"), State::Failed),
            (Report::cancelled, State::Cancelled),
        ] {
            let run = RunDraft::new().tasks(["A", "B"].map(TaskDraft::new)).validate().unwrap();
            let run = desk.store.submit(&Submit::new(run, &desk.env)).unwrap().run;
            let tasks = desk.tasks(run);
            desk.succeed(&tasks[0]);
            assert_eq!(desk.aggregate(Scope::Run(run)).runs, 0);
            desk.report(second(tasks[1].id));
            assert_eq!(desk.aggregate(Scope::Run(run)).runs, 1);
            assert_eq!(desk.store.run(run).unwrap().unwrap().state, expected);
        }
    }

    #[test]
    fn scope_limits_step_to_one_run() {
        let desk = Desk::new();
        let ((run, ..), (other, parent, children)) = (desk.family(1), desk.family(1));
        desk.succeed(&children[0]);
        assert_eq!(desk.aggregate(Scope::Run(run)), aggregate::AggregateTotals::default());
        assert_eq!(desk.states(other, parent), (State::Running, State::Running));
    }
}

mod retries {
    use super::*;

    #[test]
    fn default_limit_is_three() {
        let desk = Desk::new();
        let (_, task) = desk.submit(TaskDraft::new("TASK"));
        assert_eq!(desk.task(task).max_retries.get(), 3);
        let (_, task) = desk.submit(TaskDraft::new("CRITICAL_TASK").max_retries(10));
        assert_eq!(desk.task(task).max_retries.get(), 10);
    }

    #[test]
    fn retry_count_and_last_error_are_kept() {
        let desk = Desk::new();
        let (_, task) = desk.submit(TaskDraft::new("TASK"));
        for (retried, error) in [(1, "Network timeout"), (2, "Connection reset")] {
            desk.report(Report::failed(task, error));
            desk.retry(Scope::All);
            let task = desk.task(task);
            assert_eq!(task.retry_count, retried);
            assert_eq!(task.last_error.unwrap().as_str(), error);
        }
    }

    #[test]
    fn transient_failure_is_retried_until_success() {
        let desk = Desk::new();
        let (run, task) = desk.submit(TaskDraft::new("TASK"));
        desk.fail(task);
        desk.retry(Scope::Run(run));
        desk.report(Report::succeeded_with(task, Json::of(&"the answer").unwrap()));
        desk.aggregate(Scope::Run(run));
        assert_eq!(desk.states(run, task), (State::Succeeded, State::Succeeded));
    }

    #[test]
    fn failure_is_final_after_last_retry() {
        let desk = Desk::new();
        let (run, task) = desk.submit(TaskDraft::new("TASK"));
        for _ in 0..3 {
            desk.fail(task);
            assert_eq!(desk.retry(Scope::Run(run)), 1);
        }
        desk.fail(task);
        assert_eq!(desk.retry(Scope::Run(run)), 0);
        desk.aggregate(Scope::Run(run));
        assert_eq!(desk.states(run, task), (State::Failed, State::Failed));
    }

    #[test]
    fn task_is_retried_only_below_limit() {
        let desk = Desk::new();
        for limit in 0..4 {
            let (_, task) = desk.submit(TaskDraft::new("TASK").max_retries(limit));
            let mut retried = 0;
            loop {
                desk.fail(task);
                if desk.retry(Scope::All) == 0 {
                    break;
                }
                retried += 1;
            }
            assert_eq!((retried, i64::from(desk.task(task).retry_count)), (limit, limit));
        }
    }

    #[test]
    fn each_retry_increments_retry_count() {
        let desk = Desk::new();
        let (_, task) = desk.submit(TaskDraft::new("TASK"));
        for retried in 1..=3 {
            desk.fail(task);
            desk.retry(Scope::All);
            assert_eq!(desk.task(task).retry_count, retried);
        }
    }

    #[test]
    fn retried_task_is_pending() {
        let desk = Desk::new();
        let (_, task) = desk.submit(TaskDraft::new("TASK"));
        desk.fail(task);
        assert_eq!(desk.task(task).state, State::Failed);
        desk.retry(Scope::All);
        assert_eq!(desk.task(task).state, State::Pending);
    }

    #[test]
    fn step_returns_number_of_retried_tasks() {
        let desk = Desk::new();
        let (run, _, children) = desk.family(5);
        assert_eq!(desk.retry(Scope::Run(run)), 0);
        for child in &children[..3] {
            desk.fail(child.id);
        }
        assert_eq!(desk.retry(Scope::Run(run)), 3);
        assert_eq!(desk.retry(Scope::Run(run)), 0);
    }

    #[test]
    fn scope_limits_step_to_one_run() {
        let desk = Desk::new();
        let ((run, one), (_, other)) = (desk.submit(TaskDraft::new("A")), desk.submit(TaskDraft::new("B")));
        desk.fail(one);
        desk.fail(other);
        assert_eq!(desk.retry(Scope::Run(run)), 1);
        assert_eq!((desk.task(one).state, desk.task(other).state), (State::Pending, State::Failed));
    }
}
