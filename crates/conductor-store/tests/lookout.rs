//! Who waits for the writes of other processes sees them at once.
#![cfg(target_os = "linux")]

use conductor_model::RunDraft;
use conductor_store::{Environment, Query, SqliteStore, Store, Submit, WriteNotifier};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longer than it takes to wake a thread, on however busy a machine.
const LONG: Duration = Duration::from_secs(10);

fn submit(store: &SqliteStore) {
    store.submit(&Submit::new(RunDraft::new().validate().unwrap(), &Environment::system())).unwrap();
}

/// Waits in a thread of its own; what it came to.
fn waiting(write_notifier: &Arc<dyn WriteNotifier>) -> mpsc::Receiver<bool> {
    let (told, sees) = mpsc::channel();
    let write_notifier = Arc::clone(write_notifier);
    thread::spawn(move || told.send(write_notifier.wait()));
    sees
}

#[test]
fn what_another_connection_writes_is_seen_and_each_time_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conductor.db");
    let (store, other) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
    let write_notifier: Arc<dyn WriteNotifier> = Arc::from(store.write_notifier().unwrap());
    for _ in 0..3 {
        let sees = waiting(&write_notifier);
        assert!(sees.recv_timeout(Duration::from_millis(50)).is_err(), "nobody wrote anything yet");
        submit(&other);
        assert_eq!(sees.recv_timeout(LONG), Ok(true));
        // What is written while nobody looks out is no news later.
        submit(&other);
    }
}

#[test]
fn who_looks_out_is_told_of_the_end_now_and_later() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("conductor.db")).unwrap();
    let write_notifier: Arc<dyn WriteNotifier> = Arc::from(store.write_notifier().unwrap());
    let sees = waiting(&write_notifier);
    write_notifier.close();
    assert_eq!(sees.recv_timeout(LONG), Ok(false));
    assert!(!write_notifier.wait());
}

#[test]
fn nobody_else_writes_to_a_database_in_memory() {
    assert!(SqliteStore::open_in_memory().unwrap().write_notifier().is_none());
}
