//! The same random programs on two stores give the same answers. The numbers of events differ, and the order in which one
//! transaction records the events of siblings.

use crate::harness::{Harness, StoreKind};
use crate::programs::{Op, cancel_and_revive_program, op, op_among_engines};
use conductor_model::{Task, Timestamp};
use conductor_store::{
    ChildFailure, ChildOutput, EventFilter, NodeId, Page, Scope, StoreError, StuckThreshold,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Debug;

/// A page that has all items: no program creates as many.
const ALL: u32 = 1000;

impl Harness {
    /// All answers that do not change anything.
    fn answers(&self) -> Vec<String> {
        let (store, now) = (&*self.store, self.now);
        let threshold = StuckThreshold { now, threshold_ms: 1_000 };
        let mut answers = Answers::default();
        answers.add("ready kinds", &store.ready_kinds(ALL));
        answers.add("next due", &store.next_due());
        answers.add("runs", &store.runs(None, ALL));
        for scope in std::iter::once(Scope::All).chain(self.runs.iter().map(|run| Scope::Run(*run))) {
            answers.add("state counts", &store.state_counts(scope));
            answers.add("health", &store.health(scope, threshold));
            answers.add("retry metrics", &store.retry_metrics(scope));
            answers.add_sorted("stuck", &store.stuck(scope, threshold, ALL).unwrap());
        }
        for run in &self.runs {
            answers.add("blockers", &store.run_blockers(*run, ALL));
            answers.add("run", &store.explain(NodeId::Run(*run), now));
            answers.add("eta", &store.eta(*run, now));
            answers.add("summary", &store.summary(*run, threshold));
        }
        for task in &self.tasks {
            answers.add("task", &store.task(task.id));
            answers.add("why", &store.explain(NodeId::Task(task.id), now));
            answers.add("progress", &store.task_progress(task.id));
            let of_task = EventFilter { task: Some(task.id), ..EventFilter::default() };
            answers.add_sorted("events of a task", &events(self, of_task));
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
        answers.add_sorted("events", &events(self, EventFilter::default()));
        answers.0
    }
}

/// Events without their numbers.
fn events(harness: &Harness, filter: EventFilter<'_>) -> Vec<(Timestamp, String)> {
    let mut events = Vec::new();
    let mut cursor = 0;
    loop {
        let page = harness.store.events(filter, cursor, 7).unwrap();
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

fn assert_same_answers(program: &[Op]) {
    let mut stores = [StoreKind::SqliteInMemory, StoreKind::Ranges].map(Harness::new);
    for op in program {
        let [rows, ranges] = stores.each_mut().map(|harness| {
            harness.apply(op);
            harness.tasks = harness.read();
            harness.answers()
        });
        for (expected, answer) in rows.iter().zip(&ranges) {
            assert_eq!(expected, answer, "after {op:?}");
        }
        assert_eq!(rows.len(), ranges.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_give_same_answers_on_ranges(program in vec(op(), 1..60)) {
        assert_same_answers(&program);
    }

    #[test]
    fn engines_get_same_answers_on_ranges(program in vec(op_among_engines(), 1..60)) {
        assert_same_answers(&program);
    }

    #[test]
    fn cancels_give_same_answers_on_ranges(program in cancel_and_revive_program()) {
        assert_same_answers(&program);
    }
}
