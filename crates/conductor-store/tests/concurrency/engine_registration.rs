//! An engine holds a lock on a file beside the database while its process lives.

use conductor_model::{EngineId, MAX_LEASE_MS, RunDraft, State, TaskDraft, TaskId};
use conductor_store::{
    Claim, ClaimedTask, EngineRegistration, Environment, FenceOutcome, KindQuota, Query, RegisterEngine,
    Renew, Rescue, SqliteStore, Store, Submit, TaskFilter,
};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Names the database for the child process.
const DATABASE: &str = "CONDUCTOR_TEST_REGISTRATION";

struct TestFolder {
    folder: tempfile::TempDir,
    env: Environment,
}

impl TestFolder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: Environment::system() }
    }

    fn db(&self) -> PathBuf {
        self.folder.path().join("conductor.db")
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.db()).unwrap()
    }

    fn lock_file(&self, engine: EngineId) -> PathBuf {
        self.folder.path().join(format!("conductor.db-engine-{engine}"))
    }

    /// Finds the lock files of all engines.
    fn lock_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.to_str().unwrap().contains("-engine-")).collect()
    }

    fn register_engine(&self, store: &SqliteStore) -> (EngineId, EngineRegistration) {
        let request = RegisterEngine::new(&self.env);
        (request.engine, store.register_engine(&request).unwrap())
    }

    fn rescue(&self, store: &SqliteStore) -> u32 {
        store.rescue(&Rescue::new(100, &self.env)).unwrap().changed
    }
}

fn submit(store: &SqliteStore, tasks: usize) -> Vec<TaskId> {
    let run = RunDraft::new().tasks((0..tasks).map(|_| TaskDraft::new("A"))).validate().unwrap();
    let run = store.submit(&Submit::new(run, &Environment::system())).unwrap().run;
    let tasks = store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items;
    tasks.iter().map(|task| task.id).collect()
}

/// Claims with the longest lease.
fn claim(store: &SqliteStore, registration: &EngineRegistration, limit: u32) -> Vec<ClaimedTask> {
    let quota = KindQuota::new("A".parse().unwrap(), limit);
    let claim = Claim::new(registration.key(), vec![quota], MAX_LEASE_MS, &Environment::system());
    store.claim(&claim).unwrap().tasks()
}

fn is_locked(path: &Path) -> bool {
    std::fs::File::open(path).unwrap().try_lock_shared().is_err()
}

#[test]
fn uncreatable_lock_file_is_named() {
    let test = TestFolder::new();
    // The suffix for the engine makes the file name too long.
    let name = "n".repeat(225);
    let store = SqliteStore::open(test.folder.path().join(&name)).unwrap();
    let error = store.register_engine(&RegisterEngine::new(&test.env)).map(drop).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.contains(&format!("{name}-engine-")) && source.contains("cannot create and lock"),
        "{source}"
    );
}

#[test]
fn lock_is_held_until_registration_is_dropped() {
    let test = TestFolder::new();
    let store = test.open();
    let (engine, registration) = test.register_engine(&store);
    let file = test.lock_file(engine);
    assert_eq!(test.lock_files(), [file.as_path()]);
    assert!(is_locked(&file));
    let (other, second) = test.register_engine(&store);
    assert!(is_locked(&file) && is_locked(&test.lock_file(other)));
    drop(registration);
    assert_eq!(test.lock_files(), [test.lock_file(other)]);
    drop(store);
    assert!(is_locked(&test.lock_file(other)), "the registration outlives its store");
    drop(second);
    assert!(test.lock_files().is_empty());
}

#[cfg(unix)]
#[test]
fn lock_file_is_readable_by_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let test = TestFolder::new();
    let (engine, _registration) = test.register_engine(&test.open());
    let mode = std::fs::metadata(test.lock_file(engine)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn stale_lock_file_is_removed_by_next_engine() {
    let test = TestFolder::new();
    let store = test.open();
    let (living, _registration) = test.register_engine(&store);
    let stale = test.lock_file(EngineId::from_u128(7));
    let unrelated_files =
        ["conductor.db-engine", "other.db-engine-00000000000000000000000007", "x-engine-conductor.db"];
    for name in unrelated_files {
        std::fs::write(test.folder.path().join(name), "").unwrap();
    }
    std::fs::write(&stale, "").unwrap();
    let locked = test.lock_file(EngineId::from_u128(8));
    let lock = std::fs::File::create(&locked).unwrap();
    lock.lock().unwrap();
    let (next, _next) = test.register_engine(&store);
    assert!(!stale.exists());
    assert!(locked.exists(), "another program holds the lock");
    for name in unrelated_files {
        assert!(test.folder.path().join(name).exists(), "{name} is not a lock file of this database");
    }
    assert!(is_locked(&test.lock_file(living)) && is_locked(&test.lock_file(next)));
}

#[test]
fn claims_of_living_engine_are_not_rescued() {
    let test = TestFolder::new();
    let (one, other) = (test.open(), test.open());
    submit(&one, 2);
    let (_, registration) = test.register_engine(&one);
    let claimed = claim(&one, &registration, 2);
    assert_eq!((claimed.len(), test.rescue(&other)), (2, 0));
    drop(one);
    assert_eq!(test.rescue(&other), 0, "the engine still lives");
    drop(registration);
    assert_eq!(test.rescue(&other), 2);
}

/// Starts a process that claims two tasks and waits to be killed.
fn start_claimant(test: &TestFolder) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "engine_registration::child_claims_and_waits", "--nocapture"])
        .env(DATABASE, test.db());
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap().contains("claimed 2")), "the child claims");
    child
}

#[test]
fn child_claims_and_waits() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let (store, env) = (SqliteStore::open(path).unwrap(), Environment::system());
    let registration = store.register_engine(&RegisterEngine::new(&env)).unwrap();
    println!("claimed {}", claim(&store, &registration, 2).len());
    // Ends when the parent process ends.
    let _ = std::io::stdin().lines().next();
}

#[test]
fn claims_of_killed_process_are_rescued_at_once() {
    let test = TestFolder::new();
    let store = test.open();
    let tasks = submit(&store, 3);
    let (_, registration) = test.register_engine(&store);
    let mut child = start_claimant(&test);
    let kept = claim(&store, &registration, 10);
    assert_eq!((kept.len(), test.lock_files().len()), (1, 2));
    assert_eq!(test.rescue(&store), 0, "the child lives");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(test.lock_files().len(), 2, "a killed process leaves its file");
    assert_eq!(test.rescue(&store), 2);
    assert_eq!(test.lock_files().len(), 1);
    assert_eq!(test.rescue(&store), 0);
    let state = |task: &TaskId| store.task(*task).unwrap().unwrap().state;
    let states: Vec<_> = tasks.iter().map(state).collect();
    assert_eq!(states, [State::Failed, State::Failed, State::Running]);
    let fences = kept.iter().map(|task| task.fence).collect();
    let renewed = store.renew(&Renew { fences, lease_ms: 1000, now: test.env.now() }).unwrap();
    assert_eq!(renewed, [FenceOutcome::Applied]);
}
