//! Fan-out beside its floor: the same rows with the same schema, pragmas and durability, written by the shortest
//! raw code that does the same job. `cargo bench -p conductor-store --bench fan_out [-- N]`

mod common;

use common::{Outcome, fan_out_all, median, peak_memory_mib, per_second, raw, submit_parent, time};
use conductor_store::{Source, SqliteStore};
use rusqlite::{Connection, TransactionBehavior, params};

const ROUNDS: usize = 7;
const ROWS_PER_TRANSACTION: u32 = 10_000;

fn main() -> Outcome<()> {
    let children = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    let source = Source::system();
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("ours.db");
        let store = SqliteStore::open(&path)?;
        submit_parent(&store, &source, children)?;
        let our_time = || time(|| fan_out_all(&store, &source));

        let floor_path = folder.path().join("floor.db");
        submit_parent(&SqliteStore::open(&floor_path)?, &source, children)?;
        let mut connection = raw(&floor_path)?;
        let mut floor_time = || time(|| floor(&mut connection, &source, children));

        // In turn, so that a drift of the machine meets both.
        if round % 2 == 0 {
            ours.push(our_time()?);
            floors.push(floor_time()?);
        } else {
            floors.push(floor_time()?);
            ours.push(our_time()?);
        }
        let count = |path: &std::path::Path| -> Outcome<u32> {
            Ok(raw(path)?
                .query_row("SELECT children FROM conductor_tasks WHERE key = 1", [], |row| row.get(0))?)
        };
        assert_eq!((count(&path)?, count(&floor_path)?), (children, children));
    }
    let ((ours, our_spread), (floor, floor_spread)) = (median(ours), median(floors));
    println!(
        "fan_out of {children} children, synchronous=FULL, median of {ROUNDS} rounds (greatest / least)"
    );
    println!("  store  {:>9.0} children/s  ({our_spread:.2})", per_second(children, ours));
    println!("  floor  {:>9.0} children/s  ({floor_spread:.2})", per_second(children, floor));
    println!("  ratio  {:>9.2}", floor.as_secs_f64() / ours.as_secs_f64());
    if let Some(peak) = peak_memory_mib() {
        println!("  peak memory of both {peak} MiB");
    }
    Ok(())
}

fn floor(connection: &mut Connection, source: &Source, children: u32) -> Outcome<()> {
    let now = source.now().as_millis();
    let mut created = 0;
    while created < children {
        let last = children.min(created + ROWS_PER_TRANSACTION);
        let mut ids = source.ids(last - created);
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = tx.prepare_cached(
                "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, created_at, \
                 updated_at, attempt, retry_count, max_retries) VALUES (?1, 1, 1, ?2, 0, 1, 0, ?3, ?3, 0, 0, 3)",
            )?;
            for ordinal in created + 1..=last {
                let id = ids.take_task().ok_or("too few ids")?.as_u128().to_be_bytes();
                insert.execute(params![id, ordinal, now])?;
            }
        }
        tx.execute(
            "INSERT INTO conductor_events (run, task, name, at, payload) VALUES (1, 1, 7, ?1, ?2)",
            params![now, format!("{{\"first\":{},\"last\":{last}}}", created + 1)],
        )?;
        tx.execute(
            "UPDATE conductor_tasks SET state = 1, children = ?1, open_children = ?1 WHERE key = 1",
            [last],
        )?;
        tx.execute("UPDATE conductor_runs SET state = 1, pending = ?1 WHERE key = 1", [last])?;
        tx.commit()?;
        created = last;
    }
    Ok(())
}
