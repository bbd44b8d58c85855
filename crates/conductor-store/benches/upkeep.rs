//! How fast a file is verified, and how long a prune keeps others waiting.
//! `cargo bench -p conductor-store --bench upkeep [-- TASKS]`

mod common;

use common::{Outcome, fan_out_all, peak_memory_mib, raw, submit_parent};
use conductor_model::Timestamp;
use conductor_store::{Admin, Prune, Pruned, Scope, Source, SqliteStore, Step, Store, Verify};
use std::path::Path;
use std::time::{Duration, Instant};

fn main() -> Outcome<()> {
    let tasks = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let source = Source::system();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("upkeep.db");
    let store = SqliteStore::open(&path)?;
    submit_parent(&store, &source, tasks)?;
    fan_out_all(&store, &source)?;
    // All children settled at once, each with a start and a success; the steps do the rest.
    raw(&path)?.execute_batch(
        "BEGIN IMMEDIATE;
         UPDATE conductor_tasks SET state = 2, attempt = 1 WHERE sealed IS NULL;
         INSERT INTO conductor_events (run, task, name, at)
             SELECT run, key, name.column1, updated_at FROM conductor_tasks, (VALUES (9), (10)) name
             WHERE sealed IS NULL;
         UPDATE conductor_tasks SET open_children = 0 WHERE sealed = 1;
         UPDATE conductor_runs SET succeeded = pending, pending = 0;
         COMMIT;",
    )?;
    while store.aggregate(&Step { scope: Scope::All, now: source.now(), limit: 1000 })?.more {}
    for _ in 0..3 {
        verify(&store)?;
    }
    println!("peak memory so far: {:?} MiB", peak_memory_mib());
    prune(&store, &path)
}

#[expect(clippy::cast_precision_loss, reason = "a speed, for people")]
fn verify(store: &SqliteStore) -> Outcome<()> {
    let started = Instant::now();
    let found = store.verify(&Verify::all())?;
    let per_second = found.events as f64 / started.elapsed().as_secs_f64();
    println!(
        "verify: {} events and {} rows, {per_second:.0} events per second, {} divergences",
        found.events, found.tasks, found.found
    );
    Ok(())
}

fn prune(store: &SqliteStore, path: &Path) -> Outcome<()> {
    let before = size(path)?;
    let mut all = Pruned::default();
    let (mut removing, mut giving_back) = (Vec::new(), Vec::new());
    loop {
        let started = Instant::now();
        let done = store.prune(&Prune::before(Timestamp::MAX))?;
        let times = if done.bytes > 0 { &mut giving_back } else { &mut removing };
        times.push(started.elapsed());
        all.tasks += done.tasks;
        all.events += done.events;
        all.bytes += done.bytes;
        if !done.more {
            break;
        }
    }
    raw(path)?.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    println!("prune: {} tasks and {} events, {} bytes given back", all.tasks, all.events, all.bytes);
    report("removing rows", removing);
    report("giving pages back", giving_back);
    println!("  file: {before} bytes before, {} after", size(path)?);
    Ok(())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at =
        |share: usize| times.get(times.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    let total: Duration = times.iter().sum();
    println!(
        "  {what}: {} transactions, {total:.2?} in all, median {:.2?}, 99 % {:.2?}, longest {:.2?}",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
}

fn size(path: &Path) -> Outcome<u64> {
    Ok(std::fs::metadata(path)?.len())
}
