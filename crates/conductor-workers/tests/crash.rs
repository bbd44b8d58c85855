//! Processes that are killed with SIGKILL at random points. Acknowledged work is present, nothing is recorded twice, and the
//! next process continues.
//!
//! This test has a `main` of its own, because the same program runs as the killed process.

#[path = "support/harness.rs"]
mod harness;
#[path = "support/mod.rs"]
mod support;

use conductor_conformance::assert_replays;
use conductor_model::{NewRun, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{
    Environment, FanOut, Query, Report, ReportBatch, ReportOutcome, ReportedResult, Scope, SqliteStore,
    Store, Submit,
};
use conductor_workers::steps::run_steps_until_idle;
use harness::{Fallible, tests};
use rand::RngExt;
use serde_json::json;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;
use support::pages::{all_runs, all_tasks, events_named};
use support::random::random_from_clock;

const KILLS: u32 = 200;
const KILLS_PER_FILE: u32 = 20;
const DATABASE: &str = "CONDUCTOR_CRASH_TEST_DATABASE";
/// 3 parents of 20, and one of 5 parents of 4.
const LEAVES: usize = 3 * 20 + 5 * 4;

fn main() -> Fallible<ExitCode> {
    if let Some(path) = std::env::var_os(DATABASE) {
        work_until_killed(Path::new(&path))?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(harness::run(&tests![killed_process_loses_and_repeats_nothing]))
}

/// Runs in the child process. It submits runs, creates their children and works on them. It prints each run and each success
/// after the store has acknowledged it.
fn work_until_killed(path: &Path) -> Fallible<()> {
    let (store, env) = (SqliteStore::open(path)?, Environment::system());
    let mut output = std::io::stdout().lock();
    writeln!(output, "open")?;
    for number in 0_u32.. {
        let run = store.submit(&Submit::new(draft_of_run(number)?, &env))?.run;
        writeln!(output, "run {run}")?;
        // Every second run fans out in small steps, so that many kills land within a fan-out.
        while number.is_multiple_of(2) && store.fan_out(&small_fan_out(run, &env))?.more {}
        while store.run(run)?.is_some_and(|run| !run.state.is_terminal()) {
            run_steps_until_idle(&store, Scope::Run(run), &env)?;
            for chunk in open_leaves(&store, run)?.chunks(7) {
                let reports: Vec<Report> = chunk.iter().map(report_of).collect();
                for (report, answer) in
                    reports.iter().zip(store.report(&ReportBatch::new(reports.clone(), &env))?)
                {
                    if answer == ReportOutcome::Applied
                        && matches!(report.result, ReportedResult::Succeeded { .. })
                    {
                        writeln!(output, "succeeded {}", report.task)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn small_fan_out(run: RunId, env: &Environment) -> FanOut {
    FanOut::new(Scope::Run(run), 7, env)
}

fn draft_of_run(number: u32) -> Fallible<NewRun> {
    let nested: Vec<_> = (0..5).map(|_| json!({"fanout": 4})).collect();
    let counted = (0..3).map(|n| TaskDraft::new(format!("counted {n}")).input(json!({"fanout": 20})));
    let draft = RunDraft::new()
        .idempotency_key(format!("run {number}"))
        .tasks(counted)
        .task(TaskDraft::new("nested").input(json!({ "fanout": nested })));
    Ok(draft.validate()?)
}

/// Returns the report of one attempt. A third of the leaves fails once, and all leaves succeed in the end.
fn report_of(task: &Task) -> Report {
    let mut hasher = DefaultHasher::new();
    task.name.as_str().hash(&mut hasher);
    if hasher.finish().is_multiple_of(3) && task.retry_count == 0 {
        Report::failed(task.id, "the first attempt fails")
    } else {
        Report::succeeded(task.id)
    }
}

/// Returns the leaves of a run that are not settled.
fn open_leaves(store: &SqliteStore, run: RunId) -> Fallible<Vec<Task>> {
    let is_open = |task: &Task| task.child_counts.is_none() && !task.state.is_terminal();
    Ok(all_tasks(store, run)?.into_iter().filter(is_open).collect())
}

fn killed_process_loses_and_repeats_nothing() -> Fallible<String> {
    let mut random = random_from_clock();
    let mut landed = KillCounts::default();
    for file in 0..KILLS / KILLS_PER_FILE {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("crash.db");
        let mut acknowledged = Acknowledged::default();
        for kill in 0..KILLS_PER_FILE {
            let delay = Duration::from_micros(random.random_range(0..40_000));
            run_and_kill(&path, KillTimer::of(kill), delay, &mut acknowledged)?;
            let store = SqliteStore::open(&path)?;
            check(&store, &acknowledged)?;
            landed.count(&store)?;
        }
        assert!(!acknowledged.runs.is_empty(), "no run was acknowledged in file {file}");
        assert!(!acknowledged.succeeded.is_empty(), "no success was acknowledged in file {file}");
        finish(&SqliteStore::open(&path)?, &acknowledged)?;
    }
    assert!(landed.within_a_fan_out > 0, "no kill landed within a fan-out: {landed:?}");
    assert!(landed.within_the_leaves > 0, "no kill landed while leaves ran: {landed:?}");
    Ok(format!("{KILLS} kills: {landed:?}"))
}

/// The runs and successes that the killed processes printed.
#[derive(Default)]
struct Acknowledged {
    runs: Vec<RunId>,
    succeeded: Vec<TaskId>,
}

/// The number of kills by the state that they left.
#[derive(Debug, Default)]
struct KillCounts {
    /// A parent has some of its children.
    within_a_fan_out: u32,
    /// All children exist, a leaf has succeeded, and the run is open.
    within_the_leaves: u32,
}

impl KillCounts {
    fn count(&mut self, store: &SqliteStore) -> Fallible<()> {
        let (mut fan_out, mut leaves) = (false, false);
        for run in all_runs(store)?.iter().filter(|run| !run.state.is_terminal()) {
            let tasks = all_tasks(store, run.id)?;
            let mut counts = tasks.iter().filter_map(|task| task.child_counts);
            let is_complete = counts.all(|counts| counts.next_indices(1).is_none());
            fan_out |= tasks.iter().any(|task| task.parent.is_some()) && !is_complete;
            leaves |= is_complete && tasks.iter().any(|task| task.state == State::Succeeded);
        }
        self.within_a_fan_out += u32::from(fan_out);
        self.within_the_leaves += u32::from(leaves);
        Ok(())
    }
}

/// The event after which the delay of a kill starts.
#[derive(Clone, Copy, PartialEq)]
enum KillTimer {
    Start,
    OpenFile,
    /// Comes after every start, also on a slow machine. So each file makes progress.
    FirstSuccess,
}

impl KillTimer {
    fn of(kill: u32) -> Self {
        match kill % 4 {
            0 => Self::Start,
            3 => Self::FirstSuccess,
            _ => Self::OpenFile,
        }
    }

    fn starts_at(self, line: &str) -> bool {
        match self {
            Self::Start => true,
            Self::OpenFile => line == "open\n",
            Self::FirstSuccess => line.starts_with("succeeded "),
        }
    }
}

/// Runs a process, and kills it after a delay.
///
/// # Errors
/// If the process ends in another way.
fn run_and_kill(
    path: &Path,
    timer: KillTimer,
    delay: Duration,
    acknowledged: &mut Acknowledged,
) -> Fallible<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(DATABASE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(child.stdout.take().ok_or("the child has no standard output")?);
    let mut errors = child.stderr.take().ok_or("the child has no standard error")?;
    let (mut lines, mut last) = (String::new(), 0);
    if timer != KillTimer::Start {
        while output.read_line(&mut lines)? > 0 && !timer.starts_at(&lines[last..]) {
            last = lines.len();
        }
    }
    std::thread::sleep(delay);
    // This also succeeds for a process that has ended. Its status tells.
    child.kill()?;
    let status = child.wait()?;
    output.read_to_string(&mut lines)?;
    let mut error_text = String::new();
    errors.read_to_string(&mut error_text)?;
    if !is_killed(status) {
        return Err(format!("the child was not killed, but ended with {status}:\n{error_text}").into());
    }
    // The kill may have cut the last line, so that its id is incomplete.
    for line in lines.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        match line.split_once(' ') {
            Some(("run", id)) => acknowledged.runs.push(id.parse()?),
            Some(("succeeded", id)) => acknowledged.succeeded.push(id.parse()?),
            _ if line == "open" => {}
            _ => return Err(format!("unexpected line of the child: {line:?}").into()),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn is_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

#[cfg(not(unix))]
fn is_killed(status: ExitStatus) -> bool {
    !status.success()
}

/// Checks that acknowledged work is present, and that all rows agree with the events.
fn check(store: &SqliteStore, acknowledged: &Acknowledged) -> Fallible<()> {
    assert_replays(store);
    for run in &acknowledged.runs {
        assert!(store.run(*run)?.is_some(), "run {run} was acknowledged");
    }
    for id in &acknowledged.succeeded {
        let state = store.task(*id)?.map(|task| task.state);
        assert_eq!(state, Some(State::Succeeded), "the success of task {id} was acknowledged");
    }
    Ok(())
}

/// Finishes every run, and checks that each leaf exists and has succeeded once.
fn finish(store: &SqliteStore, acknowledged: &Acknowledged) -> Fallible<()> {
    let env = Environment::system();
    for run in all_runs(store)? {
        while !store.run(run.id)?.ok_or("a run is missing")?.state.is_terminal() {
            run_steps_until_idle(store, Scope::Run(run.id), &env)?;
            let reports: Vec<Report> = open_leaves(store, run.id)?.iter().map(report_of).collect();
            store.report(&ReportBatch::new(reports, &env))?;
        }
        assert_eq!(store.run(run.id)?.map(|run| run.state), Some(State::Succeeded));
        let tasks = all_tasks(store, run.id)?;
        assert_eq!(tasks.iter().filter(|task| task.child_counts.is_none()).count(), LEAVES);
        let mut successes: HashMap<TaskId, u32> = HashMap::new();
        for event in events_named(store, run.id, "task.succeeded")? {
            *successes.entry(event.task.ok_or("a success without a task")?).or_default() += 1;
        }
        assert_eq!(successes.len(), LEAVES);
        assert!(successes.values().all(|times| *times == 1), "each success is recorded once");
    }
    check(store, acknowledged)
}
