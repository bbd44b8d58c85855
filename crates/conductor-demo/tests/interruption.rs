//! The demo is stopped in the middle: finished work stays finished, and another process continues the rest.
#![cfg(unix)]

use origin_conductor::store::{EventFilter, MAX_PAGE, Query};
use origin_conductor::{EventBody, FailureReason, Run, SqliteStore, State};
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

/// Creates a folder with `count` files of four words each.
fn files(count: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..count {
        fs::write(folder.path().join(format!("{file}.txt")), "a word or four\n").unwrap();
    }
    folder
}

/// Returns the only run of a database.
fn run(database: &Path) -> Run {
    SqliteStore::open(database).unwrap().runs(None, 1).unwrap().items.remove(0)
}

/// Waits until the only run of a demo meets a condition.
fn until(demo: &mut Child, database: impl Fn() -> Option<PathBuf>, condition: impl Fn(&Run) -> bool) {
    let mut store = None;
    let look = |store: &SqliteStore| store.runs(None, 1).unwrap().items.first().is_some_and(&condition);
    while !store.as_ref().is_some_and(look) {
        assert!(demo.try_wait().unwrap().is_none_or(|end| end.success()));
        store = store.or_else(|| Some(SqliteStore::open(database()?).unwrap()));
        thread::sleep(Duration::from_millis(1));
    }
}

fn has_counted(run: &Run) -> bool {
    run.state_counts.succeeded > 0
}

/// Calls `stop` with more and more files, until the demo was stopped before its end.
fn stop_before_end(mut stop: impl FnMut(&Path) -> Option<PathBuf>) -> (u32, tempfile::TempDir, PathBuf) {
    for count in [2_000, 8_000, 32_000] {
        let folder = files(count);
        if let Some(database) = stop(folder.path()) {
            return (count, folder, database);
        }
    }
    panic!("no demo ran long enough to be stopped in the middle");
}

/// Continues to the end and checks that every file is counted once.
fn continue_to_end(database: &Path, count: u32) {
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
    assert_eq!(run(database).state, State::Succeeded);
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
fn killed_count_is_continued_to_its_end() {
    let place = tempfile::tempdir().unwrap();
    let (count, _files, database) = stop_before_end(|files| {
        let database = place.path().join(format!("{}.db", files.file_name().unwrap().display()));
        let args = ["--only", "9", "--keep", database.to_str().unwrap(), files.to_str().unwrap()];
        let mut demo = demo(&args, place.path()).stdout(Stdio::null()).spawn().unwrap();
        until(&mut demo, || database.exists().then(|| database.clone()), has_counted);
        demo.kill().unwrap();
        demo.wait().unwrap();
        (!run(&database).state.is_terminal()).then_some(database)
    });
    continue_to_end(&database, count);
    let is_lost = |body: &EventBody| {
        matches!(body, EventBody::TaskFailed { reason: FailureReason::LeaseExpired, due_at: Some(_), .. })
    };
    assert!(events(&database, "task.failed").iter().all(is_lost));

    // Continuing a finished count only prints it again.
    let before = events(&database, "task.started").len();
    continue_to_end(&database, count);
    assert_eq!(events(&database, "task.started").len(), before);
}

#[test]
fn ctrl_c_stops_gracefully_and_prints_command() {
    let temporary = tempfile::tempdir().unwrap();
    let mut sentence = String::new();
    let (count, _files, database) = stop_before_end(|files| {
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
        // Only a database whose work can continue is kept_path.
        only_database_below(temporary.path())
    });
    let path = database.to_str().unwrap();
    let program = env!("CARGO_BIN_EXE_conductor-demo");
    assert_eq!(
        sentence,
        format!(
            "conductor-demo: stopped by Ctrl-C; the database is {path}. To continue:\n   {program} --resume '{path}'\n"
        )
    );
    // Running handlers finished and other claims were released: only the parent is RUNNING.
    assert_eq!(run(&database).state_counts.running, 1);
    continue_to_end(&database, count);
    assert_eq!(events(&database, "task.failed"), []);
}

#[test]
fn ctrl_c_before_count_leaves_no_files() {
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
fn resume_without_count_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let database = temporary.path().join("kept.db");
    let path = database.to_str().unwrap();
    assert!(demo(&["--only", "1", "--keep", path], temporary.path()).output().unwrap().status.success());
    let output = demo(&["--resume", path], temporary.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there is no word count in"), "{}", text(&output.stderr));

    let output = demo(&["--resume", "nowhere.db"], temporary.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("nowhere.db is not a database file"), "{}", text(&output.stderr));
}

fn only_database_below(folder: &Path) -> Option<PathBuf> {
    let mut databases = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("demo.db"));
    databases.find(|database| database.exists())
}

/// Sends the signal of Ctrl-C.
fn interrupt(process: &Child) {
    let kill = format!("kill -INT {}", process.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}
