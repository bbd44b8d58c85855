//! Answers as text that stays the same when types get new fields.

use conductor_conformance::AnyStore;
use conductor_model::{RunId, Task, Timestamp};
use conductor_store::{EventFilter, NodeId, Scope, StuckThreshold};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;

/// A page that has all items: no program creates as many.
const ALL: u32 = 1000;

/// The keys that a text shows, in this order. Ids of engines, leases and numbers of events are left out.
const KEYS: [&str; 68] = [
    "payload",
    "run",
    "id",
    "task",
    "parent",
    "parents",
    "index",
    "name",
    "kind",
    "state",
    "created_at",
    "updated_at",
    "due_at",
    "at",
    "input",
    "output",
    "meta",
    "retry_count",
    "max_retries",
    "attempt",
    "priority",
    "last_error",
    "error",
    "child_counts",
    "state_counts",
    "cancel_cause",
    "cause",
    "reason",
    "deadline",
    "total",
    "created",
    "open",
    "failed",
    "cancelled",
    "pending",
    "running",
    "succeeded",
    "children",
    "failed_children",
    "since",
    "until",
    "retry_scheduled",
    "retry_due",
    "caused_by",
    "being_cancelled",
    "delayed",
    "creating_children",
    "waiting_for_children",
    "waiting_for_append",
    "waiting_for_join",
    "ready_to_aggregate",
    "no_engine_for_kind",
    "ready",
    "claimed",
    "running_externally",
    "isolated",
    "counts",
    "retries_due",
    "failed_leaves",
    "retries_exhausted",
    "retried_tasks",
    "total_retries",
    "stuck",
    "succeeded_after_retry",
    "events",
    "fan_outs",
    "aggregates",
    "retries",
];

/// The answers about these runs and tasks; with `is_full` also those that take more time.
pub(super) fn answers(
    store: &dyn AnyStore,
    now: Timestamp,
    runs: &[RunId],
    tasks: &[Task],
    is_full: bool,
) -> Vec<String> {
    let mut answers = Answers { numbers: numbers(runs, tasks), lines: Vec::new() };
    for task in tasks {
        answers.add("task", task);
    }
    for run in runs {
        answers.add("run", &store.run(*run).unwrap());
    }
    answers.lines.push(format!("next due: {:?}", store.next_due().unwrap()));
    let kinds = store.ready_kinds(ALL).unwrap();
    answers
        .lines
        .push(format!("ready kinds: {:?}", kinds.iter().map(ToString::to_string).collect::<Vec<_>>()));
    if is_full {
        answers.add_monitoring(store, now, runs);
        answers.add_nodes(store, now, runs, tasks);
        answers.add_events(store);
    }
    answers.lines
}

/// The number of each run and task, by its id.
fn numbers(runs: &[RunId], tasks: &[Task]) -> HashMap<String, String> {
    let runs = runs.iter().enumerate().map(|(number, run)| (run.to_string(), format!("run {number}")));
    let tasks =
        tasks.iter().enumerate().map(|(number, task)| (task.id.to_string(), format!("task {number}")));
    runs.chain(tasks).collect()
}

struct Answers {
    numbers: HashMap<String, String>,
    lines: Vec<String>,
}

impl Answers {
    fn add(&mut self, question: &str, answer: &impl Serialize) {
        let text = self.text(answer);
        self.lines.push(format!("{question}: {text}"));
    }

    /// Adds answers whose order may differ.
    fn add_sorted(&mut self, question: &str, answers: impl IntoIterator<Item = impl Serialize>) {
        let mut lines: Vec<String> =
            answers.into_iter().map(|answer| format!("{question}: {}", self.text(&answer))).collect();
        lines.sort_unstable();
        self.lines.extend(lines);
    }

    fn add_monitoring(&mut self, store: &dyn AnyStore, now: Timestamp, runs: &[RunId]) {
        let threshold = StuckThreshold { now, threshold_ms: 1_000 };
        for scope in std::iter::once(Scope::All).chain(runs.iter().map(|run| Scope::Run(*run))) {
            self.add("health", &store.health(scope, threshold).unwrap());
            self.add("retry metrics", &store.retry_metrics(scope).unwrap());
            self.add_sorted("stuck", store.stuck(scope, threshold, ALL).unwrap());
        }
        for run in runs {
            self.add("summary", &store.summary(*run, threshold).unwrap());
            let blockers = store.run_blockers(*run, ALL).unwrap();
            self.lines.push(format!("claimed {}, open {}", blockers.claimed, blockers.open));
            self.add_sorted("external", blockers.external_tasks);
        }
    }

    fn add_nodes(&mut self, store: &dyn AnyStore, now: Timestamp, runs: &[RunId], tasks: &[Task]) {
        let parents = tasks.iter().filter(|task| task.child_counts.is_some());
        let nodes = runs.iter().map(|run| NodeId::Run(*run)).chain(parents.map(|task| NodeId::Task(task.id)));
        for node in nodes {
            for child in store.child_outputs(node, 0, ALL).unwrap().items {
                self.lines.push(format!("output: {} {:?}", child.index, child.output));
            }
            for child in store.child_failures(node, 0, ALL).unwrap().items {
                let error = child.error.as_ref().map(ToString::to_string);
                self.lines.push(format!("failure: {} {} {error:?}", child.index, child.state));
            }
        }
        for run in runs {
            self.add("why", &store.explain(NodeId::Run(*run), now).unwrap());
        }
        for task in tasks {
            self.add("why", &store.explain(NodeId::Task(task.id), now).unwrap());
        }
    }

    /// The events, without the order in which one transaction records them.
    fn add_events(&mut self, store: &dyn AnyStore) {
        let (mut all, mut next) = (Vec::new(), Some(0));
        while let Some(after) = next {
            // Small pages cut rows of events apart.
            let page = store.events(EventFilter::default(), after, 7).unwrap();
            all.extend(page.items);
            next = page.next;
        }
        let events =
            all.into_iter().map(|event| (event.at, event.run, event.task, event.body.name(), event.body));
        self.add_sorted("event", events);
    }

    fn text(&self, answer: &impl Serialize) -> String {
        let mut text = String::new();
        self.write(&mut text, &serde_json::to_value(answer).unwrap());
        text
    }

    fn write(&self, out: &mut String, value: &Value) {
        match value {
            Value::String(text) => out.push_str(self.numbers.get(text).unwrap_or(text)),
            Value::Array(items) => {
                out.push('[');
                for item in items {
                    self.write(out, item);
                    out.push(' ');
                }
                out.push(']');
            }
            Value::Object(fields) => {
                out.push('{');
                for key in KEYS {
                    if let Some(value) = fields.get(key).filter(|value| !value.is_null()) {
                        out.push_str(key);
                        out.push('=');
                        self.write(out, value);
                        out.push(' ');
                    }
                }
                out.push('}');
            }
            other => out.push_str(&other.to_string()),
        }
    }
}

/// A checksum of texts: FNV-1a with 64 bits.
pub(super) struct Checksum(u64);

impl Checksum {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([b'\n']) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
