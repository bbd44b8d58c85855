//! The demo when somebody stops it in the middle: what was done stays done, and another start goes on with the rest.
#![cfg(unix)]

use conductor_model::{EventBody, FailureReason, Run, RunState};
use conductor_store::{EventFilter, MAX_PAGE, Query, SqliteStore};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

fn demo(args: &[&str], temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conductor-demo"));
    command.args(args).env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// A folder with so many files of four words each.
fn files(count: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..count {
        fs::write(folder.path().join(format!("{file}.txt")), "a word or four\n").unwrap();
    }
    folder
}

/// The one run of a database.
fn run(database: &Path) -> Run {
    SqliteStore::open(database).unwrap().runs(None, 1).unwrap().items.remove(0)
}

/// Waits until the one run of a demo is so far.
fn until(demo: &mut Child, database: impl Fn() -> Option<PathBuf>, is_so_far: impl Fn(&Run) -> bool) {
    let mut store = None;
    let look = |store: &SqliteStore| store.runs(None, 1).unwrap().items.first().is_some_and(&is_so_far);
    while !store.as_ref().is_some_and(look) {
        assert!(demo.try_wait().unwrap().is_none_or(|end| end.success()));
        store = store.or_else(|| Some(SqliteStore::open(database()?).unwrap()));
        thread::sleep(Duration::from_millis(1));
    }
}

fn has_counted(run: &Run) -> bool {
    run.state_counts.succeeded > 0
}

/// Does something to demos that count more and more files, until one of them had not come to its end when it was done.
fn in_the_middle(mut stop: impl FnMut(&Path) -> Option<PathBuf>) -> (u32, tempfile::TempDir, PathBuf) {
    for count in [2_000, 8_000, 32_000] {
        let folder = files(count);
        if let Some(database) = stop(folder.path()) {
            return (count, folder, database);
        }
    }
    panic!("nothing takes long enough to be stopped in the middle");
}

/// Goes on to the end, and finds all files counted once.
fn goes_on(database: &Path, count: u32) {
    let temporary = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } =
        demo(&["--resume", database.to_str().unwrap()], temporary.path()).output().unwrap();
    assert_eq!(text(&stderr), "");
    assert!(status.success(), "{}", text(&stdout));
    let all = text(&stdout).lines().find(|line| line.trim_start().starts_with("all ")).unwrap();
    let numbers =
        all.split_whitespace().skip(1).map(|number| number.replace(',', "").parse::<u32>().unwrap());
    assert!(numbers.eq([count, count, 4 * count]), "{all}");

    let succeeded = events(database, "task.succeeded");
    assert_eq!(succeeded.len(), count as usize);
    assert_eq!(run(database).state, RunState::Succeeded);
}

fn events(database: &Path, name: &str) -> Vec<EventBody> {
    let store = SqliteStore::open(database).unwrap();
    let filter = EventFilter { name: Some(name), ..EventFilter::default() };
    let (mut bodies, mut after) = (Vec::new(), Some(0));
    while let Some(seq) = after {
        let page = store.events(filter, seq, MAX_PAGE).unwrap();
        bodies.extend(page.items.into_iter().map(|event| event.body));
        after = page.next;
    }
    bodies
}

#[test]
fn a_counting_that_is_killed_goes_on_to_its_end() {
    let place = tempfile::tempdir().unwrap();
    let (count, _files, database) = in_the_middle(|files| {
        let database = place.path().join(format!("{}.db", files.file_name().unwrap().display()));
        let args = ["--only", "9", "--keep", database.to_str().unwrap(), files.to_str().unwrap()];
        let mut demo = demo(&args, place.path()).stdout(Stdio::null()).spawn().unwrap();
        until(&mut demo, || database.exists().then(|| database.clone()), has_counted);
        demo.kill().unwrap();
        demo.wait().unwrap();
        (!run(&database).state.is_terminal()).then_some(database)
    });
    goes_on(&database, count);
    let is_lost = |body: &EventBody| {
        matches!(body, EventBody::TaskFailed { reason: FailureReason::LeaseExpired, due_at: Some(_), .. })
    };
    assert!(events(&database, "task.failed").iter().all(is_lost));

    // What is counted is counted: going on once more shows it again.
    let before = events(&database, "task.started").len();
    goes_on(&database, count);
    assert_eq!(events(&database, "task.started").len(), before);
}

#[test]
fn ctrl_c_ends_a_counting_gracefully_and_says_how_to_go_on() {
    let temporary = tempfile::tempdir().unwrap();
    let mut sentence = String::new();
    let (count, _files, database) = in_the_middle(|files| {
        let args = ["--only", "9", "--json", files.to_str().unwrap()];
        let mut command = demo(&args, temporary.path());
        let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until(&mut demo, || only_database_below(temporary.path()), has_counted);
        interrupt(&demo);
        let output = demo.wait_with_output().unwrap();
        if output.status.success() {
            return None;
        }
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "");
        sentence = text(&output.stderr).to_owned();
        // A place that goes away otherwise: only what can be gone on with is kept.
        only_database_below(temporary.path())
    });
    let path = database.to_str().unwrap();
    let program = env!("CARGO_BIN_EXE_conductor-demo");
    assert_eq!(
        sentence,
        format!(
            "conductor-demo: stopped by Ctrl-C; what was done is in {path}. Go on with\n   {program} --resume '{path}'\n"
        )
    );
    // What ran has finished, and the rest was handed back: the parent alone is RUNNING.
    assert_eq!(run(&database).state_counts.running, 1);
    goes_on(&database, count);
    assert_eq!(events(&database, "task.failed"), []);
}

#[test]
fn ctrl_c_before_the_counting_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = demo(&["--only", "8"], temporary.path());
    let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(&mut demo, || only_database_below(temporary.path()), |_| true);
    interrupt(&demo);
    let output = demo.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "conductor-demo: stopped by Ctrl-C\n");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn where_nothing_was_counted_there_is_nothing_to_go_on_with() {
    let temporary = tempfile::tempdir().unwrap();
    let database = temporary.path().join("kept.db");
    let path = database.to_str().unwrap();
    assert!(demo(&["--only", "1", "--keep", path], temporary.path()).output().unwrap().status.success());
    let output = demo(&["--resume", path], temporary.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no counting was begun in"), "{}", text(&output.stderr));

    let output = demo(&["--resume", "nowhere.db"], temporary.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("there is no database nowhere.db"), "{}", text(&output.stderr));
}

fn only_database_below(folder: &Path) -> Option<PathBuf> {
    let mut databases = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("demo.db"));
    databases.find(|database| database.exists())
}

/// What a terminal sends when somebody presses Ctrl-C.
fn interrupt(process: &Child) {
    let kill = format!("kill -INT {}", process.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}
