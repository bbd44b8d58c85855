//! A write notifier sees the writes of other processes at once.

use crate::support::TestStore;
use conductor_model::RunDraft;
use conductor_store::{Environment, Query, SqliteStore, Store, Submit, WriteNotifier};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longer than it takes to wake a thread on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);

fn submit(store: &SqliteStore) {
    store.submit(&Submit::new(RunDraft::new().validate().unwrap(), &Environment::system())).unwrap();
}

/// Starts a thread that waits, and returns a channel for the result.
fn wait_in_thread(notifier: &Arc<dyn WriteNotifier>) -> mpsc::Receiver<bool> {
    let (sender, result) = mpsc::channel();
    let notifier = Arc::clone(notifier);
    thread::spawn(move || sender.send(notifier.wait()));
    result
}

#[test]
fn every_write_of_other_connection_is_seen() {
    let test = TestStore::new();
    let other = SqliteStore::open(test.path()).unwrap();
    let notifier: Arc<dyn WriteNotifier> = Arc::from(test.store.write_notifier().unwrap());
    for _ in 0..3 {
        let result = wait_in_thread(&notifier);
        assert!(result.recv_timeout(Duration::from_millis(50)).is_err(), "nothing was written yet");
        submit(&other);
        assert_eq!(result.recv_timeout(TIMEOUT), Ok(true));
        // A write between two waits does not end the next wait.
        submit(&other);
    }
}

#[test]
fn close_ends_present_and_later_waits() {
    let test = TestStore::new();
    let notifier: Arc<dyn WriteNotifier> = Arc::from(test.store.write_notifier().unwrap());
    let result = wait_in_thread(&notifier);
    notifier.close();
    assert_eq!(result.recv_timeout(TIMEOUT), Ok(false));
    assert!(!notifier.wait());
}

#[test]
fn in_memory_store_has_no_notifier() {
    assert!(SqliteStore::open_in_memory().unwrap().write_notifier().is_none());
}
