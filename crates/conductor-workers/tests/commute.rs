//! Workers commute: let outcomes be a function of (task path, retries), a lost lease being one of them. Then with the
//! policies that wait for all, with joins, and without a cancel or a revive, every interleaving and repetition of steps ends
//! in the same states. In all other cases every schedule settles, and each derived state is a function of mark, policy and
//! children.

use conductor_conformance::assert_replays;
use conductor_model::{
    AttemptFailure, ChildCounts, Decision, JoinDraft, JoinStatus, ParentStatus, Policy, RunDraft, RunId,
    State, Task, TaskDraft, TaskId, Timestamp,
};
use conductor_store::{
    Admin, AttemptResult, Cancel, CancelError, Claim, ClaimedTask, EngineRegistration, Environment, FanOut,
    Fence, KindQuota, Query, RegisterEngine, Report, ReportBatch, ReportedResult, Rescue, RotationCursor,
    Scope, Settle, SqliteStore, Step, Store, Submit, TaskFilter,
};
use conductor_workers::steps::run_steps_until_idle;
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
    Sweep {
        limit: u32,
    },
    /// A person cancels a task, or the run.
    Cancel {
        task: Option<usize>,
    },
    /// Time passes, which the deadline may not bear.
    Expire {
        ms: u64,
    },
}

fn a_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        2 => (1..6_u32).prop_map(|ids| Move::FanOut { ids }),
        2 => (1..3_u32).prop_map(|limit| Move::Aggregate { limit }),
        2 => (1..3_u32).prop_map(|limit| Move::Retry { limit }),
        6 => (0..99_usize, any::<bool>()).prop_map(|(task, twice)| Move::Work { task, twice }),
        1 => (0..99_usize).prop_map(|task| Move::Start { task }),
        3 => (1..5_u32).prop_map(|limit| Move::Claim { limit }),
        3 => (0..99_usize, any::<bool>()).prop_map(|(task, twice)| Move::Settle { task, twice }),
        1 => (1..3_u32).prop_map(|limit| Move::Rescue { limit }),
    ]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    proptest::collection::vec(a_move(), 0..80)
}

/// With people and a clock among them.
fn any_moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        12 => a_move(),
        2 => (1..3_u32).prop_map(|limit| Move::Sweep { limit }),
        1 => proptest::option::weighted(0.9, 0..99_usize).prop_map(|task| Move::Cancel { task }),
        1 => (0..2000_u64).prop_map(|ms| Move::Expire { ms }),
    ];
    proptest::collection::vec(one, 0..80)
}

/// What a parent or a run is given.
#[derive(Clone, Copy, Debug)]
struct Heading {
    policy: Policy,
    joins: bool,
}

fn policy_that_waits_for_all() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Fail),
        Just(Policy::Ignore),
        (0..4_u32).prop_map(Policy::Tolerate),
        (0..=100_u8).prop_map(|percent| Policy::tolerate_percent(percent).unwrap()),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![1 => policy_that_waits_for_all(), 2 => Just(Policy::FailFast)]
}

/// One for the run, and one for each of its root tasks.
fn headings(policy: impl Strategy<Value = Policy>) -> impl Strategy<Value = Vec<Heading>> {
    let heading = (policy, any::<bool>()).prop_map(|(policy, joins)| Heading { policy, joins });
    proptest::collection::vec(heading, 4)
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

/// What becomes of an attempt.
#[derive(Clone, Debug)]
enum Fate {
    Ends(AttemptResult),
    /// Its engine dies over it.
    LeaseLosses,
}

/// The fate of an attempt is a function of the path of its task and its retries, and of nothing else.
fn fate(salt: u64, task: &Task) -> Fate {
    let mut hasher = DefaultHasher::new();
    (salt, task.name.as_str(), task.retry_count).hash(&mut hasher);
    let output = || Some(task.name.as_str().len().to_string().parse().unwrap());
    Fate::Ends(match hasher.finish() % 10 {
        0..6 => AttemptResult::Succeeded { output: output() },
        6..7 => AttemptResult::Failed(AttemptFailure::error("it broke")),
        7..9 => return Fate::LeaseLosses,
        _ => AttemptResult::Failed(AttemptFailure::fatal("it can never work")),
    })
}

/// The same, as somebody without a claim reports it.
fn outcome(ending: AttemptResult) -> ReportedResult {
    match ending {
        AttemptResult::Succeeded { output } => ReportedResult::Succeeded { output },
        AttemptResult::Failed(failure) => ReportedResult::Failed {
            error: failure.text(),
            retryable: failure.text().as_str() == "it broke",
            retry_after_ms: None,
        },
    }
}

/// An engine that claimed some tasks, and lives until what it has left are those over which it dies.
struct Hands {
    _presence: EngineRegistration,
    claims: Vec<(Fence, AttemptResult)>,
}

/// Everything that a schedule may not change: by name, without the times.
type End = (State, BTreeMap<String, (State, u32, Option<String>, Option<String>)>);

struct World {
    store: SqliteStore,
    env: Environment,
    run: RunId,
    salt: u64,
    /// How far the clock is.
    passed_ms: u64,
    engines: Vec<Hands>,
}

impl World {
    fn new(trees: &[Value], headings: &[Heading], deadline_ms: Option<u64>, salt: u64) -> Self {
        let store = SqliteStore::open_in_memory().unwrap();
        let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), salt);
        let task = |(n, tree): (usize, &Value)| {
            let task = TaskDraft::new(format!("root {n}")).kind("work").max_retries(2).input(tree);
            let Heading { policy, joins } = headings[n + 1];
            match (tree.is_object(), joins) {
                (false, _) => task,
                (true, false) => task.policy(policy),
                (true, true) => task.policy(policy).join(JoinDraft::new("work").max_retries(2)),
            }
        };
        let mut run = RunDraft::new().tasks(trees.iter().enumerate().map(task)).policy(headings[0].policy);
        if headings[0].joins {
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

    /// The leaves that somebody without a claim may work on, and how that ends.
    fn workable(&self) -> Vec<(Task, AttemptResult)> {
        let open = |task: &Task| {
            task.child_counts.is_none() && !task.state.is_terminal() && task.lease_until.is_none()
        };
        let ends = |task: Task| match fate(self.salt, &task) {
            Fate::Ends(ending) => Some((task, ending)),
            Fate::LeaseLosses => None,
        };
        self.tasks().into_iter().filter(open).filter_map(ends).collect()
    }

    fn work(&self, (task, ending): &(Task, AttemptResult), twice: bool) {
        let attempt = if task.state == State::Pending { task.attempt + 1 } else { task.attempt };
        let report = Report { task: task.id, attempt: Some(attempt), result: outcome(ending.clone()) };
        for _ in 0..=u8::from(twice) {
            let _ = self.store.report(&ReportBatch::new([report.clone()], &self.env)).unwrap();
        }
    }

    /// A new engine claims a few; it is dead at once if none of them ends. How many it claimed.
    fn claim(&mut self, limit: u32) -> usize {
        let registration = self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap();
        let wants = vec![KindQuota::new("work".parse().unwrap(), limit)];
        let claim = Claim::new(registration.key(), wants, 30_000, &self.env).allow_isolated(true);
        let claimed = self.store.claim(&claim).unwrap().tasks;
        let ends = |claimed: &ClaimedTask| {
            let task = self.store.task(claimed.fence.task).unwrap().unwrap();
            match fate(self.salt, &task) {
                Fate::Ends(ending) => Some((claimed.fence, ending)),
                Fate::LeaseLosses => None,
            }
        };
        let claims: Vec<_> = claimed.iter().filter_map(ends).collect();
        if !claims.is_empty() {
            self.engines.push(Hands { _presence: registration, claims });
        }
        claimed.len()
    }

    /// An engine settles one of its claims, and dies if it has none left that ends.
    fn settle(&mut self, task: usize, twice: bool) {
        let Some(engine) = task.checked_rem(self.engines.len()) else { return };
        let claims = &mut self.engines[engine].claims;
        let ended = claims.swap_remove(task % claims.len());
        for _ in 0..=u8::from(twice) {
            let _ = self.store.settle(&Settle::new(vec![ended.clone()], &self.env)).unwrap();
        }
        self.engines.retain(|engine| !engine.claims.is_empty());
    }

    fn rescue(&self, limit: u32) -> u32 {
        self.store.rescue(&Rescue::new(limit, &self.env)).unwrap().changed
    }

    fn make(&mut self, next: Move) {
        let (scope, now) = (Scope::All, self.now());
        match next {
            Move::FanOut { ids } => {
                let _ = self
                    .store
                    .fan_out(&FanOut {
                        scope,
                        now,
                        ids: self.env.ids(ids),
                        cursor: RotationCursor::default(),
                    })
                    .unwrap();
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
                    let id = workable[task % workable.len()].0.id;
                    let _ = self.store.report(&ReportBatch::new([Report::started(id)], &self.env)).unwrap();
                }
            }
            Move::Claim { limit } => drop(self.claim(limit)),
            Move::Settle { task, twice } => self.settle(task, twice),
            Move::Rescue { limit } => drop(self.rescue(limit)),
            Move::Sweep { limit } => {
                let _ = self.store.sweep(&Step { scope, now, limit }).unwrap();
            }
            Move::Cancel { task } => {
                let tasks = self.tasks();
                let cancel = task.map_or_else(
                    || Cancel::run(self.run, now),
                    |task| Cancel::task(tasks[task % tasks.len()].id, now),
                );
                let cancelled = self.store.cancel(&cancel);
                assert!(
                    matches!(cancelled, Ok(_) | Err(CancelError::AlreadySettled { .. })),
                    "{cancelled:?}"
                );
            }
            Move::Expire { ms } => {
                self.passed_ms += ms;
                let step = Step { scope, now: self.now(), limit: 10 };
                let _ = self.store.expire(&step).unwrap();
            }
        }
    }

    /// Each derived state is what follows from mark, policy, children and join.
    fn assert_everything_follows(&self) {
        let tasks = self.tasks();
        let run = self.store.run(self.run).unwrap().unwrap();
        let standing = |head: Option<TaskId>, total, policy, mark, joins| {
            let (join, children): (Vec<&Task>, Vec<&Task>) =
                tasks.iter().filter(|task| task.parent == head).partition(|task| task.index == 0);
            let mut numbers = ChildCounts { total, ..ChildCounts::default() };
            for child in children {
                numbers.apply(None, child.status());
            }
            let joining = match join.first() {
                Some(join) => JoinStatus::Settled(join.state),
                None if joins => JoinStatus::NotStarted,
                None => JoinStatus::None,
            };
            ParentStatus { counts: numbers, policy, cancel_cause: mark, join: joining }
        };
        let for_run =
            standing(None, run.child_counts.total, run.policy, run.cancel_cause, run.join.is_some());
        assert_eq!(for_run.decide(), Decision::Settle(run.state), "{for_run:?}");
        for task in &tasks {
            assert!(task.status().is_settled(), "{task:?}");
            let Some(numbers) = task.child_counts else { continue };
            let standing =
                standing(Some(task.id), numbers.total, task.policy, task.cancel_cause, task.join.is_some());
            assert_eq!(standing.decide(), Decision::Settle(task.state), "{}: {standing:?}", task.name);
        }
    }

    /// Goes on from wherever the schedule stopped, until everything is settled.
    fn finish(mut self) -> End {
        loop {
            run_steps_until_idle(&self.store, Scope::All, &self.env).unwrap();
            let mut done = self.engines.len();
            while !self.engines.is_empty() {
                self.settle(0, false);
            }
            done += self.rescue(1000) as usize;
            for task in self.workable() {
                self.work(&task, false);
                done += 1;
            }
            // What is left ends with its engine.
            done += self.claim(1000);
            if done == 0 {
                break;
            }
        }
        assert_replays(&self.store);
        self.assert_everything_follows();
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
    fn interleaved_and_repeated_steps_end_in_same_states(
        trees in proptest::collection::vec(tree(), 1..4),
        headings in headings(policy_that_waits_for_all()),
        salt in any::<u64>(),
        one in moves(),
        other in moves(),
    ) {
        let straight = World::new(&trees, &headings, None, salt).finish();
        prop_assert!(straight.0.is_terminal(), "everything is settled");
        for schedule in [one, other] {
            let mut world = World::new(&trees, &headings, None, salt);
            for next in schedule {
                world.make(next);
            }
            prop_assert_eq!(&world.finish(), &straight);
        }
    }

    /// Also where policies fail fast, people cancel, and deadlines pass.
    #[test]
    fn every_schedule_settles_with_consistent_states(
        trees in proptest::collection::vec(tree(), 1..4),
        headings in headings(any_policy()),
        deadline_ms in proptest::option::weighted(0.3, 1..6000_u64),
        salt in any::<u64>(),
        schedule in any_moves(),
    ) {
        let mut world = World::new(&trees, &headings, deadline_ms, salt);
        for next in schedule {
            world.make(next);
        }
        // Asserts it.
        let (state, _) = world.finish();
        prop_assert!(state.is_terminal(), "everything is settled");
    }
}

/// A child that was given up fails its parent, which is given up with all that is still open below it: no step waits for
/// another call.
#[test]
fn fail_fast_cancellation_completes_in_one_call() {
    let (store, env) = (SqliteStore::open_in_memory().unwrap(), Environment::system());
    let inner = TaskDraft::new("inner").fan_out([json!("a"), json!("b")]).policy(Policy::FailFast);
    let outer = TaskDraft::new("outer").input(json!({"fanout": [1, {"fanout": 3}, 2]}));
    let run = RunDraft::new().tasks([inner, outer]).policy(Policy::FailFast).validate().unwrap();
    let run = store.submit(&Submit::new(run, &env)).unwrap().run;
    run_steps_until_idle(&store, Scope::Run(run), &env).unwrap();
    let first = store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items;
    let leaf = first.iter().find(|task| task.name.as_str() == "inner#1").unwrap().id;
    let _ = store.report(&ReportBatch::new([Report::failed_permanently(leaf, "no")], &env)).unwrap();
    let settled = run_steps_until_idle(&store, Scope::Run(run), &env).unwrap();
    assert_eq!(store.run(run).unwrap().unwrap().state, State::Failed);
    assert_eq!((settled.sweep.cancelled, settled.sweep.marked), (1 + 2 + 3, 2), "{settled:?}");
    assert_replays(&store);
}
