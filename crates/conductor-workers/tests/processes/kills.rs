//! Engines that are killed, stopped or abort while they work.

use crate::child::ChildProcess;
use crate::database::Database;
use crate::harness::Fallible;
use crate::is_long;
use crate::support::random::random_from_clock;
use crate::support::waiting::TIME_LIMIT;
use conductor_model::{DEFAULT_LEASE_MS, ErrorText, RunDraft, RunId, State, TaskDraft};
use rand::RngExt;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

/// Creates a run of four parents. A third of the leaves fails once. Kills cannot use up the retries.
pub(crate) fn large_run(leaves: u64) -> RunDraft {
    let item = |number: u64| json!({"takes_us": 300 + 700 * (number % 7), "fails": number.is_multiple_of(3)});
    let parent = |number: u64| {
        let items: Vec<Value> = (0..leaves / 4).map(|leaf| item(number + leaf)).collect();
        TaskDraft::new(format!("parent {number}"))
            .kind("work")
            .input(json!({ "fanout": items }))
            .max_retries(1000)
    };
    RunDraft::new().tasks((0..4).map(parent))
}

pub(crate) fn killed_engines_lose_and_repeat_nothing() -> Fallible<String> {
    let mut random = random_from_clock();
    let lease = Duration::from_millis(500);
    let start = Instant::now();
    let (mut kills, mut runs) = (0, 0);
    let duration = if is_long() { Duration::from_secs(30) } else { Duration::from_secs(3) };
    while start.elapsed() < duration {
        let database = Database::new()?;
        let run = database.submit(&large_run(1200))?;
        let start_engine = || ChildProcess::start_engine(&database, run, lease, 3);
        let mut processes = [start_engine()?, start_engine()?, start_engine()?];
        let killing = Instant::now();
        while !database.is_settled(run)? {
            if killing.elapsed() > TIME_LIMIT {
                return Err("the run does not settle".into());
            }
            thread::sleep(Duration::from_millis(5 + random.random_range(0..120)));
            let victim = &mut processes[usize::try_from(random.random_range(0..3))?];
            victim.kill()?;
            *victim = start_engine()?;
            kills += 1;
        }
        for process in &mut processes {
            if !process.wait_for_exit()? {
                return Err("a process that was not killed failed".into());
            }
        }
        database.check_all_succeeded(run)?;
        runs += 1;
    }
    Ok(format!("{runs} runs, {kills} kills"))
}

#[cfg(not(unix))]
pub(crate) fn engine_stopped_past_lease_repeats_no_success() -> Fallible<String> {
    Ok("only on Unix".into())
}

#[cfg(unix)]
pub(crate) fn engine_stopped_past_lease_repeats_no_success() -> Fallible<String> {
    let mut random = random_from_clock();
    let lease = Duration::from_millis(500);
    let start = Instant::now();
    let (mut stops, mut lost) = (0, 0);
    let duration = if is_long() { Duration::from_secs(15) } else { Duration::from_secs(2) };
    while start.elapsed() < duration {
        let database = Database::new()?;
        let run = database.submit(&large_run(800))?;
        let start_engine = || ChildProcess::start_engine(&database, run, lease, 3);
        let mut processes = [start_engine()?, start_engine()?, start_engine()?];
        processes[0].wait_for_line("started")?;
        thread::sleep(Duration::from_millis(random.random_range(0..60)));
        processes[0].signal("-STOP")?;
        // A process that stops inside a transaction blocks the others. The stop is shorter than their time to wait.
        thread::sleep(lease + Duration::from_millis(200 + random.random_range(0..700)));
        processes[0].signal("-CONT")?;
        stops += 1;
        for process in &mut processes {
            if !process.wait_for_exit()? {
                return Err("a process failed".into());
            }
        }
        database.check_all_succeeded(run)?;
        lost += database.leaves(run)?.iter().filter(|task| task.retry_count > 1).count();
    }
    Ok(format!("{stops} stops, at least {lost} leases lost"))
}

/// A run with one task that aborts its process.
struct AbortCase {
    neighbors: u32,
    workers: u32,
    max_retries: i64,
}

impl AbortCase {
    /// The aborting task is in the middle of its neighbors.
    fn draft(&self) -> RunDraft {
        let task = |name: String, input: Value| {
            TaskDraft::new(name).kind("work").input(input).max_retries(self.max_retries)
        };
        let neighbor = |number: u32| task(format!("neighbor {number}"), json!({"takes_us": 2000}));
        let aborting = task("aborting".into(), json!({"aborts": true}));
        let middle = self.neighbors / 2;
        let tasks = (0..middle).map(neighbor).chain([aborting]);
        RunDraft::new().tasks(tasks.chain((middle..self.neighbors).map(neighbor)))
    }

    /// Restarts an engine until the run is settled. Returns the number of starts.
    fn settle(&self, database: &Database, run: RunId) -> Fallible<u32> {
        let mut starts = 0;
        while !database.is_settled(run)? {
            starts += 1;
            if starts > 100 {
                return Err("the run does not settle".into());
            }
            ChildProcess::start_engine(database, run, Duration::from_secs(30), self.workers)?
                .wait_for_exit()?;
        }
        Ok(starts)
    }

    /// Checks that only the aborting task has failed, and that it has used exactly its attempts.
    fn check(&self, database: &Database, run: RunId) -> Fallible<()> {
        let Self { neighbors, workers, max_retries } = self;
        let successes = database.successes(run)?;
        for task in database.leaves(run)? {
            let is_aborting = task.name.as_str() == "aborting";
            let expected = if is_aborting { (State::Failed, 0) } else { (State::Succeeded, 1) };
            if (task.state, successes.get(&task.id).copied().unwrap_or(0)) != expected {
                let case = format!("{neighbors} neighbors, {workers} workers, {max_retries} retries");
                return Err(format!("{case}: {task:?}").into());
            }
            if is_aborting && i64::from(task.attempt) != max_retries + 1 {
                return Err(format!("{} attempts of {}", task.attempt, max_retries + 1).into());
            }
        }
        database.check_nothing_left(run)
    }
}

pub(crate) fn aborting_task_fails_alone() -> Fallible<String> {
    let all = [(1, 1, 3), (5, 4, 3), (40, 8, 3), (40, 1, 1), (300, 16, 2), (20, 4, 5)];
    let cases = if is_long() { &all[..] } else { &all[..4] };
    let mut summary = Vec::new();
    for &(neighbors, workers, max_retries) in cases {
        let case = AbortCase { neighbors, workers, max_retries };
        let database = Database::new()?;
        let run = database.submit(&case.draft())?;
        let starts = case.settle(&database, run)?;
        case.check(&database, run)?;
        summary.push(format!("{neighbors}: {starts} starts"));
    }
    Ok(summary.join(", "))
}

pub(crate) fn work_of_killed_process_resumes_immediately() -> Fallible<String> {
    let rounds = if is_long() { 20 } else { 5 };
    let mut waits = Vec::new();
    for _ in 0..rounds {
        let database = Database::new()?;
        // The attempt is longer than the test, so the killed process holds it.
        let task = TaskDraft::new("long").kind("work").input(json!({"takes_us": 300_000_000_u64}));
        let run = database.submit(&RunDraft::new().task(task))?;
        let lease = Duration::from_millis(DEFAULT_LEASE_MS);
        let mut first = ChildProcess::start_engine(&database, run, lease, 2)?;
        first.wait_for_line("started")?;
        first.kill()?;
        let killed = Instant::now();
        let second = ChildProcess::start_engine(&database, run, lease, 2)?;
        let line = second.wait_for_line("started")?;
        waits.push(killed.elapsed());
        if !line.ends_with(" 2") {
            return Err(format!("{line:?} is not the second attempt").into());
        }
        if database.leaves(run)?[0].last_error.as_ref().map(ErrorText::as_str) != Some("lease expired") {
            return Err("the first attempt has no result".into());
        }
    }
    waits.sort();
    let median = waits[waits.len() / 2];
    if median > Duration::from_secs(1) {
        return Err(format!("the median wait is {median:?}, with a lease of 30 s").into());
    }
    Ok(format!("after {median:?}"))
}
