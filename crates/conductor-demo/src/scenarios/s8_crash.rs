//! A crash in the middle, several times, by the means that leaves nobody time to clean up.
//!
//! The process that is killed is this program again, started with a hidden argument. It fans out and settles in
//! small transactions and says after each that it is done, so that a kill hits it at another place each time.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    screen::grouped,
    stage::{self, Stage},
};
use conductor_model::{EventBody, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{EventFilter, FanOut, Query, Report, Reports, Scope, Source, Store, Submit};
use conductor_workers::aggregate;
use rand::{RngExt, rngs::StdRng};
use serde_json::json;
use std::{
    collections::HashSet,
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "A crash in the middle",
    about: "A process that fans out into 20,000 children and settles them is killed, again and again. Each time\n\
        the next one goes on where it stood; in the end nothing is lost, and nothing doubled.",
    play,
};

const CHILDREN: u32 = 20_000;
const KILLS: u32 = 5;
/// How many children are created or settled in one transaction: 80 transactions to create all, 80 to settle them.
const CHUNK: u32 = 250;
/// A process is killed after at most so many transactions …
const MOST_STEPS: usize = 24;
/// … and may begin so many more until the kill arrives. However slow a machine is, the work is not done before.
const SPARE: usize = 4;

fn play(stage: &Stage) -> Result<(), Failure> {
    let run = submit(stage)?;
    let mut random: StdRng = rand::make_rng();
    for kill in 1..=KILLS {
        kill_a_worker(&stage.database, run, &mut random)?;
        say_how_far(stage, run, kill)?;
    }

    // Open the database once more, and finish.
    let (store, source) = stage.open()?;
    work(&store, &source, run, || Ok(()))?;
    aggregate::run_once(&store, Scope::Run(run), &source)?;
    stage.gap();
    stage.show(&store, run)?;
    check("the run", look::state(&store, run)?, State::Succeeded)?;

    let parent = look::root(&store, run)?.id;
    let children = every_child_once(&store, parent)?;
    created_without_gap_or_overlap(&store, run)?;
    let successes = every_success_once(&store, run, &children)?;
    let (children, successes) = (grouped(children.len() as u64), grouped(successes));
    stage.say(format_args!(
        "{children} children, indices 1 to {children}; {successes} × task.succeeded, one each"
    ));
    Ok(())
}

fn submit(stage: &Stage) -> Result<RunId, Failure> {
    let (store, source) = stage.open()?;
    let run = RunDraft::new().task(TaskDraft::new("MANY").input(json!({"fanout": CHILDREN}))).check()?;
    Ok(store.submit(&Submit::new(run, &source))?.run)
}

fn kill_a_worker(database: &Path, run: RunId, random: &mut StdRng) -> Result<(), Failure> {
    let mut worker = start_worker(database, run)?;
    // The line is held until the worker is dead, which must not notice anything.
    let line = let_it_work(&mut worker, random);
    worker.kill()?;
    let end = worker.wait()?;
    line.map(drop)?;
    check("that the worker ended by itself", end.success(), false)
}

fn start_worker(database: &Path, run: RunId) -> Result<Child, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("--crash-worker").arg(run.to_string()).arg("--database").arg(database);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// Waits until a number of transactions are done that nobody could foresee, and a moment longer.
fn let_it_work(worker: &mut Child, random: &mut StdRng) -> Result<Line, Failure> {
    let steps = random.random_range(1..=MOST_STEPS);
    let mut line = Line::to(worker)?;
    line.allow(steps + SPARE)?;
    for _ in 0..steps {
        line.hear()?;
    }
    thread::sleep(Duration::from_micros(random.random_range(0..5_000)));
    Ok(line)
}

/// The line to a worker: it says when a transaction is done, and goes on if that is allowed.
struct Line {
    allows: ChildStdin,
    hears: BufReader<ChildStdout>,
}

impl Line {
    fn to(worker: &mut Child) -> Result<Self, Failure> {
        match (worker.stdin.take(), worker.stdout.take()) {
            (Some(allows), Some(says)) => Ok(Self { allows, hears: BufReader::new(says) }),
            _ => Err(Failure::new("the worker process cannot be talked to")),
        }
    }

    fn allow(&mut self, steps: usize) -> io::Result<()> {
        self.allows.write_all("\n".repeat(steps).as_bytes())
    }

    fn hear(&mut self) -> Result<(), Failure> {
        match self.hears.read_line(&mut String::new())? {
            0 => Err(Failure::new("the worker process ended before anybody killed it")),
            _ => Ok(()),
        }
    }
}

fn say_how_far(stage: &Stage, run: RunId, kill: u32) -> Result<(), Failure> {
    let (store, _) = stage.open()?;
    let numbers = look::root(&store, run)?.numbers.unwrap_or_default();
    let (created, settled) = (grouped(numbers.children), grouped(numbers.succeeded()));
    stage.say(format_args!("kill {kill}: {created:>6} children exist, {settled:>6} have succeeded"));
    Ok(())
}

/// What the process does that is killed.
pub(crate) fn crash_worker(database: &Path, run: RunId) -> Result<(), Failure> {
    let (store, source) = stage::open(database)?;
    let (mut out, stdin) = (io::stdout(), io::stdin());
    work(&store, &source, run, || {
        writeln!(out, ".")?;
        out.flush()?;
        match stdin.read_line(&mut String::new())? {
            0 => Err(Failure::new("whoever started this worker is gone")),
            _ => Ok(()),
        }
    })
}

/// Creates and settles children in small transactions, and tells after each that it is done.
///
/// It remembers nothing: what there is to do is in the database.
fn work(
    store: &(impl Store + Query),
    source: &Source,
    run: RunId,
    mut tell: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let parent = look::root(store, run)?.id;
    let mut settled_to = 0;
    loop {
        let step = FanOut { scope: Scope::Run(run), now: source.now(), ids: source.ids(CHUNK) };
        let created = store.fan_out(&step)?.children;
        if created > 0 {
            tell()?;
        }
        let pending = next_pending(store, parent, &mut settled_to)?;
        if !pending.is_empty() {
            // Each report names the attempt that it speaks of, so that no other's is taken for it.
            let reports =
                pending.iter().map(|child| Report::succeeded(child.id).of_attempt(child.attempt + 1));
            look::applied(store.report(&Reports::new(reports, source))?)?;
            tell()?;
        } else if created == 0 {
            return Ok(());
        }
    }
}

/// The next children that nobody has settled, from an index on; what others have settled is passed over.
fn next_pending(store: &impl Query, parent: TaskId, settled_to: &mut u32) -> Result<Vec<Task>, Failure> {
    loop {
        let mut page = store.children(parent, *settled_to, CHUNK)?.items;
        let Some(last) = page.last() else { return Ok(page) };
        *settled_to = last.index;
        page.retain(|child| child.state == State::Pending);
        if !page.is_empty() {
            return Ok(page);
        }
    }
}

/// Nothing is lost: each index from 1 to N has its child, and each child has succeeded.
fn every_child_once(store: &impl Query, parent: TaskId) -> Result<HashSet<TaskId>, Failure> {
    let mut children = HashSet::new();
    let mut expected = 1;
    look::each_child(store, parent, |child| {
        check("the index of the next child", child.index, expected)?;
        check(&format!("child {expected}"), child.state, State::Succeeded)?;
        expected += 1;
        children.insert(child.id);
        Ok(())
    })?;
    check("the number of children", children.len(), CHILDREN as usize)?;
    Ok(children)
}

/// Nothing is created twice: the index ranges of the fan-out's events follow one another.
fn created_without_gap_or_overlap(store: &impl Query, run: RunId) -> Result<(), Failure> {
    let filter = EventFilter { run: Some(run), name: Some("task.fanned_out"), ..EventFilter::default() };
    let mut expected = 1;
    look::each_event(store, filter, |event| {
        if let EventBody::TaskFannedOut { first, last, .. } = event.body {
            check("the first index of the next fan-out", first, expected)?;
            expected = last + 1;
        }
        Ok(())
    })?;
    check("the last index that was created", expected - 1, CHILDREN)
}

/// Nothing is settled twice: there is one success for each child.
fn every_success_once(store: &impl Query, run: RunId, children: &HashSet<TaskId>) -> Result<u64, Failure> {
    let filter = EventFilter { run: Some(run), name: Some("task.succeeded"), ..EventFilter::default() };
    let mut succeeded = HashSet::new();
    let mut events = 0;
    look::each_event(store, filter, |event| {
        events += 1;
        succeeded.extend(event.task);
        Ok(())
    })?;
    check("the number of successes", events, u64::from(CHILDREN))?;
    check("that each success is another child's", succeeded == *children, true)?;
    Ok(events)
}
