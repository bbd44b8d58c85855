//! Whole engines under all that can go wrong, thousands of times, each time in another way and always in the same for the
//! same seed.
//!
//! `CONDUCTOR_SEEDS=100000` tries more of them, `CONDUCTOR_SEED=17` one again.

mod ends;
mod witness;

use conductor_conformance::assert_replays;
use conductor_model::{Backoff, Jitter, JoinDraft, Policy, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{
    Admin, Cancel, CancelError, EventFilter, Prune, Query, Revive, ReviveError, ReviveFilter, SqliteStore,
    StoreError, TaskFilter, Verify,
};
use conductor_workers::testing::{Behavior, Simulation};
use conductor_workers::{Context, TaskError};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;
use witness::{Met, Witness};

/// How many seeds the test command tries.
const SEEDS: u64 = 2000;
/// How many steps are disturbed in each.
const DISTURBED_STEPS: u32 = 250;
/// More than any of these programs needs.
const MOST_STEPS: u32 = 60_000;
const KINDS: [&str; 3] = ["short", "long", "wild"];
/// What joins are of besides.
const JOINS: &str = "join";
const TEN_YEARS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;

#[test]
fn every_random_history_settles_and_keeps_invariants() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    if let Some(seed) = number("CONDUCTOR_SEED") {
        println!("{:#?}", try_seed(seed));
        return;
    }
    let seeds = number("CONDUCTOR_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let met = Mutex::new(Met::default());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let met = &met;
            let mine = (0..seeds).filter(move |seed| seed % threads == thread);
            scope.spawn(move || {
                for seed in mine {
                    let more = try_or_tell(seed);
                    *met.lock().expect("nobody failed") += more;
                }
            });
        }
    });
    let met = met.into_inner().expect("nobody failed");
    println!("{met:#?}");
    if seeds >= SEEDS {
        met.assert_interesting();
    }
}

#[test]
fn same_seed_gives_same_history() {
    for seed in 0..20 {
        let (one, other) = (history(seed), history(seed));
        assert_eq!(one.len(), other.len(), "seed {seed}");
        let different = one.iter().zip(&other).find(|(one, other)| one != other);
        assert_eq!(different, None, "seed {seed}");
    }
}

/// What one step leaves to another is done at once, and not when an engine happens to look again.
#[test]
fn ready_work_starts_without_delay() {
    for seed in 0..10 {
        let store = SqliteStore::open_in_memory().expect("a store");
        let mut simulation = Simulation::new(store, seed).script("task", |context| {
            let is_unlucky = context.attempt() == 1 && context.index() == 1;
            if is_unlucky { Behavior::fail(TaskError::retry("no luck")) } else { Behavior::succeed() }
        });
        let task = || TaskDraft::new("T").kind("task");
        let nested = json!({"fanout": [{"fanout": [{"fanout": 3}]}]});
        // One run after the other, so that none is carried along by what happens in another.
        for draft in [task(), task().due_at(simulation.now()), task().input(nested)] {
            let run = simulation.submit(RunDraft::new().task(draft)).expect("a submission");
            assert_eq!(simulation.run_until_settled(run).expect("an end").state, State::Succeeded);
            assert_eq!(simulation.elapsed(), Duration::ZERO, "seed {seed}");
        }
    }
}

/// Results and claims that the store could not take wait for the next turn.
#[test]
fn briefly_busy_store_loses_nothing() {
    for seed in 0..20 {
        let witness = Witness::new();
        witness.is_busy_every(3 + seed % 3);
        let mut simulation = Simulation::new(witness.clone(), seed)
            .script("task", |context| Behavior::succeed().after(Duration::from_secs(context.index().into())));
        // Whoever loses one lease fails.
        let tasks = (0..12).map(|_| TaskDraft::new("T").kind("task").max_retries(0));
        let run = simulation.submit(RunDraft::new().tasks(tasks)).expect("a submission");
        loop {
            match simulation.step() {
                Ok(true) => {}
                Ok(false) => break,
                // A real engine tries again soon, too.
                Err(fault) => {
                    assert!(matches!(fault, StoreError::Busy(_)), "{fault}");
                    simulation.wake();
                }
            }
            witness.look();
        }
        let found = witness.run(run).expect("an answer").expect("the run");
        assert_eq!(found.state, State::Succeeded, "seed {seed}");
    }
}

#[test]
fn timed_out_attempt_frees_its_worker() {
    for seed in 0..20 {
        let store = SqliteStore::open_in_memory().expect("a store");
        let mut simulation = Simulation::new(store, seed)
            .workers(1)
            .script("hangs", |_| Behavior::hang())
            .script("works", |_| Behavior::succeed().after(Duration::from_secs(1)));
        let tasks = ["works", "hangs", "works", "hangs", "works"]
            .map(|kind| TaskDraft::new(kind).timeout_ms(5000).max_retries(0));
        let run = simulation.submit(RunDraft::new().tasks(tasks)).expect("a submission");
        let mut steps = 0;
        while simulation.step().expect("the store does not fail") {
            steps += 1;
            assert!(steps < 500, "it goes round in a circle");
        }
        // Nothing was lost but the time that was given.
        assert_eq!(simulation.elapsed(), Duration::from_secs(3 + 2 * 5), "seed {seed}");
        assert_eq!(simulation.run_until_settled(run).expect("an end").state_counts.succeeded, 3);
    }
}

#[test]
fn crashing_task_does_not_fail_its_neighbours() {
    for culprit in 1..=6 {
        let witness = Witness::new();
        let mut simulation = Simulation::new(witness.clone(), u64::from(culprit)).workers(6).script(
            "work",
            // Nobody ends before the process dies, unless the culprit is not there.
            move |context| match context.index() {
                index if index == culprit => Behavior::crash().after(Duration::from_secs(1)),
                _ => Behavior::succeed().after(Duration::from_secs(10)),
            },
        );
        let task = TaskDraft::new("work").input(json!({"fanout": 6})).max_retries(3);
        let run = simulation.submit(RunDraft::new().task(task)).expect("a submission");
        let settled = simulation.run_until_settled(run).expect("an end");
        assert_eq!(
            (settled.state_counts.succeeded, settled.state_counts.failed),
            (5, 2),
            "the culprit and its parent fail"
        );
        assert_replays(&*witness.store);
    }
}

/// Tries a seed; if it fails, the last line says how to try it again.
fn try_or_tell(seed: u64) -> Met {
    let tried = std::panic::catch_unwind(|| try_seed(seed));
    tried.unwrap_or_else(|panic| {
        eprintln!(
            "seed {seed} failed; again: CONDUCTOR_SEED={seed} cargo test -p conductor-workers --test simulation"
        );
        std::panic::resume_unwind(panic);
    })
}

fn try_seed(seed: u64) -> Met {
    let mut program = Program::new(seed);
    program.run();
    program.witness.met()
}

/// All events of a seed, as texts.
fn history(seed: u64) -> Vec<String> {
    let mut program = Program::new(seed);
    program.run();
    let page = program.witness.store.events(EventFilter::default(), 0, 1000).expect("events");
    page.items.iter().map(|event| format!("{event:?}")).collect()
}

struct Program {
    random: StdRng,
    witness: Witness,
    simulation: Simulation,
    runs: Vec<RunId>,
}

impl Program {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let witness = Witness::new();
        let mut simulation = Simulation::new(witness.clone(), seed)
            .engines(random.random_range(1..=3))
            .workers(random.random_range(1..=4))
            .prefetch([0, 0, 3][random.random_range(0..3)])
            .max_settle_bytes([1, 20, usize::MAX][random.random_range(0..3)]);
        for kind in KINDS.into_iter().chain([JOINS]) {
            simulation = simulation.script(kind, move |context| act(seed, context));
        }
        if random.random_bool(0.3) {
            simulation = simulation.kind_limit(random.random_range(1..=2));
        }
        if random.random_bool(0.3) {
            simulation = simulation.lose_wake_ups();
        }
        Self { random, witness, simulation, runs: Vec::new() }
    }

    fn run(&mut self) {
        self.submit();
        for _ in 0..DISTURBED_STEPS {
            self.disturb();
            self.step();
        }
        // Clocks agree again, and nothing else goes wrong but what the handlers do.
        self.simulation.set_clock_offset_ms(0);
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < MOST_STEPS, "it comes to an end");
        }
        self.check();
    }

    fn step(&mut self) -> bool {
        let more = self.simulation.step().expect("the store does not fail");
        self.witness.look();
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
                let wrong_by = [0, 3, -3, 3_600_000, -3_600_000, TEN_YEARS, -TEN_YEARS];
                self.simulation.set_clock_offset_ms(wrong_by[random.random_range(0..wrong_by.len())]);
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

    /// A person cancels something: most often a task, sometimes a run.
    fn cancel(&mut self) {
        let run = self.any_run();
        let tasks = self.tasks(run);
        let now = self.simulation.now();
        let cancel = match self.random.random_range(0..5) {
            0 => Cancel::run(run, now),
            _ => Cancel::task(tasks[self.random.random_range(0..tasks.len())].id, now),
        };
        match self.witness.cancel(&cancel) {
            Ok(_) | Err(CancelError::AlreadySettled { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        self.witness.look();
        self.simulation.wake();
    }

    /// Some of what has ended is removed, whatever else goes on.
    fn prune(&mut self) {
        let limit = self.random.random_range(1..40);
        let request = Prune { settled_before: self.simulation.now(), limit };
        let _ = self.witness.prune(&request).expect("a prune");
        let witness = &self.witness;
        self.runs.retain(|run| {
            let is_there = witness.run(*run).expect("an answer").is_some();
            if !is_there {
                witness.forget_pruned(*run);
            }
            is_there
        });
    }

    /// A person revives something: a leaf that ended badly, or many.
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
            let revived = self.witness.revive(&request);
            self.witness.look();
            match revived {
                Ok(revived) if revived.next.is_some() => {
                    request = revived.next.map_or(request, |next| request.after(next));
                }
                Err(ReviveError::NotFound(_) | ReviveError::Store(_)) => panic!("{revived:?}"),
                // It is done, or something speaks against it: what is above it, or a retry that is due.
                Ok(_) | Err(_) => break,
            }
            // Engines do not wait until a person is done.
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
        self.witness.tasks(run, TaskFilter::default(), None, 1000).expect("tasks").items
    }

    fn check(&self) {
        for run in &self.runs {
            let found = self.witness.run(*run).expect("an answer").expect("the run");
            let tasks = self.tasks(*run);
            let open: Vec<_> = tasks.iter().filter(|task| !task.status().is_settled()).collect();
            assert!(found.state.is_terminal(), "run {run} is {}: {open:#?}", found.state);
            assert!(open.is_empty(), "{open:#?}");
        }
        assert_replays(&*self.witness.store);
        let verified = self.witness.verify(&Verify::all()).expect("a verification");
        assert_eq!(verified.found, 0, "{:#?}", verified.divergences);
        self.witness.compare_outputs();
        let succeeded = self.runs.iter().map(|run| self.leaves(*run)).sum::<usize>();
        assert_eq!(self.witness.acknowledged(), succeeded, "every success was acknowledged");
    }

    /// How many leaves of a run SUCCEEDED.
    fn leaves(&self, run: RunId) -> usize {
        let filter = TaskFilter { state: Some(State::Succeeded) };
        let tasks = self.witness.tasks(run, filter, None, 1000).expect("tasks").items;
        tasks.iter().filter(|task| task.child_counts.is_none()).count()
    }
}

fn policy(random: &mut StdRng) -> Policy {
    match random.random_range(0..6) {
        0 => Policy::Fail,
        1 => Policy::Tolerate(random.random_range(0..3)),
        2 => Policy::tolerate_percent(random.random_range(0..=100)).expect("a share"),
        3 => Policy::Ignore,
        _ => Policy::FailFast,
    }
}

fn join(random: &mut StdRng) -> Option<JoinDraft> {
    let kind = if random.random_bool(0.7) { JOINS } else { KINDS[random.random_range(0..KINDS.len())] };
    random.random_bool(0.5).then(|| JoinDraft::new(kind).max_retries(random.random_range(0..=4)))
}

/// Items of a fan-out, some of which fan out themselves.
fn items(random: &mut StdRng, depth: u32) -> Vec<Value> {
    (0..random.random_range(1..=4))
        .map(|nth| match random.random_range(0..5) {
            0 if depth > 0 => json!({"fanout": items(random, depth - 1)}),
            1 if depth > 0 => json!({"fanout": random.random_range(1..=3)}),
            _ => json!(nth),
        })
        .collect()
}

/// What an attempt does follows from the seed, the task and the attempt alone.
fn act(seed: u64, context: &Context) -> Behavior {
    let task: TaskId = context.id();
    let mut random =
        StdRng::seed_from_u64(Jitter(seed ^ u64::from(context.attempt())).fraction(task).to_bits());
    let slowness = if context.kind().as_str() == "short" { 300 } else { 40_000 };
    let time = Duration::from_millis(u64::from(random.next_u32()) % slowness);
    let wild = context.kind().as_str() == "wild";
    let act = match random.random_range(0..100) {
        0..10 => Behavior::fail(TaskError::retry("no luck")),
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
    act.after(time)
}
