//! Which engines live: each holds a lock on a file of its own beside the database, for as long as its process lives.
#![cfg(feature = "sqlite")]

use conductor_model::{EngineId, MAX_LEASE_MS, RunDraft, State, TaskDraft, TaskId};
use conductor_store::{
    Claim, ClaimedTask, EngineRegistration, Environment, FenceOutcome, KindQuota, Query, RegisterEngine,
    Renew, Rescue, RotationCursor, SqliteStore, Store, Submit, TaskFilter,
};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const DATABASE: &str = "CONDUCTOR_PRESENCE_TEST_DATABASE";

struct Place {
    folder: tempfile::TempDir,
    env: Environment,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: Environment::system() }
    }

    fn db(&self) -> PathBuf {
        self.folder.path().join("conductor.db")
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.db()).unwrap()
    }

    fn file_of(&self, engine: EngineId) -> PathBuf {
        self.folder.path().join(format!("conductor.db-engine-{engine}"))
    }

    /// The files that show who lives.
    fn signs(&self) -> Vec<PathBuf> {
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

/// Claims with a lease that no test outlives.
fn claim(store: &SqliteStore, presence: &EngineRegistration, limit: u32) -> Vec<ClaimedTask> {
    let wants = vec![KindQuota { kind: "A".parse().unwrap(), limit, cursor: RotationCursor::default() }];
    let (holder, now) = (presence.key(), Environment::system().now());
    store
        .claim(&Claim {
            engine: holder,
            quotas: wants,
            limit,
            lease_ms: MAX_LEASE_MS,
            allow_isolated: false,
            now,
        })
        .unwrap()
        .tasks
}

fn is_locked(path: &Path) -> bool {
    std::fs::File::open(path).unwrap().try_lock_shared().is_err()
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let place = Place::new();
    // With the engine's part it is longer than a name may be.
    let name = "n".repeat(225);
    let store = SqliteStore::open(place.folder.path().join(&name)).unwrap();
    let error = store.register_engine(&RegisterEngine::new(&place.env)).map(drop).unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains(&format!("{name}-engine-")) && said.contains("cannot create and lock"), "{said}");
}

#[test]
fn an_engine_holds_a_lock_on_its_file_until_it_is_dropped() {
    let place = Place::new();
    let store = place.open();
    let (engine, presence) = place.register_engine(&store);
    let file = place.file_of(engine);
    assert_eq!(place.signs(), [file.as_path()]);
    assert!(is_locked(&file));
    let (other, second) = place.register_engine(&store);
    assert!(is_locked(&file) && is_locked(&place.file_of(other)));
    drop(presence);
    assert_eq!(place.signs(), [place.file_of(other)]);
    drop(store);
    assert!(is_locked(&place.file_of(other)), "it lives as long as it is held, not as long as the store");
    drop(second);
    assert!(place.signs().is_empty());
}

#[cfg(unix)]
#[test]
fn the_file_of_an_engine_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let (engine, _presence) = place.register_engine(&place.open());
    let mode = std::fs::metadata(place.file_of(engine)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_belongs_to_no_engine_is_removed_when_the_next_one_comes() {
    let place = Place::new();
    let store = place.open();
    let (living, _presence) = place.register_engine(&store);
    let stray = place.file_of(EngineId::from_u128(7));
    let strangers =
        ["conductor.db-engine", "other.db-engine-00000000000000000000000007", "x-engine-conductor.db"];
    for stranger in strangers {
        std::fs::write(place.folder.path().join(stranger), "").unwrap();
    }
    std::fs::write(&stray, "").unwrap();
    let held = place.file_of(EngineId::from_u128(8));
    let lock = std::fs::File::create(&held).unwrap();
    lock.lock().unwrap();
    let (next, _next) = place.register_engine(&store);
    assert!(!stray.exists());
    assert!(held.exists(), "somebody holds it");
    for stranger in strangers {
        assert!(place.folder.path().join(stranger).exists(), "{stranger} is none of ours");
    }
    assert!(is_locked(&place.file_of(living)) && is_locked(&place.file_of(next)));
}

#[test]
fn the_claims_of_an_engine_of_another_store_are_left_alone_while_it_lives() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    submit(&one, 2);
    let (_, presence) = place.register_engine(&one);
    let claimed = claim(&one, &presence, 2);
    assert_eq!((claimed.len(), place.rescue(&other)), (2, 0));
    drop(one);
    assert_eq!(place.rescue(&other), 0, "the engine lives, and opens its store again");
    drop(presence);
    assert_eq!(place.rescue(&other), 2);
}

/// This test again in a process of its own, which claims two tasks and waits to be killed.
fn claimant(place: &Place) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child_claims_and_waits", "--nocapture"]).env(DATABASE, place.db());
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap().contains("claimed 2")), "the child claims");
    child
}

#[test]
fn child_claims_and_waits() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let (store, env) = (SqliteStore::open(path).unwrap(), Environment::system());
    let presence = store.register_engine(&RegisterEngine::new(&env)).unwrap();
    println!("claimed {}", claim(&store, &presence, 2).len());
    // Ends with the parent, should that end first.
    let _ = std::io::stdin().lines().next();
}

#[test]
fn what_a_killed_process_held_is_taken_back_at_once() {
    let place = Place::new();
    let store = place.open();
    let tasks = submit(&store, 3);
    let (_, presence) = place.register_engine(&store);
    let mut child = claimant(&place);
    let kept = claim(&store, &presence, 10);
    assert_eq!((kept.len(), place.signs().len()), (1, 2));
    assert_eq!(place.rescue(&store), 0, "it lives");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.signs().len(), 2, "it had no time to remove its file");
    assert_eq!(place.rescue(&store), 2);
    assert_eq!(place.signs().len(), 1);
    assert_eq!(place.rescue(&store), 0);
    let state = |task: &TaskId| store.task(*task).unwrap().unwrap().state;
    let states: Vec<_> = tasks.iter().map(state).collect();
    assert_eq!(states, [State::Failed, State::Failed, State::Running]);
    let fences = kept.iter().map(|task| task.fence).collect();
    let renewed = store.renew(&Renew { fences, lease_ms: 1000, now: place.env.now() }).unwrap();
    assert_eq!(renewed, [FenceOutcome::Applied]);
}
