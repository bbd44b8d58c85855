//! Questions of operators: is a run healthy, what is stuck, how many retries were there, what happened?
//!
//! This scenario uses no engine. Reports from outside produce each situation and keep it for as long as the queries
//! take.

use super::scenario::Scenario;
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    output::{self, counted},
    queries,
};
use origin_conductor::steps::{fan_out, retry, run_steps_until_idle};
use origin_conductor::store::{EventFilter, Monitor, Query, ReportBatch, Store, StuckThreshold, Submit};
use origin_conductor::{
    Environment, EventBody, Health, Report, RunDraft, RunId, Scope, SqliteStore, State, StateReason, Task,
    TaskDraft,
};
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Monitoring",
    about: "Reports from outside lead a run through healthy and unhealthy states; the health report names them.\n\
        Then: the retry metrics, a summary of the run, and the events of one task.",
    play,
};

/// The run under observation.
struct Observed<'a> {
    fixture: &'a Fixture,
    store: SqliteStore,
    env: Environment,
    run: RunId,
    children: Vec<Task>,
}

fn play(fixture: &Fixture) -> Result<(), Failure> {
    let observed = Observed::submit(fixture)?;
    observed.report_and_check_health()?;
    fixture.gap();
    fixture.show(&observed.store, observed.run)?;
    fixture.gap();
    observed.retry_metrics()?;
    observed.summary()?;
    observed.events()
}

impl<'a> Observed<'a> {
    /// Submits five children with at most one retry each.
    fn submit(fixture: &'a Fixture) -> Result<Self, Failure> {
        let (store, env) = fixture.open()?;
        let parent = TaskDraft::new("NIGHTLY").input(json!({"fanout": 5})).max_retries(1);
        let run = RunDraft::new().task(parent).validate()?;
        let run = store.submit(&Submit::new(run, &env))?.run;
        fan_out::run_once(&store, Scope::Run(run), &env)?;
        let children = queries::children(&store, queries::root(&store, run)?.id)?;
        Ok(Self { fixture, store, env, run, children })
    }

    fn report_and_check_health(&self) -> Result<(), Failure> {
        let [first, second, third, fourth, fifth] = [0, 1, 2, 3, 4].map(|at| self.children[at].id);
        self.report([Report::succeeded(first), Report::succeeded(second)])?;
        self.check_health(Health::Healthy, "two of five are done, the others are pending")?;

        self.report([Report::started(third)])?;
        self.check_health(Health::Warning, "the third was started and has not been updated for a minute")?;
        let stuck = self.store.stuck(Scope::Run(self.run), self.threshold(), 10)?;
        check("the number of stuck things", stuck.len(), 1)?;
        check("running externally", matches!(stuck[0].reason, StateReason::RunningExternally { .. }), true)?;

        self.report([Report::succeeded(third), Report::failed(fourth, "Network timeout")])?;
        self.check_health(Health::Warning, "the third is done, the fourth failed and will be retried")?;

        retry::run_once(&self.store, Scope::Run(self.run), &self.env)?;
        self.report([Report::succeeded(fourth), Report::failed(fifth, "Disk full")])?;
        retry::run_once(&self.store, Scope::Run(self.run), &self.env)?;
        self.check_health(Health::Healthy, "the fourth succeeded after its retry, the fifth is retried")?;

        self.report([Report::failed(fifth, "Disk full")])?;
        run_steps_until_idle(&self.store, Scope::Run(self.run), &self.env)?;
        self.check_health(Health::Critical, "the fifth failed again, and its failure is final")
    }

    fn report(&self, reports: impl IntoIterator<Item = Report>) -> Result<(), Failure> {
        queries::applied(self.store.report(&ReportBatch::new(reports, &self.env))?)
    }

    /// Returns a threshold one minute in the future, so that a task without an update for five seconds counts as stuck.
    fn threshold(&self) -> StuckThreshold {
        StuckThreshold { now: self.env.now().plus_millis(60_000), threshold_ms: 5_000 }
    }

    fn check_health(&self, health: Health, when: &str) -> Result<(), Failure> {
        let report = self.store.health(Scope::Run(self.run), self.threshold())?;
        let output = &self.fixture.output;
        let judgement = output.paint(output::of_health(report.health), format_args!("{:8}", report.health));
        self.fixture.say(format_args!("{judgement}  {when}"));
        for warning in report.warnings {
            self.fixture.say(output.dim(format_args!("          {warning}")));
        }
        check(&format!("the health while {when}"), report.health, health)
    }

    fn retry_metrics(&self) -> Result<(), Failure> {
        let metrics = self.store.retry_metrics(Scope::Run(self.run))?;
        self.fixture.say(format_args!(
            "retries  {} in all: {} succeeded after one, {} with none left",
            metrics.total_retries,
            counted(metrics.succeeded_after_retry, "task", "tasks"),
            metrics.retries_exhausted,
        ));
        check("the number of retries", metrics.total_retries, 2)?;
        check("the number that succeeded after a retry", metrics.succeeded_after_retry, 1)?;
        check("the number of exhausted tasks", metrics.retries_exhausted, 1)
    }

    fn summary(&self) -> Result<(), Failure> {
        let summary = self.store.summary(self.run, StuckThreshold::at(self.env.now()))?;
        let summary = summary.ok_or_else(|| Failure::new("the run has no summary"))?;
        self.fixture.say(format_args!(
            "run      {} after {} ms: {} SUCCEEDED, {} FAILED; {}",
            summary.state,
            summary.duration_ms,
            counted(summary.state_counts.succeeded, "task", "tasks"),
            summary.state_counts.failed,
            counted(summary.events, "event", "events"),
        ));
        check("the state in the summary", summary.state, State::Failed)?;
        // The fifth child and the parent failed.
        check("the number of successes", summary.state_counts.succeeded, 4)?;
        check("the number of failures", summary.state_counts.failed, 2)
    }

    /// Filters events by run, task, name and time.
    fn events(&self) -> Result<(), Failure> {
        let fifth = &self.children[4];
        let of_task = EventFilter { task: Some(fifth.id), ..EventFilter::default() };
        let events = self.store.events(of_task, 0, 100)?.items;
        let names: Vec<&str> = events.iter().map(|event| event.body.name()).collect();
        self.fixture.say(format_args!("events   of {}: {}", fifth.name, names.join(", ")));
        let expected = "task.started, task.failed, task.retried, task.started, task.failed";
        check("the events of the fifth child", names.join(", ").as_str(), expected)?;

        let failed = EventFilter { run: Some(self.run), name: Some("task.failed"), ..EventFilter::default() };
        let failures = self.store.events(failed, 0, 100)?.items;
        let is_final = |body: &EventBody| matches!(body, EventBody::TaskFailed { due_at: None, .. });
        check("the number of failures", failures.len(), 3)?;
        let finals = failures.iter().filter(|event| is_final(&event.body)).count();
        check("the number of final failures", finals, 1)?;

        let later = EventFilter { since: Some(self.threshold().now), ..EventFilter::default() };
        check("the number of events in the future", self.store.events(later, 0, 100)?.items.len(), 0)
    }
}
