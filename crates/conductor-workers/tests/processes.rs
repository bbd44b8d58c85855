//! Engines in processes of their own that are killed, stopped for a while, or end themselves: each success is recorded
//! once, nothing is left behind, and whoever comes next goes on at once.
//!
//! This test has a `main` of its own, because it is also the program that is killed. It takes some seconds; with
//! `CONDUCTOR_LONG=1` in the environment about a minute.

use conductor_conformance::assert_replays;
use conductor_model::{Event, EventBody, JoinDraft, RunDraft, RunId, State, Task, TaskDraft};
use conductor_store::{
    Admin, Cancel, CancelError, Environment, EventFilter, Query, Revive, ReviveFilter, SqliteOptions,
    SqliteStore, Store, Submit, Synchronous, TaskFilter,
};
use conductor_workers::{Children, Context, Engine, Subscription, TaskError};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

/// What the child is told: the file, the run to settle, the lease in milliseconds, and the number of workers; or `submit` and
/// the file.
const CHILD: &str = "CONDUCTOR_PROCESSES_TEST_CHILD";
/// Longer than anything here takes, on however busy a machine.
const LONG: Duration = Duration::from_mins(1);

type Test = (&'static str, fn() -> Anything<String>);

const TESTS: [Test; 7] = [
    ("killed_engines_lose_and_repeat_nothing", killed_engines_lose_and_repeat_nothing),
    ("engine_stopped_past_lease_repeats_no_success", engine_stopped_past_lease_repeats_no_success),
    ("aborting_task_fails_alone", aborting_task_fails_alone),
    ("work_of_killed_process_resumes_immediately", work_of_killed_process_resumes_immediately),
    ("joins_cancels_and_revives_survive_kills", joins_cancels_and_revives_survive_kills),
    ("thousand_submissions_with_one_key_create_one_run", thousand_submissions_with_one_key_create_one_run),
    ("subscription_sees_all_events_of_killed_writers", subscription_sees_all_events_of_killed_writers),
];

fn main() -> Anything<ExitCode> {
    if let Ok(told) = std::env::var(CHILD) {
        return match told.strip_prefix("submit\n") {
            Some(path) => be_a_submitter(Path::new(path)),
            None => be_an_engine(&told),
        };
    }
    let asked = Asked::of(std::env::args().skip(1));
    let wanted: Vec<&Test> = TESTS.iter().filter(|(name, _)| asked.matches(name)).collect();
    if asked.list {
        for (name, _) in wanted {
            println!("{name}: test");
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nrunning {} tests", wanted.len());
    let (start, mut failed) = (Instant::now(), 0);
    for (name, test) in &wanted {
        match test() {
            Ok(what) => println!("test {name} ... ok ({what})"),
            Err(error) => {
                println!("test {name} ... FAILED: {error}");
                failed += 1;
            }
        }
    }
    println!(
        "\ntest result: {}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed == 0 { "ok" } else { "FAILED" },
        wanted.len() - failed,
        TESTS.len() - wanted.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) })
}

/// What the command line asks for; the harness's other options mean nothing here.
struct Asked {
    list: bool,
    exact: bool,
    ignored: bool,
    wanted: Vec<String>,
    skipped: Vec<String>,
}

impl Asked {
    fn of(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut asked =
            Self { list: false, exact: false, ignored: false, wanted: Vec::new(), skipped: Vec::new() };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => asked.list = true,
                "--exact" => asked.exact = true,
                "--ignored" => asked.ignored = true,
                "--skip" => asked.skipped.extend(arguments.next()),
                "--format" | "--color" | "--test-threads" | "--logfile" | "--shuffle-seed" | "-Z" => {
                    arguments.next();
                }
                option if option.starts_with('-') => {
                    asked.skipped.extend(option.strip_prefix("--skip=").map(Into::into));
                }
                _ => asked.wanted.push(argument),
            }
        }
        asked
    }

    fn matches(&self, name: &str) -> bool {
        let names =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        let is_wanted = self.wanted.is_empty() || self.wanted.iter().any(names);
        is_wanted && !self.ignored && !self.skipped.iter().any(names)
    }
}

/// The child: an engine that works until a run is settled, and says each task that it begins.
fn be_an_engine(told: &str) -> Anything<ExitCode> {
    let mut words = told.split('\n');
    let mut word = || words.next().ok_or("too few words");
    let (path, run, lease_ms, workers) = (word()?, word()?, word()?, word()?);
    let options = SqliteOptions::default().synchronous(Synchronous::Normal);
    let store = SqliteStore::open_with(path, options)?;
    let engine = Engine::builder(store)
        .lease(Duration::from_millis(lease_ms.parse()?))
        .workers(workers.parse()?)
        .wait_for_external_work()
        .handler("work", work)
        .handler("count", count)
        .build()?;
    let ended = engine.run_until_settled(run.parse()?)?;
    println!("settled {}", ended.state);
    Ok(ExitCode::SUCCESS)
}

/// Takes as long as its input says, and fails or ends the process if it says so.
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it gets")]
fn work(input: Value, context: Context) -> Result<u32, TaskError> {
    // One line at once: several processes and threads may write.
    writeln!(std::io::stdout(), "began {} {}", context.id(), context.attempt())?;
    if input["aborts"] == true {
        std::process::abort();
    }
    if input["fails"] == true && context.retry_count() == 0 {
        return Err(TaskError::retry("the first attempt fails"));
    }
    thread::sleep(Duration::from_micros(input["takes_us"].as_u64().unwrap_or(0)));
    Ok(context.attempt())
}

/// How many of the children succeeded.
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it gets")]
fn count(children: Children<Value>, _: Context) -> Result<usize, TaskError> {
    children.outputs().try_fold(0, |so_far, output| output.map(|_| so_far + 1))
}

/// A process with an engine.
struct Process {
    child: Child,
    said: mpsc::Receiver<String>,
}

impl Process {
    fn start(place: &Place, run: RunId, lease: Duration, workers: u32) -> Anything<Self> {
        Self::spawn(&format!("{}\n{run}\n{}\n{workers}", place.path.display(), lease.as_millis()))
    }

    fn spawn(told: &str) -> Anything<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(CHILD, told)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let out = child.stdout.take().ok_or("the child has no standard output")?;
        Ok(Self { child, said: listen(out) })
    }

    /// Waits until it says something that begins so.
    fn says(&self, word: &str) -> Anything<String> {
        loop {
            let line = self.said.recv_timeout(LONG).map_err(|error| format!("no {word:?}: {error}"))?;
            if line.starts_with(word) {
                return Ok(line);
            }
        }
    }

    /// Waits until it ends; whether it ended well.
    fn ends(&mut self) -> Anything<bool> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            if began.elapsed() > LONG {
                return Err("a process did not come to its end".into());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn kill(&mut self) -> Anything<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) -> Anything<()> {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status()?;
        if sent.success() { Ok(()) } else { Err(format!("kill {name}: {sent}").into()) }
    }
}

/// No test leaves a process behind.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the end, so that the child never waits for a reader.
fn listen(out: ChildStdout) -> mpsc::Receiver<String> {
    let (say, said) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = say.send(line);
        }
    });
    said
}

/// A database in a folder of its own.
struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
    store: SqliteStore,
    env: Environment,
}

impl Place {
    fn new() -> Anything<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("processes.db");
        let options = SqliteOptions::default().synchronous(Synchronous::Normal);
        let store = SqliteStore::open_with(&path, options)?;
        Ok(Self { _folder: folder, path, store, env: Environment::system() })
    }

    fn submit(&self, run: &RunDraft) -> Anything<RunId> {
        Ok(self.store.submit(&Submit::new(run.validate()?, &self.env))?.run)
    }

    fn is_settled(&self, run: RunId) -> Anything<bool> {
        Ok(self.store.run(run)?.ok_or("the run is gone")?.state.is_terminal())
    }

    fn leaves(&self, run: RunId) -> Anything<Vec<Task>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.tasks(run, TaskFilter::default(), after, 1000)?;
            all.extend(page.items.into_iter().filter(|task| task.child_counts.is_none()));
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// How often each task of a run succeeded, by its events.
    fn successes(&self, run: RunId) -> Anything<HashMap<conductor_model::TaskId, u32>> {
        let (mut times, mut after) = (HashMap::new(), 0);
        loop {
            let filter =
                EventFilter { run: Some(run), name: Some("task.succeeded"), ..EventFilter::default() };
            let page = self.store.events(filter, after, 1000)?;
            for event in page.items {
                *times.entry(event.task.ok_or("a success without a task")?).or_default() += 1;
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(times),
            }
        }
    }

    /// All events, read page by page.
    fn events(&self) -> Anything<Vec<Event>> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = self.store.events(EventFilter::default(), after, 1000)?;
            all.extend(page.items);
            match page.next {
                Some(next) => after = next,
                None => return Ok(all),
            }
        }
    }

    /// Everything succeeded, once, and the events tell the same as the rows.
    fn check_all_succeeded(&self, run: RunId) -> Anything<()> {
        let (leaves, successes) = (self.leaves(run)?, self.successes(run)?);
        for leaf in &leaves {
            let (state, times) = (leaf.state, successes.get(&leaf.id).copied().unwrap_or(0));
            if (state, times) != (State::Succeeded, 1) {
                return Err(format!("{} is {state}, with {times} successes: {leaf:?}", leaf.name).into());
            }
        }
        self.check_nothing_is_left(run)?;
        Ok(())
    }

    /// No claim is left, and no sign of an engine beside the file.
    fn check_nothing_is_left(&self, run: RunId) -> Anything<()> {
        assert_replays(&self.store);
        let open = self.leaves(run)?.into_iter().find(|task| !task.state.is_terminal());
        if let Some(task) = open {
            return Err(format!("{} is left as {}", task.name, task.state).into());
        }
        // Whoever comes next removes what the dead have left, and its own at its end.
        drop(run_here(&self.path)?);
        let folder = self.path.parent().ok_or("a file has a folder")?;
        for file in std::fs::read_dir(folder)? {
            let name = file?.file_name().to_string_lossy().into_owned();
            if name.contains("-engine-") {
                return Err(format!("{name} is left").into());
            }
        }
        Ok(())
    }
}

/// An engine in this process that did something, so that it took its place among the others.
fn run_here(path: &Path) -> Anything<Engine> {
    let engine = Engine::builder(SqliteStore::open(path)?).handler("here", |(): (), _| Ok(())).build()?;
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("here")))?;
    engine.run_until_settled(run)?;
    Ok(engine)
}

fn is_long() -> bool {
    std::env::var_os("CONDUCTOR_LONG").is_some_and(|value| value != "0")
}

/// Chance that a test prints, so that what it did can be looked at.
struct Chance(u64);

impl Chance {
    fn new() -> Anything<Self> {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let seed = u64::try_from(nanos & u128::from(u64::MAX))?;
        println!("seed: {seed}");
        Ok(Self(seed))
    }

    fn below(&mut self, end: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        self.0 = hasher.finish();
        self.0 % end
    }
}

/// Parents and leaves; a third of them fails at first. None can run out of attempts for being killed.
fn large_run(leaves: u64) -> RunDraft {
    let item = |nth: u64| json!({"takes_us": 300 + 700 * (nth % 7), "fails": nth.is_multiple_of(3)});
    let parent = |nth: u64| {
        let items: Vec<Value> = (0..leaves / 4).map(|leaf| item(nth + leaf)).collect();
        TaskDraft::new(format!("parent {nth}"))
            .kind("work")
            .input(json!({ "fanout": items }))
            .max_retries(1000)
    };
    RunDraft::new().tasks((0..4).map(parent))
}

fn killed_engines_lose_and_repeat_nothing() -> Anything<String> {
    let mut chance = Chance::new()?;
    let lease = Duration::from_millis(500);
    let began = Instant::now();
    let (mut kills, mut runs) = (0, 0);
    let enough = if is_long() { Duration::from_secs(30) } else { Duration::from_secs(3) };
    while began.elapsed() < enough {
        let place = Place::new()?;
        let run = place.submit(&large_run(1200))?;
        let start = || Process::start(&place, run, lease, 3);
        let mut processes = [start()?, start()?, start()?];
        let killing = Instant::now();
        while !place.is_settled(run)? {
            if killing.elapsed() > LONG {
                return Err("the run does not come to its end".into());
            }
            thread::sleep(Duration::from_millis(5 + chance.below(120)));
            let victim = &mut processes[usize::try_from(chance.below(3))?];
            victim.kill()?;
            *victim = start()?;
            kills += 1;
        }
        for process in &mut processes {
            if !process.ends()? {
                return Err("a process that was not killed ended badly".into());
            }
        }
        place.check_all_succeeded(run)?;
        runs += 1;
    }
    Ok(format!("{runs} runs, {kills} kills"))
}

#[cfg(not(unix))]
fn engine_stopped_past_lease_repeats_no_success() -> Anything<String> {
    Ok("only where a process can be stopped".into())
}

#[cfg(unix)]
fn engine_stopped_past_lease_repeats_no_success() -> Anything<String> {
    let mut chance = Chance::new()?;
    let lease = Duration::from_millis(500);
    let began = Instant::now();
    let (mut stops, mut lost) = (0, 0);
    let enough = if is_long() { Duration::from_secs(15) } else { Duration::from_secs(2) };
    while began.elapsed() < enough {
        let place = Place::new()?;
        let run = place.submit(&large_run(800))?;
        let start = || Process::start(&place, run, lease, 3);
        let mut processes = [start()?, start()?, start()?];
        processes[0].says("began")?;
        thread::sleep(Duration::from_millis(chance.below(60)));
        processes[0].signal("-STOP")?;
        // A process that was stopped inside a transaction keeps the others waiting: so it is for less than they wait.
        thread::sleep(lease + Duration::from_millis(200 + chance.below(700)));
        processes[0].signal("-CONT")?;
        stops += 1;
        for process in &mut processes {
            if !process.ends()? {
                return Err("a process ended badly".into());
            }
        }
        place.check_all_succeeded(run)?;
        lost += place.leaves(run)?.iter().filter(|task| task.retry_count > 1).count();
    }
    Ok(format!("{stops} stops, at least {lost} leases lost"))
}

fn aborting_task_fails_alone() -> Anything<String> {
    let mut said = Vec::new();
    let all = [(1, 1, 3), (5, 4, 3), (40, 8, 3), (40, 1, 1), (300, 16, 2), (20, 4, 5)];
    let some = if is_long() { &all[..] } else { &all[..4] };
    for (neighbours, workers, max_retries) in some.iter().copied() {
        let place = Place::new()?;
        let neighbour = |nth: u32| {
            TaskDraft::new(format!("neighbour {nth}"))
                .input(json!({"takes_us": 2000}))
                .max_retries(max_retries)
        };
        let killer = TaskDraft::new("killer").input(json!({"aborts": true})).max_retries(max_retries);
        // In the middle of them.
        let tasks = (0..neighbours / 2).map(neighbour).chain([killer]);
        let tasks = tasks.chain((neighbours / 2..neighbours).map(neighbour)).map(|task| task.kind("work"));
        let run = place.submit(&RunDraft::new().tasks(tasks))?;
        let mut starts = 0;
        while !place.is_settled(run)? {
            starts += 1;
            if starts > 100 {
                return Err("the run does not come to its end".into());
            }
            Process::start(&place, run, Duration::from_secs(30), workers)?.ends()?;
        }
        let successes = place.successes(run)?;
        for task in place.leaves(run)? {
            let is_killer = task.name.as_str() == "killer";
            let expected = if is_killer { (State::Failed, 0) } else { (State::Succeeded, 1) };
            if (task.state, successes.get(&task.id).copied().unwrap_or(0)) != expected {
                let what = format!("{neighbours} neighbours, {workers} workers, {max_retries} retries");
                return Err(format!("{what}: {task:?}").into());
            }
            // Its attempts are used up, and no more than those.
            if is_killer && i64::from(task.attempt) != max_retries + 1 {
                return Err(format!("{} attempts of {}", task.attempt, max_retries + 1).into());
            }
        }
        place.check_nothing_is_left(run)?;
        said.push(format!("{neighbours}: {starts} starts"));
    }
    Ok(said.join(", "))
}

fn work_of_killed_process_resumes_immediately() -> Anything<String> {
    let rounds = if is_long() { 20 } else { 5 };
    let mut waits = Vec::new();
    for _ in 0..rounds {
        let place = Place::new()?;
        // Longer than the test: whoever dies holds it.
        let task = TaskDraft::new("long").kind("work").input(json!({"takes_us": 300_000_000_u64}));
        let run = place.submit(&RunDraft::new().task(task))?;
        let lease = Duration::from_millis(conductor_model::DEFAULT_LEASE_MS);
        let mut first = Process::start(&place, run, lease, 2)?;
        first.says("began")?;
        first.kill()?;
        let killed = Instant::now();
        let second = Process::start(&place, run, lease, 2)?;
        let line = second.says("began")?;
        waits.push(killed.elapsed());
        if !line.ends_with(" 2") {
            return Err(format!("{line:?} is not the second attempt").into());
        }
        if place.leaves(run)?[0].last_error.as_ref().map(conductor_model::ErrorText::as_str)
            != Some("lease expired")
        {
            return Err("the first attempt has no ending".into());
        }
    }
    waits.sort();
    let median = waits[waits.len() / 2];
    if median > Duration::from_secs(1) {
        return Err(format!("it took {median:?}, of a lease of 30 s").into());
    }
    Ok(format!("after {median:?}"))
}

/// Parents of parents, each with a join, below a run with one. A third of the leaves fails at first.
fn joined_run() -> RunDraft {
    let join = || JoinDraft::new("count").max_retries(1000);
    let item = |nth: u64| json!({"takes_us": 1000 + 1000 * (nth % 7), "fails": nth.is_multiple_of(3)});
    let parent = |nth: u64| {
        let nested = json!({"fanout": (0..40).map(|leaf| item(nth + leaf)).collect::<Vec<_>>()});
        let items: Vec<Value> =
            (0..60).map(|leaf| if leaf % 20 == 7 { nested.clone() } else { item(leaf) }).collect();
        let task = TaskDraft::new(format!("parent {nth}")).kind("work").input(json!({ "fanout": items }));
        task.max_retries(1000).join(join())
    };
    RunDraft::new().tasks((0..3).map(parent)).join(join())
}

/// Engines, one of which is killed now and then.
struct Victims<'p> {
    place: &'p Place,
    run: RunId,
    processes: Vec<Process>,
    kills: u32,
}

impl<'p> Victims<'p> {
    fn start(place: &'p Place, run: RunId) -> Anything<Self> {
        let mut victims = Self { place, run, processes: Vec::new(), kills: 0 };
        for _ in 0..3 {
            victims.processes.push(victims.another()?);
        }
        Ok(victims)
    }

    fn another(&self) -> Anything<Process> {
        Process::start(self.place, self.run, Duration::from_millis(500), 3)
    }

    /// One that has ended by itself is replaced as well.
    fn kill_one(&mut self, chance: &mut Chance) -> Anything<()> {
        thread::sleep(Duration::from_millis(5 + chance.below(120)));
        let victim = usize::try_from(chance.below(3))?;
        self.processes[victim].kill()?;
        self.processes[victim] = self.another()?;
        self.kills += 1;
        Ok(())
    }

    /// Kills until the run is settled, and waits until all of them have heard of it.
    fn kill_until_settled(mut self, chance: &mut Chance) -> Anything<u32> {
        let began = Instant::now();
        while !self.place.is_settled(self.run)? {
            if began.elapsed() > LONG {
                return Err("the run does not come to its end".into());
            }
            self.kill_one(chance)?;
        }
        for process in &mut self.processes {
            if !process.ends()? {
                return Err("a process that was not killed ended badly".into());
            }
        }
        Ok(self.kills)
    }
}

fn joins_cancels_and_revives_survive_kills() -> Anything<String> {
    let mut chance = Chance::new()?;
    let began = Instant::now();
    let (mut rounds, mut kills, mut revived) = (0, 0, 0);
    let enough = if is_long() { Duration::from_secs(20) } else { Duration::from_secs(3) };
    // A cancel may come too late on a machine that is fast at this moment.
    while began.elapsed() < enough || (rounds == 0 && began.elapsed() < LONG) {
        let place = Place::new()?;
        let run = place.submit(&joined_run())?;
        let mut victims = Victims::start(&place, run)?;
        victims.processes[0].says("began")?;
        victims.kill_one(&mut chance)?;
        let root = place.store.tasks(run, TaskFilter::default(), None, 1)?.items.remove(0);
        let now = place.env.now();
        let cancel = if chance.below(2) == 0 { Cancel::run(run, now) } else { Cancel::task(root.id, now) };
        match place.store.cancel(&cancel) {
            Ok(_) | Err(CancelError::AlreadySettled { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        kills += victims.kill_until_settled(&mut chance)?;
        place.check_nothing_is_left(run)?;
        match place.store.run(run)?.ok_or("the run is gone")?.state {
            State::Cancelled => {}
            State::Succeeded => continue,
            other => return Err(format!("the run is {other}, where nothing fails for good").into()),
        }
        let (victims, more) = revive_under_way(&place, run, &mut chance)?;
        kills += victims.kill_until_settled(&mut chance)?;
        place.check_all_succeeded(run)?;
        check_joins(&place, run)?;
        (rounds, revived) = (rounds + 1, revived + more);
    }
    if rounds == 0 {
        return Err("every cancel came too late".into());
    }
    Ok(format!("{rounds} rounds, {kills} kills, {revived} revived"))
}

/// Revives all of a run in small transactions, while engines work on what is revived already.
fn revive_under_way<'p>(place: &'p Place, run: RunId, chance: &mut Chance) -> Anything<(Victims<'p>, u32)> {
    let (mut victims, mut after, mut tasks) = (None, None, 0);
    loop {
        let (below, which) = (run.into(), ReviveFilter::FailedAndCancelled);
        let step = Revive::All { below, which, cursor: after, limit: 100, now: place.env.now() };
        let revived = place.store.revive(&step)?;
        if revived.skipped > 0 {
            return Err(format!("nothing speaks against any of them: {revived:?}").into());
        }
        tasks += revived.tasks;
        let victims: &mut Victims<'p> = match &mut victims {
            Some(victims) => victims,
            none => none.insert(Victims::start(place, run)?),
        };
        victims.kill_one(chance)?;
        after = revived.next;
        if after.is_none() {
            break;
        }
    }
    Ok((victims.ok_or("there is a first step")?, tasks))
}

/// Each join counted all children.
fn check_joins(place: &Place, run: RunId) -> Anything<()> {
    let joins: Vec<Task> = place.leaves(run)?.into_iter().filter(|task| task.index == 0).collect();
    let mut counted = Vec::new();
    for join in joins {
        counted.push(join.output.ok_or("a join without an output")?.to::<u64>()?);
    }
    counted.sort_unstable();
    if counted == [3, 60, 60, 60] { Ok(()) } else { Err(format!("the joins counted {counted:?}").into()) }
}

/// How many threads of a process submit, and how often each.
const SUBMITTERS: (u32, u32) = (4, 50);

/// Submits many times with one key; the runs that it was told, and how many of them it made itself.
fn submit_often(path: &Path) -> Anything<Vec<(RunId, bool)>> {
    let store = SqliteStore::open_with(path, SqliteOptions::default().synchronous(Synchronous::Normal))?;
    let env = Environment::system();
    let run = RunDraft::new().idempotency_key("once").task(TaskDraft::new("T")).validate()?;
    let often = || -> Result<Vec<(RunId, bool)>, String> {
        let submit = || store.submit(&Submit::new(run.clone(), &env));
        let told = (0..SUBMITTERS.1).map(|_| submit().map(|told| (told.run, told.created)));
        told.collect::<Result<_, _>>().map_err(|error| error.to_string())
    };
    let told: Vec<Result<_, String>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..SUBMITTERS.0).map(|_| scope.spawn(often)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("it panicked".into())))
            .collect()
    });
    let told: Vec<Vec<_>> = told.into_iter().collect::<Result<_, _>>()?;
    Ok(told.concat())
}

fn be_a_submitter(path: &Path) -> Anything<ExitCode> {
    for (run, created) in submit_often(path)? {
        println!("told {run} {created}");
    }
    println!("done");
    Ok(ExitCode::SUCCESS)
}

fn thousand_submissions_with_one_key_create_one_run() -> Anything<String> {
    let place = Place::new()?;
    let told = format!("submit\n{}", place.path.display());
    let mut processes = (0..4).map(|_| Process::spawn(&told)).collect::<Anything<Vec<_>>>()?;
    let mut answers: Vec<(String, bool)> =
        submit_often(&place.path)?.into_iter().map(|(run, created)| (run.to_string(), created)).collect();
    for process in &mut processes {
        loop {
            let line = process.said.recv_timeout(LONG)?;
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["told", run, created] => answers.push((run.into(), created == "true")),
                _ => break,
            }
        }
        if !process.ends()? {
            return Err("a process ended badly".into());
        }
    }
    let created = answers.iter().filter(|(_, created)| *created).count();
    let runs = place.store.runs(None, 10)?.items;
    if answers.len() != 1000 || created != 1 || runs.len() != 1 {
        return Err(format!("{} answers, {created} created, {} runs", answers.len(), runs.len()).into());
    }
    let is_it = |(run, _): &(String, bool)| *run == runs[0].id.to_string();
    if answers.iter().all(is_it) { Ok("1000 answers".into()) } else { Err("another run was told".into()) }
}

fn subscription_sees_all_events_of_killed_writers() -> Anything<String> {
    let mut chance = Chance::new()?;
    let place = Place::new()?;
    let run = place.submit(&large_run(1200))?;
    let mut from_the_start = Subscription::new(SqliteStore::open(&place.path)?, 0);
    let reader = thread::spawn(move || follow(&mut from_the_start, run).map_err(|error| error.to_string()));
    let start = || Process::start(&place, run, Duration::from_millis(500), 3);
    let mut processes = [start()?, start()?];
    let (mut kills, began) = (0, Instant::now());
    let mut late = None;
    while !place.is_settled(run)? {
        if began.elapsed() > LONG {
            return Err("the run does not come to its end".into());
        }
        thread::sleep(Duration::from_millis(5 + chance.below(80)));
        let victim = &mut processes[usize::try_from(chance.below(2))?];
        victim.kill()?;
        *victim = start()?;
        kills += 1;
        late.get_or_insert(Subscription::new(SqliteStore::open(&place.path)?, 100));
    }
    for process in &mut processes {
        process.ends()?;
    }
    let all = place.events()?;
    let seen = reader.join().map_err(|_| "the reader panicked")??;
    if seen != all {
        return Err(format!("{} events were seen of {}, or others", seen.len(), all.len()).into());
    }
    if let Some(mut late) = late
        && follow(&mut late, run)? != all[100..]
    {
        return Err("whoever came later saw something else".into());
    }
    Ok(format!("{} events, {kills} kills", all.len()))
}

/// Everything up to the end of a run.
fn follow(events: &mut Subscription, run: RunId) -> Anything<Vec<Event>> {
    let mut seen = Vec::new();
    loop {
        let event = events.next_timeout(LONG)?.ok_or("the run does not come to its end")?;
        let is_over = event.run == run && matches!(event.body, EventBody::RunAggregated { .. });
        seen.push(event);
        if is_over {
            return Ok(seen);
        }
    }
}
