//! Workers commute: let outcomes be a function of (task path, retries), a lost lease being one of them. Then every
//! interleaving and repetition of steps ends in the same states.

use conductor_model::{RunDraft, RunId, State, Task, TaskDraft, TaskId, Timestamp};
use conductor_store::conformance::assert_replays;
use conductor_store::{
    Claim, Enlist, FanOut, Outcome, Presence, Query, Report, Reports, Rescue, Scope, Source, SqliteStore, Step, Store,
    Submit, TaskFilter, Want,
};
use conductor_workers::settle_all;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};

/// What a schedule does next; a number picks among what there is.
#[derive(Clone, Copy, Debug)]
enum Move {
    FanOut {
        ids: u32,
    },
    Aggregate {
        limit: u32,
    },
    Retry {
        limit: u32,
    },
    /// Report the outcome of one task, and once more.
    Work {
        task: usize,
        twice: bool,
    },
    /// Start one task and leave it.
    Start {
        task: usize,
    },
    /// Claim a few, for an engine that works on.
    Claim {
        limit: u32,
    },
    /// Settle one of the claims of that engine, and once more.
    Settle {
        task: usize,
        twice: bool,
    },
    /// Look for claims that nobody holds any longer.
    Rescue {
        limit: u32,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        2 => (1..6_u32).prop_map(|ids| Move::FanOut { ids }),
        2 => (1..3_u32).prop_map(|limit| Move::Aggregate { limit }),
        2 => (1..3_u32).prop_map(|limit| Move::Retry { limit }),
        6 => (0..99_usize, any::<bool>()).prop_map(|(task, twice)| Move::Work { task, twice }),
        1 => (0..99_usize).prop_map(|task| Move::Start { task }),
        3 => (1..5_u32).prop_map(|limit| Move::Claim { limit }),
        3 => (0..99_usize, any::<bool>()).prop_map(|(task, twice)| Move::Settle { task, twice }),
        1 => (1..3_u32).prop_map(|limit| Move::Rescue { limit }),
    ];
    proptest::collection::vec(one, 0..80)
}

/// An input: a leaf's, or a fan-out of up to three levels.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = Just(json!("work"));
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            (1..5_u32).prop_map(|count| json!({ "fanout": count })),
            proptest::collection::vec(inner, 1..5).prop_map(|items| json!({ "fanout": items })),
        ]
    })
}

/// The outcome of a task is a function of its path and its retries, and of nothing else.
fn outcome(salt: u64, task: &Task) -> Outcome {
    let mut hasher = DefaultHasher::new();
    (salt, task.name.as_str(), task.retry_count).hash(&mut hasher);
    let failed =
        |error: &str, retryable| Outcome::Failed { error: error.into(), retryable, retry_after_ms: None };
    match hasher.finish() % 10 {
        0..6 => Outcome::Succeeded { output: Some(task.name.as_str().len().to_string().parse().unwrap()) },
        6..8 => failed("it broke", true),
        8 => failed("lease expired", true),
        _ => failed("it can never work", false),
    }
}

/// Everything that a schedule may not change: by name, without the times.
type End = (State, BTreeMap<String, (State, u32, Option<String>, Option<String>)>);

struct World {
    store: SqliteStore,
    source: Source,
    run: RunId,
    salt: u64,
}

impl World {
    fn new(trees: &[Value], salt: u64) -> Self {
        let store = SqliteStore::open_in_memory().unwrap();
        let source = Source::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), salt);
        let task =
            |(n, tree): (usize, &Value)| TaskDraft::new(format!("root {n}")).max_retries(2).input(tree);
        let run = RunDraft::new().tasks(trees.iter().enumerate().map(task)).check().unwrap();
        let run = store.submit(&Submit::new(run, &source)).unwrap().run;
        Self { store, source, run, salt }
    }

    fn tasks(&self) -> Vec<Task> {
        let (mut all, mut after): (Vec<Task>, Option<TaskId>) = (Vec::new(), None);
        loop {
            let page = self.store.tasks(self.run, TaskFilter::default(), after, 1000).unwrap();
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    /// The leaves that somebody may work on.
    fn workable(&self) -> Vec<Task> {
        let can = |task: &Task| task.numbers.is_none() && !task.state.is_terminal();
        self.tasks().into_iter().filter(can).collect()
    }

    fn work(&self, task: &Task, twice: bool) {
        let attempt = if task.state == State::Pending { task.attempt + 1 } else { task.attempt };
        let report = Report { task: task.id, attempt: Some(attempt), outcome: outcome(self.salt, task) };
        for _ in 0..=u8::from(twice) {
            let _ = self.store.report(&Reports::new([report.clone()], &self.source)).unwrap();
        }
    }

    fn make(&self, next: Move) {
        let (scope, now) = (Scope::All, self.source.now());
        match next {
            Move::FanOut { ids } => {
                let _ = self.store.fan_out(&FanOut { scope, now, ids: self.source.ids(ids) }).unwrap();
            }
            Move::Aggregate { limit } => {
                let _ = self.store.aggregate(&Step { scope, now, limit }).unwrap();
            }
            Move::Retry { limit } => {
                let _ = self.store.retry(&Step { scope, now, limit }).unwrap();
            }
            Move::Work { task, twice } => {
                let workable = self.workable();
                if !workable.is_empty() {
                    self.work(&workable[task % workable.len()], twice);
                }
            }
            Move::Start { task } => {
                let workable = self.workable();
                if !workable.is_empty() {
                    let id = workable[task % workable.len()].id;
                    let _ = self.store.report(&Reports::new([Report::started(id)], &self.source)).unwrap();
                }
            }
        }
    }

    /// Goes on from wherever the schedule stopped, until everything is settled.
    fn finish(self) -> End {
        loop {
            settle_all(&self.store, Scope::All, &self.source).unwrap();
            let workable = self.workable();
            if workable.is_empty() {
                break;
            }
            for task in &workable {
                self.work(task, false);
            }
        }
        assert_replays(&self.store);
        let text = |json: &Option<conductor_model::Json>| json.as_ref().map(ToString::to_string);
        let error = |task: &Task| task.last_error.as_ref().map(ToString::to_string);
        let row = |task: Task| {
            (task.name.to_string(), (task.state, task.retry_count, text(&task.output), error(&task)))
        };
        let end = self.tasks().into_iter().map(row).collect();
        (self.store.run(self.run).unwrap().unwrap().state, end)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_and_repetition_of_steps_ends_in_the_same_states(
        trees in proptest::collection::vec(tree(), 1..4),
        salt in any::<u64>(),
        one in moves(),
        other in moves(),
    ) {
        let straight = World::new(&trees, salt).finish();
        prop_assert!(straight.0.is_terminal(), "everything is settled");
        for schedule in [one, other] {
            let world = World::new(&trees, salt);
            for next in schedule {
                world.make(next);
            }
            prop_assert_eq!(&world.finish(), &straight);
        }
    }
}
