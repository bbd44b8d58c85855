//! What operators ask: is all well, what is stuck, what did retries come to, what happened?
//!
//! No engine here: reports from outside bring about each moment that an operator may see, and hold it as long as it takes
//! to look.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    screen::{self, counted},
    stage::Stage,
};
use conductor_model::{EventBody, Health, RunDraft, RunId, State, StateReason, Task, TaskDraft};
use conductor_store::{
    Environment, EventFilter, Monitor, Query, Report, ReportBatch, Scope, SqliteStore, Store, StuckThreshold,
    Submit,
};
use conductor_workers::steps::{fan_out, retry, run_steps_until_idle};
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Monitoring",
    about: "ReportBatch from outside take a run through good and bad times, and the health report says which.\n\
        Then: the retry metrics, the run at a glance, and the events of one task.",
    play,
};

/// A run under observation.
struct Observed<'a> {
    stage: &'a Stage,
    store: SqliteStore,
    env: Environment,
    run: RunId,
    children: Vec<Task>,
}

fn play(stage: &Stage) -> Result<(), Failure> {
    let observed = Observed::submit(stage)?;
    observed.good_and_bad_times()?;
    stage.gap();
    stage.show(&observed.store, observed.run)?;
    stage.gap();
    observed.retry_metrics()?;
    observed.summary()?;
    observed.events()
}

impl<'a> Observed<'a> {
    /// Five children, each of which may be retried once.
    fn submit(stage: &'a Stage) -> Result<Self, Failure> {
        let (store, env) = stage.open()?;
        let parent = TaskDraft::new("NIGHTLY").input(json!({"fanout": 5})).max_retries(1);
        let run = RunDraft::new().task(parent).validate()?;
        let run = store.submit(&Submit::new(run, &env))?.run;
        fan_out::run_once(&store, Scope::Run(run), &env)?;
        let children = look::children(&store, look::root(&store, run)?.id)?;
        Ok(Self { stage, store, env, run, children })
    }

    fn good_and_bad_times(&self) -> Result<(), Failure> {
        let [first, second, third, fourth, fifth] = [0, 1, 2, 3, 4].map(|at| self.children[at].id);
        self.report([Report::succeeded(first), Report::succeeded(second)])?;
        self.judge(Health::Healthy, "two of five are done, the others wait for their turn")?;

        self.report([Report::started(third)])?;
        self.judge(Health::Warning, "the third was started, and not heard of for a minute")?;
        let stuck = self.store.stuck(Scope::Run(self.run), self.watch(), 10)?;
        check("the number of stuck things", stuck.len(), 1)?;
        check("held from outside", matches!(stuck[0].reason, StateReason::RunningExternally { .. }), true)?;

        self.report([Report::succeeded(third), Report::failed(fourth, "Network timeout")])?;
        self.judge(Health::Warning, "the third is done, the fourth has failed and will be retried")?;

        retry::run_once(&self.store, Scope::Run(self.run), &self.env)?;
        self.report([Report::succeeded(fourth), Report::failed(fifth, "Disk full")])?;
        retry::run_once(&self.store, Scope::Run(self.run), &self.env)?;
        self.judge(Health::Healthy, "the fourth succeeded after its retry, the fifth is retried")?;

        self.report([Report::failed(fifth, "Disk full")])?;
        run_steps_until_idle(&self.store, Scope::Run(self.run), &self.env)?;
        self.judge(Health::Critical, "the fifth has failed again, and that is final")
    }

    fn report(&self, reports: impl IntoIterator<Item = Report>) -> Result<(), Failure> {
        look::applied(self.store.report(&ReportBatch::new(reports, &self.env))?)
    }

    /// A look from a minute ahead, which calls stuck what gave no sign of life for five seconds.
    fn watch(&self) -> StuckThreshold {
        StuckThreshold { now: self.env.now().plus_millis(60_000), threshold_ms: 5_000 }
    }

    fn judge(&self, health: Health, when: &str) -> Result<(), Failure> {
        let report = self.store.health(Scope::Run(self.run), self.watch())?;
        let screen = &self.stage.screen;
        let judgement = screen.paint(screen::of_health(report.health), format_args!("{:8}", report.health));
        self.stage.say(format_args!("{judgement}  {when}"));
        for warning in report.warnings {
            self.stage.say(screen.dim(format_args!("          {warning}")));
        }
        check(&format!("the health while {when}"), report.health, health)
    }

    fn retry_metrics(&self) -> Result<(), Failure> {
        let metrics = self.store.retry_metrics(Scope::Run(self.run))?;
        self.stage.say(format_args!(
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
        self.stage.say(format_args!(
            "run      {} after {} ms: {} SUCCEEDED, {} FAILED; {}",
            summary.state,
            summary.duration_ms,
            counted(summary.state_counts.succeeded, "task", "tasks"),
            summary.state_counts.failed,
            counted(summary.events, "event", "events"),
        ));
        check("the state in the summary", summary.state, State::Failed)?;
        // Four children; the fifth child and the parent.
        check("the number of successes", summary.state_counts.succeeded, 4)?;
        check("the number of failures", summary.state_counts.failed, 2)
    }

    /// Events can be asked for by run, task, name and time.
    fn events(&self) -> Result<(), Failure> {
        let fifth = &self.children[4];
        let of_task = EventFilter { task: Some(fifth.id), ..EventFilter::default() };
        let story = self.store.events(of_task, 0, 100)?.items;
        let names: Vec<&str> = story.iter().map(|event| event.body.name()).collect();
        self.stage.say(format_args!("events   of {}: {}", fifth.name, names.join(", ")));
        let should_be = "task.started, task.failed, task.retried, task.started, task.failed";
        check("the story of the fifth child", names.join(", ").as_str(), should_be)?;

        let failed = EventFilter { run: Some(self.run), name: Some("task.failed"), ..EventFilter::default() };
        let failures = self.store.events(failed, 0, 100)?.items;
        let is_final = |body: &EventBody| matches!(body, EventBody::TaskFailed { due_at: None, .. });
        check("the number of failures", failures.len(), 3)?;
        let finals = failures.iter().filter(|event| is_final(&event.body)).count();
        check("the number of final failures", finals, 1)?;

        let later = EventFilter { since: Some(self.watch().now), ..EventFilter::default() };
        check("the number of events in the future", self.store.events(later, 0, 100)?.items.len(), 0)
    }
}
