//! All answers of a store that do not change anything, as text: two stores with the same content give the same.

use conductor_conformance::AnyStore;
use conductor_model::{RunId, Task, Timestamp};
use conductor_store::{
    ChildFailure, ChildOutput, EventFilter, NodeId, Page, Scope, StoreError, StuckThreshold,
};
use std::fmt::Debug;

/// A page that has all items: no test creates as many.
const ALL: u32 = 1000;

/// All answers about these runs and these tasks. The numbers of events are left out, the order in which one transaction
/// records the events of siblings, and that of blockers.
pub(crate) fn answers(store: &dyn AnyStore, now: Timestamp, runs: &[RunId], tasks: &[Task]) -> Vec<String> {
    let threshold = StuckThreshold { now, threshold_ms: 1_000 };
    let mut answers = Answers::default();
    answers.add("ready kinds", &store.ready_kinds(ALL));
    answers.add("next due", &store.next_due());
    answers.add("runs", &store.runs(None, ALL));
    for scope in std::iter::once(Scope::All).chain(runs.iter().map(|run| Scope::Run(*run))) {
        answers.add("state counts", &store.state_counts(scope));
        answers.add("health", &store.health(scope, threshold));
        answers.add("retry metrics", &store.retry_metrics(scope));
        answers.add_sorted("stuck", &store.stuck(scope, threshold, ALL).unwrap());
    }
    for run in runs {
        let mut blockers = store.run_blockers(*run, ALL).unwrap();
        blockers.external_tasks.sort_unstable();
        answers.add("blockers", &blockers);
        answers.add("run", &store.explain(NodeId::Run(*run), now));
        answers.add("eta", &store.eta(*run, now));
        answers.add("summary", &store.summary(*run, threshold));
    }
    for task in tasks {
        answers.add("task", &store.task(task.id));
        answers.add("why", &store.explain(NodeId::Task(task.id), now));
        answers.add("progress", &store.task_progress(task.id));
        let of_task = EventFilter { task: Some(task.id), ..EventFilter::default() };
        answers.add_sorted("events of a task", &events(store, of_task));
        if task.child_counts.is_some() {
            let children: Result<Page<Task, u32>, StoreError> = store.children(task.id, 0, ALL);
            answers.add("children", &children);
            let outputs: Result<Page<ChildOutput, u32>, StoreError> =
                store.child_outputs(NodeId::Task(task.id), 0, ALL);
            answers.add("outputs", &outputs);
            let failures: Result<Page<ChildFailure, u32>, StoreError> =
                store.child_failures(NodeId::Task(task.id), 0, ALL);
            answers.add("failures", &failures);
        }
    }
    answers.add_sorted("events", &events(store, EventFilter::default()));
    answers.0
}

/// Events without their numbers.
fn events(store: &dyn AnyStore, filter: EventFilter<'_>) -> Vec<(Timestamp, String)> {
    let mut events = Vec::new();
    let mut cursor = 0;
    loop {
        // Small pages cut rows apart, and large ones are faster.
        let limit = if events.len() < 100 { 7 } else { ALL };
        let page = store.events(filter, cursor, limit).unwrap();
        events.extend(
            page.items
                .iter()
                .map(|event| (event.at, format!("{} {:?} {:?}", event.run, event.task, event.body))),
        );
        match page.next {
            Some(next) => cursor = next,
            None => return events,
        }
    }
}

#[derive(Default)]
struct Answers(Vec<String>);

impl Answers {
    fn add(&mut self, question: &str, answer: &impl Debug) {
        self.0.push(format!("{question}: {answer:?}"));
    }

    fn add_sorted(&mut self, question: &str, answer: &[impl Debug]) {
        let mut lines: Vec<String> = answer.iter().map(|item| format!("{question}: {item:?}")).collect();
        lines.sort_unstable();
        self.0.extend(lines);
    }
}
