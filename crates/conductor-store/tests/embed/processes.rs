//! Several processes install into one database at the same time.

use crate::host_app::{HostApp, begin, delivery, migrate, order};
use conductor_conformance::assert_replays;
use conductor_store::sqlite::{install_into, submit_in};
use rusqlite::Connection;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DATABASE: &str = "CONDUCTOR_TEST_HOST";
const ITEM: &str = "CONDUCTOR_TEST_ITEM";
const START: &str = "start";

/// Starts a process that waits for the file `start` beside the database, then installs.
fn start_installer(host: &HostApp, i: usize) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "processes::child_installs_and_orders"]);
    child.env(DATABASE, host.path()).env(ITEM, format!("item {i}"));
    child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn child_installs_and_orders() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let item = std::env::var(ITEM).unwrap();
    while !Path::new(&path).with_file_name(START).exists() {
        std::thread::yield_now();
    }
    let mut connection = Connection::open(&path).unwrap();
    connection.busy_timeout(Duration::from_mins(1)).unwrap();
    install_into(&mut connection).unwrap();
    let tx = begin(&mut connection);
    order(&tx, &item);
    submit_in(&tx, &delivery(&item)).unwrap();
    tx.commit().unwrap();
}

#[test]
fn six_processes_install_into_one_database() {
    for mode in ["DELETE", "WAL", "DELETE", "WAL"] {
        let host = HostApp::empty();
        let mut connection = host.connect();
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        migrate(&mut connection, 1);
        drop(connection);
        let children: Vec<_> = (0..6).map(|i| start_installer(&host, i)).collect();
        std::fs::write(host.path().with_file_name(START), "").unwrap();
        for child in children {
            let ended = child.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        }
        assert_eq!(host.orders_and_runs(), (6, 6));
        assert_eq!(host.schema(), HostApp::installed().schema());
        assert_eq!(host.ask::<String>("PRAGMA integrity_check"), "ok");
        host.run("PRAGMA journal_mode = WAL");
        assert_replays(&host.store());
    }
}
