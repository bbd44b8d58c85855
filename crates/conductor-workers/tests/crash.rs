//! Real processes, killed with SIGKILL at random points: what was acknowledged is there, nothing is there twice, and
//! whoever comes next goes on.
//!
//! This test has a `main` of its own, because it is also the program that is killed.

use conductor_conformance::assert_replays;
use conductor_model::{Run, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{
    Environment, EventFilter, FanOut, Query, Report, ReportBatch, ReportOutcome, ReportedResult, Scope,
    SqliteStore, Store, Submit, TaskFilter,
};
use conductor_workers::steps::run_steps_until_idle;
use serde_json::json;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

const KILLS: u32 = 200;
const KILLS_PER_FILE: u32 = 20;
const DATABASE: &str = "CONDUCTOR_CRASH_TEST_DATABASE";
/// 3 parents of 20, and one of 5 parents of 4.
const LEAVES: usize = 3 * 20 + 5 * 4;

const TEST: &str = "killed_process_loses_and_repeats_nothing";

fn main() -> Anything<ExitCode> {
    if let Some(path) = std::env::var_os(DATABASE) {
        work_until_killed(Path::new(&path))?;
        return Ok(ExitCode::SUCCESS);
    }
    let asked = Asked::of(std::env::args().skip(1));
    if asked.list {
        if asked.matches {
            println!("{TEST}: test");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (passed, filtered) = if asked.matches { (1, 0) } else { (0, 1) };
    println!("\nrunning {passed} test{}", if asked.matches { "" } else { "s" });
    let start = Instant::now();
    if asked.matches {
        match killed_process_loses_and_repeats_nothing() {
            Ok(landed) => println!("test {TEST} ... ok ({KILLS} kills: {landed:?})"),
            Err(error) => {
                println!("test {TEST} ... FAILED: {error}\n");
                println!("test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n");
                return Ok(ExitCode::from(101));
            }
        }
    }
    println!(
        "\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; {filtered} filtered out; \
         finished in {:.2}s\n",
        start.elapsed().as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}

/// What the command line asks for, as far as it concerns one test; the harness's other options mean nothing here.
struct Asked {
    list: bool,
    matches: bool,
}

impl Asked {
    fn of(mut arguments: impl Iterator<Item = String>) -> Self {
        let (mut list, mut exact, mut ignored) = (false, false, false);
        let (mut wanted, mut skipped) = (Vec::new(), Vec::new());
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => list = true,
                "--exact" => exact = true,
                "--ignored" => ignored = true,
                "--skip" => skipped.extend(arguments.next()),
                "--format" | "--color" | "--test-threads" | "--logfile" | "--shuffle-seed" | "-Z" => {
                    arguments.next();
                }
                option if option.starts_with('-') => {
                    skipped.extend(option.strip_prefix("--skip=").map(Into::into));
                }
                _ => wanted.push(argument),
            }
        }
        let names = |filter: &String| if exact { TEST == filter } else { TEST.contains(filter.as_str()) };
        let asked_for = wanted.is_empty() || wanted.iter().any(names);
        Self { list, matches: asked_for && !ignored && !skipped.iter().any(names) }
    }
}

/// The child: submits runs, creates their children, works on them and says each thing once it is acknowledged.
fn work_until_killed(path: &Path) -> Anything<()> {
    let (store, env) = (SqliteStore::open(path)?, Environment::system());
    let mut said = std::io::stdout().lock();
    writeln!(said, "open")?;
    for number in 0_u32.. {
        let run = store.submit(&Submit::new(run_number(number)?, &env))?.run;
        writeln!(said, "run {run}")?;
        // Every other run is fanned out in small steps, so that many moments lie within a fan-out.
        while number.is_multiple_of(2) && store.fan_out(&small_step(run, &env))?.more {}
        while store.run(run)?.is_some_and(|run| !run.state.is_terminal()) {
            run_steps_until_idle(&store, Scope::Run(run), &env)?;
            for chunk in workable(&store, run)?.chunks(7) {
                let reports: Vec<Report> = chunk.iter().map(report_of).collect();
                for (report, answer) in
                    reports.iter().zip(store.report(&ReportBatch::new(reports.clone(), &env))?)
                {
                    if answer == ReportOutcome::Applied
                        && matches!(report.result, ReportedResult::Succeeded { .. })
                    {
                        writeln!(said, "done {}", report.task)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn small_step(run: RunId, env: &Environment) -> FanOut {
    FanOut::new(Scope::Run(run), 7, env)
}

fn run_number(number: u32) -> Anything<conductor_model::NewRun> {
    let nested: Vec<_> = (0..5).map(|_| json!({"fanout": 4})).collect();
    let counted = (0..3).map(|n| TaskDraft::new(format!("counted {n}")).input(json!({"fanout": 20})));
    let draft = RunDraft::new()
        .idempotency_key(format!("run {number}"))
        .tasks(counted)
        .task(TaskDraft::new("nested").input(json!({ "fanout": nested })));
    Ok(draft.validate()?)
}

/// A third of the leaves fail at first; all succeed in the end.
fn report_of(task: &Task) -> Report {
    let mut hasher = DefaultHasher::new();
    task.name.as_str().hash(&mut hasher);
    if hasher.finish().is_multiple_of(3) && task.retry_count == 0 {
        Report::failed(task.id, "the first attempt fails")
    } else {
        Report::succeeded(task.id)
    }
}

fn tasks_of(store: &SqliteStore, run: RunId) -> Anything<Vec<Task>> {
    let (mut all, mut after): (Vec<Task>, Option<TaskId>) = (Vec::new(), None);
    loop {
        let page = store.tasks(run, TaskFilter::default(), after, 1000)?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

fn runs_of(store: &SqliteStore) -> Anything<Vec<Run>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.runs(after, 1000)?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

fn workable(store: &SqliteStore, run: RunId) -> Anything<Vec<Task>> {
    let can = |task: &Task| task.child_counts.is_none() && !task.state.is_terminal();
    Ok(tasks_of(store, run)?.into_iter().filter(can).collect())
}

fn killed_process_loses_and_repeats_nothing() -> Anything<Landed> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    println!("seed of the moments: {seed}");
    let mut landed = Landed::default();
    for file in 0..KILLS / KILLS_PER_FILE {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("crash.db");
        let mut acknowledged = Acknowledged::default();
        for kill in 0..KILLS_PER_FILE {
            let mut hasher = DefaultHasher::new();
            (seed, file, kill).hash(&mut hasher);
            let moment = Duration::from_micros(hasher.finish() % 40_000);
            run_and_kill(&path, CountedFrom::of(kill), moment, &mut acknowledged)?;
            let store = SqliteStore::open(&path)?;
            check(&store, &acknowledged)?;
            landed.look(&store)?;
        }
        assert!(!acknowledged.runs.is_empty(), "no run was acknowledged in file {file}");
        assert!(!acknowledged.done.is_empty(), "no success was acknowledged in file {file}");
        finish(&SqliteStore::open(&path)?, &acknowledged)?;
    }
    assert!(landed.within_a_fan_out > 0, "no kill landed within a fan-out: {landed:?}");
    assert!(landed.within_the_work > 0, "no kill landed while leaves were worked on: {landed:?}");
    Ok(landed)
}

/// What the killed processes said before they died.
#[derive(Default)]
struct Acknowledged {
    runs: Vec<RunId>,
    done: Vec<TaskId>,
}

/// How many kills left what behind.
#[derive(Debug, Default)]
struct Landed {
    /// Some parent has some of its children.
    within_a_fan_out: u32,
    /// All children exist, some leaf succeeded, and the run goes on.
    within_the_work: u32,
}

impl Landed {
    fn look(&mut self, store: &SqliteStore) -> Anything<()> {
        let (mut fan_out, mut work) = (false, false);
        for run in runs_of(store)?.iter().filter(|run| !run.state.is_terminal()) {
            let tasks = tasks_of(store, run.id)?;
            let mut numbers = tasks.iter().filter_map(|task| task.child_counts);
            let whole = numbers.all(|numbers| numbers.next_indices(1).is_none());
            fan_out |= tasks.iter().any(|task| task.parent.is_some()) && !whole;
            work |= whole && tasks.iter().any(|task| task.state == State::Succeeded);
        }
        self.within_a_fan_out += u32::from(fan_out);
        self.within_the_work += u32::from(work);
        Ok(())
    }
}

/// What the moment of a kill is counted from.
#[derive(Clone, Copy, PartialEq)]
enum CountedFrom {
    Start,
    OpenFile,
    /// Which there is after every start, however slow the machine is: so each file sees progress.
    FirstSuccess,
}

impl CountedFrom {
    fn of(kill: u32) -> Self {
        match kill % 4 {
            0 => Self::Start,
            3 => Self::FirstSuccess,
            _ => Self::OpenFile,
        }
    }

    fn is_said_by(self, line: &str) -> bool {
        match self {
            Self::Start => true,
            Self::OpenFile => line == "open\n",
            Self::FirstSuccess => line.starts_with("done "),
        }
    }
}

/// Lets a process work until a moment, and kills it. That it dies of anything else is an error.
fn run_and_kill(
    path: &Path,
    from: CountedFrom,
    moment: Duration,
    acknowledged: &mut Acknowledged,
) -> Anything<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(DATABASE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(child.stdout.take().ok_or("the child has no standard output")?);
    let mut complaint = child.stderr.take().ok_or("the child has no standard error")?;
    let (mut lines, mut last) = (String::new(), 0);
    if from != CountedFrom::Start {
        while said.read_line(&mut lines)? > 0 && !from.is_said_by(&lines[last..]) {
            last = lines.len();
        }
    }
    std::thread::sleep(moment);
    child.kill()?; // Also of one that has ended already, which its status tells.
    let ended = child.wait()?;
    said.read_to_string(&mut lines)?;
    let mut why = String::new();
    complaint.read_to_string(&mut why)?;
    if !is_killed(ended) {
        return Err(format!("the child was not killed, but ended by itself with {ended}:\n{why}").into());
    }
    // A line without its end was cut off by the kill; it may be half an id.
    for line in lines.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        match line.split_once(' ') {
            Some(("run", id)) => acknowledged.runs.push(id.parse()?),
            Some(("done", id)) => acknowledged.done.push(id.parse()?),
            _ if line == "open" => {}
            _ => return Err(format!("the child said {line:?}").into()),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn is_killed(ended: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&ended) == Some(9)
}

#[cfg(not(unix))]
fn is_killed(ended: ExitStatus) -> bool {
    !ended.success()
}

/// What was acknowledged is there, and everything agrees with the events.
fn check(store: &SqliteStore, acknowledged: &Acknowledged) -> Anything<()> {
    assert_replays(store);
    for run in &acknowledged.runs {
        assert!(store.run(*run)?.is_some(), "run {run} was acknowledged");
    }
    for id in &acknowledged.done {
        let state = store.task(*id)?.map(|task| task.state);
        assert_eq!(state, Some(State::Succeeded), "the success of task {id} was acknowledged");
    }
    Ok(())
}

/// Finishes every run that was begun: no task is missing, and none succeeded twice.
fn finish(store: &SqliteStore, acknowledged: &Acknowledged) -> Anything<()> {
    let env = Environment::system();
    for run in runs_of(store)? {
        while !store.run(run.id)?.ok_or("a run is gone")?.state.is_terminal() {
            run_steps_until_idle(store, Scope::Run(run.id), &env)?;
            let reports: Vec<Report> = workable(store, run.id)?.iter().map(report_of).collect();
            store.report(&ReportBatch::new(reports, &env))?;
        }
        assert_eq!(store.run(run.id)?.map(|run| run.state), Some(State::Succeeded));
        let tasks = tasks_of(store, run.id)?;
        assert_eq!(tasks.iter().filter(|task| task.child_counts.is_none()).count(), LEAVES);
        let mut successes: HashMap<TaskId, u32> = HashMap::new();
        let filter =
            EventFilter { run: Some(run.id), name: Some("task.succeeded"), ..EventFilter::default() };
        for event in store.events(filter, 0, 1000)?.items {
            *successes.entry(event.task.ok_or("a success without a task")?).or_default() += 1;
        }
        assert_eq!(successes.len(), LEAVES);
        assert!(successes.values().all(|times| *times == 1), "each success is recorded once");
    }
    check(store, acknowledged)
}
