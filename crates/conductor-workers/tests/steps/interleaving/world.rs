//! A run that the actions of a schedule drive, and the checks of its final state.

use super::schedule::{Action, ParentSettings};
use crate::support::pages::all_tasks;
use conductor_conformance::assert_replays;
use conductor_model::{
    AttemptFailure, ChildCounts, Decision, JoinDraft, JoinStatus, Json, ParentStatus, RunDraft, RunId, State,
    Task, TaskDraft, TaskId, Timestamp,
};
use conductor_store::{
    Admin, AttemptResult, Cancel, CancelError, Claim, ClaimedTask, EngineRegistration, Environment, FanOut,
    Fence, KindQuota, Query, RegisterEngine, Report, ReportBatch, ReportedResult, Rescue, RotationCursor,
    Scope, Settle, SqliteStore, Step, Store, Submit,
};
use conductor_workers::steps::run_steps_until_idle;
use serde_json::Value;
use std::collections::{BTreeMap, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};

/// How an attempt ends.
#[derive(Clone, Debug)]
enum AttemptEnd {
    Result(AttemptResult),
    /// Its engine dies, and the lease is lost.
    LeaseLost,
}

/// Decides how an attempt ends. This depends only on the name of the task, which contains its path, and on its retries.
fn attempt_end(salt: u64, task: &Task) -> AttemptEnd {
    let mut hasher = DefaultHasher::new();
    (salt, task.name.as_str(), task.retry_count).hash(&mut hasher);
    let output = || Some(task.name.as_str().len().to_string().parse().unwrap());
    AttemptEnd::Result(match hasher.finish() % 10 {
        0..6 => AttemptResult::Succeeded { output: output() },
        6..7 => AttemptResult::Failed(AttemptFailure::error("it broke")),
        7..9 => return AttemptEnd::LeaseLost,
        _ => AttemptResult::Failed(AttemptFailure::fatal("it can never work")),
    })
}

/// Converts a result to the report of a worker without a claim.
fn reported_result(result: AttemptResult) -> ReportedResult {
    match result {
        AttemptResult::Succeeded { output } => ReportedResult::Succeeded { output },
        AttemptResult::Failed(failure) => ReportedResult::Failed {
            error: failure.text(),
            retryable: failure.text().as_str() == "it broke",
            retry_after_ms: None,
        },
    }
}

/// An engine with claims. It is dropped when no claim with a result is left.
struct ClaimingEngine {
    _registration: EngineRegistration,
    claims: Vec<(Fence, AttemptResult)>,
}

/// The final state of a run, without times. No schedule may change it.
#[derive(Debug, PartialEq)]
pub(crate) struct FinalState {
    pub(crate) run: State,
    tasks: BTreeMap<String, FinalTask>,
}

/// The final state of one task.
#[derive(Debug, PartialEq)]
struct FinalTask {
    state: State,
    retry_count: u32,
    output: Option<String>,
    error: Option<String>,
}

/// A run on a store, driven by the actions of a schedule.
pub(crate) struct World {
    store: SqliteStore,
    env: Environment,
    run: RunId,
    salt: u64,
    /// How far the clock was advanced.
    passed_ms: u64,
    engines: Vec<ClaimingEngine>,
}

impl World {
    pub(crate) fn new(
        trees: &[Value],
        settings: &[ParentSettings],
        deadline_ms: Option<u64>,
        salt: u64,
    ) -> Self {
        let store = SqliteStore::open_in_memory().unwrap();
        let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), salt);
        let task = |(n, tree): (usize, &Value)| {
            let task = TaskDraft::new(format!("root {n}")).kind("work").max_retries(2).input(tree);
            let ParentSettings { policy, has_join } = settings[n + 1];
            match (tree.is_object(), has_join) {
                (false, _) => task,
                (true, false) => task.policy(policy),
                (true, true) => task.policy(policy).join(JoinDraft::new("work").max_retries(2)),
            }
        };
        let mut run = RunDraft::new().tasks(trees.iter().enumerate().map(task)).policy(settings[0].policy);
        if settings[0].has_join {
            run = run.join(JoinDraft::new("work").max_retries(2));
        }
        if let Some(ms) = deadline_ms {
            run = run.deadline_ms(ms);
        }
        let run = store.submit(&Submit::new(run.validate().unwrap(), &env)).unwrap().run;
        Self { store, env, run, salt, passed_ms: 0, engines: Vec::new() }
    }

    fn now(&self) -> Timestamp {
        self.env.now().plus_millis(self.passed_ms)
    }

    fn tasks(&self) -> Vec<Task> {
        all_tasks(&self.store, self.run).unwrap()
    }

    /// Returns the leaves that a worker without a claim may report on, with their results.
    fn reportable(&self) -> Vec<(Task, AttemptResult)> {
        let open = |task: &Task| {
            task.child_counts.is_none() && !task.state.is_terminal() && task.lease_until.is_none()
        };
        let with_result = |task: Task| match attempt_end(self.salt, &task) {
            AttemptEnd::Result(result) => Some((task, result)),
            AttemptEnd::LeaseLost => None,
        };
        self.tasks().into_iter().filter(open).filter_map(with_result).collect()
    }

    fn report(&self, (task, result): &(Task, AttemptResult), twice: bool) {
        let attempt = if task.state == State::Pending { task.attempt + 1 } else { task.attempt };
        let report =
            Report { task: task.id, attempt: Some(attempt), result: reported_result(result.clone()) };
        for _ in 0..=u8::from(twice) {
            let _ = self.store.report(&ReportBatch::new([report.clone()], &self.env)).unwrap();
        }
    }

    /// Claims up to `limit` tasks for a new engine, and returns how many it claimed. The engine dies immediately if no claim has
    /// a result.
    fn claim(&mut self, limit: u32) -> usize {
        let registration = self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap();
        let quotas = vec![KindQuota::new("work".parse().unwrap(), limit)];
        let claim = Claim::new(registration.key(), quotas, 30_000, &self.env).allow_isolated(true);
        let claimed = self.store.claim(&claim).unwrap().tasks();
        let with_result = |claimed: &ClaimedTask| {
            let task = self.store.task(claimed.fence.task).unwrap().unwrap();
            match attempt_end(self.salt, &task) {
                AttemptEnd::Result(result) => Some((claimed.fence, result)),
                AttemptEnd::LeaseLost => None,
            }
        };
        let claims: Vec<_> = claimed.iter().filter_map(with_result).collect();
        if !claims.is_empty() {
            self.engines.push(ClaimingEngine { _registration: registration, claims });
        }
        claimed.len()
    }

    /// Settles one claim of an engine. The engine dies if it has no claim left.
    fn settle(&mut self, task: usize, twice: bool) {
        let Some(engine) = task.checked_rem(self.engines.len()) else { return };
        let claims = &mut self.engines[engine].claims;
        let settled = claims.swap_remove(task % claims.len());
        for _ in 0..=u8::from(twice) {
            let _ = self.store.settle(&Settle::new(vec![settled.clone()], &self.env)).unwrap();
        }
        self.engines.retain(|engine| !engine.claims.is_empty());
    }

    fn rescue(&self, limit: u32) -> u32 {
        self.store.rescue(&Rescue::new(limit, &self.env)).unwrap().changed
    }

    /// Performs one action.
    pub(crate) fn perform(&mut self, action: Action) {
        let (scope, now) = (Scope::All, self.now());
        match action {
            Action::FanOut { ids } => {
                let (ids, cursor) = (self.env.ids(ids), RotationCursor::default());
                let _ = self.store.fan_out(&FanOut { scope, now, ids, cursor }).unwrap();
            }
            Action::Aggregate { limit } => {
                let _ = self.store.aggregate(&Step { scope, now, limit }).unwrap();
            }
            Action::Retry { limit } => {
                let _ = self.store.retry(&Step { scope, now, limit }).unwrap();
            }
            Action::Work { task, twice } => {
                let reportable = self.reportable();
                if !reportable.is_empty() {
                    self.report(&reportable[task % reportable.len()], twice);
                }
            }
            Action::Start { task } => {
                let reportable = self.reportable();
                if !reportable.is_empty() {
                    let id = reportable[task % reportable.len()].0.id;
                    let _ = self.store.report(&ReportBatch::new([Report::started(id)], &self.env)).unwrap();
                }
            }
            Action::Claim { limit } => drop(self.claim(limit)),
            Action::Settle { task, twice } => self.settle(task, twice),
            Action::Rescue { limit } => drop(self.rescue(limit)),
            Action::Sweep { limit } => {
                let _ = self.store.sweep(&Step { scope, now, limit }).unwrap();
            }
            Action::Cancel { task } => self.cancel(task),
            Action::Expire { ms } => {
                self.passed_ms += ms;
                let step = Step { scope, now: self.now(), limit: 10 };
                let _ = self.store.expire(&step).unwrap();
            }
        }
    }

    fn cancel(&self, task: Option<usize>) {
        let (tasks, now) = (self.tasks(), self.now());
        let cancel = task.map_or_else(
            || Cancel::run(self.run, now),
            |task| Cancel::task(tasks[task % tasks.len()].id, now),
        );
        let cancelled = self.store.cancel(&cancel);
        assert!(matches!(cancelled, Ok(_) | Err(CancelError::AlreadySettled { .. })), "{cancelled:?}");
    }

    /// Checks that each parent state follows from cancel cause, policy, children and join.
    fn assert_states_follow(&self) {
        let tasks = self.tasks();
        let run = self.store.run(self.run).unwrap().unwrap();
        let status = |parent: Option<TaskId>, total, policy, cancel_cause, has_join| {
            let (join, children): (Vec<&Task>, Vec<&Task>) =
                tasks.iter().filter(|task| task.parent == parent).partition(|task| task.index == 0);
            let mut counts = ChildCounts { total, ..ChildCounts::default() };
            for child in children {
                counts.apply(None, child.status());
            }
            let join = match join.first() {
                Some(join) => JoinStatus::Settled(join.state),
                None if has_join => JoinStatus::NotStarted,
                None => JoinStatus::None,
            };
            ParentStatus { counts, policy, cancel_cause, join }
        };
        let for_run = status(None, run.child_counts.total, run.policy, run.cancel_cause, run.join.is_some());
        assert_eq!(for_run.decide(), Decision::Settle(run.state), "{for_run:?}");
        for task in &tasks {
            assert!(task.status().is_settled(), "{task:?}");
            let Some(counts) = task.child_counts else { continue };
            let status =
                status(Some(task.id), counts.total, task.policy, task.cancel_cause, task.join.is_some());
            assert_eq!(status.decide(), Decision::Settle(task.state), "{}: {status:?}", task.name);
        }
    }

    /// Continues until the run is settled, and checks all states.
    pub(crate) fn finish(mut self) -> FinalState {
        loop {
            run_steps_until_idle(&self.store, Scope::All, &self.env).unwrap();
            let mut progress = self.engines.len();
            while !self.engines.is_empty() {
                self.settle(0, false);
            }
            progress += self.rescue(1000) as usize;
            for task in self.reportable() {
                self.report(&task, false);
                progress += 1;
            }
            // An engine claims the remaining tasks and dies.
            progress += self.claim(1000);
            if progress == 0 {
                break;
            }
        }
        assert_replays(&self.store);
        self.assert_states_follow();
        let text = |json: &Option<Json>| json.as_ref().map(ToString::to_string);
        let error = |task: &Task| task.last_error.as_ref().map(ToString::to_string);
        let last = |task: Task| {
            let (state, retry_count) = (task.state, task.retry_count);
            let (output, error) = (text(&task.output), error(&task));
            (task.name.to_string(), FinalTask { state, retry_count, output, error })
        };
        let tasks = self.tasks().into_iter().map(last).collect();
        FinalState { run: self.store.run(self.run).unwrap().unwrap().state, tasks }
    }
}
