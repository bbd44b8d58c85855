//! Real processes, killed with SIGKILL at random points: what was acknowledged is there, nothing is there twice, and
//! whoever comes next goes on.
//!
//! This test has a `main` of its own, because it is also the program that is killed.

use conductor_model::{RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::conformance::assert_replays;
use conductor_store::{
    EventFilter, Outcome, Query, Report, Reported, Reports, Scope, Source, SqliteStore, Store, Submit,
    TaskFilter,
};
use conductor_workers::settle_all;
use serde_json::json;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

const KILLS: u32 = 200;
const KILLS_PER_FILE: u32 = 20;
const DATABASE: &str = "CONDUCTOR_CRASH_TEST_DATABASE";
/// 3 parents of 20, and one of 5 parents of 4.
const LEAVES: usize = 3 * 20 + 5 * 4;

fn main() -> Anything<()> {
    if let Some(path) = std::env::var_os(DATABASE) {
        return work_until_killed(Path::new(&path));
    }
    println!("\nrunning 1 test");
    let start = Instant::now();
    a_process_may_be_killed_at_any_point()?;
    println!("test a_process_may_be_killed_at_any_point ... ok ({KILLS} kills)\n");
    println!(
        "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in {:.2}s\n",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The child: submits runs, creates their children, works on them and says each thing once it is acknowledged.
fn work_until_killed(path: &Path) -> Anything<()> {
    let (store, source) = (SqliteStore::open(path)?, Source::system());
    let mut said = std::io::stdout().lock();
    writeln!(said, "open")?;
    for number in 0_u32.. {
        let run = store.submit(&Submit::new(run_number(number)?, &source))?.run;
        writeln!(said, "run {run}")?;
        while store.run(run)?.is_some_and(|run| !run.state.is_terminal()) {
            settle_all(&store, Scope::Run(run), &source)?;
            for chunk in workable(&store, run)?.chunks(7) {
                let reports: Vec<Report> = chunk.iter().map(report_of).collect();
                for (report, answer) in
                    reports.iter().zip(store.report(&Reports::new(reports.clone(), &source))?)
                {
                    if answer == Reported::Applied && matches!(report.outcome, Outcome::Succeeded { .. }) {
                        writeln!(said, "done {}", report.task)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn run_number(number: u32) -> Anything<conductor_model::NewRun> {
    let nested: Vec<_> = (0..5).map(|_| json!({"fanout": 4})).collect();
    let counted = (0..3).map(|n| TaskDraft::new(format!("counted {n}")).input(json!({"fanout": 20})));
    let draft = RunDraft::new()
        .idempotency_key(format!("run {number}"))
        .tasks(counted)
        .task(TaskDraft::new("nested").input(json!({ "fanout": nested })));
    Ok(draft.check()?)
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

fn workable(store: &SqliteStore, run: RunId) -> Anything<Vec<Task>> {
    let can = |task: &Task| task.numbers.is_none() && !task.state.is_terminal();
    Ok(tasks_of(store, run)?.into_iter().filter(can).collect())
}

fn a_process_may_be_killed_at_any_point() -> Anything<()> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    println!("seed of the moments: {seed}");
    for file in 0..KILLS / KILLS_PER_FILE {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("crash.db");
        let mut acknowledged = Acknowledged::default();
        for kill in 0..KILLS_PER_FILE {
            let mut hasher = DefaultHasher::new();
            (seed, file, kill).hash(&mut hasher);
            run_and_kill(&path, Duration::from_micros(hasher.finish() % 40_000), &mut acknowledged)?;
            check(&SqliteStore::open(&path)?, &acknowledged)?;
        }
        finish(&SqliteStore::open(&path)?, &acknowledged)?;
    }
    Ok(())
}

/// What the killed processes said before they died.
#[derive(Default)]
struct Acknowledged {
    runs: Vec<RunId>,
    done: Vec<TaskId>,
}

/// Lets a process work for a moment that is counted from its start, or from when it has opened the file.
fn run_and_kill(path: &Path, moment: Duration, acknowledged: &mut Acknowledged) -> Anything<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(DATABASE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(child.stdout.take().ok_or("the child has no standard output")?);
    let mut line = String::new();
    if !moment.subsec_micros().is_multiple_of(4) {
        said.read_line(&mut line)?;
    }
    std::thread::sleep(moment);
    child.kill()?;
    child.wait()?;
    // A line without its end was cut off by the kill; it may be half an id.
    while said.read_line(&mut line)? > 0 {}
    for line in line.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        match line.split_once(' ') {
            Some(("run", id)) => acknowledged.runs.push(id.parse()?),
            Some(("done", id)) => acknowledged.done.push(id.parse()?),
            _ => {}
        }
    }
    Ok(())
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
    let source = Source::system();
    let mut runs = store.runs(None, 1000)?.items;
    for run in &mut runs {
        while !store.run(run.id)?.ok_or("a run is gone")?.state.is_terminal() {
            settle_all(store, Scope::Run(run.id), &source)?;
            let reports: Vec<Report> = workable(store, run.id)?.iter().map(report_of).collect();
            store.report(&Reports::new(reports, &source))?;
        }
        assert_eq!(store.run(run.id)?.map(|run| run.state), Some(State::Succeeded));
        let tasks = tasks_of(store, run.id)?;
        assert_eq!(tasks.iter().filter(|task| task.numbers.is_none()).count(), LEAVES);
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
