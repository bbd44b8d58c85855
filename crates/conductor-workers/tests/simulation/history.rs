//! One random history: runs, engines, handlers and disturbances that follow from a seed.

use crate::invariants::InvariantChecker;
use conductor_conformance::assert_replays;
use conductor_model::{Backoff, Jitter, JoinDraft, Policy, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{
    Admin, Cancel, CancelError, Prune, Query, Revive, ReviveError, ReviveFilter, TaskFilter, Verify,
};
use conductor_workers::testing::{Behavior, Simulation};
use conductor_workers::{Context, TaskError};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value, json};
use std::time::Duration;

/// The number of disturbed steps of each history.
const DISTURBED_STEPS: u32 = 250;
/// More steps than any history needs to settle.
const MAX_STEPS: u32 = 60_000;
const KINDS: [&str; 3] = ["short", "long", "wild"];
/// An additional kind for joins.
const JOIN_KIND: &str = "join";
const TEN_YEARS_MS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// Random runs on simulated engines, with random disturbances.
pub(crate) struct History {
    random: StdRng,
    pub(crate) checker: InvariantChecker,
    simulation: Simulation,
    runs: Vec<RunId>,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let checker = InvariantChecker::new();
        let mut simulation = Simulation::new(checker.clone(), seed)
            .engines(random.random_range(1..=3))
            .workers(random.random_range(1..=4))
            .prefetch([0, 0, 3][random.random_range(0..3)])
            .max_settle_bytes([1, 20, usize::MAX][random.random_range(0..3)]);
        for kind in KINDS.into_iter().chain([JOIN_KIND]) {
            simulation = simulation.script(kind, move |context| behavior(seed, context));
        }
        if random.random_bool(0.3) {
            simulation = simulation.kind_limit(random.random_range(1..=2));
        }
        if random.random_bool(0.3) {
            simulation = simulation.lose_wake_ups();
        }
        Self { random, checker, simulation, runs: Vec::new() }
    }

    /// Disturbs the engines for a while, then lets them settle all runs, and checks the final state.
    pub(crate) fn run(&mut self) {
        self.submit();
        for _ in 0..DISTURBED_STEPS {
            self.disturb();
            self.step();
        }
        // From here on the clocks agree, and only handlers fail.
        self.simulation.set_clock_offset_ms(0);
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < MAX_STEPS, "the history does not settle");
        }
        self.check();
    }

    fn step(&mut self) -> bool {
        let more = self.simulation.step().expect("a working store");
        self.checker.check_new_events();
        more
    }

    fn submit(&mut self) {
        let tasks = self.random.random_range(1..=4);
        let mut run = RunDraft::new().tasks((0..tasks).map(|_| self.task()).collect::<Vec<_>>());
        let random = &mut self.random;
        if random.random_bool(0.5) {
            run = run.policy(policy(random));
        }
        if let Some(join) = join(random) {
            run = run.join(join);
        }
        if random.random_bool(0.2) {
            run = run.deadline_ms(random.random_range(1..120_000));
        }
        self.runs.push(self.simulation.submit(run).expect("a submission"));
    }

    fn task(&mut self) -> TaskDraft {
        let random = &mut self.random;
        let kind = KINDS[random.random_range(0..KINDS.len())];
        let mut task = TaskDraft::new("T").kind(kind).max_retries(random.random_range(0..=4));
        if random.random_bool(0.5) {
            let backoff = Backoff::exponential(random.random_range(0..20_000), 60_000).expect("a backoff");
            task = task.backoff(backoff.with_jitter(0.5).expect("jitter"));
        }
        if random.random_bool(0.4) {
            task = task.timeout_ms(random.random_range(20..30_000));
        }
        if random.random_bool(0.2) {
            task = task.due_at(self.simulation.now().plus_millis(random.random_range(0..60_000)));
        }
        task = task.priority(random.random_range(-1..=1));
        let task = match random.random_range(0..4) {
            0 => task.input(json!({"fanout": random.random_range(1..=6)})),
            1 => task.input(json!({"fanout": items(random, 2)})),
            _ => return task,
        };
        let task = if random.random_bool(0.5) { task.policy(policy(random)) } else { task };
        if let Some(join) = join(random) { task.join(join) } else { task }
    }

    fn disturb(&mut self) {
        let random = &mut self.random;
        let any = random.random_range(0..8);
        match random.random_range(0..100) {
            0..2 => self.simulation.crash(any),
            2..4 => {
                let time = Duration::from_millis(random.random_range(0..90_000));
                self.simulation.stall(any, time);
            }
            4..6 => {
                let offsets = [0, 3, -3, 3_600_000, -3_600_000, TEN_YEARS_MS, -TEN_YEARS_MS];
                self.simulation.set_clock_offset_ms(offsets[random.random_range(0..offsets.len())]);
            }
            6..8 => self.simulation.advance(Duration::from_millis(random.random_range(0..40_000))),
            8..10 if self.runs.len() < 4 => {
                self.simulation.set_clock_offset_ms(0);
                self.submit();
            }
            10..16 if self.runs.is_empty() => {}
            10..12 => self.cancel(),
            12..16 => self.revive(),
            16..18 => self.prune(),
            _ => {}
        }
    }

    /// Cancels a random task, or sometimes a run.
    fn cancel(&mut self) {
        let run = self.any_run();
        let tasks = self.tasks(run);
        let now = self.simulation.now();
        let cancel = match self.random.random_range(0..5) {
            0 => Cancel::run(run, now),
            _ => Cancel::task(tasks[self.random.random_range(0..tasks.len())].id, now),
        };
        match self.checker.cancel(&cancel) {
            Ok(_) | Err(CancelError::AlreadySettled { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        self.checker.check_new_events();
        self.simulation.wake();
    }

    /// Prunes some settled rows while engines work.
    fn prune(&mut self) {
        let limit = self.random.random_range(1..40);
        let request = Prune { settled_before: self.simulation.now(), limit };
        let _ = self.checker.prune(&request).expect("a prune");
        let checker = &self.checker;
        self.runs.retain(|run| {
            let exists = checker.run(*run).expect("an answer").is_some();
            if !exists {
                checker.forget_pruned(*run);
            }
            exists
        });
    }

    /// Revives a failed or cancelled leaf, or many of them.
    fn revive(&mut self) {
        let run = self.any_run();
        let mut tasks = self.tasks(run);
        tasks.retain(|task| matches!(task.state, State::Failed | State::Cancelled));
        if tasks.is_empty() {
            return;
        }
        let (task, now) = (tasks[self.random.random_range(0..tasks.len())].clone(), self.simulation.now());
        let which = [ReviveFilter::Failed, ReviveFilter::FailedAndCancelled][self.random.random_range(0..2)];
        let mut request = match self.random.random_range(0..4) {
            0 => Revive::run(run, which, now),
            _ if task.child_counts.is_some() => Revive::below(task.id, which, now),
            _ => Revive::leaf(task.id, now),
        };
        loop {
            if let Revive::All { limit, .. } = &mut request {
                *limit = self.random.random_range(1..5);
            }
            let revived = self.checker.revive(&request);
            self.checker.check_new_events();
            match revived {
                Ok(revived) if revived.next.is_some() => {
                    request = revived.next.map_or(request, |next| request.after(next));
                }
                Err(ReviveError::NotFound(_) | ReviveError::Store(_)) => panic!("{revived:?}"),
                // The revival is complete, or it is refused because of an ancestor or a due retry.
                Ok(_) | Err(_) => break,
            }
            // Engines continue between the steps of a revival.
            if self.random.random_bool(0.5) {
                self.step();
            }
        }
        self.simulation.wake();
    }

    fn any_run(&mut self) -> RunId {
        self.runs[self.random.random_range(0..self.runs.len())]
    }

    fn tasks(&self, run: RunId) -> Vec<Task> {
        self.checker.tasks(run, TaskFilter::default(), None, 1000).expect("tasks").items
    }

    fn check(&self) {
        for run in &self.runs {
            let found = self.checker.run(*run).expect("an answer").expect("the run");
            let tasks = self.tasks(*run);
            let open: Vec<_> = tasks.iter().filter(|task| !task.status().is_settled()).collect();
            assert!(found.state.is_terminal(), "run {run} is {}: {open:#?}", found.state);
            assert!(open.is_empty(), "{open:#?}");
        }
        assert_replays(&*self.checker.store);
        let verified = self.checker.verify(&Verify::all()).expect("a verification");
        assert_eq!(verified.found, 0, "{:#?}", verified.divergences);
        self.checker.compare_outputs();
        let succeeded = self.runs.iter().map(|run| self.succeeded_leaves(*run)).sum::<usize>();
        assert_eq!(self.checker.acknowledged(), succeeded, "acknowledged successes");
    }

    /// Counts the leaves of a run that succeeded.
    fn succeeded_leaves(&self, run: RunId) -> usize {
        let filter = TaskFilter { state: Some(State::Succeeded) };
        let tasks = self.checker.tasks(run, filter, None, 1000).expect("tasks").items;
        tasks.iter().filter(|task| task.child_counts.is_none()).count()
    }
}

fn policy(random: &mut StdRng) -> Policy {
    match random.random_range(0..6) {
        0 => Policy::Fail,
        1 => Policy::Tolerate(random.random_range(0..3)),
        2 => Policy::tolerate_percent(random.random_range(0..=100)).expect("a percentage"),
        3 => Policy::Ignore,
        _ => Policy::FailFast,
    }
}

fn join(random: &mut StdRng) -> Option<JoinDraft> {
    let kind = if random.random_bool(0.7) { JOIN_KIND } else { KINDS[random.random_range(0..KINDS.len())] };
    random.random_bool(0.5).then(|| JoinDraft::new(kind).max_retries(random.random_range(0..=4)))
}

/// Creates items of a fan-out. Some items fan out themselves.
fn items(random: &mut StdRng, depth: u32) -> Vec<Value> {
    (0..random.random_range(1..=4))
        .map(|number| match random.random_range(0..5) {
            0 if depth > 0 => json!({"fanout": items(random, depth - 1)}),
            1 if depth > 0 => json!({"fanout": random.random_range(1..=3)}),
            _ => json!(number),
        })
        .collect()
}

/// Decides what an attempt does. This depends only on the seed, the task and the attempt.
fn behavior(seed: u64, context: &Context) -> Behavior {
    let task: TaskId = context.id();
    let mut random =
        StdRng::seed_from_u64(Jitter(seed ^ u64::from(context.attempt())).fraction(task).to_bits());
    let slowness = if context.kind().as_str() == "short" { 300 } else { 40_000 };
    let time = Duration::from_millis(u64::from(random.next_u32()) % slowness);
    let wild = context.kind().as_str() == "wild";
    let behavior = match random.random_range(0..100) {
        0..10 => Behavior::fail(TaskError::retry("a retryable failure")),
        10..14 => {
            let wait = Duration::from_millis(random.random_range(0..100_000));
            Behavior::fail(TaskError::retry_after(wait, "later"))
        }
        14..18 => Behavior::fail(TaskError::fatal("never")),
        18..24 if wild => Behavior::crash(),
        24..30 if wild => Behavior::stall(Duration::from_millis(random.random_range(20_000..90_000))),
        30..34 if context.remaining().is_some() => return Behavior::hang(),
        34..60 => Behavior::succeed_with(context.attempt()),
        _ => Behavior::succeed(),
    };
    behavior.after(time)
}
